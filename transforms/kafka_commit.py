"""The consumer group's committed offsets, which lag tools and the next start read."""

import logging

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from transforms.errors import UnavailableError
from transforms.kafka_positions import ShardPositions

_LOGGER = logging.getLogger(__name__)

_TOPIC_ID = "topic-id:"


class GroupOffsets:
    """Commits a shard's positions to its consumer group.

    Each offset is stored with the id of its topic, so that a start does not take it for an
    offset of another topic of the same name.

    A synchronous commit waits for the broker's 5 ms append linger (Kafka 4.1,
    `group.coordinator.append.linger.ms`): only the last one is synchronous. One commit is under
    way at a time; what came meanwhile is in the next.
    """

    def __init__(self) -> None:
        self._is_pending = False
        self._committed: ShardPositions | None = None

    def commit(self, consumer: Consumer, positions: ShardPositions) -> None:
        """Send the positions and return at once; a failure is logged and tried again."""
        if self._is_pending or positions == self._committed:
            return
        self._committed = positions
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
        """Commit the positions.

        Raises:
            UnavailableError: Kafka did not take them. No row is lost: their records will be
                read again and counted as duplicates.
        """
        offsets = _offsets(positions)
        if not offsets:
            return
        try:
            answers = consumer.commit(offsets=offsets, asynchronous=False) or []
        except KafkaException as error:
            raise _not_committed(error.args[0]) from error
        for answer in answers:
            if answer.error is not None:
                raise _not_committed(answer.error)

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
