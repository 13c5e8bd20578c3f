"""One shard's consumer: polls all its partitions, knows where it stands, commits the group."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from transforms.kafka_commit import GroupOffsets
from transforms.kafka_errors import REFUSED, TOPIC_CHANGED, job_error
from transforms.kafka_message import to_record
from transforms.kafka_partitions import Key, Partitions
from transforms.kafka_positions import Shard, ShardPositions
from transforms.kafka_start import start_positions
from transforms.kafka_topics import Topic, TopicWatch
from transforms.records import KafkaRecord

_LOGGER = logging.getLogger(__name__)

# The guarantees hang on these: they win over what the caller configures.
_FIXED = {
    "enable.auto.commit": False,  # the group's offset moves when the rows are written
    "enable.auto.offset.store": False,
    "isolation.level": "read_committed",  # the producer writes in transactions
    "auto.offset.reset": "error",  # an offset that is gone is ours to handle
    "enable.partition.eof": True,  # tells the position behind control records
    "socket.nagle.disable": True,  # a commit on its way must not hold a fetch back
    "queued.max.messages.kbytes": 65536,  # the prefetch's bound, in memory
}


class ShardReader:
    """Reads the partitions of one shard.

    Partitions are assigned, not subscribed to: the shard owns them for good, and the consumer
    group serves only to keep the offsets.

    Args:
        config: librdkafka's settings to reach the cluster, `group.id` among them.
        topics: names.
        shard: which partitions are its own.
        start: `earliest`, `latest` or an RFC 3339 time, for partitions without a committed
            offset.
        until_end: end at the offsets that are the end when it starts.
        refresh_secs: seconds between two looks for new partitions.

    Raises:
        ConfigurationError: a topic is missing, or Kafka refuses access.
        UnavailableError: Kafka does not answer.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topics: Sequence[str],
        shard: Shard,
        start: str,
        *,
        until_end: bool,
        refresh_secs: float,
    ) -> None:
        self._watch = TopicWatch(config, topics, refresh_secs)
        self._shard = shard
        self._start = start
        self._until_end = until_end
        self._refused: KafkaError | None = None
        self._partitions = Partitions(ShardPositions())
        self._offsets = GroupOffsets()
        self._stands_at: ShardPositions | None = None
        self.resets = 0
        self._consumer = Consumer(
            {**config, **_FIXED, "on_commit": self._offsets.on_commit, "error_cb": self._on_error},
            logger=logging.getLogger("librdkafka"),
        )

    def resume(self, positions: ShardPositions) -> ShardPositions:
        """Stand at the positions, and commit them to the group without waiting.

        Call it with the restriction of a bundle: when a bundle starts at an offset, the rows
        before it are written.
        """
        if positions.partitions is None:
            positions = self._find_start()
        if positions != self._stands_at:
            self._partitions.stand_at(positions)
            self._assign()
            self._stands_at = positions
        self._offsets.commit(self._consumer, positions)
        return positions

    def poll(self, max_records: int, wait_secs: float) -> list[KafkaRecord]:
        """Return the records that are there, in order; wait for the first of them.

        Raises:
            ConfigurationError: Kafka refuses access.
            UnavailableError: a topic was deleted during a bounded read.
        """
        if topics := self._watch.changes():
            owned = self._owned(topics)
            if self._partitions.follow(owned, topics, bounded=self._until_end):
                self._assign()
        self._stands_at = None  # until `positions` tells the caller
        deadline = time.monotonic() + wait_secs
        while True:
            messages = self._consumer.consume(1, max(0.0, deadline - time.monotonic()))
            if messages:  # the rest without a wait: a lone record must not wait for others
                messages += self._consumer.consume(max_records - 1, 0)
            records = self._take(messages)
            if self._refused is not None:
                raise job_error(self._refused)
            if records or time.monotonic() >= deadline:
                return records

    def positions(self) -> ShardPositions:
        """Return where the shard stands after what `poll` returned."""
        self._stands_at = self._partitions.positions()
        return self._stands_at

    def lags(self) -> dict[Key, int]:
        """Return the records between each position and the end, as far as the last fetch told.

        The end is the partition's high watermark, or the fixed end of a bounded read.
        """
        lags = {}
        for position in self._partitions.positions().partitions or ():
            key = (position.topic, position.partition)
            low, high = self._consumer.get_watermark_offsets(TopicPartition(*key), cached=True)
            end = high if position.end_offset is None else position.end_offset
            if end >= 0:
                lags[key] = max(0, end - max(position.next_offset, low, 0))
        return lags

    def commit_and_wait(self, positions: ShardPositions) -> None:
        """Commit the positions to the group.

        Raises:
            UnavailableError: Kafka did not take them.
        """
        self._offsets.commit_and_wait(self._consumer, positions)

    def close(self) -> None:
        """Leave Kafka. Commits nothing."""
        self._consumer.close()

    def _find_start(self) -> ShardPositions:
        owned = self._owned(self._watch.read())
        try:
            return ShardPositions(
                start_positions(
                    self._consumer, self._watch, owned, self._start, until_end=self._until_end
                )
            )
        except KafkaException as error:
            raise job_error(error.args[0]) from error

    def _owned(self, topics: Mapping[str, Topic | None]) -> dict[Key, str]:
        """Return the shard's partitions, each with its topic's id."""
        return {
            (name, partition): topic.topic_id
            for name, topic in topics.items()
            if topic is not None
            for partition in sorted(topic.partitions)
            if self._shard.owns(partition)
        }

    def _assign(self) -> None:
        self._consumer.assign(
            [
                TopicPartition(p.topic, p.partition, p.next_offset)
                for p in self._partitions.positions().partitions or ()
            ]
        )

    def _take(self, messages: Sequence[Any]) -> list[KafkaRecord]:
        """Return the records among the messages, and stand behind them."""
        records = [to_record(message) for message in messages if message.error() is None]
        behind = {(record.topic, record.partition): record.offset + 1 for record in records}
        if self._until_end:
            records = [
                record
                for record in records
                if self._partitions.is_wanted((record.topic, record.partition), record.offset)
            ]
        for key, next_offset in behind.items():
            self._partitions.advance(key, next_offset)
        for message in messages:
            if message.error() is not None:
                self._handle(message)
        return records

    def _handle(self, message: Any) -> None:
        """Take in what a partition reports beside its records."""
        error = message.error()
        key = (message.topic() or "", message.partition() or 0)
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            self._partitions.advance(key, message.offset())
        elif code == KafkaError._AUTO_OFFSET_RESET and key in self._partitions:
            self._partitions.restart(key)
            self._assign()
            self.resets += 1
            self._watch.soon()  # the topic may have been made again
        elif code in TOPIC_CHANGED:
            self._watch.soon()
        elif code in REFUSED:
            self._refused = error
        else:
            _LOGGER.warning("%s/%d: %s", *key, error.str())

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in REFUSED or error.fatal():
            self._refused = error  # all else librdkafka logs and repairs by itself
