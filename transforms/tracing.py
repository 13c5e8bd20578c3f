"""Spans: one for each sampled event, a child of the producer's; one for each write, linked to them.

Names and attributes follow OpenTelemetry's semantic conventions for messaging (Kafka) and
databases (PostgreSQL).
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from transforms.batch import Batch
from transforms.records import MAX_SHOWN_ID, KafkaRecord, header, request_id
from transforms.schema import ROW_TABLE

_SCOPE = InstrumentationScope("reconciliation")
_PROPAGATOR = TraceContextTextMapPropagator()
_NO_CONTEXT = Context()
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_OPERATION = "COPY"
_PARENT = "traceparent"
_PARENT_BYTES = 55
_MAX_LINKS = 128  # as the SDK: with 10,000 an export would pass a receiver's 4 MB

Position = tuple[str, int, int, int]
Attributes = Mapping[str, str | int]
Output = tuple[Resource, SpanProcessor]


class Tracing(Struct, frozen=True):
    """Which events are sampled, by the rules of `OTEL_TRACES_SAMPLER`. Holds no secret.

    Args:
        follows_parent: an event of a traced producer is sampled as its producer was.
        ratio: share of the others, 0 to 1, decided by the trace id as OpenTelemetry's
            TraceIdRatioBased does.
        group: the consumer group.
        output: returns what describes this process, and what takes its spans; called on the
            worker.
    """

    follows_parent: bool
    ratio: float
    group: str
    output: Callable[[], Output]


class Tracer:
    """Makes spans, each when all of it is known: half the cost of one that is open meanwhile.

    Not pickled: a step makes one in `setup`.
    """

    def __init__(self, tracing: Tracing) -> None:
        self._group = tracing.group
        self._resource, self._processor = tracing.output()
        self._ids = RandomIdGenerator()
        self.takes = _sampler(tracing)

    def skipped(self, record: KafkaRecord) -> None:
        """Trace a sampled record that is skipped."""
        now_ns = time.time_ns()
        self._event(record, now_ns, now_ns, "")

    def written(
        self, batch: Batch, started_ns: int, errors: Mapping[Position, str], server: Attributes
    ) -> dict[Position, str]:
        """Trace the write of a batch and its sampled events, if it has any.

        Args:
            started_ns: when the write began, nanoseconds since 1970.
            errors: codes of the records that became dead letters.
            server: attributes of the database.

        Returns:
            The ids of the events' spans, by position.
        """
        events = self._batch(
            batch, started_ns, lambda record: errors.get(record.position, ""), server, ""
        )
        return {
            record.position: trace.format_span_id(event.span_id)
            for record, event in zip(batch.sampled, events, strict=True)
        }

    def failed(self, batch: Batch, started_ns: int, error: Exception) -> None:
        """Trace the write of a batch that failed as a whole, if it has sampled events."""
        name = type(error).__name__
        self._batch(batch, started_ns, lambda _: name, {}, name)

    def _batch(
        self,
        batch: Batch,
        started_ns: int,
        error_of: Callable[[KafkaRecord], str],
        server: Attributes,
        error: str,
    ) -> list[SpanContext]:
        now_ns = time.time_ns()
        events = [
            self._event(record, batch.started_ns, now_ns, error_of(record))
            for record in batch.sampled
        ]
        if events:
            self._write(batch, events, (started_ns, now_ns), server, error)
        return events

    def _event(
        self, record: KafkaRecord, started_ns: int, ended_ns: int, error: str
    ) -> SpanContext:
        parent = _parent(record)
        trace_id = self._ids.generate_trace_id() if parent is None else parent.trace_id
        context = SpanContext(trace_id, self._ids.generate_span_id(), False, _SAMPLED)
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
            "messaging.consumer.group.name": self._group,
            "messaging.message.conversation_id": request_id(record)[:MAX_SHOWN_ID],
        }
        self._end(
            attributes,
            error,
            name=f"process {record.topic}",
            context=context,
            parent=parent,
            kind=SpanKind.CONSUMER,
            start_time=started_ns,
            end_time=ended_ns,
        )
        return context

    def _write(
        self,
        batch: Batch,
        events: Sequence[SpanContext],
        times_ns: tuple[int, int],
        server: Attributes,
        error: str,
    ) -> None:
        ids = self._ids
        context = SpanContext(ids.generate_trace_id(), ids.generate_span_id(), False, _SAMPLED)
        attributes: dict[str, str | int] = {
            "db.system.name": "postgresql",
            "db.operation.name": _OPERATION,
            "db.collection.name": ROW_TABLE,
            "db.operation.batch.size": len(batch),
            **server,
        }
        self._end(
            attributes,
            error,
            name=f"{_OPERATION} {ROW_TABLE}",
            context=context,
            kind=SpanKind.CLIENT,
            links=[Link(event) for event in events[:_MAX_LINKS]],
            start_time=times_ns[0],
            end_time=times_ns[1],
        )

    def _end(self, attributes: dict[str, str | int], error: str, **known: Any) -> None:
        if error:
            attributes["error.type"] = error
        span = ReadableSpan(
            resource=self._resource,
            attributes=attributes,
            status=Status(StatusCode.ERROR if error else StatusCode.UNSET),
            instrumentation_scope=_SCOPE,
            **known,
        )
        self._processor.on_end(span)


def _sampler(tracing: Tracing) -> Callable[[KafkaRecord], bool]:
    """Return what tells whether to trace a record.

    Ask it while the record is still in the processor's cache: 0.13 microseconds then, several
    times as much a batch later.
    """
    ratio = tracing.ratio
    # As hexadecimal text, above which no trace id is.
    bound = b"g" if ratio >= 1 else f"{round(ratio * 2**64):016x}".encode()

    def traceparent(record: KafkaRecord) -> bytes | None:
        headers = record.headers
        if headers and headers[0][0] == _PARENT:  # where producers put it
            return headers[0][1]
        return next((value for name, value in headers or () if name == _PARENT), None)

    # VERSION-TRACEID-SPANID-FLAGS; one that is malformed otherwise gets a trace of its own.
    def by_parent(record: KafkaRecord) -> bool:
        parent = traceparent(record)
        if parent is None or len(parent) < _PARENT_BYTES:
            return random.random() < ratio
        return parent[54:55] in b"13579bdf"

    def by_ratio(record: KafkaRecord) -> bool:
        parent = traceparent(record)
        if parent is None or len(parent) < _PARENT_BYTES:
            return random.random() < ratio
        return parent[19:35] < bound

    return by_parent if tracing.follows_parent else by_ratio


def _parent(record: KafkaRecord) -> SpanContext | None:
    names = (_PARENT, "tracestate")
    carrier = {name: value for name in names if (value := header(record, name)) is not None}
    found = trace.get_current_span(_PROPAGATOR.extract(carrier, _NO_CONTEXT)).get_span_context()
    return found if found.is_valid else None
