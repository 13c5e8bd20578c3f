"""Fixtures. A test that needs a service gets it here, and from nowhere else."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.local import local_services
from runners.local_containers import docker_answers
from tests.support import Database, Kafka, Process, Start, clean_environment, new_database
from transforms import schema


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the developer's settings out of every test."""
    kept = clean_environment()
    for name in set(os.environ) - set(kept) - {"PYTEST_CURRENT_TEST"}:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def services() -> Iterator[dict[str, str]]:
    """A real Kafka and PostgreSQL: containers where a Docker daemon answers, else processes."""
    with local_services(prefer_docker=docker_answers()) as environment:
        yield environment


@pytest.fixture
def kafka(services: dict[str, str]) -> Kafka:
    return Kafka(services["KAFKA_BROKER_1"])


@pytest.fixture
def empty_database(services: dict[str, str]) -> Iterator[Database]:
    """A database without tables."""
    with new_database(services) as database:
        yield database


@pytest.fixture
def database(empty_database: Database) -> Database:
    """A database with the tables."""
    connection = empty_database.connect()
    schema.migrate(connection)
    connection.close()
    return empty_database


@pytest.fixture
def environment(database: Database, kafka: Kafka) -> dict[str, str]:
    """The settings of a pipeline with this test's database, and a group of its own."""
    return {**database.environment, "KAFKA_GROUP_ID": f"test-{uuid.uuid4()}"}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `python -m pipeline`; what still runs at the end of the test is killed."""
    processes: list[Process] = []

    def run(environment: dict[str, str], *arguments: str) -> Process:
        processes.append(Process(environment, tmp_path, *arguments))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
