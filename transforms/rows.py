"""The reconciliation row, and the pure function that makes it from a record."""

from decimal import Decimal

from msgspec import UNSET, Struct, UnsetType

from transforms.errors import BadRecordError, ErrorCode
from transforms.events import decode_event, missing
from transforms.money import parse_amount, subtract
from transforms.records import KafkaRecord, request_id

_TEXT_LENGTH = 100  # VARCHAR(100), in characters
_BIGINT = 2**63
_AMOUNT = "event_data.amount"
_ORDER_AMOUNT = "event_data.order.amount"
_DIFFERENCE = f"{_AMOUNT} - {_ORDER_AMOUNT}"


class Row(Struct, frozen=True, gc=False):
    """One row of `order_clearance_reconciliacion`, and the record it comes from.

    `clearance_amount - order_amount` is `reconciliacion_amount`, exactly.
    """

    record: KafkaRecord
    request_id: str
    transaction_id: str | None
    clearance_id: int
    clearance_status: str | None
    clearance_currency: str
    clearance_amount: Decimal
    order_id: int
    order_status: str | None
    order_currency: str | None
    order_amount: Decimal
    difference: Decimal


class Skipped(Struct, frozen=True, gc=False):
    """A record of another event type: it makes no row."""

    event_type: str


def reconcile(record: KafkaRecord) -> Row | Skipped:
    """Turn one record into its row.

    Pure: the same record gives the same row, on every retry.

    Raises:
        BadRecordError: the record cannot become a row; the message names the field.
    """
    if record.has_bad_headers:
        raise BadRecordError(ErrorCode.NOT_UTF8, "headers: a name is not UTF-8")
    event_type, payment = decode_event(record.value)
    if payment is None:
        return Skipped(event_type)
    order = payment.order
    if order is UNSET:
        raise missing("event_data.order")
    clearance_amount = parse_amount(payment.amount, _AMOUNT)
    order_amount = parse_amount(order.amount, _ORDER_AMOUNT)
    row = Row(
        record,
        request_id(record),
        payment.transaction_id,
        _identifier(payment.id, "event_data.id"),
        payment.status,
        _required_text(payment.currency, "event_data.currency"),
        clearance_amount,
        _identifier(order.id, "event_data.order.id"),
        order.status,
        order.currency,
        order_amount,
        subtract(clearance_amount, order_amount, _DIFFERENCE),
    )
    _check_texts(row)
    return row


def has_discrepancy(row: Row) -> bool:
    """Return whether payment and order differ in amount, or name different currencies."""
    if row.difference:
        return True
    return row.order_currency is not None and row.order_currency != row.clearance_currency


def _identifier(value: int | UnsetType, field: str) -> int:
    if value is UNSET:
        raise missing(field)
    if not -_BIGINT <= value < _BIGINT:
        raise BadRecordError(ErrorCode.OUT_OF_RANGE, f"{field}: BIGINT holds -2^63 to 2^63-1")
    return value


def _required_text(value: str | UnsetType, field: str) -> str:
    if value is UNSET:
        raise missing(field)
    if not value:
        raise BadRecordError(ErrorCode.MISSING_FIELD, f"{field}: required, and empty")
    return value


def _check_texts(row: Row) -> None:
    together = (
        f"{row.transaction_id}{row.clearance_status}{row.clearance_currency}"
        f"{row.order_status}{row.order_currency}"
    )
    if len(together) <= _TEXT_LENGTH and "\0" not in together:
        return  # the common case, in a fifth of the time of a look at each
    texts = {
        "event_data.transaction_id": row.transaction_id,
        "event_data.status": row.clearance_status,
        "event_data.currency": row.clearance_currency,
        "event_data.order.status": row.order_status,
        "event_data.order.currency": row.order_currency,
    }
    for field, text in texts.items():
        if text is None:
            continue
        if len(text) > _TEXT_LENGTH:
            message = f"{field}: {len(text)} characters, VARCHAR(100) holds {_TEXT_LENGTH}"
            raise BadRecordError(ErrorCode.TEXT_TOO_LONG, message)
        if "\0" in text:
            message = f"{field}: holds U+0000, which PostgreSQL cannot store"
            raise BadRecordError(ErrorCode.NUL_CHARACTER, message)
