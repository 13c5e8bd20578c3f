"""A real Kafka broker (KRaft, one node) from Maven's jars, for development and tests."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import platformdirs
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from runners.processes import Service, free_port
from transforms.errors import PortTakenError, ServiceError

_POM = Path(__file__).with_name("local_kafka.pom.xml")
_START_TIMEOUT_SECS = 60.0  # 5 s on an idle machine
_START_TRIES = 3  # another process may take the port between the choice and the bind
_MAVEN_TIMEOUT_SECS = 600.0
# 16 bytes in base64. A random one may start with a dash, which the tool takes for a flag.
_CLUSTER_ID = "Y2xlYXJhbmNlLWxvY2FsIQ"

# Replication of 1 because there is one node; the initial rebalance delay only slows tests down.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
num.partitions=3
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""


def can_start() -> bool:
    """Return whether this machine has the JDK and the Maven that `start_kafka` needs."""
    return bool(shutil.which("java") and shutil.which("mvn"))


def start_kafka(directory: Path) -> tuple[Service, str]:
    """Start a broker on free ports of 127.0.0.1 and wait until a client gets an answer.

    Args:
        directory: an empty folder for its data, configuration and log.

    Returns:
        The process, and the bootstrap address `host:port`.

    Raises:
        ServiceError: Maven could not resolve the jars, or the broker did not answer.
    """
    jars = resolve_jars()
    for last_try in [False] * (_START_TRIES - 1) + [True]:
        try:
            return _start_once(jars, directory)
        except PortTakenError:
            if last_try:
                raise
            shutil.rmtree(directory / "data", ignore_errors=True)
    raise AssertionError("unreachable")


def resolve_jars() -> Path:
    """Return the folder with Kafka's jars; the first call on a machine asks Maven for them.

    Raises:
        ServiceError: Maven failed; the message ends with its last line.
    """
    version = hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]
    jars = platformdirs.user_cache_path("clearance-reconciliation") / f"kafka-{version}"
    if jars.is_dir():
        return jars
    jars.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=jars.parent) as scratch:
        _run(
            [
                *("mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"),
                f"-DoutputDirectory={scratch}/lib",
            ],
            "Maven could not resolve Kafka",
        )
        try:
            Path(scratch, "lib").rename(jars)  # atomic: two starts at once cannot mix
        except OSError:
            if not jars.is_dir():
                raise
    return jars


def _start_once(jars: Path, directory: Path) -> tuple[Service, str]:
    port, controller_port = free_port(), free_port()
    properties = directory / "server.properties"
    properties.write_text(
        _PROPERTIES.format(port=port, controller_port=controller_port, data=directory / "data")
    )
    java = ["java", "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}/*"]
    _run(
        [*java, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties)],
        "Kafka could not format its folder",
    )
    service = Service(
        "Kafka",
        [*java, "kafka.Kafka", properties],
        log=directory / "kafka.log",
        environment=dict(os.environ),
    )
    try:
        address = f"127.0.0.1:{port}"
        service.wait_until(lambda: _answers(address), _START_TIMEOUT_SECS)
    except BaseException:
        service.stop()
        raise
    return service, address


def _answers(address: str) -> bool:
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    try:
        cluster = admin.list_topics(timeout=1.0)
    except KafkaException:
        return False
    return bool(cluster.brokers)


def _run(command: list[str], failure: str) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=_MAVEN_TIMEOUT_SECS,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        raise ServiceError(f"{failure}: {lines[0] if lines else f'exit {done.returncode}'}")
