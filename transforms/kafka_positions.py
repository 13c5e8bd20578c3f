"""Where a shard stands: the restriction of the splittable DoFn, its tracker and its coder."""

from typing import Any

import msgspec
from apache_beam.coders import Coder
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.transforms.core import RestrictionProvider
from msgspec.structs import replace


class PartitionPosition(msgspec.Struct, frozen=True):
    """The next offset to read in one partition.

    Args:
        topic_id: Kafka's id of the topic; a topic that is deleted and made again gets another,
            and its offsets start anew.
        next_offset: the next offset to read; -2 (librdkafka's OFFSET_BEGINNING) for the first.
        end_offset: where a bounded read ends, None for an unbounded one.
    """

    topic: str
    topic_id: str
    partition: int
    next_offset: int
    end_offset: int | None = None

    @property
    def is_at_end(self) -> bool:
        return self.end_offset is not None and self.next_offset >= self.end_offset


class ShardPositions(msgspec.Struct, frozen=True):
    """The positions of all partitions that a shard owns.

    Args:
        partitions: None until the shard has asked Kafka which it owns.
        is_finished: nothing is left to read under this restriction.
    """

    partitions: tuple[PartitionPosition, ...] | None = None
    is_finished: bool = False

    @property
    def is_at_end(self) -> bool:
        return self.partitions is not None and all(p.is_at_end for p in self.partitions)


class Shard(msgspec.Struct, frozen=True):
    """Shard `index` of `count`: it owns every partition p with p % count == index."""

    index: int
    count: int

    def owns(self, partition: int) -> bool:
        return partition % self.count == self.index


class ShardPositionsCoder(Coder):
    """Encodes positions as JSON: deterministic, and readable in a checkpoint."""

    def encode(self, value: ShardPositions) -> bytes:
        return msgspec.json.encode(value)

    def decode(self, encoded: bytes) -> ShardPositions:
        return msgspec.json.decode(encoded, type=ShardPositions)

    def is_deterministic(self) -> bool:
        return True


class ShardPositionsTracker(RestrictionTracker):
    """Tracks a shard's positions; accepts only self-checkpoints, never a split of the work.

    A claim is the positions after the records about to be emitted. A claim with `is_finished`
    ends the shard for good.
    """

    def __init__(self, positions: ShardPositions) -> None:
        self._positions = positions
        self._is_checkpointed = False

    def current_restriction(self) -> ShardPositions:
        return self._positions

    def current_progress(self) -> RestrictionProgress:
        return RestrictionProgress(completed=0.0, remaining=1.0)  # unbounded: no fraction

    def try_claim(self, positions: ShardPositions) -> bool:
        if self._is_checkpointed:
            return False
        self._positions = positions
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[Any, Any] | None:
        if fraction_of_remainder != 0 or self._is_checkpointed or self._positions.is_finished:
            return None
        self._is_checkpointed = True
        residual = self._positions
        self._positions = replace(residual, is_finished=True)
        return self._positions, residual

    def check_done(self) -> None:
        if not self._positions.is_finished:
            raise ValueError(f"the shard ended without a checkpoint at {self._positions}")

    def is_bounded(self) -> bool:
        return False


class ShardPositionsProvider(RestrictionProvider):
    """Starts each shard with no positions: the worker that reads it asks Kafka for them."""

    def initial_restriction(self, element: Shard) -> ShardPositions:
        return ShardPositions()

    def create_tracker(self, restriction: ShardPositions) -> ShardPositionsTracker:
        return ShardPositionsTracker(restriction)

    def restriction_size(self, element: Shard, restriction: ShardPositions) -> float:
        return 1.0  # shards are alike: nothing to balance

    def restriction_coder(self) -> Coder:
        return ShardPositionsCoder()

    def truncate(self, element: Shard, restriction: ShardPositions) -> None:
        return None  # on drain, stop here: the positions are the group's committed offsets
