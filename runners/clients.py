"""How the steps reach Kafka and PostgreSQL: with secrets read where they run."""

from dataclasses import dataclass
from typing import Any

import psycopg2
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from psycopg2.extensions import connection as Connection

from options.settings import Settings
from options.workers import WorkerSettings
from runners.telemetry import span_output, start_telemetry

# A server that vanished without a word is noticed within 25 s.
_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}


@dataclass(frozen=True)
class WorkerClients:
    """What the steps call on a worker; pickled with them, without any secret."""

    settings: WorkerSettings

    def consumer_config(self) -> dict[str, Any]:
        """Return librdkafka's settings of the consumer."""
        return consumer_config(self.settings.read())

    def connect(self) -> Connection:
        """Return a new connection."""
        return connect(self.settings.read())

    def start_telemetry(self) -> None:
        """Start traces and log lines by OTLP, unless this process has started them."""
        start_telemetry(self.settings.read())

    def span_output(self) -> tuple[Resource, SpanProcessor]:
        """Return what describes this process, and what takes its spans."""
        self.start_telemetry()
        return span_output()


def consumer_config(settings: Settings) -> dict[str, Any]:
    """Return librdkafka's settings of a consumer in the group. Holds a secret."""
    return {**settings.kafka(), "group.id": settings.kafka_group_id}


def connect(settings: Settings) -> Connection:
    """Return a new connection, on which a statement ends after `CTX_TIMEOUT`.

    Raises:
        psycopg2.OperationalError: no connection.
    """
    timeout_ms = round(settings.ctx_timeout * 1000)
    # The COPY text is UTF-8, whatever the database or PGCLIENTENCODING prefer.
    arguments: dict[str, Any] = {
        **settings.postgres(),
        "client_encoding": "UTF8",
        **_KEEPALIVE,
        "tcp_user_timeout": timeout_ms,
    }
    connection: Connection = psycopg2.connect(**arguments)
    try:
        with connection, connection.cursor() as cursor:
            # Not as a start-up option: connection poolers refuse those.
            cursor.execute("SELECT set_config('statement_timeout', %s, false)", (str(timeout_ms),))
    except psycopg2.Error:
        connection.close()
        raise
    return connection
