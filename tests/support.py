"""What tests share: records, waiting, and the real services as each test sees them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, Protocol

import psycopg2
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from transforms.records import Headers, KafkaRecord

ROOT = Path(__file__).parent.parent
EVENTS = Path(__file__).parent / "events"
WAIT_SECS = 60.0


def record(
    value: bytes | None = b"{}",
    *,
    topic: str = "topic.clearance",
    partition: int = 0,
    offset: int = 0,
    timestamp_ms: int = 1_761_534_276_123,
    key: bytes | None = b"key",
    headers: Headers | None = None,
) -> KafkaRecord:
    return KafkaRecord(topic, partition, offset, timestamp_ms, key, value, headers)


def sample(name: str) -> bytes:
    """Return a sample event by its file's name."""
    return (EVENTS / f"{name}.json").read_bytes().strip()


def wait_until(is_true: Callable[[], Any], what: str, timeout_secs: float = WAIT_SECS) -> None:
    deadline = time.monotonic() + timeout_secs
    while not is_true():
        assert time.monotonic() < deadline, f"not within {timeout_secs:g} s: {what}"
        time.sleep(0.05)


class Kafka:
    """The real broker, with topics of one test's own."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.admin = AdminClient({"bootstrap.servers": address})

    def create_topic(self, partitions: int = 1, name: str | None = None) -> str:
        topic = name or f"test.{uuid.uuid4()}"
        self.admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)
        wait_until(
            lambda: len(self._partitions(topic)) == partitions,
            f"{topic} has {partitions} partitions",
        )
        return topic

    def delete_topic(self, topic: str) -> None:
        self.admin.delete_topics([topic])[topic].result(30)
        wait_until(lambda: not self._partitions(topic), f"{topic} is gone")

    def add_partitions(self, topic: str, total: int) -> None:
        self.admin.create_partitions([NewPartitions(topic, total)])[topic].result(30)
        wait_until(lambda: len(self._partitions(topic)) == total, f"{topic} has {total} partitions")

    def produce(
        self,
        topic: str,
        values: Sequence[bytes | None],
        *,
        partition: int = -1,
        abort: bool = False,
        headers: Headers | None = None,
    ) -> None:
        """Produce values in one transaction."""
        producer = self.transaction()
        for value in values:
            send(producer, topic, value, partition=partition, headers=headers)
        if abort:
            producer.flush(30)
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)

    def transaction(self) -> Producer:
        """Return a producer with an open transaction."""
        producer = Producer(
            {
                "bootstrap.servers": self.address,
                "transactional.id": str(uuid.uuid4()),
                "log_level": 2,
            }
        )
        producer.init_transactions(30)
        producer.begin_transaction()
        return producer

    def _partitions(self, topic: str) -> dict[int, Any]:
        found = self.admin.list_topics(timeout=10).topics.get(topic)
        return dict(found.partitions) if found is not None and found.error is None else {}


def send(
    producer: Producer,
    topic: str,
    value: bytes | None,
    *,
    partition: int = -1,
    headers: Headers | None = None,
) -> None:
    while True:
        try:
            producer.produce(topic, value, b"key", partition, headers=list(headers or []))
            return
        except BufferError:
            producer.poll(0.1)


class Database:
    """A database of one test's own on the real server."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def connect(self) -> Connection:
        env = self.environment
        connection: Connection = psycopg2.connect(
            host=env["DB_HOST"],
            port=env["DB_PORT"],
            user=env["DB_USER"],
            password=env["DB_PASSWORD"],
            dbname=env["DB_NAME"],
        )
        return connection

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        connection = self.connect()
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Keep everybody else from a table."""
        connection = self.connect()
        try:
            connection.cursor().execute(sql.SQL("LOCK TABLE {}").format(sql.Identifier(table)))
            yield
        finally:
            connection.close()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """End all connections to the database, and refuse new ones."""
        name = self.environment["DB_NAME"]
        server = Database(self.environment | {"DB_NAME": "postgres"})
        server.query(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            server.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            yield
        finally:
            server.query(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    def count(self, table: str) -> int:
        statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
        connection = self.connect()
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                [(count,)] = cursor.fetchall()
                return int(count)
        finally:
            connection.close()


@contextmanager
def new_database(services: dict[str, str]) -> Iterator[Database]:
    """Create a database, and drop it afterwards, whoever is still connected."""
    name = f"test_{uuid.uuid4().hex}"
    server = Database(services)

    def execute(statement: str) -> None:
        connection = server.connect()
        connection.autocommit = True  # CREATE DATABASE runs in no transaction
        try:
            connection.cursor().execute(sql.SQL(statement).format(sql.Identifier(name)))
        finally:
            connection.close()

    execute("CREATE DATABASE {}")
    try:
        yield Database({**services, "DB_NAME": name, "PORT": "0"})
    finally:
        execute("DROP DATABASE {} WITH (FORCE)")


_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/")


@dataclass(frozen=True)
class Answer:
    """An HTTP server's answer."""

    status: int
    headers: Message
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


def get(url: str, accept: str = "", timeout_secs: float = 5.0) -> Answer:
    """Ask an HTTP server; an answer of 503 is one too."""
    request = urllib.request.Request(url, headers={"Accept": accept})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=timeout_secs) as found:  # noqa: S310
            return Answer(found.status, found.headers, found.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read().decode())


def metric_value(answer: Answer, name: str) -> float:
    """Return the sum over a metric's series."""
    lines = [line for line in answer.text.splitlines() if re.match(rf"{name}[{{ ]", line)]
    assert lines, f"{name} is not there"
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


class Process:
    """`python -m pipeline` as a user starts it.

    Its output goes to a file: a pipe that nobody reads would stop it.
    """

    def __init__(
        self,
        environment: dict[str, str],
        folder: Path,
        *arguments: str,
        module: str = "pipeline",
    ) -> None:
        self._log = folder / f"{uuid.uuid4()}.log"
        with self._log.open("wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env={**clean_environment(), **environment, "PYTHONPATH": str(ROOT)},
                cwd=folder,  # a .env of the developer's must not count
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def get(self, path: str, accept: str = "") -> Answer:
        """Ask the sidecar, whose address the first line tells."""
        wait_until(lambda: _ADDRESS.search(self.output), f"an address: {self.output}")
        found = _ADDRESS.search(self.output)
        assert found is not None
        return get(found[0] + path.removeprefix("/"), accept)

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.get("/ready").status == 200, f"ready: {self.output}")

    def wait(self, timeout_secs: float = 2 * WAIT_SECS) -> int:
        try:
            return self.popen.wait(timeout_secs)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"still running after {timeout_secs:g} s: {self.output}") from None

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def terminate(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.popen.send_signal(number)


class Start(Protocol):
    def __call__(self, environment: dict[str, str], *arguments: str) -> Process: ...


def clean_environment() -> dict[str, str]:
    """Return this environment without settings of the pipeline's."""
    keep = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "JAVA_HOME")
    return {name: os.environ[name] for name in keep if name in os.environ}
