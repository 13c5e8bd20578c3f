"""What Kafka says of the topics: their ids and partitions."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from msgspec import Struct

from transforms.errors import ConfigurationError, UnavailableError

REQUEST_TIMEOUT_SECS = 10.0


class Topic(Struct, frozen=True):
    """One topic: its id, which changes when it is made again, and its partitions."""

    topic_id: str
    partitions: frozenset[int]


class TopicWatch:
    """Asks again and again which partitions the topics have, without blocking the poll.

    Args:
        config: librdkafka's settings to reach the cluster.
        topics: names.
        refresh_secs: seconds between two questions.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topics: Sequence[str],
        refresh_secs: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # librdkafka warns of a consumer's property in a client that is none. The consumer beside
        # this client logs what happens to the connections.
        config = {name: value for name, value in config.items() if name != "group.id"}
        self._admin = AdminClient({**config, "log_level": 0})
        self._topics = list(topics)
        self._refresh_secs = refresh_secs
        self._clock = clock
        self._next_refresh = clock() + refresh_secs
        self._pending: dict[str, Future[Any]] | None = None

    def read(self) -> dict[str, Topic]:
        """Block until Kafka has described every topic.

        Raises:
            ConfigurationError: a topic does not exist, or may not be described.
            UnavailableError: no answer.
        """
        found = {}
        for name, future in self._ask().items():
            try:
                found[name] = _topic(future.result(REQUEST_TIMEOUT_SECS + 1))
            except (KafkaException, TimeoutError) as error:
                raise _explain(name, error) from error
        return found

    def soon(self) -> None:
        """Ask at the next `changes`: something hints that the topics are not as they were."""
        self._next_refresh = self._clock()

    def changes(self) -> dict[str, Topic | None]:
        """Return the newest description, or nothing when there is none since the last call.

        Never blocks. A topic that does not exist is None; one that was not described for another
        reason is left out.
        """
        if self._pending is None:
            if self._clock() >= self._next_refresh:
                self._pending = self._ask()
            return {}
        if not all(future.done() for future in self._pending.values()):
            return {}
        done, self._pending = self._pending, None
        self._next_refresh = self._clock() + self._refresh_secs
        found: dict[str, Topic | None] = {}
        for name, future in done.items():
            error = future.exception()
            if error is None:
                found[name] = _topic(future.result())
            elif _code(error) == KafkaError.UNKNOWN_TOPIC_OR_PART:
                found[name] = None
        return found

    def log_end(self, topic: str, partition: int) -> int:
        """Return the offset behind the last record, of open transactions too.

        Raises:
            KafkaException: no answer.
        """
        wanted = TopicPartition(topic, partition)
        answers = self._admin.list_offsets(
            {wanted: OffsetSpec.latest()},
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=REQUEST_TIMEOUT_SECS,
        )
        return int(answers[wanted].result(REQUEST_TIMEOUT_SECS + 1).offset)

    def _ask(self) -> dict[str, Future[Any]]:
        return self._admin.describe_topics(
            TopicCollection(self._topics), request_timeout=REQUEST_TIMEOUT_SECS
        )


def _topic(description: Any) -> Topic:
    return Topic(str(description.topic_id), frozenset(p.id for p in description.partitions))


def _code(error: BaseException) -> int | None:
    return error.args[0].code() if isinstance(error, KafkaException) else None


def _explain(name: str, error: Exception) -> Exception:
    code = _code(error)
    if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
        return ConfigurationError(
            f"topic {name!r} does not exist: create it, or name another in TOPIC_EVENT"
        )
    if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        return ConfigurationError(f"topic {name!r}: KAFKA_USER needs the right to describe it")
    return UnavailableError(f"Kafka did not describe topic {name!r}: {error}")
