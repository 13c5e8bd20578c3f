from datetime import UTC, datetime

from tests.support import record
from transforms.dead_letters import (
    DEAD_LETTER_COLUMNS,
    DeadLetter,
    dead_letter_values,
    headers_json,
)
from transforms.errors import ErrorCode

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_values_are_in_the_order_of_the_columns() -> None:
    letter = DeadLetter(record(None, offset=7), ErrorCode.EMPTY_VALUE, "the value is empty")
    values = dict(zip(DEAD_LETTER_COLUMNS, dead_letter_values(letter, _NOW), strict=True))
    assert values["source_offset"] == 7
    assert values["raw_value"] is None
    assert values["error_code"] == "EMPTY_VALUE"
    assert values["first_seen_at"] == values["last_seen_at"] == _NOW


def test_headers_keep_their_order_their_doubles_and_their_bytes() -> None:
    headers: list[tuple[str, bytes | None]] = [
        ("a", b"text"),
        ("a", None),
        ("b", b"\xff"),
        ("c", b"a\0b"),
    ]
    assert headers_json(headers) == [
        {"name": "a", "value": "text"},
        {"name": "a", "value": None},
        {"name": "b", "base64": "/w=="},
        {"name": "c", "base64": "YQBi"},
    ]


def test_a_message_with_nul_can_be_stored() -> None:
    letter = DeadLetter(record(), ErrorCode.NOT_JSON, "a\0b")
    assert "\0" not in dead_letter_values(letter, _NOW)[DEAD_LETTER_COLUMNS.index("error_message")]
