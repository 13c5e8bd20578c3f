"""Exact money: from the JSON number's text to `Decimal`, never through a float."""

from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation

from transforms.errors import BadRecordError, ErrorCode

ZERO = Decimal("0.00")
_CENT = Decimal("0.01")
_LIMIT = Decimal("99999999.99")  # DECIMAL(10,2)
_NUMBER_STARTS = frozenset("-0123456789")  # the decoder has checked the rest of the number

# ROUND_HALF_UP rounds half away from zero, as PostgreSQL does for numeric. Precision 10 makes
# quantize() raise InvalidOperation for what DECIMAL(10,2) cannot hold.
_CONTEXT = Context(prec=10, rounding=ROUND_HALF_UP)


def parse_amount(number: bytes | memoryview, field: str) -> Decimal:
    """Return a JSON number as an amount with 2 places, rounded half away from zero.

    Args:
        number: the JSON value's text; empty or `null` mean absent, which means 0.
        field: what the error message calls it.

    Raises:
        BadRecordError: the value is no number, or DECIMAL(10,2) cannot hold it.
    """
    text = str(number, "ascii", "replace")
    if not text or text == "null":
        return ZERO
    if text[0] not in _NUMBER_STARTS:
        raise BadRecordError(ErrorCode.WRONG_TYPE, f"{field}: expected a number")
    try:
        return Decimal(text).quantize(_CENT, None, _CONTEXT)
    except InvalidOperation:
        raise _out_of_range(field) from None


def subtract(minuend: Decimal, subtrahend: Decimal, field: str) -> Decimal:
    """Return the exact difference of two amounts.

    Raises:
        BadRecordError: DECIMAL(10,2) cannot hold it.
    """
    difference = minuend - subtrahend
    if not -_LIMIT <= difference <= _LIMIT:
        raise _out_of_range(field)
    return difference


def _out_of_range(field: str) -> BadRecordError:
    return BadRecordError(
        ErrorCode.OUT_OF_RANGE, f"{field}: DECIMAL(10,2) holds -99999999.99 to 99999999.99"
    )
