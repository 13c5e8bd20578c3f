"""ReadFromKafka: an unbounded, resumable read as a splittable DoFn."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.coders import Coder, registry
from apache_beam.pvalue import PBegin, PCollection

from transforms import metric_names, metrics
from transforms.kafka_positions import (
    Shard,
    ShardPositions,
    ShardPositionsProvider,
)
from transforms.kafka_shard import ShardReader
from transforms.kafka_start import EARLIEST
from transforms.records import KafkaRecord
from transforms.stop import stop_requested

_POLL_RECORDS = 500  # small enough to stay in the cache, large enough to cost Beam nothing
_POLL_WAIT_SECS = 0.25  # idle, 4 bundles a second: 2 % of a core; a stop is seen as soon
_BUNDLE_RECORDS = 100_000  # 10 full write batches: the wait for the last one is no part
_BUNDLE_SECS = 1.0  # what a crash has to read again
_REFRESH_SECS = 30.0


class Poll(msgspec.Struct, frozen=True):
    """What one poll returned: a list costs Beam as much as a record."""

    records: list[KafkaRecord]


@dataclass(eq=False)
class ReadFromKafka(beam.PTransform):
    """Read topics as `KafkaRecord`, committed transactions only.

    Guarantees that every record is emitted, and that the consumer group's offset passes it only
    after the bundle that held it has ended, that is, after its row was written by a sink in the
    same fused stage. After a crash records are emitted again. Records of one partition come in
    the order of their offsets. Partitions that are added while it runs are read from their
    beginning, and so is a topic that is deleted and made again.

    Args:
        consumer_config: returns librdkafka's settings, `group.id` among them; called on the
            worker, so that no secret travels with the pipeline.
        topics: names.
        start: `earliest`, `latest` or an RFC 3339 time: where to read a partition for which
            the group has no offset.
        until_end: end at the last stable offsets at the start; else read until `request_stop`.
        shards: consumers that share the partitions.
        refresh_secs: seconds between two looks for new partitions.
    """

    consumer_config: Callable[[], Mapping[str, Any]]
    topics: tuple[str, ...]
    start: str = EARLIEST
    until_end: bool = False
    shards: int = 1
    refresh_secs: float = _REFRESH_SECS

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, pbegin: PBegin) -> PCollection:
        shards = [Shard(index, self.shards) for index in range(self.shards)]
        return (
            pbegin
            | "Impulse" >> beam.Impulse()
            | "List shards" >> beam.FlatMap(lambda _: shards).with_output_types(Shard)
            | "Read shard" >> beam.ParDo(_ReadShardFn(self))
            | "Unbatch" >> beam.FlatMap(lambda poll: poll.records).with_output_types(KafkaRecord)
        )


class _PollCoder(Coder):
    """Without it Beam pickles every list to learn its size: a seventh of the pipeline's time."""

    def encode(self, value: Poll) -> bytes:
        return msgspec.msgpack.encode(value)

    def decode(self, encoded: bytes) -> Poll:
        return msgspec.msgpack.decode(encoded, type=Poll)

    def estimate_size(self, value: Poll) -> int:
        return sum(len(record.value or b"") for record in value.records)


registry.register_coder(Poll, _PollCoder)


@beam.typehints.with_output_types(Poll)
class _ReadShardFn(beam.DoFn):
    def __init__(self, read: ReadFromKafka) -> None:
        self._read = read
        self._readers: dict[Shard, ShardReader] = {}

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        shard: Shard,
        tracker: Any = beam.DoFn.RestrictionParam(ShardPositionsProvider()),
    ) -> Iterator[Poll]:
        reader = self._reader(shard)
        positions = reader.resume(tracker.current_restriction())
        if (self._read.until_end and positions.is_at_end) or stop_requested():
            reader.commit_and_wait(positions)
            tracker.try_claim(ShardPositions(positions.partitions, is_finished=True))
            return
        for records in _bundle(reader):
            if not tracker.try_claim(reader.positions()):
                return  # the runner took the rest: it resumes before these records
            metrics.increment(metric_names.READ, len(records))
            yield Poll(records)
        if not tracker.try_claim(reader.positions()):  # behind control records
            return
        _report(reader)
        tracker.defer_remainder()

    def teardown(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _reader(self, shard: Shard) -> ShardReader:
        if shard not in self._readers:
            self._readers[shard] = ShardReader(
                self._read.consumer_config(),
                self._read.topics,
                shard,
                self._read.start,
                until_end=self._read.until_end,
                refresh_secs=self._read.refresh_secs,
            )
        return self._readers[shard]


def _bundle(reader: ShardReader) -> Iterable[list[KafkaRecord]]:
    """Poll until nothing is there at once, or the bundle is full or old, or the stop comes."""
    deadline = time.monotonic() + _BUNDLE_SECS
    room, wait_secs = _BUNDLE_RECORDS, _POLL_WAIT_SECS
    while room > 0:
        records = reader.poll(min(_POLL_RECORDS, room), wait_secs)
        if not records:
            return
        yield records
        if time.monotonic() >= deadline or stop_requested():
            return
        room, wait_secs = room - len(records), 0.0


def _report(reader: ShardReader) -> None:
    for (topic, partition), lag in reader.lags().items():
        metrics.set_of_partition(metric_names.LAG, topic, partition, lag)
    for position in reader.positions().partitions or ():
        if position.next_offset >= 0:  # else nothing was read of it yet
            metrics.set_of_partition(
                metric_names.POSITION, position.topic, position.partition, position.next_offset
            )
    metrics.increment(metric_names.OFFSET_RESET, reader.resets)
    reader.resets = 0
