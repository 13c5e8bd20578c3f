import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import sample
from transforms.errors import BadRecordError, ErrorCode
from transforms.events import CLEARANCE_EVENT, decode_event


def _event(data: bytes) -> bytes:
    return b'{"event_type":"cleareance.order","event_data":' + data + b"}"


def test_decodes_the_fields_of_a_row() -> None:
    event_type, payment = decode_event(sample("payment_ok"))
    assert event_type == CLEARANCE_EVENT
    assert payment is not None
    assert payment.id == 393
    assert bytes(payment.amount) == b"150.10000000000002"


def test_another_type_is_skipped_whatever_its_data() -> None:
    assert decode_event(sample("other_type")) == ("clearance.refund", None)
    assert decode_event(b'{"event_type":"x","event_data":7}') == ("x", None)
    assert decode_event(b'{"event_type":"x"}') == ("x", None)


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (None, ErrorCode.EMPTY_VALUE, "empty"),
        (b"", ErrorCode.EMPTY_VALUE, "empty"),
        (b"\xff", ErrorCode.NOT_UTF8, "byte 0"),
        (b'{"event_type":"x","ignored":"\xff"}', ErrorCode.NOT_UTF8, "byte 29"),
        (b"{", ErrorCode.NOT_JSON, "not JSON"),
        (b"nonsense", ErrorCode.NOT_JSON, "not JSON"),
        (b'{"a":' * 100_000, ErrorCode.NOT_JSON, "not JSON"),
        (b'{"event_type":"\\ud800"}', ErrorCode.NOT_JSON, "not JSON"),
        (b'{"event_data":5,', ErrorCode.NOT_JSON, "not JSON"),
        (b'{"event_data":5,"a":' + b"[" * 100_000, ErrorCode.NOT_JSON, "not JSON"),
        (b"{}", ErrorCode.MISSING_FIELD, "event_type"),
        (b'{"event_type":""}', ErrorCode.MISSING_FIELD, "event_type"),
        (b"[]", ErrorCode.WRONG_TYPE, "array"),
        (b"null", ErrorCode.WRONG_TYPE, "null"),
        (b'{"event_type":7}', ErrorCode.WRONG_TYPE, "event_type"),
        (b'{"event_type":"cleareance.order"}', ErrorCode.MISSING_FIELD, "event_data"),
        (_event(b"null"), ErrorCode.WRONG_TYPE, "event_data"),
        (_event(b'{"id":"1"}'), ErrorCode.WRONG_TYPE, "event_data.id"),
        (_event(b'{"id":1.5}'), ErrorCode.WRONG_TYPE, "event_data.id"),
        (_event(b'{"id":true}'), ErrorCode.WRONG_TYPE, "event_data.id"),
        (_event(b'{"order":[]}'), ErrorCode.WRONG_TYPE, "event_data.order"),
        (_event(b'{"order":{"id":null}}'), ErrorCode.WRONG_TYPE, "event_data.order.id"),
        (_event(b'{"currency":7}'), ErrorCode.WRONG_TYPE, "event_data.currency"),
        (_event(b'{"status":7}'), ErrorCode.WRONG_TYPE, "event_data.status"),
    ],
)
def test_a_bad_value_has_a_code_and_names_the_field(
    value: bytes | None, code: ErrorCode, text: str
) -> None:
    with pytest.raises(BadRecordError, match=text) as error:
        decode_event(value)
    assert error.value.code is code


@given(st.binary())
def test_no_bytes_raise_anything_else(value: bytes) -> None:
    try:
        decode_event(value)
    except BadRecordError as error:
        assert error.message
