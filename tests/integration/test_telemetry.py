"""Traces, metrics and log lines of a running pipeline, sent to a real OTLP receiver."""

import json
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from options.settings import Settings
from options.workers import WorkerSettings
from pipeline.chain import tracing_of
from runners.clients import WorkerClients
from runners.sample_events import good_events, produce
from tests.otlp_receiver import Receiver, attributes, otlp_receiver
from tests.support import (
    ROOT,
    Database,
    Kafka,
    Start,
    clean_environment,
    sample,
    wait_until,
)
from transforms.postgres import WriteToPostgres

_ROWS = "order_clearance_reconciliacion"
_DEAD = "order_clearance_reconciliacion_dead_letter"
_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_PRODUCER = "00f067aa0ba902b7"
_CONSUMER, _CLIENT = 5, 3  # opentelemetry.proto.trace.v1.Span.SpanKind
_ERROR = 2


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as found:
        yield found


def _traced(trace: str = _TRACE, flags: str = "01") -> list[tuple[str, bytes | None]]:
    return [
        ("traceparent", f"00-{trace}-{_PRODUCER}-{flags}".encode()),
        ("x-request-id", b"r-1"),
    ]


def _run(
    start: Start, environment: dict[str, str], topic: str, receiver: Receiver, **settings: str
) -> str:
    process = start(
        environment
        | {"TOPIC_EVENT": topic, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address}
        | settings,
        "--until_end",
    )
    assert process.wait() == 0, process.output
    return process.output


def test_the_producers_trace_goes_on_to_the_row(
    kafka: Kafka,
    database: Database,
    environment: dict[str, str],
    start: Start,
    receiver: Receiver,
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("payment_ok")], headers=_traced())
    _run(start, environment, topic, receiver, OTEL_TRACES="true", ENV="test", VERSION="1.2")
    event, write = _by_kind(receiver.spans())
    assert event.trace_id.hex() == _TRACE
    assert event.parent_span_id.hex() == _PRODUCER
    assert event.kind == _CONSUMER
    assert event.name == f"process {topic}"
    assert attributes(event) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 0,
        "messaging.consumer.group.name": environment["KAFKA_GROUP_ID"],
        "messaging.message.conversation_id": "r-1",
    }
    assert write.kind == _CLIENT
    assert write.name == f"COPY {_ROWS}"
    assert [(link.trace_id, link.span_id) for link in write.links] == [
        (event.trace_id, event.span_id)
    ]
    assert attributes(write) == {
        "db.system.name": "postgresql",
        "db.operation.name": "COPY",
        "db.collection.name": _ROWS,
        "db.operation.batch.size": 1,
        "db.namespace": environment["DB_NAME"],
        "server.address": environment["DB_HOST"],
        "server.port": int(environment["DB_PORT"]),
    }
    assert event.start_time_unix_nano <= write.start_time_unix_nano
    assert write.end_time_unix_nano > write.start_time_unix_nano
    [(request_id,)] = database.query(f"SELECT request_id FROM {_ROWS}")
    assert request_id == attributes(event)["messaging.message.conversation_id"]


def _by_kind(spans: list[Any]) -> tuple[Any, Any]:
    [event] = [span for span in spans if span.kind == _CONSUMER]
    [write] = [span for span in spans if span.kind == _CLIENT]
    return event, write


def test_a_dead_letter_is_found_by_its_ids_everywhere(
    kafka: Kafka,
    database: Database,
    environment: dict[str, str],
    start: Start,
    receiver: Receiver,
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("truncated")], headers=_traced())
    output = _run(start, environment, topic, receiver, OTEL_TRACES="true", OTEL_LOGS="true")
    event, _ = _by_kind(receiver.spans())
    assert event.status.code == _ERROR
    assert attributes(event)["error.type"] == "NOT_JSON"
    assert database.query(f"SELECT request_id, trace_id FROM {_DEAD}") == [("r-1", _TRACE)]
    [line] = [json.loads(line) for line in output.splitlines() if "NOT_JSON" in line]
    [sent] = [attributes(line) for line in receiver.logs() if "NOT_JSON" in line.body.string_value]
    for found in (line, sent):
        assert found["trace_id"] == _TRACE
        assert found["span_id"] == event.span_id.hex()
        assert found["request_id"] == "r-1"
        assert found["error_code"] == "NOT_JSON"
        assert (found["topic"], found["partition"], found["offset"]) == (topic, 0, 0)


def test_a_skipped_event_has_a_span_and_no_write(
    kafka: Kafka, environment: dict[str, str], start: Start, receiver: Receiver
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("other_type")], headers=_traced())
    kafka.produce(topic, [sample("other_type")], headers=_traced(flags="00"))
    _run(start, environment, topic, receiver, OTEL_TRACES="true")
    [span] = receiver.spans()
    assert span.parent_span_id.hex() == _PRODUCER


def test_what_the_producer_did_not_sample_has_no_span(
    kafka: Kafka, environment: dict[str, str], start: Start, receiver: Receiver
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("payment_ok")] * 3, headers=_traced(flags="00"))
    kafka.produce(topic, [sample("payment_ok")], headers=_traced("1" * 32))
    _run(start, environment, topic, receiver, OTEL_TRACES="true")
    event, write = _by_kind(receiver.spans())
    assert event.trace_id.hex() == "1" * 32
    assert len(write.links) == 1


def test_a_share_of_the_events_is_sampled(
    kafka: Kafka, environment: dict[str, str], start: Start, receiver: Receiver
) -> None:
    topic = kafka.create_topic()
    produce({"bootstrap.servers": kafka.address}, topic, good_events(2_000))
    share = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
    _run(start, environment, topic, receiver, OTEL_TRACES="true", **share)
    events = [span for span in receiver.spans() if span.kind == _CONSUMER]
    assert 100 < len(events) < 300
    assert all(int(span.trace_id.hex()[16:], 16) < 0.1 * 2**64 for span in events)


def test_without_tracing_no_span_is_made(
    kafka: Kafka, environment: dict[str, str], start: Start, receiver: Receiver
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("payment_ok")], headers=_traced())
    _run(start, environment, topic, receiver)
    assert receiver.requests == []


def test_spans_on_stdout_are_a_json_line_each(
    kafka: Kafka, environment: dict[str, str], start: Start, receiver: Receiver
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("payment_ok")], headers=_traced())
    output = _run(start, environment, topic, receiver, OTEL_STDOUT_TRACER="true")
    lines = [json.loads(line) for line in output.splitlines()]
    spans = [line for line in lines if line.get("kind") == "SpanKind.CONSUMER"]
    assert [span["context"]["trace_id"] for span in spans] == [f"0x{_TRACE}"]
    assert receiver.requests == []


def test_the_metrics_are_sent_under_the_same_names(
    kafka: Kafka, environment: dict[str, str], start: Start, receiver: Receiver
) -> None:
    topic = kafka.create_topic()
    process = start(
        environment
        | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{receiver.address}",
            "OTEL_METRICS": "true",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        },
        f"--topic_event={topic}",
    )
    kafka.produce(topic, [sample("payment_ok")] * 3 + [sample("truncated")])

    def points(name: str) -> list[Any]:
        metric = receiver.metrics().get(name)
        return list(getattr(metric, metric.WhichOneof("data")).data_points) if metric else []

    read = "reconciliation_records_read_total"
    wait_until(lambda: [p.as_double for p in points(read)] == [4], f"the metrics: {process.output}")
    metrics = receiver.metrics()
    assert metrics[read].sum.is_monotonic
    exported = process.get("/metrics").text
    names = {line.split()[2] for line in exported.splitlines() if line.startswith("# TYPE")}
    assert names - set(metrics) == {
        "reconciliation_batch_rows",  # a summary: its parts are sent
        "reconciliation_records_skipped_total",  # nothing was skipped
    }
    [latency] = points("reconciliation_event_to_commit_seconds")
    assert latency.count == sum(latency.bucket_counts) == 4
    assert len(latency.bucket_counts) == len(latency.explicit_bounds) + 1
    assert attributes(latency) == {"runner": "DirectRunner", "step": "Write to PostgreSQL"}
    [code] = [p for p in points("reconciliation_dead_letters_total") if p.as_double]
    assert attributes(code)["code"] == "NOT_JSON"
    process.terminate()
    assert process.wait(10) == 0, process.output


@pytest.mark.parametrize("kind", ["nobody listens", "nobody answers"])
def test_a_receiver_that_fails_or_hangs_harms_nothing(
    kind: str, kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == "nobody answers":
            taken.listen()
        everything = {"OTEL_TRACES": "true", "OTEL_METRICS": "true", "OTEL_LOGS": "true"}
        process = start(
            environment
            | everything
            | {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"127.0.0.1:{taken.getsockname()[1]}",
                "OTEL_METRIC_EXPORT_INTERVAL": "100",
                "OTEL_BSP_SCHEDULE_DELAY": "100",
                "TOPIC_EVENT": topic,
            }
        )
        process.wait_until_ready()
        for total in (5_000, 10_000):  # more than the queue of spans holds
            kafka.produce(topic, [sample("payment_ok")] * 5_000, headers=_traced())
            wait_until(
                lambda total=total: database.count(_ROWS) == total,  # type: ignore[misc]
                f"{total} rows: {process.output}",
            )
        assert process.get("/ready").status == 200
        process.terminate()
        assert process.wait(10) == 0, process.output
    assert "Traceback" not in process.output
    assert all(json.loads(line) for line in process.output.splitlines())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization: marked-secret"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=marked-secret%0Ab"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-5"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zzz"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "soon"),
    ],
)
def test_a_wrong_variable_of_opentelemetrys_is_one_clear_line(
    variable: str, value: str, environment: dict[str, str], start: Start
) -> None:
    enabled = {"OTEL_TRACES": "true", "OTEL_METRICS": "true", "LOG_LEVEL": "debug"}
    process = start(environment | enabled | {variable: value})
    assert process.wait() == 2, process.output
    [line] = [line for line in process.output.splitlines() if line.startswith("error: ")]
    assert "OTEL_" in line
    assert "marked-secret" not in process.output
    assert "Traceback" not in process.output


def test_a_stop_while_postgres_and_the_receiver_hang_ends_in_time(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic()
    with socket.socket() as hangs:
        hangs.bind(("127.0.0.1", 0))
        hangs.listen()
        everything = dict.fromkeys(("OTEL_TRACES", "OTEL_METRICS", "OTEL_LOGS"), "true")
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"127.0.0.1:{hangs.getsockname()[1]}"}
        process = start(environment | everything | endpoint, f"--topic_event={topic}")
        kafka.produce(topic, [sample("payment_ok")], headers=_traced())
        wait_until(lambda: database.count(_ROWS) == 1, f"a row: {process.output}")
        with database.locked(_ROWS):
            kafka.produce(topic, [sample("payment_ok")], headers=_traced())
            wait_until(lambda: process.get("/ready").status == 503, "it is stuck")
            process.terminate()
            assert process.wait(10) == 4, process.output


_WORKER = """
import pickle, sys
write = pickle.load(sys.stdin.buffer)
from transforms.postgres import _WriteBatchFn
from transforms.rows import reconcile
from tests.support import record, sample
fn = _WriteBatchFn(write)
fn.setup()
fn.start_bundle()
fn.process(reconcile(record(sample("payment_ok"), headers=[("traceparent", TRACEPARENT)])))
fn.finish_bundle()
fn.teardown()
from runners.telemetry import stop_telemetry
stop_telemetry()
"""


def test_a_worker_in_another_process_sends_its_spans(
    database: Database, environment: dict[str, str], receiver: Receiver, tmp_path: Path
) -> None:
    """The sink travels by pickle, as to a worker of a cluster, with settings and no secret."""
    values = {
        name.lower(): value
        for name, value in (
            environment | {"OTEL_TRACES": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address}
        ).items()
    }
    settings = Settings.model_validate(values)
    clients = WorkerClients(WorkerSettings.of(settings, {"db_user": settings.db_user}))
    sink = pickle.dumps(
        WriteToPostgres(
            clients.connect,
            tracing=tracing_of(settings, clients),
            on_worker=clients.start_telemetry,
        )
    )
    assert environment["DB_PASSWORD"].encode() not in sink
    traceparent = dict(_traced())["traceparent"]
    worker = _WORKER.replace("TRACEPARENT", repr(traceparent))
    secret = {"DB_PASSWORD": environment["DB_PASSWORD"], "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-c", worker],
        input=sink,
        env=clean_environment() | secret,
        cwd=tmp_path,
        check=True,
    )
    event, write = _by_kind(receiver.spans())
    assert event.parent_span_id.hex() == _PRODUCER
    assert len(write.links) == 1
    assert database.count(_ROWS) == 1
