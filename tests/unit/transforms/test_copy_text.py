import pytest

from tests.support import record, sample
from transforms.copy_text import ROW_COLUMNS, copy_line, timestamp_text
from transforms.rows import Row, reconcile


def _line(value: bytes) -> list[str]:
    row = reconcile(record(value, headers=[("x-request-id", b"r")]))
    assert isinstance(row, Row)
    return copy_line(row).split("\t")


def test_the_line_has_the_columns_in_order_but_for_the_time_of_writing() -> None:
    values = dict(zip(ROW_COLUMNS, _line(sample("payment_discrepancy")), strict=True))
    assert values == {
        "transaction_id": "b6a2f0e8-4c5f-4e39-8a52-6f1d9b0f5a20",
        "reconciliacion_type": "ORDER",
        "reconciliacion_status": "RECONCILIATION:RECEIVED",
        "reconciliacion_currency": "BRL",
        "reconciliacion_amount": "0.10",
        "fk_clearance_id": "394",
        "clearance_status": "CLEARANCE:RECEIVED",
        "clearance_currency": "BRL",
        "clearance_amount": "100.00",
        "fk_order_id": "272",
        "order_status": "ORDER:PENDING",
        "order_currency": "BRL",
        "order_amount": "99.90",
        "source_topic": "topic.clearance",
        "source_partition": "0",
        "source_offset": "0",
        "source_timestamp": "2025-10-27 03:04:36.123+00:00",
        "request_id": "r",
        "created_at": "",
    }


def test_what_copy_takes_for_syntax_is_escaped() -> None:
    value = (
        b'{"event_type":"cleareance.order","event_data":{"id":1,"order":{"id":2},'
        b'"transaction_id":"\\\\N","currency":"a\\tb\\nc\\rd\\\\."}}'
    )
    values = dict(zip(ROW_COLUMNS, _line(value), strict=True))
    assert values["transaction_id"] == "\\\\N"
    assert values["clearance_currency"] == "a\\tb\\nc\\rd\\\\."
    assert values["order_currency"] == "\\N"


@pytest.mark.parametrize(
    ("timestamp_ms", "text"),
    [
        (0, "1970-01-01 00:00:00.000+00:00"),
        (-1, "1969-12-31 23:59:59.999+00:00"),
        (1_761_534_276_123, "2025-10-27 03:04:36.123+00:00"),
        (2**63 - 1, "9999-12-31 23:59:59.999+00:00"),
        (-(2**63), "0001-01-01 00:00:00.000+00:00"),
    ],
)
def test_every_timestamp_can_be_stored(timestamp_ms: int, text: str) -> None:
    assert timestamp_text(timestamp_ms) == text
