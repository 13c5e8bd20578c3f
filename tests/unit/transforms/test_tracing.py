from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased
from opentelemetry.trace import StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tests.support import record
from transforms import tracing
from transforms.batch import Batch
from transforms.dead_letters import DeadLetter
from transforms.errors import ErrorCode
from transforms.records import KafkaRecord
from transforms.tracing import Tracing, trace_batch, trace_skipped

_TRACE, _PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


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
    ours = Tracing(follows_parent, ratio, "g").sampled([event])
    header = dict(event.headers or [])["traceparent"] or b""
    context = TraceContextTextMapPropagator().extract({"traceparent": header.decode()})
    root = TraceIdRatioBased(ratio)
    sampler = ParentBased(root) if follows_parent else root
    theirs = sampler.should_sample(context, trace_id, "name").decision
    assert bool(ours) == (theirs is Decision.RECORD_AND_SAMPLE)


@pytest.mark.parametrize(
    "headers", [None, [], [("traceparent", None)], [("traceparent", b"nonsense")]]
)
def test_an_event_without_a_trace_is_sampled_by_the_ratio(
    headers: list[tuple[str, bytes | None]] | None,
) -> None:
    event = record(headers=headers)
    for follows_parent in (True, False):
        assert Tracing(follows_parent, 1.0, "g").sampled([event]) == [event]
        assert Tracing(follows_parent, 0.0, "g").sampled([event]) == []


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", lambda: provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def _named(spans: InMemorySpanExporter, start: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name.startswith(start)]


def _batch(*letters: KafkaRecord) -> Batch:
    batch = Batch(100, 1 << 20)
    for letter in letters:
        batch.add(DeadLetter(letter, ErrorCode.NOT_JSON, "no"))
    return batch


def test_a_write_is_linked_to_each_of_its_sampled_events(spans: InMemorySpanExporter) -> None:
    one, two, not_sampled = _traced(), _traced("1" * 32, offset=1), _traced(flags="00", offset=2)
    batch = _batch(one, two, not_sampled)
    with trace_batch(Tracing(True, 1.0, "g"), batch) as traced:
        traced.written(batch.dead_letters[:1], {"db.namespace": "d"})
        assert traced.span_id(two)
        assert traced.span_id(not_sampled) is None
    [write] = _named(spans, "COPY")
    events = _named(spans, "process")
    assert {link.context.span_id for link in write.links} == {e.context.span_id for e in events}
    assert len(events) == 2
    assert [span.status.status_code for span in events] == [StatusCode.ERROR, StatusCode.UNSET]


def test_a_write_that_fails_is_an_error_and_raises(spans: InMemorySpanExporter) -> None:
    def fail() -> None:
        with trace_batch(Tracing(True, 1.0, "g"), _batch(_traced())):
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    found = spans.get_finished_spans()
    assert len(found) == 2
    for span in found:
        assert span.status.status_code is StatusCode.ERROR
        assert (span.attributes or {})["error.type"] == "LookupError"


def test_a_batch_without_a_sampled_event_has_no_span(spans: InMemorySpanExporter) -> None:
    for settings in (None, Tracing(True, 1.0, "g")):
        with trace_batch(settings, _batch(_traced(flags="00"))) as traced:
            traced.written([], {})
    assert spans.get_finished_spans() == ()


def test_a_skipped_event_has_a_span_if_it_is_sampled(spans: InMemorySpanExporter) -> None:
    trace_skipped(None, _traced())
    trace_skipped(Tracing(True, 1.0, "g"), _traced(flags="00"))
    assert spans.get_finished_spans() == ()
    trace_skipped(Tracing(True, 1.0, "g"), _traced())
    [span] = spans.get_finished_spans()
    assert span.context.trace_id == int(_TRACE, 16)
    assert span.parent is not None
    assert trace.format_span_id(span.parent.span_id) == _PARENT
