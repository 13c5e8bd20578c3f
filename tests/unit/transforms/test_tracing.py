import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased
from opentelemetry.trace import StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tests.support import record
from transforms.batch import Batch
from transforms.dead_letters import DeadLetter
from transforms.errors import ErrorCode
from transforms.records import KafkaRecord
from transforms.tracing import Tracer, Tracing

_TRACE, _PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def _tracer(
    follows_parent: bool, ratio: float, exporter: InMemorySpanExporter | None = None
) -> Tracer:
    processor = SimpleSpanProcessor(exporter or InMemorySpanExporter())
    return Tracer(Tracing(follows_parent, ratio, "g", lambda: (Resource({}), processor)))


def _traced(trace_id: str = _TRACE, flags: str = "01", offset: int = 0) -> KafkaRecord:
    header = f"00-{trace_id}-{_PARENT}-{flags}".encode()
    return record(headers=[("a", b"b"), ("traceparent", header)], offset=offset)


@given(
    st.integers(1, 2**128 - 1),
    st.integers(0, 255),
    st.sampled_from([0.0, 0.01, 0.5, 0.999, 1.0]),
    st.booleans(),
)
def test_a_traced_event_is_sampled_as_the_sdk_would(
    trace_id: int, flags: int, ratio: float, follows_parent: bool
) -> None:
    event = _traced(f"{trace_id:032x}", f"{flags:02x}")
    ours = _tracer(follows_parent, ratio).takes(event)
    header = dict(event.headers or [])["traceparent"] or b""
    context = TraceContextTextMapPropagator().extract({"traceparent": header.decode()})
    root = TraceIdRatioBased(ratio)
    sampler = ParentBased(root) if follows_parent else root
    theirs = sampler.should_sample(context, trace_id, "name").decision
    assert ours == (theirs is Decision.RECORD_AND_SAMPLE)


@pytest.mark.parametrize(
    "headers", [None, [], [("traceparent", None)], [("traceparent", b"nonsense")]]
)
def test_an_event_without_a_trace_is_sampled_by_the_ratio(
    headers: list[tuple[str, bytes | None]] | None,
) -> None:
    event = record(headers=headers)
    for follows_parent in (True, False):
        assert _tracer(follows_parent, 1.0).takes(event)
        assert not _tracer(follows_parent, 0.0).takes(event)


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> Tracer:
    return _tracer(True, 1.0, exporter)


def _named(exporter: InMemorySpanExporter, start: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name.startswith(start)]


def _batch(tracer: Tracer, *letters: KafkaRecord) -> Batch:
    batch = Batch(100, 1 << 20, tracer.takes)
    for letter in letters:
        batch.add(DeadLetter(letter, ErrorCode.NOT_JSON, "no"))
    return batch


def test_a_write_is_linked_to_each_of_its_sampled_events(
    tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    one, two, not_sampled = _traced(), _traced("1" * 32, offset=1), _traced(flags="00", offset=2)
    batch = _batch(tracer, one, two, not_sampled)
    ids = tracer.written(batch, 5, {one.position: "NOT_JSON"}, {"db.namespace": "d"})
    [write] = _named(exporter, "COPY")
    first, second = events = _named(exporter, "process")
    assert [link.context for link in write.links] == [event.context for event in events]
    assert ids == {
        one.position: trace.format_span_id(first.context.span_id),
        two.position: trace.format_span_id(second.context.span_id),
    }
    assert (first.status.status_code, second.status.status_code) == (
        StatusCode.ERROR,
        StatusCode.UNSET,
    )
    assert (first.attributes or {})["error.type"] == "NOT_JSON"
    assert (write.attributes or {})["db.namespace"] == "d"
    assert write.start_time == 5
    assert first.start_time == batch.started_ns


def test_a_write_that_fails_is_an_error(tracer: Tracer, exporter: InMemorySpanExporter) -> None:
    tracer.failed(_batch(tracer, _traced()), 5, LookupError())
    found = exporter.get_finished_spans()
    assert len(found) == 2
    for span in found:
        assert span.status.status_code is StatusCode.ERROR
        assert (span.attributes or {})["error.type"] == "LookupError"


def test_a_batch_without_a_sampled_event_has_no_span(
    tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    batch = _batch(tracer, _traced(flags="00"))
    assert tracer.written(batch, 5, {}, {}) == {}
    tracer.failed(batch, 5, LookupError())
    assert exporter.get_finished_spans() == ()


def test_a_skipped_event_is_a_child_of_its_producer(
    tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    tracer.skipped(_traced())
    [span] = exporter.get_finished_spans()
    assert span.context.trace_id == int(_TRACE, 16)
    assert span.parent is not None
    assert trace.format_span_id(span.parent.span_id) == _PARENT


@pytest.mark.parametrize(
    "header", [b"nonsense", b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01", b"\xff" * 55]
)
def test_a_malformed_parent_gives_a_trace_of_its_own(
    header: bytes, tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    tracer.skipped(record(headers=[("traceparent", header)]))
    [span] = exporter.get_finished_spans()
    assert span.parent is None
    assert span.context.trace_id
