"""Child processes that end with the command that started them."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from transforms.errors import PortTakenError, ServiceError

_STOP_TIMEOUT_SECS = 10.0  # Kafka's clean stop takes 2 s here, PostgreSQL's 0.2 s
_READY_POLL_SECS = 0.05
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Service:
    """One server process, in a session of its own so that Ctrl-C reaches only the pipeline.

    Guarantees that the process ends with its parent: by `stop`, and on Linux also when the
    parent is killed (prctl(2), PR_SET_PDEATHSIG). Start it from the main thread: the kernel
    takes the end of the starting thread for the end of the parent.

    Args:
        name: what messages call it.
        command: program and arguments; no secrets, the process list shows them.
        log: file that gets stdout and stderr.
        environment: the child's whole environment.
        user_id: the user to run as, None for the current one.
        stop_signal: what asks it for a fast, clean end.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: dict[str, str],
        user_id: int | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self._log = log
        self._stop_signal = stop_signal
        end_with_parent = partial(_end_with_parent, os.getpid())
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                user=user_id,
                start_new_session=True,
                # Safe here: services start before any other thread does.
                preexec_fn=end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, answers: Callable[[], bool], timeout_secs: float) -> None:
        """Block until `answers()` is true.

        Raises:
            PortTakenError: the process ended first.
            ServiceError: `timeout_secs` went by.
        """
        deadline = time.monotonic() + timeout_secs
        while not answers():
            if self._process.poll() is not None:
                raise PortTakenError(f"{self.name} ended at its start; see {self._log}")
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"{self.name} did not answer within {timeout_secs:g} s; see {self._log}"
                )
            time.sleep(_READY_POLL_SECS)

    def stop(self) -> None:
        """End the process: ask first, kill after 10 s. Does nothing when it has ended."""
        if self._process.poll() is not None:
            return
        self._process.send_signal(self._stop_signal)
        try:
            self._process.wait(_STOP_TIMEOUT_SECS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _end_with_parent(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)
