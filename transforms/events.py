"""The clearance event: JSON to typed structs."""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from transforms.errors import BadRecordError, ErrorCode

CLEARANCE_EVENT = "cleareance.order"  # spelled so by the producer


class Order(Struct, frozen=True, gc=False):
    """The order that a payment pays. Amounts stay JSON text until `parse_amount`."""

    id: int | UnsetType = UNSET
    status: str | None = None
    currency: str | None = None
    amount: Raw = Raw()


class Payment(Struct, frozen=True, gc=False):
    """The cleared payment."""

    id: int | UnsetType = UNSET
    order: Order | UnsetType = UNSET
    transaction_id: str | None = None
    status: str | None = None
    currency: str | UnsetType = UNSET
    amount: Raw = Raw()


class _Event(Struct, frozen=True, gc=False):
    event_type: str | UnsetType = UNSET
    event_data: Payment | UnsetType = UNSET


class _Envelope(Struct, frozen=True, gc=False):
    event_type: str | UnsetType = UNSET


_event_decoder = msgspec.json.Decoder(_Event)
_envelope_decoder = msgspec.json.Decoder(_Envelope)


def decode_event(value: bytes | None) -> tuple[str, Payment | None]:
    """Decode a record's value.

    Only the fields that a row is made of are looked at; all others are ignored.

    Args:
        value: UTF-8 JSON; None for a tombstone.

    Returns:
        The event's type, and its payment; the payment is None for a type to skip.

    Raises:
        BadRecordError: empty, not UTF-8, not JSON, or a field is missing or of the wrong type.
    """
    if not value:
        raise BadRecordError(ErrorCode.EMPTY_VALUE, "the value is empty")
    if not value.isascii():
        _check_utf8(value)  # the decoder does not look into the fields it ignores
    try:
        event = _event_decoder.decode(value)
    except msgspec.ValidationError as error:
        # Another type's event_data may have any form.
        return _skippable_type(value, error), None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _not_json(error) from None
    if not event.event_type:  # the producer omits what is empty
        raise missing("event_type")
    if event.event_type != CLEARANCE_EVENT:
        return event.event_type, None
    if event.event_data is UNSET:
        raise missing("event_data")
    return CLEARANCE_EVENT, event.event_data


def missing(field: str) -> BadRecordError:
    """Return the error for a required field that is absent."""
    return BadRecordError(ErrorCode.MISSING_FIELD, f"{field}: required, and missing")


def _not_json(error: Exception) -> BadRecordError:
    return BadRecordError(ErrorCode.NOT_JSON, f"the value is not JSON: {error}")


def _check_utf8(value: bytes) -> None:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        message = f"the value is not UTF-8: {error.reason} at byte {error.start}"
        raise BadRecordError(ErrorCode.NOT_UTF8, message) from None


def _skippable_type(value: bytes, error: msgspec.ValidationError) -> str:
    try:
        event_type = _envelope_decoder.decode(value).event_type
    except msgspec.ValidationError:
        event_type = UNSET
    except (msgspec.DecodeError, RecursionError) as broken:  # behind the wrong type
        raise _not_json(broken) from None
    if not event_type or event_type == CLEARANCE_EVENT:
        raise BadRecordError(ErrorCode.WRONG_TYPE, str(error)) from None
    return event_type
