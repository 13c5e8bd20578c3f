"""Kafka's errors, by what to do about them."""

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from transforms.errors import ConfigurationError, JobError, UnavailableError

# The topic was deleted, or made again, or lost a partition: ask for its description.
TOPIC_CHANGED = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)
# A retry would be refused too: the job stops and says so.
REFUSED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)

# A broker that just started, or took over, answers so for a second.
_COORDINATOR_MOVES = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)
_RETRY_WAIT_SECS = 0.2

Answer = TypeVar("Answer")


def ask_coordinator(ask: Callable[[], Answer], timeout_secs: float) -> Answer:
    """Ask the group's coordinator; again while it moves or is still loading.

    Raises:
        KafkaException: another error, or none but these for `timeout_secs`.
    """
    deadline = time.monotonic() + timeout_secs
    while True:
        try:
            return ask()
        except KafkaException as error:
            moves = error.args[0].code() in _COORDINATOR_MOVES
            if not moves or time.monotonic() >= deadline:
                raise
        time.sleep(_RETRY_WAIT_SECS)


def job_error(error: KafkaError) -> JobError:
    """Return the exception that stops the job for an error of Kafka's."""
    if error.code() in REFUSED:
        return ConfigurationError(
            "Kafka refuses access: check KAFKA_USER, KAFKA_PASSWORD and the user's rights: "
            + error.str()
        )
    return UnavailableError(f"Kafka does not answer: {error.str()}")
