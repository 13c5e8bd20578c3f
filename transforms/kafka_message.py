"""From the client's message to the pipeline's record."""

from operator import methodcaller
from typing import Any

from transforms.records import KafkaRecord

# `message.headers()` in a hot loop skips the interpreter's check of what C code returns: the
# client's result would come with its error still pending, for the next call to trip over.
_headers = methodcaller("headers")


def to_record(message: Any) -> KafkaRecord:
    """Return a consumed message as a record; copies what the client would free."""
    headers, has_bad_headers = None, False
    try:
        # Once only: after a failure the client's second answer holds a null pointer.
        headers = _headers(message)
    except (SystemError, UnicodeDecodeError):  # a name that is not UTF-8 (confluent-kafka 2.16)
        has_bad_headers = True
    return KafkaRecord(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        headers,
        has_bad_headers,
    )
