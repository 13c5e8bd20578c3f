"""Where a shard starts: the group's committed offset, else the start that the user asked for."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, TopicPartition

from transforms.kafka_commit import is_of_another_topic
from transforms.kafka_errors import ask_coordinator
from transforms.kafka_positions import PartitionPosition
from transforms.kafka_topics import REQUEST_TIMEOUT_SECS, TopicWatch

_LOGGER = logging.getLogger(__name__)

EARLIEST = "earliest"
LATEST = "latest"


def start_timestamp_ms(start: str) -> int:
    """Return an RFC 3339 time as milliseconds since 1970 UTC.

    Raises:
        ValueError: it is no such time.
    """
    moment = datetime.fromisoformat(start.upper().replace(" ", "T"))
    return max(0, round(moment.timestamp() * 1000))  # Kafka takes negative ones for commands


def start_positions(
    consumer: Consumer,
    watch: TopicWatch,
    owned: Mapping[tuple[str, int], str],
    start: str,
    *,
    until_end: bool,
) -> tuple[PartitionPosition, ...]:
    """Ask Kafka where each partition starts, and where it ends for a bounded read.

    A committed offset counts only for the topic that it was committed for: one that was made
    again is read from its beginning. A partition without a committed offset, in a topic where
    the group has others, was added while nobody read: it is read from its beginning too,
    whatever `start` says. The end is the last stable offset: records of transactions that are
    open now are not waited for.

    Args:
        owned: topic and partition, with the topic's id.

    Raises:
        KafkaException: no answer.
    """
    wanted = [TopicPartition(topic, partition) for topic, partition in owned]
    committed = ask_coordinator(
        lambda: consumer.committed(wanted, timeout=REQUEST_TIMEOUT_SECS) if wanted else [],
        REQUEST_TIMEOUT_SECS,
    )
    _raise_error(committed)
    seen = {each.topic for each in committed if each.offset != OFFSET_INVALID}
    positions = []
    for each in committed:
        topic_id = owned[each.topic, each.partition]
        first, end = consumer.get_watermark_offsets(each, timeout=REQUEST_TIMEOUT_SECS)
        if each.offset > end and each.offset > watch.log_end(each.topic, each.partition):
            _LOGGER.error(
                "%s/%d: the group's offset %d is beyond the end %d; reading the partition from "
                "its beginning",
                *(each.topic, each.partition, each.offset, end),
            )
            offset = first
        elif each.offset != OFFSET_INVALID and not is_of_another_topic(each, topic_id):
            offset = each.offset
        elif each.topic in seen or start == EARLIEST:
            offset = first
        elif start == LATEST:
            offset = end
        else:
            offset = _offset_at(consumer, each, start_timestamp_ms(start), end)
        positions.append(
            PartitionPosition(
                each.topic, topic_id, each.partition, offset, end if until_end else None
            )
        )
    return tuple(positions)


def _raise_error(answers: Sequence[TopicPartition]) -> None:
    """Raise the error of a partition: the client reports it as a value."""
    for answer in answers:
        if answer.error is not None:
            raise KafkaException(answer.error)


def _offset_at(consumer: Consumer, partition: TopicPartition, time_ms: int, end: int) -> int:
    question = TopicPartition(partition.topic, partition.partition, time_ms)
    [answer] = consumer.offsets_for_times([question], timeout=REQUEST_TIMEOUT_SECS)
    _raise_error([answer])
    found: int = answer.offset
    return found if found >= 0 else end  # no record is that young
