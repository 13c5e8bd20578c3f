"""The consumer group's committed offsets, which lag tools and the next start read."""

import logging
import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from transforms.errors import UnavailableError
from transforms.kafka_errors import TOPIC_CHANGED
from transforms.kafka_positions import ShardPositions

_LOGGER = logging.getLogger(__name__)

_TOPIC_ID = "topic-id:"
# A slow stream has hundreds of bundles a second, and each commit is a write of the broker's. A
# crash reads this much more again.
_COMMIT_SECS = 0.2
# Kafka forgets a group's offset some time after its last commit (offsets.retention.minutes, 7
# days by default), also while an idle topic is being read.
_COMMIT_AGAIN_SECS = 600.0


class GroupOffsets:
    """Commits a shard's positions to its consumer group.

    Each offset is stored with the id of its topic, so that a start does not take it for an
    offset of another topic of the same name.

    A synchronous commit waits for the broker's 5 ms append linger (Kafka 4.1,
    `group.coordinator.append.linger.ms`): only the last one is synchronous. One commit is under
    way at a time, and 5 a second at most; what came meanwhile is in the next.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._commit_at = self._commit_again_at = clock()
        self._is_pending = False
        self._committed: ShardPositions | None = None

    def commit(self, consumer: Consumer, positions: ShardPositions) -> None:
        """Send the positions and return at once; a failure is logged and tried again."""
        now = self._clock()
        if self._is_pending or now < self._commit_at:
            return
        if positions == self._committed and now < self._commit_again_at:
            return
        self._committed = positions
        self._commit_at = now + _COMMIT_SECS
        self._commit_again_at = now + _COMMIT_AGAIN_SECS
        offsets = _offsets(positions)
        if not offsets:
            return
        try:
            consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self._failed(error.args[0])
        else:
            self._is_pending = True

    def commit_and_wait(self, consumer: Consumer, positions: ShardPositions) -> None:
        """Commit the positions. A topic that is gone needs none.

        Raises:
            UnavailableError: Kafka did not take them. No row is lost: their records will be
                read again and counted as duplicates.
        """
        offsets = _offsets(positions)
        if not offsets:
            return
        try:
            answers = consumer.commit(offsets=offsets, asynchronous=False) or []
            errors = [answer.error for answer in answers if answer.error is not None]
        except KafkaException as error:  # the same for all partitions
            errors = [error.args[0]]
        for failure in errors:
            if failure.code() not in TOPIC_CHANGED:
                raise _not_committed(failure)

    def on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Take in librdkafka's answer to `commit`."""
        self._is_pending = False
        failure = error or next((p.error for p in partitions if p.error is not None), None)
        if failure is not None:
            self._failed(failure)

    def _failed(self, error: KafkaError) -> None:
        self._committed = None
        _LOGGER.warning("offsets not committed, the next bundle tries again: %s", error.str())


def _not_committed(error: KafkaError) -> UnavailableError:
    return UnavailableError(
        f"the rows are written, but Kafka did not take the offsets ({error.str()}): "
        "their records will be read again as duplicates"
    )


def is_of_another_topic(committed: TopicPartition, topic_id: str) -> bool:
    """Return whether an offset was committed for another topic of the same name.

    Only metadata of our own tells; other clients write none, or what they like.
    """
    metadata = committed.metadata or ""
    return metadata.startswith(_TOPIC_ID) and metadata != _TOPIC_ID + topic_id


def _offsets(positions: ShardPositions) -> list[TopicPartition]:
    return [
        TopicPartition(p.topic, p.partition, p.next_offset, metadata=_TOPIC_ID + p.topic_id)
        for p in positions.partitions or ()
        if p.next_offset >= 0
    ]
