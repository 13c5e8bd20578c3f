import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.errors import BadRecordError, ErrorCode
from transforms.money import parse_amount, subtract


@pytest.mark.parametrize(
    ("number", "amount"),
    [
        (b"150.10000000000002", "150.10"),
        (b"100", "100.00"),
        (b"12.345", "12.35"),
        (b"-12.345", "-12.35"),
        (b"0.005", "0.01"),
        (b"-0.005", "-0.01"),
        (b"0.0049999999999999999999999999999999", "0.00"),
        (b"1e2", "100.00"),
        (b"1E-400", "0.00"),
        (b"99999999.99", "99999999.99"),
        (b"99999999.994", "99999999.99"),
        (b"-99999999.99", "-99999999.99"),
        (b"", "0.00"),
        (b"null", "0.00"),
    ],
)
def test_rounds_half_away_from_zero(number: bytes, amount: str) -> None:
    assert str(parse_amount(number, "amount")) == amount


@pytest.mark.parametrize(
    "number",
    [b"100000000", b"99999999.995", b"-99999999.995", b"1e999999999", b"1e9999999999999999999"],
)
def test_what_the_column_cannot_hold_names_the_field(number: bytes) -> None:
    with pytest.raises(BadRecordError, match="event_data.amount") as error:
        parse_amount(number, "event_data.amount")
    assert error.value.code is ErrorCode.OUT_OF_RANGE


@pytest.mark.parametrize("value", [b'"1.5"', b"true", b"{}", b"[1]", "\u00bd".encode()])
def test_what_is_no_number_names_the_field(value: bytes) -> None:
    with pytest.raises(BadRecordError, match="event_data.amount") as error:
        parse_amount(value, "event_data.amount")
    assert error.value.code is ErrorCode.WRONG_TYPE


@given(st.integers(min_value=-9_999_999_999, max_value=9_999_999_999))
def test_every_amount_of_cents_is_exact(cents: int) -> None:
    amount = Decimal(cents).scaleb(-2)
    assert parse_amount(str(amount).encode(), "amount") == amount


@given(st.floats(min_value=-99_999_999, max_value=99_999_999))
def test_a_binary_float_rounds_by_its_text(number: float) -> None:
    text = json.dumps(number)
    amount = parse_amount(text.encode(), "amount")
    assert abs(amount - Decimal(text)) <= Decimal("0.005")


@given(st.binary())
def test_no_bytes_raise_anything_else(number: bytes) -> None:
    try:
        parse_amount(number, "amount")
    except BadRecordError:
        pass


def test_a_difference_is_exact() -> None:
    assert str(subtract(Decimal("100.00"), Decimal("99.90"), "difference")) == "0.10"


def test_a_difference_that_the_column_cannot_hold_names_the_fields() -> None:
    with pytest.raises(BadRecordError, match="a - b"):
        subtract(Decimal("99999999.99"), Decimal("-0.01"), "a - b")
