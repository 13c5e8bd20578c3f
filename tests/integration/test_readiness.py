"""What `/ready` says when Kafka or PostgreSQL is gone, and when the pipeline is stuck."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.local_kafka import start_kafka
from runners.processes import Service
from tests.support import Database, Kafka, Process, Start, metric_value, sample, wait_until

_ROWS = "order_clearance_reconciliacion"
_NOT_READY_SECS = 5.0


def _reason(process: Process, check: str) -> str:
    return str(process.get("/ready").json()["checks"][check]["reason"])


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[tuple[Service, Kafka]]:
    """A broker that a test may stop; needs a JDK and Maven, as processes."""
    folder = tmp_path / "kafka"
    folder.mkdir()
    service, address = start_kafka(folder)
    yield service, Kafka(address)
    service.stop()


def test_not_ready_while_kafka_hangs_and_when_it_is_gone(
    own_kafka: tuple[Service, Kafka], environment: dict[str, str], start: Start
) -> None:
    service, kafka = own_kafka
    topic = kafka.create_topic()
    process = start(environment | {"KAFKA_BROKER_1": kafka.address}, f"--topic_event={topic}")
    process.wait_until_ready()
    os.kill(service.pid, signal.SIGSTOP)
    try:
        wait_until(
            lambda: process.get("/ready").status == 503, "Kafka's hang seen", _NOT_READY_SECS
        )
        assert "Kafka" in _reason(process, "kafka")
        assert process.get("/live").status == 200
    finally:
        os.kill(service.pid, signal.SIGCONT)
    process.wait_until_ready()
    service.stop()
    wait_until(lambda: process.get("/ready").status == 503, "Kafka's end seen", _NOT_READY_SECS)
    assert process.get("/ready").json()["checks"]["postgres"]["ok"]


def test_not_ready_while_postgres_is_gone(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    process = start(environment, f"--topic_event={kafka.create_topic()}")
    process.wait_until_ready()
    with database.outage():
        wait_until(lambda: process.get("/ready").status == 503, "the outage seen", _NOT_READY_SECS)
        assert _reason(process, "postgres").startswith("PostgreSQL: ")
        assert environment["DB_PASSWORD"] not in process.get("/ready").text
    process.wait_until_ready()


def test_not_ready_while_it_is_stuck_and_its_lag_goes_on_growing(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("payment_ok")])
    process = start(environment, f"--topic_event={topic}")
    wait_until(lambda: database.count(_ROWS) == 1, "a row")
    process.wait_until_ready()
    with database.locked(_ROWS):
        kafka.produce(topic, [sample("payment_ok")] * 10)
        wait_until(lambda: process.get("/ready").status == 503, "it is stuck", _NOT_READY_SECS)
        assert "has not moved" in _reason(process, "pipeline")
        assert _reason(process, "kafka") == _reason(process, "postgres") == "None"
        kafka.produce(topic, [sample("payment_ok")] * 10)
        # Each transaction ends with a record of Kafka's own, which no consumer sees.
        wait_until(
            lambda: metric_value(process.get("/metrics"), "reconciliation_lag_records") >= 20,
            "the lag that Kafka tells",
        )
    process.wait_until_ready()
    wait_until(
        lambda: metric_value(process.get("/metrics"), "reconciliation_lag_records") == 0, "no lag"
    )
