"""One shard's reader against a real Kafka."""

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.support import Kafka, wait_until
from transforms.errors import ConfigurationError
from transforms.kafka_positions import Shard, ShardPositions
from transforms.kafka_shard import ShardReader
from transforms.records import KafkaRecord

_WHOLE = Shard(0, 1)
NewReader = Callable[..., ShardReader]


@pytest.fixture
def new_reader(kafka: Kafka) -> Iterator[NewReader]:
    readers: list[ShardReader] = []

    def make(topic: str, shard: Shard = _WHOLE, *, until_end: bool = False) -> ShardReader:
        config = {"bootstrap.servers": kafka.address, "group.id": topic}
        readers.append(
            ShardReader(config, [topic], shard, "earliest", until_end=until_end, refresh_secs=0.5)
        )
        return readers[-1]

    yield make
    for reader in readers:
        reader.close()


def _read(reader: ShardReader, count: int) -> list[KafkaRecord]:
    records: list[KafkaRecord] = []

    def is_enough() -> bool:
        records.extend(reader.poll(100, 0.2))
        return len(records) >= count

    wait_until(is_enough, f"{count} records")
    return records


def test_a_bounded_read_never_commits_what_it_did_not_emit(
    kafka: Kafka, new_reader: NewReader
) -> None:
    topic = kafka.create_topic(2)
    for partition in (0, 1):
        kafka.produce(topic, [b"before"] * 5, partition=partition)
    reader = new_reader(topic, until_end=True)
    positions = reader.resume(ShardPositions())
    for partition in (0, 1):
        kafka.produce(topic, [b"after"] * 5, partition=partition)
    records: list[KafkaRecord] = []

    def is_at_end() -> bool:
        records.extend(reader.poll(100, 0.2))
        return reader.positions().is_at_end

    wait_until(is_at_end, "the end")
    for _ in range(10):  # the end of the partitions is farther: its event must not count
        reader.poll(100, 0.1)
    assert [record.value for record in records] == [b"before"] * 10
    positions = reader.positions()
    assert positions.partitions is not None
    assert [p.next_offset for p in positions.partitions] == [6, 6]  # 5 and a control record
    reader.commit_and_wait(positions)
    rest = new_reader(topic, until_end=True)
    rest.resume(ShardPositions())
    assert [record.value for record in _read(rest, 10)] == [b"after"] * 10


def test_shards_share_the_partitions(kafka: Kafka, new_reader: NewReader) -> None:
    topic = kafka.create_topic(3)
    for partition in range(3):
        kafka.produce(topic, [b"x"] * 2, partition=partition)
    found = []
    for index in (0, 1):
        reader = new_reader(topic, Shard(index, 2))
        reader.resume(ShardPositions())
        records = _read(reader, 4 if index == 0 else 2)
        found.append({record.partition for record in records})
    assert found == [{0, 2}, {1}]


def test_a_bundle_that_failed_is_read_again(kafka: Kafka, new_reader: NewReader) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [b"1", b"2", b"3"])
    reader = new_reader(topic)
    start = reader.resume(ShardPositions())
    first = _read(reader, 3)
    reader.resume(start)
    assert _read(reader, 3) == first


def test_the_position_passes_control_records_and_the_lag_reaches_0(
    kafka: Kafka, new_reader: NewReader
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [b"1"])
    kafka.produce(topic, [b"2"] * 3, abort=True)
    reader = new_reader(topic)
    reader.resume(ShardPositions())
    _read(reader, 1)

    def is_behind() -> bool:
        reader.poll(100, 0.2)
        return reader.lags() == {(topic, 0): 0}

    wait_until(is_behind, "lag 0")
    [position] = reader.positions().partitions or ()
    assert position.next_offset == 6  # a record, its commit, 3 records, their abort


def test_an_offset_that_is_gone_is_read_from_the_beginning(
    kafka: Kafka, new_reader: NewReader
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [b"1", b"2"])
    commit = Consumer({"bootstrap.servers": kafka.address, "group.id": topic})
    commit.commit(offsets=[TopicPartition(topic, 0, 1_000)], asynchronous=False)
    commit.close()
    reader = new_reader(topic)
    reader.resume(ShardPositions())
    assert [record.value for record in _read(reader, 2)] == [b"1", b"2"]
    assert reader.resets == 1


def test_a_commit_follows_the_next_bundle(kafka: Kafka, new_reader: NewReader) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [b"1", b"2"])
    reader = new_reader(topic)
    reader.resume(ShardPositions())
    _read(reader, 2)
    ask = Consumer({"bootstrap.servers": kafka.address, "group.id": topic})

    def committed() -> int:
        [partition] = ask.committed([TopicPartition(topic, 0)], timeout=10)
        return int(partition.offset)

    assert committed() <= 0, "nothing is written yet"

    def is_committed() -> bool:
        reader.resume(reader.positions())
        reader.poll(100, 0.1)
        return committed() >= 2

    wait_until(is_committed, "the commit")
    ask.close()


def test_a_topic_that_is_not_there_is_named(kafka: Kafka, new_reader: NewReader) -> None:
    with pytest.raises(ConfigurationError, match="'not.there' does not exist"):
        new_reader("not.there").resume(ShardPositions())
