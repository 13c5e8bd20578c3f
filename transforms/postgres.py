"""WriteToPostgres: batched, idempotent writes of rows and dead letters."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.pvalue import PCollection
from msgspec import Struct
from psycopg2.extensions import connection as Connection

from transforms import metric_names, metrics
from transforms.batch import Batch
from transforms.batch_writer import WriteResult, write_batch
from transforms.dead_letters import DeadLetter
from transforms.postgres_session import PostgresSession
from transforms.records import log_fields
from transforms.rows import Row
from transforms.tracing import Position, Tracer, Tracing

_LOGGER = logging.getLogger(__name__)

BATCH_ROWS = 10_000  # 5,000 gave 10 % less; more only makes bisecting longer
BATCH_BYTES = 32 << 20  # two batches are in memory


# A timestamp that is nonsense, such as 0, must not spoil the sum of all latencies: such a record
# has none. A producer's clock that is ahead gives 0.
_OLDEST_MS = 10 * 365 * 24 * 3_600_000


def _nothing() -> None:
    pass


@dataclass(eq=False)
class WriteToPostgres(beam.PTransform):
    """Write `Row` and `DeadLetter` elements, each kind to its table.

    Guarantees that each element of a bundle is committed when the bundle ends. A bundle that is
    retried adds nothing: rows are unique by their source position, dead letters too. A row that
    the database rejects becomes a dead letter and harms no other. An outage holds the batch and
    blocks; it never makes a dead letter.

    One connection serves both kinds, so that a worker holds one, and rows and dead letters of a
    batch are committed together.

    Args:
        connect: returns a new connection; called on the worker, so that no secret travels with
            the pipeline.
        batch_rows: elements in one transaction.
        batch_bytes: bytes in one transaction, about.
        tracing: which events, and so writes, get spans; None for none.
        on_worker: called once on each worker, before anything else: starts what reports.
    """

    connect: Callable[[], Connection]
    batch_rows: int = BATCH_ROWS
    batch_bytes: int = BATCH_BYTES
    tracing: Tracing | None = None
    on_worker: Callable[[], None] = _nothing

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, outcomes: PCollection) -> PCollection:
        return outcomes | "Write batches" >> beam.ParDo(_WriteBatchFn(self))


class _Written(Struct, frozen=True):
    """A batch's result, and what the metrics tell of it."""

    result: WriteResult
    size: int
    write_ms: metrics.Histogram
    event_to_commit_ms: metrics.Histogram


class _WriteBatchFn(beam.DoFn):
    """Fills one batch while a thread writes the one before.

    The database works while Python decodes: 1.5 times the throughput. One batch is under way
    at a time, so that no more than two are in memory.
    """

    def __init__(self, write: WriteToPostgres) -> None:
        self._write = write
        self._tracer: Tracer | None = None
        self._batch = self._new_batch()

    def setup(self) -> None:
        self._write.on_worker()
        if self._write.tracing is not None:
            self._tracer = Tracer(self._write.tracing)
        self._session = PostgresSession(self._write.connect)
        self._writer = ThreadPoolExecutor(1, "write-to-postgres")
        self._under_way: Future[_Written] | None = None

    def start_bundle(self) -> None:
        self._batch = self._new_batch()
        self._under_way = None

    def process(self, outcome: Row | DeadLetter) -> None:
        if self._batch.add(outcome):
            self._flush()

    def finish_bundle(self) -> None:
        if len(self._batch):
            self._flush()
        self._wait()

    def teardown(self) -> None:
        self._writer.shutdown()
        self._session.close()

    def _new_batch(self) -> Batch:
        is_sampled = None if self._tracer is None else self._tracer.takes
        return Batch(self._write.batch_rows, self._write.batch_bytes, is_sampled)

    def _flush(self) -> None:
        self._wait()
        self._under_way = self._writer.submit(_write, self._session, self._batch, self._tracer)
        self._batch = self._new_batch()

    def _wait(self) -> None:
        """Wait for the write under way, and count it; raise what it raised."""
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            _count(under_way.result())


def _write(session: PostgresSession, batch: Batch, tracer: Tracer | None) -> _Written:
    started, started_ns = time.monotonic(), time.time_ns()
    try:
        result = write_batch(session, batch)
    except Exception as error:
        if tracer is not None:
            tracer.failed(batch, started_ns, error)
        raise
    write_ms = round((time.monotonic() - started) * 1000)
    span_ids: dict[Position, str] = {}
    if tracer is not None:
        errors = {letter.record.position: str(letter.code) for letter in result.dead_letters}
        span_ids = tracer.written(batch, started_ns, errors, session.server())
    _log_dead_letters(result.dead_letters, span_ids)
    return _Written(
        result, len(batch), metrics.histogram([write_ms]), metrics.histogram(_ages_ms(batch))
    )


def _ages_ms(batch: Batch) -> list[int]:
    now_ms = time.time_ns() // 1_000_000
    ages = [now_ms - timestamp_ms for timestamp_ms in batch.timestamps_ms]
    if min(ages) < 0 or max(ages) > _OLDEST_MS:
        ages = [max(0, age) for age in ages if age <= _OLDEST_MS]
    return ages


def _log_dead_letters(letters: list[DeadLetter], span_ids: Mapping[Position, str]) -> None:
    """Log one of each code; never its message, which a trigger may have put values in."""
    for code, count in Counter(letter.code for letter in letters).items():
        record = next(letter.record for letter in letters if letter.code == code)
        fields = log_fields(record) | {"error_code": str(code)}
        if record.position in span_ids:
            fields["span_id"] = span_ids[record.position]
        _LOGGER.warning(
            "%s: %d dead letters in a batch, such as this record", code, count, extra=fields
        )


def _count(written: _Written) -> None:
    result = written.result
    metrics.add_histogram(metric_names.BATCH_WRITE_MS, written.write_ms)
    metrics.record(metric_names.BATCH_ROWS, written.size)
    metrics.add_histogram(metric_names.EVENT_TO_COMMIT_MS, written.event_to_commit_ms)
    metrics.increment(metric_names.WRITTEN, result.written)
    metrics.increment(metric_names.DUPLICATE, result.duplicate)
    metrics.increment(metric_names.DEAD_LETTERED, len(result.dead_letters))
    for code, count in Counter(letter.code for letter in result.dead_letters).items():
        metrics.increment(f"{metric_names.DEAD_LETTERED}.{code}", count)
    metrics.set_last_commit()
