"""Kafka and PostgreSQL as containers, where a Docker daemon answers."""

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from runners.processes import free_port
from transforms.errors import ServiceError

# An installation without access to the public registry names its own images.
_KAFKA_IMAGE = os.environ.get("KAFKA_IMAGE", "apache/kafka:4.1.1")
_POSTGRES_IMAGE = os.environ.get("POSTGRES_IMAGE", "postgres:18")
_START_TIMEOUT_SECS = 120.0
_READY_POLL_SECS = 0.2
_USER = "postgres"


def docker_answers() -> bool:
    """Return whether a Docker daemon answers."""
    try:
        import docker  # noqa: PLC0415 - only the extra `local` brings it

        # With a version it asks nothing before `ping`, and so can be closed when that fails.
        version = docker.constants.DEFAULT_DOCKER_API_VERSION
        with contextlib.closing(docker.from_env(version=version, timeout=5)) as client:
            # Not `ping()`: that names the version, and an older daemon refuses it.
            client.api.get(f"{client.api.base_url}/_ping").raise_for_status()
    except Exception:
        return False
    return True


@contextlib.contextmanager
def containers() -> Iterator[dict[str, str]]:
    """Run both as containers, on free ports of 127.0.0.1, until the context ends.

    Yields:
        The environment variables that reach them.

    Raises:
        ServiceError: a container did not start.
    """
    with contextlib.ExitStack() as stack:
        try:
            password = secrets.token_urlsafe()
            broker = stack.enter_context(_kafka())
            port = stack.enter_context(_postgres(password))
        except Exception as error:
            raise ServiceError(f"the containers did not start: {error}") from error
        yield {
            "KAFKA_BROKER_1": broker,
            "DB_HOST": "127.0.0.1",
            "DB_PORT": str(port),
            "DB_NAME": _USER,
            "DB_USER": _USER,
            "DB_PASSWORD": password,
        }


@contextlib.contextmanager
def _kafka() -> Iterator[str]:
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415

    port = free_port()
    # The image's way to set a property: its name in capitals behind KAFKA_.
    properties = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "1",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }
    container = DockerContainer(_KAFKA_IMAGE)
    container.ports[f"{port}/tcp"] = ("127.0.0.1", port)
    for name, value in properties.items():
        container = container.with_env(name, value)
    with container:
        address = f"127.0.0.1:{port}"
        admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        _wait_for(container, lambda: admin.list_topics(timeout=1.0))
        yield address


@contextlib.contextmanager
def _postgres(password: str) -> Iterator[int]:
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415

    port = free_port()
    container = DockerContainer(_POSTGRES_IMAGE).with_env("POSTGRES_PASSWORD", password)
    container.ports["5432/tcp"] = ("127.0.0.1", port)
    with container:
        login: dict[str, Any] = {"user": _USER, "password": password, "connect_timeout": 2}
        _wait_for(container, lambda: psycopg2.connect(host="127.0.0.1", port=port, **login).close())
        yield port


def _wait_for(container: Any, ask: Callable[[], object]) -> None:
    """Ask until there is an answer.

    Raises:
        ServiceError: the container ended, or did not answer within 120 s.
    """
    running = container.get_wrapped_container()
    deadline = time.monotonic() + _START_TIMEOUT_SECS
    while True:
        try:
            ask()
        except (KafkaException, psycopg2.OperationalError) as error:
            running.reload()
            if running.status in {"exited", "dead"}:
                last = running.logs(tail=1).decode(errors="replace").strip()
                raise ServiceError(f"{container.image} ended at its start: {last}") from error
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"{container.image} did not answer within {_START_TIMEOUT_SECS:g} s"
                ) from error
            time.sleep(_READY_POLL_SECS)
        else:
            return
