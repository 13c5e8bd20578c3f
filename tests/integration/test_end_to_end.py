"""The whole pipeline as a user runs it, against a real Kafka and a real PostgreSQL."""

import json
from decimal import Decimal

from runners.sample_events import produce, sample_events
from tests.support import Database, Kafka, Start, sample

_ROWS = "order_clearance_reconciliacion"
_DEAD = "order_clearance_reconciliacion_dead_letter"


def _run(start: Start, environment: dict[str, str], topic: str, *flags: str) -> dict[str, int]:
    """Run to the end; return the counts of the last log line."""
    process = start(environment, "--until_end", f"--topic_event={topic}", *flags)
    assert process.wait() == 0, process.output
    counts: dict[str, int] = json.loads(process.output.splitlines()[-1])
    assert counts["read"] == sum(
        counts[name] for name in ("written", "duplicate", "skipped", "dead")
    )
    return counts


def test_every_event_ends_as_a_row_or_skipped_or_a_dead_letter(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic(3)
    produced = produce({"bootstrap.servers": kafka.address}, topic, sample_events(3_000))
    counts = _run(start, environment, topic)
    assert counts["read"] == 3_000
    assert counts["written"] == database.count(_ROWS) == produced["row"]
    assert counts["dead"] == database.count(_DEAD) == produced["dead"]
    assert counts["skipped"] == produced["skipped"]
    assert counts["lag"] == 0
    assert database.query(
        f"SELECT count(*) FROM {_ROWS} "
        "WHERE reconciliacion_amount <> clearance_amount - order_amount"
    ) == [(0,)]


def test_a_second_run_reads_nothing_and_another_group_finds_duplicates(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic(2)
    kafka.produce(topic, [sample("payment_ok"), sample("truncated"), sample("other_type")])
    assert _run(start, environment, topic)["read"] == 3
    assert _run(start, environment, topic)["read"] == 0
    again = _run(start, environment, topic, "--kafka_group_id=another")
    assert (again["written"], again["duplicate"], again["dead"], again["skipped"]) == (0, 1, 1, 1)
    assert database.count(_ROWS) == 1
    assert database.query(f"SELECT attempts FROM {_DEAD}") == [(2,)]


def test_a_row_has_every_column_of_the_contract(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("payment_discrepancy")], headers=[("x-request-id", b"r-1")])
    _run(start, environment, topic)
    assert database.query(
        "SELECT transaction_id, reconciliacion_type, reconciliacion_status, "
        "reconciliacion_currency, reconciliacion_amount, fk_clearance_id, clearance_status, "
        "clearance_currency, clearance_amount, fk_order_id, order_status, order_currency, "
        "order_amount, updated_at, source_topic, source_partition, source_offset, request_id, "
        "abs(extract(epoch FROM now() - created_at)) < 60, "
        f"abs(extract(epoch FROM now() - source_timestamp)) < 60 FROM {_ROWS}"
    ) == [
        (
            "b6a2f0e8-4c5f-4e39-8a52-6f1d9b0f5a20",
            "ORDER",
            "RECONCILIATION:RECEIVED",
            "BRL",
            Decimal("0.10"),
            394,
            "CLEARANCE:RECEIVED",
            "BRL",
            Decimal("100.00"),
            272,
            "ORDER:PENDING",
            "BRL",
            Decimal("99.90"),
            None,
            topic,
            0,
            0,
            "r-1",
            True,
            True,
        )
    ]


def test_a_broken_record_in_the_middle_harms_no_other(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic()
    broken: list[bytes | None] = [
        None,
        b"",
        b"\xff\xfe",
        sample("truncated"),
        sample("order_missing"),
        sample("currency_missing"),
        sample("payment_ok").replace(b"150.10000000000002", b"1e9"),
        sample("payment_ok").replace(b"CLEARANCE:RECEIVED", b"a\\u0000b"),
        sample("payment_ok").replace(b'"BRL"', b'"' + b"x" * 101 + b'"'),
    ]
    good = [sample("payment_ok")] * 10
    headers: list[tuple[str, bytes | None]] = [
        ("x-request-id", b"r-2"),
        ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("binary", b"\x00\xff"),
    ]
    kafka.produce(topic, [*good, *broken, *good], headers=headers)
    counts = _run(start, environment, topic)
    assert (counts["written"], counts["dead"]) == (20, len(broken))
    letters = database.query(
        f"SELECT source_offset, raw_value, error_code FROM {_DEAD} ORDER BY source_offset"
    )
    assert [offset for offset, _, _ in letters] == list(range(10, 10 + len(broken)))
    assert [None if raw is None else bytes(raw) for _, raw, _ in letters] == broken
    assert [code for _, _, code in letters] == [
        "EMPTY_VALUE",
        "EMPTY_VALUE",
        "NOT_UTF8",
        "NOT_JSON",
        "MISSING_FIELD",
        "MISSING_FIELD",
        "OUT_OF_RANGE",
        "NUL_CHARACTER",
        "TEXT_TOO_LONG",
    ]
    assert database.query(
        "SELECT DISTINCT source_topic, source_partition, raw_key, headers, request_id, trace_id, "
        f"status, attempts FROM {_DEAD}"
    )[0][3:] == (
        [
            {"name": "x-request-id", "value": "r-2"},
            {
                "name": "traceparent",
                "value": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            },
            {"name": "binary", "base64": "AP8="},
        ],
        "r-2",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "NEW",
        1,
    )


def test_records_of_aborted_and_open_transactions_are_no_rows(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("payment_ok")] * 3)
    kafka.produce(topic, [sample("payment_ok")] * 5, abort=True)
    kafka.produce(topic, [sample("payment_ok")] * 2)
    kafka.produce(topic, [sample("payment_ok")] * 5, abort=True)
    still_open = kafka.transaction()
    still_open.produce(topic, sample("payment_ok"), b"key")
    still_open.flush(30)
    assert _run(start, environment, topic)["written"] == 5
    still_open.commit_transaction(30)
    assert _run(start, environment, topic)["written"] == 1
    assert database.count(_ROWS) == 6


def test_two_topics_are_read(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topics = [kafka.create_topic(2), kafka.create_topic(1)]
    for count, topic in enumerate(topics, 1):
        kafka.produce(topic, [sample("payment_ok")] * count)
    numbered = {f"TOPIC_EVENT_{index:02d}": topic for index, topic in enumerate(topics)}
    process = start(environment | numbered, "--until_end")
    assert process.wait() == 0, process.output
    found = database.query(f"SELECT source_topic, count(*) FROM {_ROWS} GROUP BY 1")
    assert dict(found) == {topics[0]: 1, topics[1]: 2}


def test_a_topic_made_again_while_nobody_reads_is_read_from_its_beginning(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("payment_ok")] * 5)
    assert _run(start, environment, topic)["written"] == 5
    kafka.delete_topic(topic)
    kafka.create_topic(name=topic)
    kafka.produce(topic, [sample("payment_ok")] * 9)
    assert _run(start, environment, topic)["written"] == 9
    assert database.count(_ROWS) == 14


def test_start_latest_skips_what_is_there_and_nothing_after(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic(2)
    kafka.produce(topic, [sample("payment_ok")] * 5)
    assert _run(start, environment, topic, "--start=latest")["read"] == 0
    kafka.produce(topic, [sample("payment_ok")] * 4)
    assert _run(start, environment, topic, "--start=latest")["written"] == 4
    kafka.add_partitions(topic, 3)
    kafka.produce(topic, [sample("payment_ok")] * 3, partition=2)
    assert _run(start, environment, topic, "--start=latest")["written"] == 3


def test_start_at_a_time_skips_what_is_older(
    kafka: Kafka, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("payment_ok")] * 5)
    assert _run(start, environment, topic, "--start=2999-01-01T00:00:00Z")["read"] == 0
    past = "--start=2001-01-01T00:00:00Z"
    assert _run(start, environment, topic, past, "--kafka_group_id=p")["read"] == 5
