"""The checks before a run: a line each, with what to change when one fails."""

from collections.abc import Iterator

import psycopg2
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from msgspec import Struct

from options.settings import Settings
from runners.clients import connect
from transforms import schema
from transforms.errors import JobError
from transforms.kafka_errors import ask_coordinator
from transforms.kafka_topics import TopicWatch
from transforms.sqlstate import describe

_TIMEOUT_SECS = 10.0


class Check(Struct, frozen=True):
    """One check's outcome.

    Args:
        fault: what to change, None when the check passed.
    """

    name: str
    fault: str | None = None

    def __str__(self) -> str:
        return f"ok    {self.name}" if self.fault is None else f"FAIL  {self.name}: {self.fault}"


def run_checks(settings: Settings) -> Iterator[Check]:
    """Look at Kafka and PostgreSQL as the pipeline would use them. Writes nothing."""
    yield from _check_kafka(settings)
    yield from _check_postgres(settings)


def _check_kafka(settings: Settings) -> Iterator[Check]:
    errors: list[str] = []
    config = {
        **settings.kafka(),
        "error_cb": lambda error: errors.append(error.str()),
        "log_level": 0,  # the errors come back as values
    }
    admin = AdminClient(config)
    name = f"Kafka reachable at {settings.brokers}"
    try:
        admin.list_topics(timeout=_TIMEOUT_SECS)
    except KafkaException as error:
        admin.poll(0)  # hands over the errors of the connections, which say more
        yield Check(name, errors[-1] if errors else error.args[0].str())
        return
    yield Check(name)
    for topic in settings.topic_event:
        yield Check(f"topic {topic}", _topic_fault(config, topic))
    yield Check(
        f"consumer group {settings.kafka_group_id}", _group_fault(admin, settings.kafka_group_id)
    )


def _topic_fault(config: dict[str, object], topic: str) -> str | None:
    try:
        TopicWatch(config, [topic], _TIMEOUT_SECS).read()
    except JobError as error:
        return str(error)
    return None


def _group_fault(admin: AdminClient, group: str) -> str | None:
    try:
        members = ask_coordinator(lambda: _group_members(admin, group), _TIMEOUT_SECS)
    except KafkaException as error:
        return f"not readable: {error.args[0].str()}"
    if members:  # Kafka takes no offsets from outside a group that has members
        return (
            f"{members} consumers are subscribed to it, such as the old service: stop them, "
            "or set another KAFKA_GROUP_ID"
        )
    return None


def _group_members(admin: AdminClient, group: str) -> int:
    """Return how many consumers are subscribed.

    It takes the same right as reading the group's offsets, which an admin client must not do:
    librdkafka 2.16 dies of SIGSEGV on NOT_COORDINATOR then (confluentinc/librdkafka#5040).
    """
    description = admin.describe_consumer_groups([group], request_timeout=_TIMEOUT_SECS)
    return len(description[group].result().members)


def _check_postgres(settings: Settings) -> Iterator[Check]:
    name = f"PostgreSQL reachable at {settings.db_host}:{settings.db_port}/{settings.db_name}"
    try:
        connection = connect(settings)
    except psycopg2.Error as error:
        yield Check(name, describe(error))
        return
    try:
        yield Check(name)
        name = "tables, unique index and rights"
        try:
            faults = schema.find_faults(connection)
        except psycopg2.Error as error:
            faults = [describe(error)]
        yield from [Check(name, fault) for fault in faults] or [Check(name)]
    finally:
        connection.close()
