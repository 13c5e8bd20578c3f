"""The demo: sample events through the whole pipeline, on a local Kafka and PostgreSQL."""

import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka import KafkaException
from psycopg2 import sql
from tqdm import tqdm

from options.load import Loaded, load, require
from options.settings import Settings
from pipeline.counts import Counts
from pipeline.run import migrate, run
from runners.clients import connect
from runners.local import local_services, write_pgpass
from runners.sample_events import create_topic, produce, sample_events
from transforms import schema
from transforms.errors import ConfigurationError, JobError
from transforms.kafka_topics import TopicWatch

_EVENTS = 5_000
_TIMEOUT_SECS = 10.0
_TABLE = sql.Identifier(schema.ROW_TABLE)
_SHOWN = (
    "transaction_id",
    "reconciliacion_currency",
    "clearance_amount",
    "order_amount",
    "reconciliacion_amount",
    "source_partition",
    "source_offset",
)


def demo(loaded: Loaded) -> int:
    """Produce sample events, run the pipeline over them, and show what became of them.

    Starts a Kafka and a PostgreSQL on this machine when no settings name any, and ends them.
    Into servers that the settings name it produces nothing unless the topic and the table are
    new: sample events must not get among real ones.

    Returns:
        The exit code.

    Raises:
        JobError: a server cannot be started or used, or the pipeline failed.
    """
    with contextlib.ExitStack() as stack:
        if not loaded.settings.kafka_broker_1 and not loaded.settings.db_host:
            loaded = stack.enter_context(_local(loaded))
        require(loaded.settings, "kafka_broker_1", "db_host")
        migrate(loaded.settings)
        summary = _Summary(loaded.settings, _produce(loaded.settings))
        summary.show(run(loaded, summary.observe))
    return 0


@contextlib.contextmanager
def _local(loaded: Loaded) -> Iterator[Loaded]:
    # Also a SIGTERM, so that a server that is half started ends and leaves nothing behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _say("Starting Kafka and PostgreSQL on this machine ...")
    with local_services() as environment, tempfile.TemporaryDirectory() as folder:
        os.environ.update(environment)
        local = load(loaded.argv)
        pgpass = write_pgpass(Path(folder), environment)
        _say(f"Kafka       {local.settings.brokers}")
        _say(
            f"PostgreSQL  PGPASSFILE={pgpass} psql -h {local.settings.db_host} "
            f"-p {local.settings.db_port} -U {local.settings.db_user} {local.settings.db_name}"
        )
        yield local


def _produce(settings: Settings) -> dict[str, int]:
    """Produce the sample events if nothing real is there; return their number by outcome."""
    topic = settings.topic_event[0]
    if _topic_exists(settings, topic) or _has_rows(settings):
        _say(f"No sample events produced: topic {topic} or {schema.ROW_TABLE} is in use already.")
        return {}
    try:
        create_topic(settings.kafka(), topic, settings.kafka_partition, settings.kafka_replication)
        outcomes = produce(settings.kafka(), topic, sample_events(_EVENTS))
    except KafkaException as error:
        raise JobError(f"no sample events: {error.args[0].str()}") from error
    _say(
        f"Produced {_EVENTS:,} events to {topic}: {outcomes['row']:,} good (some with a "
        f"discrepancy), {outcomes['skipped']:,} of another type, {outcomes['dead']:,} broken."
    )
    return outcomes


def _topic_exists(settings: Settings, topic: str) -> bool:
    try:
        TopicWatch(settings.kafka(), [topic], _TIMEOUT_SECS).read()
    except ConfigurationError:
        return False
    return True


def _has_rows(settings: Settings) -> bool:
    return bool(_query(settings, sql.SQL("SELECT 1 FROM {} LIMIT 1").format(_TABLE)))


class _Summary:
    """Prints once what became of the sample events."""

    def __init__(self, settings: Settings, outcomes: dict[str, int]) -> None:
        self._settings = settings
        self._expected = sum(outcomes.values())
        self._is_shown = False

    def observe(self, counts: Counts) -> None:
        """Show the summary when all sample events are through."""
        is_through = counts.read >= self._expected and counts.lag == 0
        if is_through and not self._is_shown and not self._settings.until_end:
            self.show(counts)
            _say("Still running, for events to come. Ctrl-C stops.")

    def show(self, counts: Counts) -> None:
        """Print it, unless it was printed."""
        if self._is_shown:
            return
        self._is_shown = True
        _say(
            f"\n{counts.read:,} events read: {counts.written:,} became rows, "
            f"{counts.duplicate:,} were there already, {counts.skipped:,} skipped, "
            f"{counts.dead:,} dead letters.\n\nThe newest rows of {schema.ROW_TABLE}:"
        )
        newest = sql.SQL("SELECT {} FROM {} ORDER BY id DESC LIMIT 5").format(
            sql.SQL(", ").join(map(sql.Identifier, _SHOWN)), _TABLE
        )
        _print_table([_SHOWN, *_query(self._settings, newest)])


def _query(settings: Settings, query: sql.Composed) -> list[tuple[object, ...]]:
    connection = connect(settings)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        connection.close()


def _print_table(lines: list[tuple[object, ...]]) -> None:
    widths = [max(len(str(value)) for value in column) for column in zip(*lines, strict=True)]
    for values in lines:
        cells = (str(value).ljust(width) for value, width in zip(values, widths, strict=True))
        _say("  ".join(cells).rstrip())
    _say("")


def _say(text: str) -> None:
    tqdm.write(text)  # beside the live line, not through it
