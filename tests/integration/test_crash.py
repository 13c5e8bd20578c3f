"""What a crash, a stop or an outage leaves behind: everything once, nothing twice."""

import json
import signal

import pytest

from runners.sample_events import good_events, produce
from tests.support import Database, Kafka, Start, sample, send, wait_until

_ROWS = "order_clearance_reconciliacion"
_EVENTS = 60_000
_KILLS = 4


def test_kill_9_again_and_again_loses_nothing_and_doubles_nothing(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic(3)
    produce({"bootstrap.servers": kafka.address}, topic, good_events(_EVENTS))
    # Small batches, so that each kill hits a run in the middle of its work.
    flags = (f"--topic_event={topic}", "--batch_rows=200")
    for kill in range(1, _KILLS + 1):
        goal = kill * _EVENTS // (2 * _KILLS)
        process = start(environment, *flags)
        wait_until(lambda: database.count(_ROWS) >= goal, f"{goal} rows: {process.output}")  # noqa: B023
        process.kill()
    assert database.count(_ROWS) < _EVENTS, "the kills came too late to prove anything"
    last = start(environment, "--until_end", *flags)
    assert last.wait() == 0, last.output
    assert database.count(_ROWS) == _EVENTS
    assert database.query(
        f"SELECT count(DISTINCT fk_clearance_id), min(fk_clearance_id), max(fk_clearance_id) "
        f"FROM {_ROWS}"
    ) == [(_EVENTS, 0, _EVENTS - 1)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_exits_0_with_everything_committed(
    number: signal.Signals,
    kafka: Kafka,
    database: Database,
    environment: dict[str, str],
    start: Start,
) -> None:
    topic = kafka.create_topic(3)
    produce({"bootstrap.servers": kafka.address}, topic, good_events(_EVENTS))
    flags = (f"--topic_event={topic}", "--batch_rows=200")
    process = start(environment, *flags)
    wait_until(lambda: database.count(_ROWS) > 0, "rows")
    process.terminate(number)
    assert process.wait(timeout_secs=10) == 0, process.output
    written = database.count(_ROWS)
    assert 0 < written < _EVENTS, "the stop came too late to prove anything"
    rest = start(environment, "--until_end", *flags)
    assert rest.wait() == 0, rest.output
    counts = json.loads(rest.output.splitlines()[-1])
    assert (counts["written"], counts["duplicate"]) == (_EVENTS - written, 0)


def test_a_second_signal_kills(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("payment_ok")])
    process = start(environment, f"--topic_event={topic}")
    wait_until(lambda: database.count(_ROWS) == 1, "a row")
    with database.locked(_ROWS):
        kafka.produce(topic, [sample("payment_ok")])
        _wait_for_blocked_write(database)
        process.terminate()
        wait_until(lambda: "stopping" in process.output, "the stop")
        process.terminate()
        assert process.wait(timeout_secs=5) == -signal.SIGTERM


def test_a_stop_during_a_blocked_write_ends_in_time_and_loses_nothing(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("payment_ok")])
    flags = (f"--topic_event={topic}",)
    process = start(environment, *flags)
    wait_until(lambda: database.count(_ROWS) == 1, "a row")
    with database.locked(_ROWS):
        kafka.produce(topic, [sample("payment_ok")] * 3)
        _wait_for_blocked_write(database)
        process.terminate()
        assert process.wait(timeout_secs=12) == 4
        assert "nothing is lost" in process.output
    rest = start(environment, "--until_end", *flags)
    assert rest.wait() == 0, rest.output
    assert database.count(_ROWS) == 4


def test_a_database_outage_is_waited_out(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic(3)
    process = start(environment, f"--topic_event={topic}")
    kafka.produce(topic, [sample("payment_ok")])
    wait_until(lambda: database.count(_ROWS) == 1, f"a row: {process.output}")
    with database.outage():
        kafka.produce(topic, [sample("payment_ok")] * 100)
        wait_until(lambda: "PostgreSQL is away" in process.output, "a try to connect again")
    wait_until(lambda: database.count(_ROWS) == 101, f"all rows: {process.output}")
    assert database.count("order_clearance_reconciliacion_dead_letter") == 0
    process.terminate()
    assert process.wait(timeout_secs=10) == 0, process.output


def test_a_running_pipeline_follows_its_topics(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    """A partition is added, then the topic is deleted and made again with more records."""
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("payment_ok")] * 2)
    process = start(environment, f"--topic_event={topic}")
    wait_until(lambda: database.count(_ROWS) == 2, f"2 rows: {process.output}")

    kafka.add_partitions(topic, 2)
    kafka.produce(topic, [sample("payment_ok")] * 3, partition=1)
    wait_until(lambda: database.count(_ROWS) == 5, f"5 rows: {process.output}")

    kafka.delete_topic(topic)
    kafka.create_topic(2, name=topic)
    # More than were read before: their first offsets look as if they had been read.
    kafka.produce(topic, [sample("payment_ok")] * 10, partition=0)
    kafka.produce(topic, [sample("payment_ok")] * 10, partition=1)
    wait_until(lambda: database.count(_ROWS) == 25, f"25 rows: {process.output}")
    process.terminate()
    assert process.wait(timeout_secs=10) == 0, process.output


def test_an_open_transaction_is_read_when_it_is_committed(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic()
    process = start(environment, f"--topic_event={topic}")
    kafka.produce(topic, [sample("payment_ok")])
    wait_until(lambda: database.count(_ROWS) == 1, f"a row: {process.output}")
    producer = kafka.transaction()
    send(producer, topic, sample("payment_ok"))
    producer.flush(30)
    assert database.count(_ROWS) == 1
    producer.commit_transaction(30)
    wait_until(lambda: database.count(_ROWS) == 2, f"2 rows: {process.output}")
    process.terminate()
    assert process.wait(timeout_secs=10) == 0, process.output


def _wait_for_blocked_write(database: Database) -> None:
    wait_until(
        lambda: database.query(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event_type = 'Lock'"
        ),
        "a write that waits for the lock",
    )
