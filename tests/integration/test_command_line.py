"""The command line against real services: checks, refusals, secrets, the demo."""

import json

from tests.support import Database, Kafka, Start, sample, wait_until

_ROWS = "order_clearance_reconciliacion"


def test_check_prints_a_line_for_each_check(
    kafka: Kafka, environment: dict[str, str], start: Start
) -> None:
    process = start(environment, "check", f"--topic_event={kafka.create_topic()}")
    assert process.wait() == 0, process.output
    assert [line.split()[0] for line in process.output.splitlines()] == ["ok"] * 5


def test_check_names_every_fault(
    empty_database: Database, environment: dict[str, str], start: Start
) -> None:
    process = start(environment | empty_database.environment, "check", "--topic_event=not.there")
    assert process.wait() == 1
    assert "FAIL  topic not.there: topic 'not.there' does not exist" in process.output


def test_servers_that_are_not_there_are_named(environment: dict[str, str], start: Start) -> None:
    away = {"KAFKA_BROKER_1": "127.0.0.1:1", "DB_PORT": "1"}
    process = start(environment | away, "check")
    assert process.wait() == 1
    kafka, postgres = process.output.splitlines()
    assert kafka.startswith("FAIL  Kafka reachable at 127.0.0.1:1: ")
    assert postgres.startswith("FAIL  PostgreSQL reachable at 127.0.0.1:1/")
    assert "refused" in kafka
    assert "refused" in postgres


def test_run_refuses_a_missing_table_unless_it_may_migrate(
    kafka: Kafka, empty_database: Database, services: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("payment_ok")])
    environment = empty_database.environment | {"TOPIC_EVENT": topic, "KAFKA_GROUP_ID": topic}
    process = start(environment, "--until_end")
    assert process.wait() == 1
    assert f"table {_ROWS} is missing: run 'python -m pipeline migrate'" in process.output
    line = json.loads(process.output.splitlines()[0])
    assert (line["level"], line["error_code"]) == ("ERROR", "CHECK_FAILED")
    process = start(environment, "--until_end", "--migrate")
    assert process.wait() == 0, process.output
    assert empty_database.count(_ROWS) == 1


def test_migrate_says_what_it_did(empty_database: Database, start: Start) -> None:
    for line in ("tables created or upgraded", "tables are as needed"):
        process = start(empty_database.environment, "migrate")
        assert process.wait() == 0
        assert process.output.strip() == line


def test_a_consumer_that_subscribes_to_the_group_is_a_fault(
    kafka: Kafka, environment: dict[str, str], start: Start
) -> None:
    from confluent_kafka import Consumer  # noqa: PLC0415

    topic, group = kafka.create_topic(), environment["KAFKA_GROUP_ID"]
    old_service = Consumer({"bootstrap.servers": kafka.address, "group.id": group})
    try:
        old_service.subscribe([topic])
        wait_until(lambda: old_service.poll(0.1) or old_service.assignment(), "an assignment")
        process = start(environment, "check", f"--topic_event={topic}")
        assert process.wait() == 1
        assert "1 consumers are subscribed to it" in process.output
    finally:
        old_service.close()


def test_no_output_holds_a_secret(kafka: Kafka, environment: dict[str, str], start: Start) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("payment_ok"), sample("truncated")])
    secrets = {"DB_PASSWORD": environment["DB_PASSWORD"], "KAFKA_PASSWORD": "marked-secret"}
    debug = environment | secrets | {"TOPIC_EVENT": topic, "LOG_LEVEL": "debug"}
    for extra in ({}, {"DB_PASSWORD": "wrong-marked-secret"}, {"DB_PORT": "no"}):
        for command in ("check", "run"):
            process = start(debug | extra, command, "--until_end")
            process.wait()
            assert process.output
            assert "marked-secret" not in process.output
            assert environment["DB_PASSWORD"] not in process.output


def test_a_wrong_password_is_one_clear_line(environment: dict[str, str], start: Start) -> None:
    process = start(environment | {"DB_PASSWORD": "wrong"}, "migrate")
    assert process.wait() == 4
    [line] = process.output.splitlines()
    assert "password authentication failed" in line


def test_without_a_terminal_the_last_line_is_json(
    kafka: Kafka, environment: dict[str, str], start: Start
) -> None:
    process = start(environment, "--until_end", f"--topic_event={kafka.create_topic()}")
    assert process.wait() == 0
    first, last = map(json.loads, process.output.splitlines())
    assert {"time", "level", "logger", "message", "app_name", "version"} <= set(first)
    assert {"time", "level", "logger", "message", "read", "lag"} <= set(last)


def test_the_demo_shows_what_became_of_its_events(
    kafka: Kafka, empty_database: Database, start: Start
) -> None:
    environment = empty_database.environment | {
        "TOPIC_EVENT": f"demo.{empty_database.environment['DB_NAME']}",
        "KAFKA_GROUP_ID": empty_database.environment["DB_NAME"],
    }
    process = start(environment, "demo", "--until_end")
    assert process.wait() == 0, process.output
    assert "Produced 5,000 events" in process.output
    assert f"{empty_database.count(_ROWS):,} became rows" in process.output


def test_the_demo_produces_nothing_among_real_events(
    kafka: Kafka, environment: dict[str, str], database: Database, start: Start
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("payment_ok")])
    process = start(environment, "demo", "--until_end", f"--topic_event={topic}")
    assert process.wait() == 0, process.output
    assert "No sample events produced" in process.output
    assert database.count(_ROWS) == 1
