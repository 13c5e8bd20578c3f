"""One shard's reader against a real Kafka."""

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition
from msgspec.structs import replace

from tests.raw_producer import produce_raw_header
from tests.support import Kafka, send, wait_until
from transforms.errors import ConfigurationError, UnavailableError
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
    reader = new_reader(topic)
    [position] = reader.resume(ShardPositions()).partitions or ()
    reader.resume(ShardPositions((replace(position, next_offset=1_000),)))
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


def test_a_bounded_read_ends_while_records_keep_coming(kafka: Kafka, new_reader: NewReader) -> None:
    """The record before the end is a control record: later records show that it was passed."""
    topic = kafka.create_topic()
    kafka.produce(topic, [b"before"] * 5)
    reader = new_reader(topic, until_end=True)
    reader.resume(ShardPositions())

    def is_at_end() -> bool:
        kafka.produce(topic, [b"after"] * 5)
        reader.poll(3, 0.0)
        return reader.positions().is_at_end

    wait_until(is_at_end, "the end")


def test_an_offset_beyond_the_end_is_read_from_the_beginning_by_a_bounded_read_too(
    kafka: Kafka, new_reader: NewReader
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [b"1", b"2"])
    _commit(kafka, topic, 1_000)
    reader = new_reader(topic, until_end=True)
    reader.resume(ShardPositions())
    assert [record.value for record in _read(reader, 2)] == [b"1", b"2"]


def test_an_offset_within_an_open_transaction_is_kept(kafka: Kafka, new_reader: NewReader) -> None:
    """A client that reads uncommitted records commits behind the last stable offset."""
    topic = kafka.create_topic()
    kafka.produce(topic, [b"1"])
    producer = kafka.transaction()
    for value in (b"2", b"3"):
        send(producer, topic, value)
    producer.flush(30)
    _commit(kafka, topic, 3)
    [position] = new_reader(topic, until_end=True).resume(ShardPositions()).partitions or ()
    assert position.next_offset == 3
    producer.abort_transaction(30)


def test_a_bounded_read_of_a_topic_that_is_deleted_ends_with_an_error(
    kafka: Kafka, new_reader: NewReader
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [b"1"] * 10)
    reader = new_reader(topic, until_end=True)
    reader.resume(ShardPositions())
    kafka.delete_topic(topic)

    def poll_for_ever() -> None:
        wait_until(lambda: reader.poll(1, 0.1) is None, "never")

    with pytest.raises(UnavailableError, match="deleted before its end"):
        poll_for_ever()


def test_a_deleted_topic_is_let_go_and_does_not_fail_the_last_commit(
    kafka: Kafka, new_reader: NewReader
) -> None:
    topic = kafka.create_topic()
    reader = new_reader(topic)
    reader.resume(ShardPositions())
    before = reader.positions()
    kafka.delete_topic(topic)
    reader.commit_and_wait(before)

    def is_let_go() -> bool:
        reader.poll(10, 0.1)
        return reader.positions().partitions == ()

    wait_until(is_let_go, "the partition is let go")
    reader.commit_and_wait(reader.positions())


def test_a_header_whose_name_is_not_utf_8_does_not_stop_the_read(
    kafka: Kafka, new_reader: NewReader
) -> None:
    topic = kafka.create_topic()
    produce_raw_header(kafka.address, topic, name=b"\xff\xfe")
    kafka.produce(topic, [b"good"])
    reader = new_reader(topic)
    reader.resume(ShardPositions())
    bad, good = _read(reader, 2)
    assert bad.has_bad_headers
    assert (good.value, good.has_bad_headers) == (b"good", False)


def _commit(kafka: Kafka, topic: str, offset: int) -> None:
    consumer = Consumer({"bootstrap.servers": kafka.address, "group.id": topic})
    consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    consumer.close()
