"""Asks Kafka and PostgreSQL once a second whether they answer, each in a thread of its own."""

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import psycopg2
from confluent_kafka import IsolationLevel, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from msgspec import Struct
from psycopg2.extensions import connection as Connection

from options.settings import Settings
from runners.clients import connect
from runners.sidecar_totals import Partition

INTERVAL_SECS = 1.0
_TIMEOUT_SECS = 2.0
# An answer that is older does not count: that of a server that accepts and never answers.
_STALE_SECS = INTERVAL_SECS + _TIMEOUT_SECS

_NEWEST_DEAD_LETTERS = """
    SELECT last_seen_at, source_topic, source_partition, source_offset, error_code, request_id
    FROM order_clearance_reconciliacion_dead_letter ORDER BY id DESC LIMIT 10
"""

_SHOWN = ("topic", "partition", "offset", "code", "request_id", "last_seen_at")

Answer = TypeVar("Answer")


class Health(Struct, frozen=True):
    """Whether something is as it should be.

    Args:
        fault: why not, None when it is.
    """

    fault: str | None = None

    @property
    def is_ok(self) -> bool:
        return self.fault is None


class Probe(Generic[Answer]):
    """Asks a server again and again; never blocks who looks at the answer.

    Args:
        name: of the server.
        ask: returns the server's answer or raises.
        answer: what holds until the server has answered.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        ask: Callable[[], Answer],
        answer: Answer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.answer = answer
        self._name = name
        self._ask = ask
        self._fault: str | None = f"{name} has not answered yet"
        self._clock = clock
        self._answered_at = clock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"probe-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask no more. Does not wait for an answer that may never come."""
        self._stop.set()

    def health(self) -> Health:
        """Return whether the server answers."""
        age = self._clock() - self._answered_at
        if self._fault is None and age > _STALE_SECS:
            return Health(f"{self._name} has not answered for {age:.0f} s")
        return Health(self._fault)

    def _run(self) -> None:
        while True:
            try:
                self.answer = self._ask()
                self._fault = None
                self._answered_at = self._clock()
            except Exception as error:  # whatever it is, the server is not as it should be
                self._fault = f"{self._name}: {_reason(error)}"
            if self._stop.wait(INTERVAL_SECS):
                return


def _reason(error: Exception) -> str:
    if isinstance(error, KafkaException):
        return str(error.args[0].str())
    return " ".join(str(error).split()) or type(error).__name__


class KafkaEnds:
    """Asks Kafka for the end of each partition: behind its last committed transaction."""

    def __init__(self, settings: Settings) -> None:
        self._topics = TopicCollection(list(settings.topic_event))
        self._errors: list[str] = []
        config: dict[str, Any] = {
            **settings.kafka(),
            "error_cb": lambda error: self._errors.append(error.str()),
            "log_level": 0,  # the errors come back as values
        }
        self._admin = AdminClient(config)

    def __call__(self) -> dict[Partition, int]:
        """Return the ends by partition; a topic that is not there has none.

        Raises:
            KafkaException: no answer within 2 s; the fault of the connection if that is known.
        """
        self._errors.clear()
        try:
            return self._ask()
        except KafkaException as error:
            self._admin.poll(0)  # hands over the errors of the connections, which say more
            raise ConnectionError(self._errors[-1] if self._errors else _reason(error)) from None

    def _ask(self) -> dict[Partition, int]:
        described = self._admin.describe_topics(self._topics, request_timeout=_TIMEOUT_SECS)
        partitions = []
        for name, future in described.items():
            try:
                partitions += [TopicPartition(name, p.id) for p in future.result().partitions]
            except KafkaException as error:
                if error.args[0].retriable() or error.args[0].code() < 0:  # no answer at all
                    raise
        if not partitions:
            return {}
        offsets = self._admin.list_offsets(
            dict.fromkeys(partitions, OffsetSpec.latest()),
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=_TIMEOUT_SECS,
        )
        return {(p.topic, p.partition): future.result().offset for p, future in offsets.items()}


class DeadLetters:
    """Asks PostgreSQL for the newest dead letters: their codes and positions, never the record."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.model_copy(update={"ctx_timeout": _TIMEOUT_SECS})
        self._connection: Connection | None = None

    def __call__(self) -> list[dict[str, Any]]:
        """Return the newest ten.

        Raises:
            ConnectionError: no answer within 2 s, or no right to read the table. Names no user.
        """
        try:
            if self._connection is None:
                self._connection = connect(self._settings)
                self._connection.autocommit = True  # no transaction stays open
            with self._connection.cursor() as cursor:
                cursor.execute(_NEWEST_DEAD_LETTERS)
                return [
                    dict(zip(_SHOWN, (*row, seen_at.isoformat()), strict=True))
                    for seen_at, *row in cursor.fetchall()
                ]
        except psycopg2.Error as error:
            self.close()
            user = self._settings.db_user or "\0"
            raise ConnectionError(str(error).replace(user, "the user")) from None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
