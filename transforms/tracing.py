"""Spans: one for each sampled event, a child of the producer's; one for each write, linked to them.

Only OpenTelemetry's API is used here: where no SDK is started, no span is made. Names and
attributes follow its semantic conventions for messaging (Kafka) and databases (PostgreSQL).
"""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

from msgspec import Struct
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from transforms.batch import Batch
from transforms.dead_letters import DeadLetter
from transforms.records import KafkaRecord, header, request_id
from transforms.schema import ROW_TABLE

_NO_CONTEXT = Context()
_PROPAGATOR = TraceContextTextMapPropagator()
_OPERATION = "COPY"
_PARENT = "traceparent"


class Tracing(Struct, frozen=True):
    """Which events are sampled, by the rules of `OTEL_TRACES_SAMPLER`. Holds no secret.

    Args:
        follows_parent: an event of a traced producer is sampled as its producer was.
        ratio: share of the others, 0 to 1, decided by the trace id as OpenTelemetry's
            TraceIdRatioBased does.
        group: the consumer group.
    """

    follows_parent: bool
    ratio: float
    group: str

    def sampled(self, records: Sequence[KafkaRecord]) -> list[KafkaRecord]:
        """Return the records to trace. Costs 0.15 microseconds a record."""
        bound = f"{round(self.ratio * 2**64):016x}".encode()
        takes_all = self.ratio >= 1
        taken = []
        for record in records:
            headers = record.headers
            if headers and headers[0][0] == _PARENT:  # where producers put it
                parent = headers[0][1]
            else:
                parent = next((value for name, value in headers or () if name == _PARENT), None)
            # VERSION-TRACEID-SPANID-FLAGS; one that is malformed otherwise gets a trace of its own.
            if parent is None or len(parent) < 55:
                is_taken = takes_all or random.random() < self.ratio
            elif self.follows_parent:
                is_taken = parent[54:55] in b"13579bdf"
            else:
                is_taken = takes_all or parent[19:35] < bound
            if is_taken:
                taken.append(record)
        return taken


class BatchSpans:
    """The spans of one batch's sampled events, and of its write.

    Args:
        events: by the record's position.
        write: None when no event is sampled.
    """

    def __init__(self, events: dict[tuple[str, int, int, int], Span], write: Span | None) -> None:
        self._events = events
        self._write = write

    def span_id(self, record: KafkaRecord) -> str | None:
        """Return the id of an event's span, None when the event is not sampled."""
        span = self._events.get(record.position)
        return None if span is None else f"{span.get_span_context().span_id:016x}"

    def written(self, dead_letters: Sequence[DeadLetter], server: dict[str, str | int]) -> None:
        """Add what the write told.

        Args:
            dead_letters: of the batch; their events' spans become errors.
            server: attributes of the database.
        """
        if self._write is None:
            return
        self._write.set_attributes(server)
        for letter in dead_letters:
            span = self._events.get(letter.record.position)
            if span is not None:
                _fail(span, letter.code)

    def end(self, error: BaseException | None = None) -> None:
        """End all spans; an error is theirs."""
        for span in chain(self._events.values(), [self._write] if self._write else []):
            if error is not None:
                _fail(span, type(error).__name__)
            span.end()


_UNTRACED = BatchSpans({}, None)


@contextmanager
def trace_batch(tracing: Tracing | None, batch: Batch) -> Iterator[BatchSpans]:
    """Trace the write of a batch; the context is the write.

    Args:
        tracing: None when tracing is off, which costs nothing.
    """
    spans = _UNTRACED if tracing is None else _start(tracing, batch)
    try:
        yield spans
    except BaseException as error:
        spans.end(error)
        raise
    spans.end()


def trace_skipped(tracing: Tracing | None, record: KafkaRecord) -> None:
    """Trace a record that is skipped, if it is sampled."""
    if tracing is not None and tracing.sampled([record]):
        _start_event(_tracer(), tracing, record, time.time_ns()).end()


def _start(tracing: Tracing, batch: Batch) -> BatchSpans:
    letters = [letter.record for letter in batch.dead_letters]
    sampled = tracing.sampled(batch.records) + tracing.sampled(letters)
    if not sampled:
        return _UNTRACED
    tracer = _tracer()
    events = {
        record.position: _start_event(tracer, tracing, record, batch.started_ns)
        for record in sampled
    }
    write = tracer.start_span(
        f"{_OPERATION} {ROW_TABLE}",
        kind=SpanKind.CLIENT,
        links=[Link(span.get_span_context()) for span in events.values()],
        attributes={
            "db.system.name": "postgresql",
            "db.operation.name": _OPERATION,
            "db.collection.name": ROW_TABLE,
            "db.operation.batch.size": len(batch),
        },
    )
    return BatchSpans(events, write)


def _start_event(
    tracer: trace.Tracer, tracing: Tracing, record: KafkaRecord, start_ns: int
) -> Span:
    return tracer.start_span(
        f"process {record.topic}",
        context=_context(record),
        kind=SpanKind.CONSUMER,
        start_time=start_ns,
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
            "messaging.consumer.group.name": tracing.group,
            "messaging.message.conversation_id": request_id(record),
        },
    )


def _context(record: KafkaRecord) -> Context:
    names = (_PARENT, "tracestate")
    return _PROPAGATOR.extract(
        {name: value for name in names if (value := header(record, name)) is not None}, _NO_CONTEXT
    )


def _fail(span: Span, error_type: str) -> None:
    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)


def _tracer() -> trace.Tracer:
    return trace.get_tracer("reconciliation")
