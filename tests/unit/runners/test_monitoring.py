"""The alerts and the dashboard: valid, and about metrics that the pipeline exports."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ROOT
from transforms.metric_names import METRICS, Kind

_MONITORING = ROOT / "runners" / "monitoring"
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

_SUFFIXES = {
    Kind.COUNTER: ("_total",),
    Kind.DISTRIBUTION: ("_count", "_sum", "_min", "_max"),
    Kind.GAUGE: ("",),
    Kind.HISTOGRAM: ("_bucket", "_count", "_sum"),
}
_EXPORTED = {metric.exported + end for metric in METRICS for end in _SUFFIXES[metric.kind]} | {
    "beam_elements_total",
    "beam_step_seconds_total",
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "python_gc_collections_total",
    "reconciliation_build_info",
    "reconciliation_check_ok",
    "reconciliation_job_state",
    "reconciliation_ready",
    "up",
}

# What is no metric in PromQL: texts, label matchers, ranges, lists of labels, numbers.
_NO_METRIC = re.compile(
    r'"[^"]*"|\'[^\']*\'|\{[^}]*\}|\[[^\]]*\]'
    r"|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"
    r"|\b[\d.]+(?:e\d+|[smhdwy])?\b"
)
_NAME = re.compile(r"[a-zA-Z_][\w:]*(?!\w|:|\s*\()")
_KEYWORDS = {"and", "bool", "offset", "or", "unless"}


def _metrics(expression: str) -> set[str]:
    return set(_NAME.findall(_NO_METRIC.sub(" ", expression))) - _KEYWORDS


def _promtool(*arguments: str) -> None:
    if shutil.which("promtool") is None:
        pytest.fail("promtool checks the alerts and is missing: apt-get install prometheus")
    done = subprocess.run(
        ["promtool", *arguments], cwd=_MONITORING, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((_MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _alerts() -> list[dict[str, Any]]:
    return [rule for rule in _rules() if "alert" in rule]


def _dashboard() -> dict[str, Any]:
    text = (_MONITORING / "grafana" / "dashboard.json").read_text()
    dashboard: dict[str, Any] = json.loads(text)
    return dashboard


def _panels() -> list[dict[str, Any]]:
    return [panel for panel in _dashboard()["panels"] if panel["type"] != "row"]


def _dashboard_queries() -> Iterator[str]:
    dashboard = _dashboard()
    for panel in _panels():
        yield from (target["expr"] for target in panel["targets"])
    yield from (annotation["expr"] for annotation in dashboard["annotations"]["list"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            assert variable["query"]["query"] == variable["definition"]
            [metric] = re.findall(r"^label_values\((.*), \w+\)$", variable["definition"])
            yield metric


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_accepts(arguments: tuple[str, ...]) -> None:
    _promtool(*arguments)


def test_missing_promtool_fails_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.fail.Exception, match="apt-get install prometheus"):
        _promtool("--version")


def test_metrics_are_found_in_promql() -> None:
    expression = """
        sum by (job, le) (rate(a_bucket{step="x", runner=~"$runner"}[5m] offset 5m)) / 60
        and on (job) sum(b_total) without (c) > 1e9
        or job_topic:d:sum > on (job) group_left () time() - 300 unless e == bool 0
    """
    assert _metrics(expression) == {"a_bucket", "b_total", "job_topic:d:sum", "e"}


def test_alerts_are_about_metrics_that_are_exported() -> None:
    known = _EXPORTED | {rule["record"] for rule in _rules() if "record" in rule}
    for rule in _rules():
        assert _metrics(rule["expr"]), rule
        assert _metrics(rule["expr"]) <= known, rule


def test_descriptions_query_metrics_that_are_exported() -> None:
    known = _EXPORTED | {rule["record"] for rule in _rules() if "record" in rule}
    for alert in _alerts():
        description = alert["annotations"]["description"]
        for query in re.findall(r'printf "([^"]*%s[^"]*)"', description):
            assert _metrics(query), query
            assert _metrics(query) <= known, query


def test_alerts_say_what_to_do() -> None:
    section = "When something fails"
    assert f"## {section}\n" in (ROOT / "README.md").read_text()
    for alert in _alerts():
        assert alert["labels"]["severity"] in {"critical", "warning"}, alert
        assert alert["annotations"].keys() == {"summary", "description", "runbook"}, alert
        assert f'README.md, "{section}": ' in alert["annotations"]["runbook"], alert


def test_each_alert_is_seen_firing_and_silent() -> None:
    tests = yaml.safe_load((_MONITORING / "alerts_test.yml").read_text())["tests"]
    seen = {
        (case["alertname"], bool(case.get("exp_alerts")))
        for test in tests
        for case in test["alert_rule_test"]
    }
    assert seen == {(alert["alert"], fires) for alert in _alerts() for fires in (True, False)}


def test_dashboard_is_what_grafana_provisions() -> None:
    dashboard = _dashboard()
    assert dashboard["uid"] == "clearance-reconciliation"
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"
    for name in ("job", "instance"):
        assert variables[name]["multi"]
        assert variables[name]["includeAll"]
        assert variables[name]["datasource"] == _DATASOURCE


def test_panels_are_complete() -> None:
    panels = _dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["title"] for panel in panels)
    for panel in _panels():
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"].get("unit") or panel["type"] == "heatmap", panel
        assert panel["datasource"] == _DATASOURCE, panel["title"]
        assert panel["targets"], panel["title"]
        assert all(target["datasource"] == _DATASOURCE for target in panel["targets"])


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in _dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]  # Grafana's grid
        taken |= cells


def test_dashboard_is_about_metrics_that_are_exported() -> None:
    for query in _dashboard_queries():
        assert _metrics(query), query
        assert _metrics(query) <= _EXPORTED, query


def test_dashboard_queries_are_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"query_{number}", "expr": query.replace("$__rate_interval", "1m")}
        for number, query in enumerate(_dashboard_queries())
    ]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    _promtool("check", "rules", str(path))


@pytest.mark.parametrize("name", ["dashboards", "datasources"])
def test_provisioning_is_yaml(name: str) -> None:
    path = _MONITORING / "grafana" / "provisioning" / f"{name}.yml"
    assert yaml.safe_load(path.read_text())["apiVersion"] == 1
