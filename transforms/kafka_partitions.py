"""A shard's partitions and where it stands in each; decides, and asks nobody."""

import logging
from collections.abc import Collection, Mapping

from confluent_kafka import OFFSET_BEGINNING
from msgspec.structs import replace

from transforms.errors import UnavailableError
from transforms.kafka_positions import PartitionPosition, ShardPositions

_LOGGER = logging.getLogger(__name__)

Key = tuple[str, int]  # topic and partition


class Partitions:
    """Where a shard stands.

    Args:
        positions: where it starts.
    """

    def __init__(self, positions: ShardPositions) -> None:
        self._next: dict[Key, PartitionPosition] = {}
        self._gone: dict[Key, PartitionPosition] = {}  # a broker that just started may be wrong
        self.stand_at(positions)

    def stand_at(self, positions: ShardPositions) -> None:
        """Take other positions, those of a bundle that is to be read."""
        self._next = {(p.topic, p.partition): p for p in positions.partitions or ()}

    def positions(self) -> ShardPositions:
        """Return where the shard stands."""
        return ShardPositions(tuple(self._next.values()))

    def is_wanted(self, key: Key, offset: int) -> bool:
        """Return whether a record is before the end of a bounded read."""
        end = self._next[key].end_offset
        return end is None or offset < end

    def advance(self, key: Key, next_offset: int) -> None:
        """Stand behind what was read: never back, and never behind the end of a bounded read.

        What is behind that end is not emitted, so the group's offset must not pass it.
        """
        position = self._next.get(key)
        if position is None:
            return
        if position.end_offset is not None:
            next_offset = min(next_offset, position.end_offset)
        if next_offset > position.next_offset:
            self._next[key] = replace(position, next_offset=next_offset)

    def restart(self, key: Key) -> None:
        """Go on at the earliest record that is left: never past one that was not read."""
        position = self._next[key]
        _LOGGER.error(
            "%s/%d: Kafka no longer has offset %d; reading the partition from its beginning. "
            "Records that retention deleted unread are lost to every reader",
            *key,
            position.next_offset,
        )
        self._next[key] = replace(position, next_offset=OFFSET_BEGINNING)

    def follow(self, owned: Mapping[Key, str], topics: Collection[str], *, bounded: bool) -> bool:
        """Let go of partitions that are gone, take new ones, start again in topics made again.

        Args:
            owned: the shard's partitions that exist, each with its topic's id.
            topics: the topics that were asked for; of others nothing is known.
            bounded: partitions that are added belong to the next run.

        Returns:
            Whether anything changed.

        Raises:
            UnavailableError: a bounded read cannot reach its end any more.
        """
        gone = {key for key in self._next if key[0] in topics and key not in owned}
        new = {key for key, topic_id in owned.items() if self._topic_id(key) != topic_id}
        if bounded:
            new &= self._next.keys()
            if gone | new:
                names = ", ".join(sorted({topic for topic, _ in gone | new}))
                raise UnavailableError(f"{names}: deleted before its end was reached")
        for key in gone:
            _LOGGER.warning("%s/%d is gone", *key)
            self._gone[key] = self._next.pop(key)
        for key in new:
            _LOGGER.warning("%s/%d is new, or made again", *key)
            before = self._gone.pop(key, None)
            if before is None or before.topic_id != owned[key]:
                before = PartitionPosition(key[0], owned[key], key[1], OFFSET_BEGINNING)
            self._next[key] = before
        return bool(gone | new)

    def __contains__(self, key: Key) -> bool:
        return key in self._next

    def _topic_id(self, key: Key) -> str | None:
        return self._next[key].topic_id if key in self._next else None
