"""`make bench`: throughput against a bare loop in the same run, latency, and the cost
of idling and of being watched.

The machine's speed drifts: quote ratios, and figures of one run only together.
"""

import argparse
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

import psutil
from confluent_kafka import Producer

from runners.local import local_services
from runners.sample_events import good_events, produce
from tests.bench.observed import measure_observed, measure_scrape_cpu
from tests.bench.rounds import PIPELINE, events_per_sec
from tests.support import Database, Kafka, Process, new_database, wait_until
from transforms import schema

_PARTITIONS = 3
_RATE_PER_SEC = 500
_WARM_UP_SECS = 20  # the broker's compiler takes a core until then
_LATENCY_SECS = 20
_IDLE_SECS = 20
_TABLE = schema.ROW_TABLE


def main() -> None:
    """Start the services, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000, help="events a round")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of pipeline and bare loop")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    with local_services() as services, new_database(services) as database:
        connection = database.connect()
        schema.migrate(connection)
        connection.close()
        _measure_throughput(services, database, arguments.events, arguments.rounds)
        _measure_live(services, database)


def _measure_throughput(
    services: dict[str, str], database: Database, events: int, rounds: int
) -> None:
    kafka = Kafka(services["KAFKA_BROKER_1"])
    topic = kafka.create_topic(_PARTITIONS)
    print(f"producing {events:,} events to {_PARTITIONS} partitions ...", flush=True)
    produce({"bootstrap.servers": kafka.address}, topic, good_events(events))
    environment = database.environment | {"TOPIC_EVENT": topic, "BENCH_EVENTS": str(events)}
    ratios = []
    for number in range(1, rounds + 1):
        bare = events_per_sec("tests.bench.bare_loop", environment, database, events)
        pipeline = events_per_sec(PIPELINE, environment, database, events)
        ratios.append(pipeline / bare)
        print(
            f"throughput, round {number}: pipeline {pipeline:,.0f}/s, bare loop {bare:,.0f}/s, "
            f"ratio {pipeline / bare:.2f}",
            flush=True,
        )
    print(f"throughput: median ratio {statistics.median(ratios):.2f} (goal 0.70)", flush=True)
    measure_observed(environment, database, events, rounds)


def _measure_live(services: dict[str, str], database: Database) -> None:
    kafka = Kafka(services["KAFKA_BROKER_1"])
    topic = kafka.create_topic(_PARTITIONS)
    environment = database.environment | {"TOPIC_EVENT": topic, "KAFKA_GROUP_ID": topic}
    database.query(f"TRUNCATE {_TABLE}")
    with tempfile.TemporaryDirectory() as folder:
        process = Process(environment, Path(folder))
        try:
            _measure_latency(kafka, topic, database)
            _measure_idle(psutil.Process(process.popen.pid))
            measure_scrape_cpu(process)
        finally:
            process.terminate()
            process.wait(10)


def _measure_latency(kafka: Kafka, topic: str, database: Database) -> None:
    """Measure from the call of produce to the first query that sees the row."""
    kafka.produce(topic, [b"{}"])  # the pipeline is up when this is a dead letter
    wait_until(lambda: database.count(schema.DEAD_LETTER_TABLE), "the pipeline runs")
    produced: dict[int, float] = {}
    warm_up, measured = _RATE_PER_SEC * _WARM_UP_SECS, _RATE_PER_SEC * _LATENCY_SECS
    events = warm_up + measured
    producer = threading.Thread(target=_produce_steadily, args=(kafka, topic, events, produced))
    producer.start()
    latencies_ms: dict[int, float] = {}
    connection = database.connect()
    connection.autocommit = True
    with connection.cursor() as cursor:
        last_id = 0
        while len(latencies_ms) < events:
            cursor.execute(f"SELECT id, fk_clearance_id FROM {_TABLE} WHERE id > %s", (last_id,))
            now = time.monotonic()
            for row_id, number in cursor.fetchall():
                last_id = max(last_id, row_id)
                latencies_ms[number] = (now - produced[number]) * 1000
            time.sleep(0.001)
    connection.close()
    producer.join()
    warm = sorted(latencies_ms[number] for number in range(warm_up, events))
    median, p99 = warm[measured // 2], warm[measured * 99 // 100]
    print(
        f"latency at {_RATE_PER_SEC}/s over {_LATENCY_SECS} s after {_WARM_UP_SECS} s to warm up, "
        f"produce to visible row: median {median:.1f} ms (goal 15), p99 {p99:.1f} ms (goal 60), "
        f"max {warm[-1]:.1f} ms",
        flush=True,
    )


def _produce_steadily(kafka: Kafka, topic: str, events: int, produced: dict[int, float]) -> None:
    # No transactions: the time until a producer commits is not the pipeline's.
    at_once = {"linger.ms": 0, "socket.nagle.disable": True}
    producer = Producer({"bootstrap.servers": kafka.address, **at_once, "log_level": 2})
    for partition in range(_PARTITIONS):  # to connect is not the pipeline's time either
        producer.produce(topic, b"{}", partition=partition)
    producer.flush(30)
    start = time.monotonic()
    for number, event in enumerate(good_events(events)):
        time.sleep(max(0.0, start + number / _RATE_PER_SEC - time.monotonic()))
        produced[number] = time.monotonic()
        producer.produce(topic, event.value, event.key, headers=list(event.headers))
        producer.poll(0)
    producer.flush(30)


def _measure_idle(process: psutil.Process) -> None:
    before = process.cpu_times()
    time.sleep(_IDLE_SECS)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    share = 100 * used / _IDLE_SECS
    print(f"idle over {_IDLE_SECS} s: {share:.1f} % of one core (goal 5)", flush=True)


if __name__ == "__main__":
    main()
