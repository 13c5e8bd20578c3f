"""The dead letter: a record that could not become a row, kept byte for byte, and why."""

import base64
from datetime import datetime
from typing import Any

from msgspec import Struct
from psycopg2 import Binary
from psycopg2.extras import Json

from transforms.copy_text import timestamp_text
from transforms.errors import ErrorCode
from transforms.records import Headers, KafkaRecord, request_id, trace_id

# The one place that fixes which columns are written, and their order.
DEAD_LETTER_COLUMNS = (
    "source_topic",
    "source_partition",
    "source_offset",
    "source_timestamp",
    "raw_key",
    "raw_value",
    "headers",
    "error_code",
    "error_message",
    "request_id",
    "trace_id",
    "first_seen_at",
    "last_seen_at",
)


class DeadLetter(Struct, frozen=True, gc=False):
    """One row of the dead-letter table.

    Args:
        message: why, for a person; names the field.
    """

    record: KafkaRecord
    code: ErrorCode
    message: str


def dead_letter_values(letter: DeadLetter, now: datetime) -> tuple[Any, ...]:
    """Return the parameters of the insert, in the order of `DEAD_LETTER_COLUMNS`.

    Nothing of the record is parsed again: whatever it holds, the values can be stored.
    """
    record = letter.record
    return (
        record.topic,
        record.partition,
        record.offset,
        timestamp_text(record.timestamp_ms),
        _binary(record.key),
        _binary(record.value),
        Json(headers_json(record.headers)),
        str(letter.code),
        letter.message.replace("\0", "\N{SYMBOL FOR NULL}"),
        request_id(record),
        trace_id(record),
        now,
        now,
    )


def headers_json(headers: Headers | None) -> list[dict[str, str | None]]:
    """Return the headers as a JSON value: a list, because a name may come twice.

    A value is text under `value`; one that is not UTF-8, or holds the U+0000 that JSONB cannot
    store, is under `base64`.
    """
    return [_header_json(name, value) for name, value in headers or []]


def _header_json(name: str, value: bytes | None) -> dict[str, str | None]:
    if value is None:
        return {"name": name, "value": None}
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return {"name": name, "base64": base64.b64encode(value).decode()}
    return {"name": name, "value": text}


def _binary(value: bytes | None) -> Any:
    return None if value is None else Binary(value)
