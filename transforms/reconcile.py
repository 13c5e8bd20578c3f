"""Reconcile: each Kafka record becomes a row, a dead letter, or is skipped."""

import logging
from collections import Counter

import apache_beam as beam
from apache_beam.pvalue import PCollection

from transforms import metrics
from transforms.dead_letters import DeadLetter
from transforms.errors import BadRecordError, ErrorCode
from transforms.records import KafkaRecord
from transforms.rows import Row, Skipped, has_discrepancy, reconcile

_LOGGER = logging.getLogger(__name__)


class Reconcile(beam.PTransform):
    """Map each `KafkaRecord` to a `Row` or a `DeadLetter`; count and drop other event types.

    Guarantees that no record stops the pipeline, and that each is an output or is counted as
    skipped. A retry gives the same output.
    """

    def expand(self, records: PCollection) -> PCollection:
        return records | "Reconcile records" >> beam.ParDo(_ReconcileFn())


class _ReconcileFn(beam.DoFn):
    def __init__(self) -> None:
        self._skipped: Counter[str] = Counter()
        self._known_types: set[str] = set()
        self._discrepancies = 0

    def start_bundle(self) -> None:
        self._skipped.clear()
        self._discrepancies = 0

    def process(self, record: KafkaRecord) -> tuple[Row | DeadLetter, ...]:
        outcome = decide(record)
        if isinstance(outcome, Skipped):
            self._skipped[outcome.event_type] += 1
            return ()
        if isinstance(outcome, Row) and has_discrepancy(outcome):
            self._discrepancies += 1
        return (outcome,)

    def finish_bundle(self) -> None:
        metrics.increment(metrics.DISCREPANCY, self._discrepancies)
        for event_type, count in self._skipped.items():
            label = metrics.event_type_label(event_type, self._known_types)
            metrics.increment(metrics.SKIPPED, count)
            metrics.increment(f"{metrics.SKIPPED}.{label}", count)


def decide(record: KafkaRecord) -> Row | DeadLetter | Skipped:
    """Return what becomes of a record. Never raises."""
    try:
        return reconcile(record)
    except BadRecordError as error:
        return DeadLetter(record, error.code, error.message)
    except Exception as error:  # a fault of ours must not stop the job at this record for ever
        _LOGGER.exception("%s/%d/%d", record.topic, record.partition, record.offset)
        return DeadLetter(record, ErrorCode.UNEXPECTED, f"fault of the pipeline: {error!r}")
