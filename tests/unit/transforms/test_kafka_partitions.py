import pytest
from confluent_kafka import OFFSET_BEGINNING

from transforms.errors import UnavailableError
from transforms.kafka_partitions import Partitions
from transforms.kafka_positions import PartitionPosition, ShardPositions


def _at(*partitions: PartitionPosition) -> Partitions:
    return Partitions(ShardPositions(partitions))


def _position(
    next_offset: int, *, partition: int = 0, topic_id: str = "A", end: int | None = None
) -> PartitionPosition:
    return PartitionPosition("t", topic_id, partition, next_offset, end)


def _next(partitions: Partitions) -> list[int]:
    return [p.next_offset for p in partitions.positions().partitions or ()]


def test_a_position_moves_forward_only() -> None:
    partitions = _at(_position(5))
    partitions.advance(("t", 0), 9)
    partitions.advance(("t", 0), 7)
    partitions.advance(("another", 0), 100)
    assert _next(partitions) == [9]


def test_a_bounded_read_stops_at_its_end() -> None:
    partitions = _at(_position(5, end=8))
    assert partitions.is_wanted(("t", 0), 7)
    assert not partitions.is_wanted(("t", 0), 8)
    partitions.advance(("t", 0), 100)
    assert _next(partitions) == [8]


def test_an_offset_that_is_gone_restarts_at_the_beginning() -> None:
    partitions = _at(_position(5))
    partitions.restart(("t", 0))
    assert _next(partitions) == [OFFSET_BEGINNING]


def test_nothing_changes_while_the_topics_are_the_same() -> None:
    partitions = _at(_position(5))
    assert not partitions.follow({("t", 0): "A"}, ["t"], bounded=False)
    assert not partitions.follow({}, [], bounded=False), "nothing was answered"


def test_a_new_partition_is_read_from_its_beginning() -> None:
    partitions = _at(_position(5))
    assert partitions.follow({("t", 0): "A", ("t", 1): "A"}, ["t"], bounded=False)
    assert _next(partitions) == [5, OFFSET_BEGINNING]


def test_a_topic_made_again_is_read_from_its_beginning() -> None:
    partitions = _at(_position(5))
    assert partitions.follow({("t", 0): "B"}, ["t"], bounded=False)
    assert _next(partitions) == [OFFSET_BEGINNING]


def test_a_partition_that_comes_back_goes_on_where_it_was() -> None:
    partitions = _at(_position(5), _position(6, partition=1))
    assert partitions.follow({("t", 0): "A"}, ["t"], bounded=False)
    assert _next(partitions) == [5]
    assert partitions.follow({("t", 0): "A", ("t", 1): "A"}, ["t"], bounded=False)
    assert _next(partitions) == [5, 6]


def test_a_bounded_read_leaves_new_partitions_to_the_next_run() -> None:
    partitions = _at(_position(5, end=8))
    assert not partitions.follow({("t", 0): "A", ("t", 1): "A"}, ["t"], bounded=True)
    assert _next(partitions) == [5]


@pytest.mark.parametrize("owned", [{}, {("t", 0): "B"}])
def test_a_bounded_read_whose_topic_is_gone_fails(owned: dict[tuple[str, int], str]) -> None:
    with pytest.raises(UnavailableError, match="t: deleted before its end"):
        _at(_position(5, end=8)).follow(owned, ["t"], bounded=True)
