"""The local services end with the command that started them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.support import ROOT, clean_environment, wait_until


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "runners.local"],
        env={**clean_environment(), "DOCKER_HOST": "unix:///none", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def _servers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the servers once they answer."""
    assert process.stdout is not None
    assert "Kafka and PostgreSQL run" in process.stdout.readline()
    return psutil.Process(process.pid).children(recursive=True)


def test_they_end_with_a_stop() -> None:
    with _start() as process:
        servers = _servers(process)
        assert {"java", "postgres"} <= {server.name() for server in servers}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not any(server.is_running() for server in servers)


def test_they_end_when_their_starter_is_killed() -> None:
    with _start() as process:
        servers = _servers(process)
        process.kill()
        wait_until(lambda: not any(_is_alive(server) for server in servers), "the servers are gone")


def test_without_anything_to_start_them_one_line_says_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "demo", "--until_end"],
        env={"PATH": "/nowhere", "DOCKER_HOST": "unix:///none", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "JDK 17 and Maven" in line


def _is_alive(server: psutil.Process) -> bool:
    try:
        return server.status() != psutil.STATUS_ZOMBIE and server.ppid() != os.getpid()
    except psutil.NoSuchProcess:
        return False
