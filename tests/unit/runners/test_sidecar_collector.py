from prometheus_client.core import Metric as Family

from runners.sidecar_collector import beam_families, pipeline_families, sidecar_families
from runners.sidecar_probe import Health
from runners.sidecar_source import BeamMetric, Distribution, Gauge
from runners.sidecar_totals import Totals, sum_up
from transforms.errors import RECORD_CODES
from transforms.metric_names import METRICS, NAMESPACE, Kind


def _metric(name: str, value: int | Distribution | Gauge) -> BeamMetric:
    return BeamMetric("Step/Part", NAMESPACE, name, value)


def _samples(totals: Totals) -> dict[str, float]:
    found = {}
    for family in pipeline_families("R", totals, {("a.b", 3): 7}):
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if k not in {"runner", "step"}}
            found[f"{sample.name}{labels or ''}"] = sample.value
    return found


def test_counters_add_up_over_steps_and_keep_their_labels() -> None:
    samples = _samples(
        sum_up(
            [
                _metric("read", 5),
                _metric("read", 6),
                _metric("dead_lettered", 2),
                _metric("dead_lettered.NOT_JSON", 2),
                _metric("skipped.clearance.refund", 3),
                BeamMetric("Step", "another", "read", 100),
            ]
        )
    )
    assert samples["reconciliation_records_read_total"] == 11
    assert samples["reconciliation_dead_letters_total{'code': 'NOT_JSON'}"] == 2
    assert samples["reconciliation_records_skipped_total{'event_type': 'clearance.refund'}"] == 3
    assert samples["reconciliation_lag_records{'topic': 'a.b', 'partition': '3'}"] == 7


def test_what_was_not_counted_yet_is_there_as_0() -> None:
    samples = _samples(Totals())
    for code in RECORD_CODES:
        assert samples[f"reconciliation_dead_letters_total{{'code': '{code}'}}"] == 0
    for metric in METRICS:
        if metric.kind is Kind.COUNTER and not metric.labels:
            assert samples[f"{metric.exported}_total"] == 0
    assert "reconciliation_last_commit_timestamp_seconds" not in samples, "1970 is no commit"


def test_histograms_are_cumulative_and_in_seconds() -> None:
    samples = _samples(
        sum_up(
            [
                _metric("batch_write_ms.5", 1),
                _metric("batch_write_ms.250", 2),
                _metric("batch_write_ms.inf", 1),
                _metric("batch_write_ms.sum", 400_404),
            ]
        )
    )
    name = "reconciliation_batch_write_seconds"
    assert samples[f"{name}_bucket{{'le': '0.002'}}"] == 0
    assert samples[f"{name}_bucket{{'le': '0.005'}}"] == 1
    assert samples[f"{name}_bucket{{'le': '0.25'}}"] == 3
    assert samples[f"{name}_bucket{{'le': '300.0'}}"] == 3
    assert samples[f"{name}_bucket{{'le': '+Inf'}}"] == samples[f"{name}_count"] == 4
    assert samples[f"{name}_sum"] == 400.404


def test_distributions_and_gauges() -> None:
    samples = _samples(
        sum_up(
            [
                _metric("batch_rows", Distribution(2, 30, 10, 20)),
                _metric("last_commit_ms", Gauge(1_700_000_000_500, 1.0)),
            ]
        )
    )
    assert samples["reconciliation_batch_rows_count"] == 2
    assert samples["reconciliation_batch_rows_sum"] == 30
    assert samples["reconciliation_batch_rows_min"] == 10
    assert samples["reconciliation_batch_rows_max"] == 20
    assert samples["reconciliation_last_commit_timestamp_seconds"] == 1_700_000_000.5


def test_beams_own_metrics_have_their_step() -> None:
    elements, seconds = beam_families(
        "R",
        [
            BeamMetric("A/B", "beam", "element_count", 9),
            BeamMetric("A/B", "beam", "process_msecs", 1500),
        ],
    )
    assert _only(elements) == ({"runner": "R", "step": "A/B"}, 9)
    assert _only(seconds) == ({"runner": "R", "step": "A/B", "phase": "process"}, 1.5)


def test_one_check_that_fails_is_not_ready() -> None:
    checks = {"kafka": Health(), "postgres": Health("away")}
    ready, check_ok, state, build = sidecar_families("R", "RUNNING", checks, {"version": "1"})
    assert _only(ready)[1] == 0
    assert {s.labels["check"]: s.value for s in check_ok.samples} == {"kafka": 1, "postgres": 0}
    assert _only(state)[0] == {"runner": "R", "state": "RUNNING"}
    assert _only(build)[0] == {"version": "1"}


def _only(family: Family) -> tuple[dict[str, str], float]:
    [sample] = family.samples
    return sample.labels, sample.value
