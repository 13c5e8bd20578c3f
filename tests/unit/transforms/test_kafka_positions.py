import pytest

from transforms.kafka_positions import (
    PartitionPosition,
    Shard,
    ShardPositions,
    ShardPositionsCoder,
    ShardPositionsTracker,
)


def _at(offset: int, end: int | None = None) -> ShardPositions:
    return ShardPositions((PartitionPosition("t", "id", 0, offset, end),))


def test_every_partition_has_exactly_one_shard() -> None:
    shards = [Shard(index, 4) for index in range(4)]
    for partition in range(20):
        assert [shard.owns(partition) for shard in shards].count(True) == 1


def test_the_coder_gives_back_what_it_took() -> None:
    coder = ShardPositionsCoder()
    for positions in (ShardPositions(), _at(5), _at(5, 9), ShardPositions((), is_finished=True)):
        assert coder.decode(coder.encode(positions)) == positions


def test_a_self_checkpoint_resumes_at_the_last_claim() -> None:
    tracker = ShardPositionsTracker(_at(0))
    assert tracker.try_claim(_at(5))
    split = tracker.try_split(0)
    assert split is not None
    primary, residual = split
    assert residual == _at(5)
    assert primary.is_finished
    tracker.check_done()
    assert not tracker.try_claim(_at(6))


def test_a_split_of_the_work_is_refused() -> None:
    tracker = ShardPositionsTracker(_at(0))
    assert tracker.try_split(0.5) is None
    assert tracker.try_claim(_at(1))


def test_a_finished_shard_has_nothing_to_resume() -> None:
    tracker = ShardPositionsTracker(_at(0))
    assert tracker.try_claim(ShardPositions((), is_finished=True))
    assert tracker.try_split(0) is None
    tracker.check_done()


def test_an_end_without_checkpoint_is_an_error() -> None:
    tracker = ShardPositionsTracker(_at(0))
    tracker.try_claim(_at(1))
    with pytest.raises(ValueError, match="without a checkpoint"):
        tracker.check_done()


def test_the_end_is_reached_when_every_partition_is_there() -> None:
    assert _at(9, 9).is_at_end
    assert not _at(8, 9).is_at_end
    assert not _at(9).is_at_end
    assert not ShardPositions().is_at_end
    assert ShardPositions(()).is_at_end
