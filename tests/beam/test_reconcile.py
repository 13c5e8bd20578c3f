"""The map as a Beam transform."""

from apache_beam import Create, Map
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to

from tests.support import record, sample
from transforms import metric_names, metrics
from transforms.dead_letters import DeadLetter
from transforms.errors import ErrorCode
from transforms.reconcile import Reconcile, decide
from transforms.rows import Row


def test_each_record_is_a_row_a_dead_letter_or_counted_as_skipped() -> None:
    names = ["payment_ok", "payment_discrepancy", "truncated", "order_missing", "other_type"]
    records = [record(sample(name), offset=offset) for offset, name in enumerate(names)]
    with test_pipeline.TestPipeline(runner="FnApiRunner") as pipeline:
        outcomes = pipeline | Create(records) | Reconcile()
        assert_that(
            outcomes | Map(_show),
            equal_to(
                [
                    ("row", 0, "0.00"),
                    ("row", 1, "0.10"),
                    ("dead", 2, ErrorCode.NOT_JSON),
                    ("dead", 3, ErrorCode.MISSING_FIELD),
                ]
            ),
        )
    counters = {
        counter.key.metric.name: counter.result
        for counter in pipeline.result.metrics().query()["counters"]
        if counter.key.metric.namespace == metric_names.NAMESPACE
    }
    assert counters == {"skipped": 1, "skipped.clearance.refund": 1, "discrepancy": 1}


def test_a_fault_of_ours_is_a_dead_letter() -> None:
    broken = record(7)  # type: ignore[arg-type]
    outcome = decide(broken)
    assert isinstance(outcome, DeadLetter)
    assert outcome.code is ErrorCode.UNEXPECTED


def test_event_types_from_outside_do_not_grow_the_metrics() -> None:
    known: set[str] = set()
    labels = {metrics.event_type_label(f"type-{number}", known) for number in range(1000)}
    assert len(labels) == metrics.MAX_EVENT_TYPES + 1
    assert metrics.OTHER_EVENT_TYPES in labels


def _show(outcome: Row | DeadLetter) -> tuple[str, int, str]:
    if isinstance(outcome, Row):
        return "row", outcome.record.offset, str(outcome.difference)
    return "dead", outcome.record.offset, outcome.code
