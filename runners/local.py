"""Real Kafka and real PostgreSQL on this machine, for development and tests.

`python -m runners.local` starts both, prints the settings that reach them, and ends them when
it ends.
"""

import contextlib
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from runners import local_containers, local_kafka, local_postgres
from transforms.errors import ServiceError

_DATABASE = "postgres"


@contextlib.contextmanager
def local_services(*, prefer_docker: bool = False) -> Iterator[dict[str, str]]:
    """Run Kafka and PostgreSQL for as long as the context lasts.

    Both listen on free ports of 127.0.0.1, keep their data in a temporary folder of their own,
    have answered a client when the context is entered, and end with it, or with this process.

    Args:
        prefer_docker: take containers although a JDK and Maven are there.

    Yields:
        The environment variables that reach them, by the names of the pipeline's settings.

    Raises:
        ServiceError: neither a JDK with Maven nor a Docker daemon is there, or one of the two
            did not start; the message says what to do.
    """
    if (prefer_docker or not local_kafka.can_start()) and local_containers.docker_answers():
        services = local_containers.containers()
    elif local_kafka.can_start():
        services = _processes()
    else:
        raise ServiceError(
            "no local Kafka: install a JDK 17 and Maven (Debian: apt-get install "
            "openjdk-17-jdk-headless maven), or start a Docker daemon, or set KAFKA_BROKER_1 "
            "and DB_HOST to servers that run"
        )
    with services as environment:
        yield environment


@contextlib.contextmanager
def _processes() -> Iterator[dict[str, str]]:
    directory = Path(tempfile.mkdtemp(prefix="clearance-reconciliation-"))
    directory.chmod(0o711)  # as root, the server runs as another user
    password = secrets.token_urlsafe()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        (directory / "postgres").mkdir()
        (directory / "kafka").mkdir(mode=0o700)
        postgres, port = local_postgres.start_postgres(directory / "postgres", password)
        stack.callback(postgres.stop)
        kafka, broker = local_kafka.start_kafka(directory / "kafka")
        stack.callback(kafka.stop)
        yield {
            "KAFKA_BROKER_1": broker,
            "DB_HOST": "127.0.0.1",
            "DB_PORT": str(port),
            "DB_NAME": _DATABASE,
            "DB_USER": local_postgres.SUPERUSER,
            "DB_PASSWORD": password,
        }


def write_pgpass(directory: Path, environment: dict[str, str]) -> Path:
    """Write libpq's password file for the server, readable by its owner alone; return it."""
    names = ("DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD")
    path = directory / "pgpass"
    path.touch(mode=0o600)
    path.write_text(":".join(environment[name] for name in names) + "\n")
    return path


def main() -> int:
    """Start the services, say where their settings are, wait for SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with local_services() as environment, tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "env"
            path.touch(mode=0o600)
            path.write_text("".join(f"export {k}='{v}'\n" for k, v in environment.items()))
            print(f"Kafka and PostgreSQL run. In another terminal: . {path}")
            print("Ctrl-C ends them.", flush=True)
            stop.wait()
    except ServiceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
