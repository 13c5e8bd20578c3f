import uuid

import pytest

from tests.support import record
from transforms.records import header, request_id, trace_id

_TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_request_id_is_the_producers() -> None:
    assert request_id(record(headers=[("x-request-id", b"abc")])) == "abc"


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [],
        [("x-request-id", None)],
        [("x-request-id", b"")],
        [("x-request-id", b"not-found:from-service")],
        [("x-request-id", b"\xff")],
        [("x-request-id", b"a\0b")],
    ],
)
def test_an_absent_request_id_becomes_a_uuid(
    headers: list[tuple[str, bytes | None]] | None,
) -> None:
    assert uuid.UUID(request_id(record(headers=headers)))


def test_a_record_that_is_read_again_keeps_its_uuid() -> None:
    assert request_id(record(offset=1)) == request_id(record(offset=1))
    assert request_id(record(offset=1)) != request_id(record(offset=2))


def test_the_last_header_of_a_name_counts() -> None:
    assert header(record(headers=[("a", b"1"), ("b", b"2"), ("a", b"3")]), "a") == "3"


def test_the_trace_id_comes_from_traceparent() -> None:
    assert trace_id(record(headers=[("traceparent", _TRACE)])) == "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    "value", [b"", b"00", b"00-xyz-1-01", b"00-" + b"0" * 32 + b"-1-01", _TRACE.upper()]
)
def test_a_malformed_traceparent_has_no_trace_id(value: bytes) -> None:
    assert trace_id(record(headers=[("traceparent", value)])) is None
