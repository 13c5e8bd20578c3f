"""Where a shard starts: the group's committed offset, else the start that the user asked for."""

import re
from collections.abc import Mapping
from datetime import datetime

from confluent_kafka import OFFSET_INVALID, Consumer, TopicPartition

from transforms.kafka_commit import is_of_another_topic
from transforms.kafka_errors import ask_coordinator
from transforms.kafka_positions import PartitionPosition
from transforms.kafka_topics import REQUEST_TIMEOUT_SECS, Topic

EARLIEST = "earliest"
LATEST = "latest"
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def check_start(start: str) -> str:
    """Return `start` if it is `earliest`, `latest` or an RFC 3339 time.

    Raises:
        ValueError: it is none of them.
    """
    if start not in (EARLIEST, LATEST):
        start_timestamp_ms(start)
    return start


def start_timestamp_ms(start: str) -> int:
    """Return an RFC 3339 time as milliseconds since 1970 UTC.

    Raises:
        ValueError: it is no such time; a time without an offset is none.
    """
    if not _RFC_3339.fullmatch(start):
        raise ValueError("earliest, latest, or a time like 2025-10-27T03:04:36Z")
    moment = datetime.fromisoformat(start.upper().replace(" ", "T"))
    return round(moment.timestamp() * 1000)


def start_positions(
    consumer: Consumer,
    topics: Mapping[str, Topic],
    owned: list[tuple[str, int]],
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

    Raises:
        KafkaException: no answer.
    """
    wanted = [TopicPartition(topic, partition) for topic, partition in owned]
    committed = ask_coordinator(
        lambda: consumer.committed(wanted, timeout=REQUEST_TIMEOUT_SECS) if wanted else [],
        REQUEST_TIMEOUT_SECS,
    )
    seen = {each.topic for each in committed if each.offset != OFFSET_INVALID}
    positions = []
    for each in committed:
        topic_id = topics[each.topic].topic_id
        first, end = consumer.get_watermark_offsets(each, timeout=REQUEST_TIMEOUT_SECS)
        if each.offset != OFFSET_INVALID and not is_of_another_topic(each, topic_id):
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


def _offset_at(consumer: Consumer, partition: TopicPartition, time_ms: int, end: int) -> int:
    question = TopicPartition(partition.topic, partition.partition, time_ms)
    [answer] = consumer.offsets_for_times([question], timeout=REQUEST_TIMEOUT_SECS)
    found: int = answer.offset
    return found if found >= 0 else end  # no record is that young
