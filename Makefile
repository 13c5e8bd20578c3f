# make help lists the targets. Each makes .venv when it is missing or old.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install run test lint unit integration bench format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(READY) ## make .venv with the exact versions of constraints.txt

$(READY): setup.py pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/pip install --quiet --editable '.[local,dev]'
	@touch $@

run: $(READY) ## the demo: local Kafka and PostgreSQL, sample events, the pipeline (ARGS=--until_end)
	@$(BIN)/python -m pipeline demo $(ARGS)

test: lint unit integration ## everything that CI runs

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

unit: $(READY) ## tests without services
	$(BIN)/pytest tests/unit tests/beam

integration: $(READY) ## tests against a real Kafka and a real PostgreSQL
	$(BIN)/pytest tests/integration

bench: $(READY) ## throughput, latency and idle cost, against a bare loop in the same run
	$(BIN)/python -m tests.bench $(ARGS)

format: $(READY) ## let ruff rewrite the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what make and the tools made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
