"""COPY's text format for rows: one line a row, columns in the order of `ROW_COLUMNS`."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from transforms.rows import Row

RECONCILIATION_TYPE = "ORDER"
RECONCILIATION_STATUS = "RECONCILIATION:RECEIVED"

# The one place that fixes which columns are written, and their order.
ROW_COLUMNS = (
    "transaction_id",
    "reconciliacion_type",
    "reconciliacion_status",
    "reconciliacion_currency",
    "reconciliacion_amount",
    "fk_clearance_id",
    "clearance_status",
    "clearance_currency",
    "clearance_amount",
    "fk_order_id",
    "order_status",
    "order_currency",
    "order_amount",
    "source_topic",
    "source_partition",
    "source_offset",
    "source_timestamp",
    "request_id",
    "created_at",
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FIRST_MS = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_LAST_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copy_line(row: Row) -> str:
    """Return the row as a line of COPY text without `created_at`, ending with a tab.

    The time of writing is one for the whole batch: `batch.copy_text` adds it.
    """
    record = row.record
    transaction, currency = row.transaction_id, row.clearance_currency
    clearance_status, order_status = row.clearance_status, row.order_status
    order_currency, request_id, topic = row.order_currency, row.request_id, record.topic
    together = (
        f"{transaction}{currency}{clearance_status}{order_status}{order_currency}{request_id}"
    )
    if not together.isprintable() or "\\" in together:
        transaction, currency = _escape(transaction), currency.translate(_ESCAPES)
        clearance_status, order_status = _escape(clearance_status), _escape(order_status)
        order_currency, request_id = _escape(order_currency), request_id.translate(_ESCAPES)
    return (
        f"{_NULL if transaction is None else transaction}"
        f"\t{RECONCILIATION_TYPE}\t{RECONCILIATION_STATUS}\t{currency}"
        f"\t{row.difference!s}\t{row.clearance_id}"
        f"\t{_NULL if clearance_status is None else clearance_status}\t{currency}"
        f"\t{row.clearance_amount!s}\t{row.order_id}"
        f"\t{_NULL if order_status is None else order_status}"
        f"\t{_NULL if order_currency is None else order_currency}"
        f"\t{row.order_amount!s}\t{topic}\t{record.partition}\t{record.offset}"
        f"\t{timestamp_text(record.timestamp_ms)}\t{request_id}\t"
    )


@lru_cache(maxsize=1024)  # neighbours in a batch share their millisecond
def timestamp_text(timestamp_ms: int) -> str:
    """Return a Kafka timestamp as text for a timestamptz column, exact to the millisecond.

    A producer may set any 64-bit number; what Python's calendar cannot hold becomes its nearest
    end (year 1 or 9999), so that no timestamp makes a record unstorable.
    """
    milliseconds = min(max(timestamp_ms, _FIRST_MS), _LAST_MS)
    return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat(" ", "milliseconds")


def _escape(value: str | None) -> str | None:
    return None if value is None else value.translate(_ESCAPES)
