"""The Kafka record as the pipeline passes it on."""

import uuid

import msgspec

Headers = list[tuple[str, bytes | None]]

# What the producer writes when it has no request id.
_ABSENT_REQUEST_IDS = frozenset({"", "not-found:from-service"})
MAX_SHOWN_ID = 256  # characters of a request id in a log line or a span; stored whole
_NAMESPACE = uuid.UUID("8f0f4a4e-6f5b-4a7e-9a53-6f0c2f4f9d11")


class KafkaRecord(msgspec.Struct, frozen=True, gc=False):
    """One record and its position.

    The position (topic, partition, offset, timestamp) is the idempotency key. The timestamp is
    a part of it because a topic that is deleted and made again starts at offset 0.

    Args:
        timestamp_ms: the record's timestamp, milliseconds since 1970 UTC.
        key: as on the wire, None when absent.
        value: as on the wire, None for a tombstone.
        headers: name and bytes, in the order of the wire; None when there are none.
        has_bad_headers: a header's name is not UTF-8; `headers` is None, the client gives none.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None
    has_bad_headers: bool = False

    @property
    def position(self) -> tuple[str, int, int, int]:
        """The idempotency key."""
        return self.topic, self.partition, self.offset, self.timestamp_ms


def header(record: KafkaRecord, name: str) -> str | None:
    """Return the last header of that name as text; None when absent or not storable text."""
    for key, value in reversed(record.headers or []):
        if key == name and value is not None:
            try:
                text = value.decode()
            except UnicodeDecodeError:
                return None
            return None if "\0" in text else text
    return None


def request_id(record: KafkaRecord) -> str:
    """Return `x-request-id`, or a UUID when the producer had none.

    The UUID is derived from the record's position (RFC 9562, version 5), so a record that is
    read again keeps its id.
    """
    sent = header(record, "x-request-id")
    if sent is not None and sent not in _ABSENT_REQUEST_IDS:
        return sent
    position = f"{record.topic}/{record.partition}/{record.offset}/{record.timestamp_ms}"
    return str(uuid.uuid5(_NAMESPACE, position))


def log_fields(record: KafkaRecord) -> dict[str, str | int]:
    """Return what a log line about the record says beside its message."""
    fields: dict[str, str | int | None] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "request_id": request_id(record)[:MAX_SHOWN_ID],
        "trace_id": trace_id(record),
    }
    return {name: value for name, value in fields.items() if value is not None}


def trace_id(record: KafkaRecord) -> str | None:
    """Return the trace id of `traceparent` (W3C Trace Context), None when absent or malformed."""
    parts = (header(record, "traceparent") or "").split("-")
    if len(parts) < 4 or len(parts[1]) != 32:
        return None
    if not set(parts[1]) <= set("0123456789abcdef") or set(parts[1]) == {"0"}:
        return None
    return parts[1]
