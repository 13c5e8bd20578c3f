from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from transforms.errors import UnavailableError
from transforms.kafka_commit import GroupOffsets, is_of_another_topic
from transforms.kafka_positions import PartitionPosition, ShardPositions


class FakeConsumer:
    """Keeps what is committed; answers a synchronous commit with an error per partition."""

    def __init__(self, error: KafkaError | None = None) -> None:
        self.commits: list[int] = []
        self._error = error

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> Any:
        self.commits.append(offsets[0].offset)
        return None if asynchronous else [FakeAnswer(self._error)]


class FakeAnswer:
    def __init__(self, error: KafkaError | None) -> None:
        self.error = error


def _at(offset: int) -> ShardPositions:
    return ShardPositions((PartitionPosition("t", "id", 0, offset),))


class FakeClock:
    """Each look at it takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_one_commit_is_under_way_at_a_time_and_the_next_has_the_newest() -> None:
    consumer: Any = FakeConsumer()
    offsets = GroupOffsets(FakeClock())
    for offset in (1, 2, 3):
        offsets.commit(consumer, _at(offset))
    offsets.on_commit(None, [])
    offsets.commit(consumer, _at(3))
    assert consumer.commits == [1, 3]


def test_commits_keep_a_distance() -> None:
    now = [0.0]
    consumer: Any = FakeConsumer()
    offsets = GroupOffsets(lambda: now[0])
    for offset, now[0] in enumerate((0.0, 0.1, 0.19, 0.2, 0.3)):
        offsets.commit(consumer, _at(offset))
        offsets.on_commit(None, [])
    assert consumer.commits == [0, 3]


def test_a_failed_commit_is_tried_again() -> None:
    consumer: Any = FakeConsumer()
    offsets = GroupOffsets(FakeClock())
    offsets.commit(consumer, _at(1))
    offsets.on_commit(KafkaError(KafkaError._TIMED_OUT), [])
    offsets.commit(consumer, _at(1))
    assert consumer.commits == [1, 1]


def test_an_idle_group_is_committed_again_before_kafka_forgets_it() -> None:
    now = [0.0]
    consumer: Any = FakeConsumer()
    offsets = GroupOffsets(lambda: now[0])
    for now[0] in (0.0, 1.0, 599.0, 601.0, 602.0):
        offsets.commit(consumer, _at(1))
        offsets.on_commit(None, [])
    assert consumer.commits == [1, 1]


def test_the_last_commit_fails_but_for_a_topic_that_is_gone() -> None:
    gone: Any = FakeConsumer(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    GroupOffsets().commit_and_wait(gone, _at(1))
    refused: Any = FakeConsumer(KafkaError(KafkaError.UNKNOWN_MEMBER_ID))
    with pytest.raises(UnavailableError, match="did not take the offsets"):
        GroupOffsets().commit_and_wait(refused, _at(1))


@pytest.mark.parametrize(
    ("metadata", "is_another"),
    [
        ("topic-id:A", False),
        ("topic-id:B", True),
        ("", False),
        (None, False),
        ("what another client wrote", False),
    ],
)
def test_only_our_own_metadata_tells_another_topic(metadata: str | None, is_another: bool) -> None:
    committed = (
        TopicPartition("t", 0, 5)
        if metadata is None
        else TopicPartition("t", 0, 5, metadata=metadata)
    )
    assert is_of_another_topic(committed, "A") is is_another
