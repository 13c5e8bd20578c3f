"""Reconcile: each Kafka record becomes a row, a dead letter, or is skipped."""

import logging
from collections import Counter
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.pvalue import PCollection

from transforms import metric_names, metrics
from transforms.dead_letters import DeadLetter
from transforms.errors import BadRecordError, ErrorCode
from transforms.records import KafkaRecord, log_fields
from transforms.rows import Row, Skipped, has_discrepancy, reconcile
from transforms.tracing import Tracer, Tracing

_LOGGER = logging.getLogger(__name__)


@dataclass(eq=False)
class Reconcile(beam.PTransform):
    """Map each `KafkaRecord` to a `Row` or a `DeadLetter`; count and drop other event types.

    Guarantees that no record stops the pipeline, and that each is an output or is counted as
    skipped. A retry gives the same output.

    Args:
        tracing: which skipped records get a span; None for none.
    """

    tracing: Tracing | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, records: PCollection) -> PCollection:
        return records | "Reconcile records" >> beam.ParDo(_ReconcileFn(self.tracing))


class _ReconcileFn(beam.DoFn):
    def __init__(self, tracing: Tracing | None) -> None:
        self._tracing = tracing
        self._skipped: Counter[str] = Counter()
        self._known_types: set[str] = set()
        self._discrepancies = 0

    def setup(self) -> None:
        self._tracer = Tracer(self._tracing) if self._tracing is not None else None

    def start_bundle(self) -> None:
        self._skipped.clear()
        self._discrepancies = 0

    def process(self, record: KafkaRecord) -> tuple[Row | DeadLetter, ...]:
        outcome = decide(record)
        if isinstance(outcome, Skipped):
            self._skipped[outcome.event_type] += 1
            if self._tracer is not None and self._tracer.takes(record):
                self._tracer.skipped(record)
            return ()
        if isinstance(outcome, Row) and has_discrepancy(outcome):
            self._discrepancies += 1
        return (outcome,)

    def finish_bundle(self) -> None:
        metrics.increment(metric_names.DISCREPANCY, self._discrepancies)
        for event_type, count in self._skipped.items():
            label = metrics.event_type_label(event_type, self._known_types)
            metrics.increment(metric_names.SKIPPED, count)
            metrics.increment(f"{metric_names.SKIPPED}.{label}", count)


def decide(record: KafkaRecord) -> Row | DeadLetter | Skipped:
    """Return what becomes of a record. Never raises."""
    try:
        return reconcile(record)
    except BadRecordError as error:
        return DeadLetter(record, error.code, error.message)
    except Exception as error:  # a fault of ours must not stop the job at this record for ever
        code = ErrorCode.UNEXPECTED
        _LOGGER.exception(
            "%s: fault of the pipeline", code, extra=log_fields(record) | {"error_code": code}
        )
        return DeadLetter(record, code, f"fault of the pipeline: {error!r}")
