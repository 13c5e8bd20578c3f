"""WriteToPostgres: batched, idempotent writes of rows and dead letters."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.pvalue import PCollection
from msgspec import Struct
from psycopg2.extensions import connection as Connection

from transforms import metrics
from transforms.batch import Batch
from transforms.batch_writer import WriteResult, write_batch
from transforms.dead_letters import DeadLetter
from transforms.postgres_session import PostgresSession
from transforms.rows import Row

BATCH_ROWS = 10_000  # 5,000 gave 10 % less; more only makes bisecting longer
BATCH_BYTES = 32 << 20  # two batches are in memory


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
    """

    connect: Callable[[], Connection]
    batch_rows: int = BATCH_ROWS
    batch_bytes: int = BATCH_BYTES

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, outcomes: PCollection) -> PCollection:
        return outcomes | "Write batches" >> beam.ParDo(_WriteBatchFn(self))


class _Written(Struct, frozen=True):
    """A batch's result, and what the metrics tell of it."""

    result: WriteResult
    size: int
    write_ms: int
    age_ms: int | None


class _WriteBatchFn(beam.DoFn):
    """Fills one batch while a thread writes the one before.

    The database works while Python decodes: 1.5 times the throughput. One batch is under way
    at a time, so that no more than two are in memory.
    """

    def __init__(self, write: WriteToPostgres) -> None:
        self._write = write
        self._batch = self._new_batch()

    def setup(self) -> None:
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
        return Batch(self._write.batch_rows, self._write.batch_bytes)

    def _flush(self) -> None:
        self._wait()
        self._under_way = self._writer.submit(_write, self._session, self._batch)
        self._batch = self._new_batch()

    def _wait(self) -> None:
        """Wait for the write under way, and count it; raise what it raised."""
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            _count(under_way.result())


def _write(session: PostgresSession, batch: Batch) -> _Written:
    started = time.monotonic()
    result = write_batch(session, batch)
    write_secs = time.monotonic() - started
    oldest_ms = min((record.timestamp_ms for record in batch.records), default=None)
    age_ms = None if oldest_ms is None else max(0, time.time_ns() // 1_000_000 - oldest_ms)
    return _Written(result, len(batch), round(write_secs * 1000), age_ms)


def _count(written: _Written) -> None:
    metrics.record(metrics.BATCH_WRITE_MS, written.write_ms)
    metrics.record(metrics.BATCH_ROWS, written.size)
    if written.age_ms is not None:
        metrics.record(metrics.EVENT_TO_COMMIT_MS, written.age_ms)
    metrics.increment(metrics.WRITTEN, written.result.written)
    metrics.increment(metrics.DUPLICATE, written.result.duplicate)
    dead_letters = written.result.dead_letters
    metrics.increment(metrics.DEAD_LETTERED, len(dead_letters))
    for code, count in Counter(letter.code for letter in dead_letters).items():
        metrics.increment(f"{metrics.DEAD_LETTERED}.{code}", count)
