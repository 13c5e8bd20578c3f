from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support import record, sample
from transforms.errors import BadRecordError, ErrorCode
from transforms.rows import Row, Skipped, has_discrepancy, reconcile


def _row(value: bytes) -> Row:
    row = reconcile(record(value))
    assert isinstance(row, Row)
    return row


def _with(**fields: Any) -> bytes:
    """Return an event with fields of the payment replaced; None takes one away."""
    payment = {"id": 1, "order": {"id": 2}, "currency": "BRL", "amount": 1} | fields
    payment = {name: value for name, value in payment.items() if value is not None}
    return msgspec.json.encode({"event_type": "cleareance.order", "event_data": payment})


def test_every_column_of_a_good_event() -> None:
    row = _row(sample("payment_ok"))
    assert row.transaction_id == "8c1c2d0e-6d0b-4a0f-9f0e-2b9b7b0a4f11"
    assert (row.clearance_id, row.order_id) == (393, 271)
    assert (row.clearance_status, row.order_status) == ("CLEARANCE:RECEIVED", "ORDER:PENDING")
    assert (row.clearance_currency, row.order_currency) == ("BRL", "BRL")
    assert (row.clearance_amount, row.order_amount) == (Decimal("150.10"), Decimal("150.10"))
    assert str(row.difference) == "0.00"
    assert not has_discrepancy(row)


def test_the_difference_is_of_the_rounded_amounts() -> None:
    row = _row(_with(amount=12.345, order={"id": 2, "amount": 0.005}))
    assert (str(row.clearance_amount), str(row.order_amount)) == ("12.35", "0.01")
    assert str(row.difference) == "12.34"


def test_absent_amounts_are_0_and_absent_texts_are_null() -> None:
    row = _row(_with(amount=None))
    assert (str(row.clearance_amount), str(row.order_amount)) == ("0.00", "0.00")
    texts = (row.transaction_id, row.clearance_status, row.order_status, row.order_currency)
    assert texts == (None, None, None, None)


def test_an_amount_that_differs_is_a_discrepancy() -> None:
    assert has_discrepancy(_row(sample("payment_discrepancy")))
    assert has_discrepancy(_row(sample("order_without_amount")))


def test_another_currency_is_a_discrepancy_and_an_absent_one_is_not() -> None:
    assert has_discrepancy(_row(_with(order={"id": 2, "amount": 1, "currency": "USD"})))
    assert not has_discrepancy(_row(_with(order={"id": 2, "amount": 1})))


def test_another_type_is_skipped() -> None:
    assert reconcile(record(sample("other_type"))) == Skipped("clearance.refund")


@pytest.mark.parametrize(
    ("value", "code", "field"),
    [
        (sample("order_missing"), ErrorCode.MISSING_FIELD, "event_data.order"),
        (sample("currency_missing"), ErrorCode.MISSING_FIELD, "event_data.currency"),
        (sample("truncated"), ErrorCode.NOT_JSON, "not JSON"),
        (_with(id=None), ErrorCode.MISSING_FIELD, "event_data.id"),
        (_with(order={}), ErrorCode.MISSING_FIELD, "event_data.order.id"),
        (_with(currency=""), ErrorCode.MISSING_FIELD, "event_data.currency"),
        (_with(id=2**63), ErrorCode.OUT_OF_RANGE, "event_data.id"),
        (_with(order={"id": -(2**63) - 1}), ErrorCode.OUT_OF_RANGE, "event_data.order.id"),
        (_with(amount=10**8), ErrorCode.OUT_OF_RANGE, "event_data.amount"),
        (_with(amount="1"), ErrorCode.WRONG_TYPE, "event_data.amount"),
        (_with(order={"id": 2, "amount": "1"}), ErrorCode.WRONG_TYPE, "event_data.order.amount"),
        (
            _with(amount=99_999_999, order={"id": 2, "amount": -99_999_999}),
            ErrorCode.OUT_OF_RANGE,
            "event_data.amount - event_data.order.amount",
        ),
        (_with(currency="x" * 101), ErrorCode.TEXT_TOO_LONG, "event_data.currency"),
        (_with(transaction_id="x" * 101), ErrorCode.TEXT_TOO_LONG, "event_data.transaction_id"),
        (_with(status="\0"), ErrorCode.NUL_CHARACTER, "event_data.status"),
        (_with(order={"id": 2, "status": "a\0"}), ErrorCode.NUL_CHARACTER, "order.status"),
    ],
)
def test_a_bad_event_has_a_code_and_names_the_field(
    value: bytes, code: ErrorCode, field: str
) -> None:
    with pytest.raises(BadRecordError, match=field) as error:
        reconcile(record(value))
    assert error.value.code is code


def test_a_header_whose_name_is_not_utf_8_is_an_error() -> None:
    bad = replace(record(sample("payment_ok")), has_bad_headers=True)
    with pytest.raises(BadRecordError, match="headers") as error:
        reconcile(bad)
    assert error.value.code is ErrorCode.NOT_UTF8


def test_texts_may_fill_their_columns() -> None:
    full = "\N{EURO SIGN}" * 100
    row = _row(_with(currency=full, status=full, order={"id": 2, "status": full}))
    assert row.clearance_currency == full


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
_order = st.fixed_dictionaries(
    {}, optional={"id": _json, "status": _json, "currency": _json, "amount": _json}
)
_payment = st.fixed_dictionaries(
    {}, optional={"id": _json, "order": _json | _order, "currency": _json, "amount": _json}
)


@given(st.fixed_dictionaries({"event_type": st.just("cleareance.order")}), _json | _payment)
def test_any_json_becomes_a_row_or_an_error_with_a_code(
    event: dict[str, Any], payment: Any
) -> None:
    value = msgspec.json.encode(event | {"event_data": payment})
    try:
        row = _row(value)
    except BadRecordError as error:
        assert error.message
    else:
        assert row.clearance_amount - row.order_amount == row.difference
