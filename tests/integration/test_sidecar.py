"""The sidecar of a running pipeline, as Prometheus, Kubernetes and a person ask it."""

import json
import re
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from runners.processes import free_port
from runners.sample_events import produce, sample_events
from tests.support import (
    ROOT,
    Database,
    Kafka,
    Process,
    Start,
    get,
    metric_value,
    sample,
    wait_until,
)

_ROWS = "order_clearance_reconciliacion"
_OPENMETRICS = "application/openmetrics-text; version=1.0.0"
_EVENTS = 3_000


def _reason(process: Process, check: str) -> str:
    return str(process.get("/ready").json()["checks"][check]["reason"])


def test_metrics_agree_with_what_became_of_the_events(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic(3)
    produced = produce({"bootstrap.servers": kafka.address}, topic, sample_events(_EVENTS))
    process = start(environment, f"--topic_event={topic}")
    wait_until(
        lambda: (
            metric_value(process.get("/metrics"), "reconciliation_records_read_total") == _EVENTS
        ),
        f"all events: {process.output}",
    )
    metrics = process.get("/metrics")
    stored = produced["row"] + produced["dead"]
    assert metric_value(metrics, "reconciliation_rows_written_total") == produced["row"]
    assert metric_value(metrics, "reconciliation_dead_letters_total") == produced["dead"]
    assert metric_value(metrics, "reconciliation_records_skipped_total") == produced["skipped"]
    assert metric_value(metrics, "reconciliation_event_to_commit_seconds_count") == stored
    assert metric_value(metrics, "reconciliation_batch_rows_sum") == stored
    assert metric_value(metrics, "reconciliation_ready") == 1
    assert 'partition="2"' in metrics.text
    unbatched = 'beam_elements_total{runner="DirectRunner",step="Read from Kafka/Unbatch"}'
    assert f"{unbatched} {_EVENTS}.0\n" in metrics.text
    newest = database.query(f"SELECT extract(epoch FROM max(created_at)) FROM {_ROWS}")[0][0]
    commit = metric_value(metrics, "reconciliation_last_commit_timestamp_seconds")
    assert float(newest) <= commit < float(newest) + 60
    wait_until(  # behind the records that end the producer's transactions
        lambda: metric_value(process.get("/metrics"), "reconciliation_lag_records") == 0, "no lag"
    )


def test_metrics_are_as_prometheus_wants_them_and_as_the_readme_says(
    kafka: Kafka, environment: dict[str, str], start: Start
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [sample("payment_ok"), sample("other_type"), sample("truncated")])
    process = start(environment, f"--topic_event={topic}")
    wait_until(  # a step's time is sampled 5 times a second
        lambda: all(
            f"\n{name}{{" in process.get("/metrics").text
            for name in (
                "beam_step_seconds_total",
                "reconciliation_position_offset",
                "reconciliation_batch_rows_min",
                "reconciliation_records_skipped_total",
            )
        ),
        "all metrics",
    )
    text = process.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    checked = subprocess.run(
        ["promtool", "check", "metrics"],  # Debian's package prometheus
        input=text.text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")

    openmetrics = process.get("/metrics", _OPENMETRICS)
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    families = list(text_string_to_metric_families(openmetrics.text))
    ours = [family for family in families if not family.name.startswith(("process_", "python_"))]
    documented = re.findall(r"^\| `((?:reconciliation|beam)_\w+)` \|", _readme(), re.MULTILINE)
    ends = {"counter": "_total", "info": "_info"}
    assert sorted(documented) == sorted(f"{each.name}{ends.get(each.type, '')}" for each in ours)
    for family in ours:
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        [line] = re.findall(rf"^\| `{family.name}(?:_total|_info)?` \|.*$", _readme(), re.MULTILINE)
        kind, names = (cell.strip() for cell in line.split("|")[2:4])
        assert kind == family.type
        assert set(re.findall(r"\w+", names)) == labels, family.name


def _readme() -> str:
    return (ROOT / "README.md").read_text()


def test_info_has_the_facts(kafka: Kafka, environment: dict[str, str], start: Start) -> None:
    topic = kafka.create_topic()
    process = start(
        environment | {"ENV": "test", "VERSION": "1.2.3", "ACCOUNT": "a-1"},
        f"--topic_event={topic}",
    )
    process.wait_until_ready()
    info = process.get("/info").json()
    assert set(info) == {
        "application",
        "server",
        "runner",
        "pipeline",
        "database",
        "kafka",
        "topics",
        "telemetry",
    }
    assert info["application"]["version"] == "1.2.3"
    assert info["server"]["pid"] == process.popen.pid
    assert info["runner"] == {"runner": "DirectRunner", "state": "RUNNING", "job": ""}
    assert info["pipeline"]["steps"] == ["Read from Kafka", "Reconcile", "Write to PostgreSQL"]
    assert info["database"]["name"] == environment["DB_NAME"]
    assert info["kafka"]["brokers"] == [kafka.address]
    assert info["topics"] == [topic]
    for path in ("/health", "/live"):
        assert process.get(path).status == 200
    assert process.get("/header").status == process.get("/context").status == 404


def test_no_answer_and_no_line_holds_a_secret(
    kafka: Kafka, environment: dict[str, str], start: Start, tmp_path: Path
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [b"marked-payload", sample("payment_ok")])
    log = tmp_path / "pipeline.log"
    process = start(
        environment
        | {
            "KAFKA_PASSWORD": "marked-secret-1",
            "OTEL_EXPORTER_OTLP_HEADERS": "api-key=marked-secret-2",
            "OTEL_STDOUT_TRACER": "true",
            "OTEL_TRACES": "true",
            "OTEL_LOGS": "true",
            "OTEL_METRICS": "true",
            "LOG_LEVEL": "debug",
            "LOG_GROUP": str(log),
        },
        f"--topic_event={topic}",
    )
    process.wait_until_ready()
    wait_until(lambda: process.get("/status").json()["counts"]["read"] == 2, "both records")
    wait_until(lambda: process.get("/status").json()["newest_dead_letters"], "the dead letter")
    paths = ("/", "/info", "/metrics", "/status", "/ready", "/health", "/live", "/nothing")
    texts = [process.get(path).text for path in paths] + [log.read_text()]
    texts.append(Path(f"/proc/{process.popen.pid}/cmdline").read_text())
    process.terminate()
    process.wait(10)
    for text in [*texts, process.output]:
        assert "marked-secret" not in text
        assert environment["DB_PASSWORD"] not in text
    for text in texts[: len(paths)]:
        assert "marked-payload" not in text


def test_a_port_in_use_is_one_clear_line(
    kafka: Kafka, environment: dict[str, str], start: Start
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        process = start(environment | {"PORT": port, "TOPIC_EVENT": kafka.create_topic()})
        assert process.wait() == 2
    errors = [line for line in process.output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert f"--port (PORT), --sidecar_host (SIDECAR_HOST): 127.0.0.1:{port}" in errors[0]
    assert "Traceback" not in process.output


def test_broken_and_slow_clients_harm_nobody(
    kafka: Kafka, database: Database, environment: dict[str, str], start: Start
) -> None:
    topic, port = kafka.create_topic(), free_port()
    process = start(environment | {"PORT": str(port)}, f"--topic_event={topic}")
    process.wait_until_ready()
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(90)]
    try:
        for number, client in enumerate(clients):
            if number % 3 == 0:
                client.sendall(b"GET /metrics HTTP/1.1\r\nX-Endless: ")  # and never goes on
            elif number % 3 == 1 and number < 60:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20)  # and never reads
            elif number < 60:
                client.sendall(b"\x16\x03\x01 no HTTP at all \xff\xff\r\n\r\n")
        kafka.produce(topic, [sample("payment_ok")] * 100)
        wait_until(lambda: database.count(_ROWS) == 100, f"100 rows: {process.output}")
        assert process.get("/live").status == 200
        # All of them are closed in the end, whatever they wait for.
        wait_until(lambda: all(_is_closed(client) for client in clients), "closed connections", 30)
    finally:
        for client in clients:
            client.close()
    process.terminate()
    assert process.wait(10) == 0, process.output
    assert "Traceback" not in process.output


def _is_closed(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        while client.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


def test_a_scraper_that_asks_for_nonsense_gets_the_text_format(
    kafka: Kafka, environment: dict[str, str], start: Start
) -> None:
    process = start(environment, f"--topic_event={kafka.create_topic()}")
    answer = process.get("/metrics", "application/openmetrics-text;version=x")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")


def test_no_answer_names_the_databases_user(
    kafka: Kafka, environment: dict[str, str], tmp_path: Path
) -> None:
    wrong = {"DB_USER": "marked-user", "TOPIC_EVENT": kafka.create_topic()}
    process = Process(environment | wrong, tmp_path, module="runners.sidecar")
    try:
        wait_until(lambda: "authentication failed" in process.get("/ready").text, "the refusal")
        for path in ("/ready", "/status", "/info", "/metrics"):
            assert "marked-user" not in process.get(path).text
    finally:
        process.kill()


def test_many_scrapes_at_once_are_all_answered(
    kafka: Kafka, environment: dict[str, str], start: Start
) -> None:
    process = start(environment, f"--topic_event={kafka.create_topic()}")
    process.wait_until_ready()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: process.get("/metrics").status, range(100)))
    assert answers == [200] * 100


def test_alone_it_watches_kafka_and_postgres(
    environment: dict[str, str], kafka: Kafka, tmp_path: Path
) -> None:
    process = Process(
        environment | {"TOPIC_EVENT": kafka.create_topic()}, tmp_path, module="runners.sidecar"
    )
    try:
        wait_until(
            lambda: process.get("/ready").json()["checks"]["postgres"]["ok"], "PostgreSQL answers"
        )
        wait_until(lambda: process.get("/ready").json()["checks"]["kafka"]["ok"], "Kafka answers")
        assert process.get("/ready").status == 503, "no pipeline runs"
        assert "UNKNOWN" in _reason(process, "pipeline")
        assert process.get("/live").status == 200
        assert "reconciliation_check_ok" in process.get("/metrics").text
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()


def test_a_port_on_all_addresses_has_to_be_asked_for(
    kafka: Kafka, environment: dict[str, str], start: Start
) -> None:
    topic, port = kafka.create_topic(), free_port()
    addresses = {a.address for each in psutil.net_if_addrs().values() for a in each}
    process = start(environment | {"PORT": str(port), "TOPIC_EVENT": topic})
    process.wait_until_ready()
    outside = [a for a in addresses if a.count(".") == 3 and not a.startswith("127.")]
    outside = outside or ["127.0.0.2"]  # a machine without a network: any other address
    for address in outside:
        with pytest.raises(OSError):
            get(f"http://{address}:{port}/live")
    process.terminate()
    process.wait(10)
    process = start(
        environment | {"PORT": str(port), "TOPIC_EVENT": topic, "SIDECAR_HOST": "0.0.0.0"}
    )
    for address in ["127.0.0.1", *outside]:
        url = f"http://{address}:{port}/live"
        wait_until(lambda url=url: _answers(url), f"{url} answers")  # type: ignore[misc]


def _answers(url: str) -> bool:
    try:
        return get(url).status == 200
    except OSError:
        return False


def test_stdout_is_one_json_object_a_line(
    kafka: Kafka, environment: dict[str, str], start: Start, tmp_path: Path
) -> None:
    topic, log = kafka.create_topic(), tmp_path / "logs" / "pipeline.log"
    log.parent.mkdir()
    kafka.produce(topic, [sample("truncated")], headers=[("x-request-id", b"r-1")])
    process = start(environment, "--until_end", f"--topic_event={topic}", f"--log_group={log}")
    assert process.wait() == 0, process.output
    lines = [json.loads(line) for line in process.output.splitlines()]
    for line in lines:
        assert {"time", "level", "logger", "message"} <= set(line)
    [dead_letter] = [line for line in lines if line.get("error_code")]
    assert dead_letter["error_code"] == "NOT_JSON"
    assert dead_letter["request_id"] == "r-1"
    assert (dead_letter["topic"], dead_letter["partition"], dead_letter["offset"]) == (topic, 0, 0)
    assert [json.loads(line) for line in log.read_text().splitlines()] == lines
