"""The sidecar: shows what a pipeline does over HTTP.

In the pipeline's process on the direct runner. `python -m runners.sidecar` runs it alone: it
watches Kafka and PostgreSQL, and no job, so it is never ready.
"""

import logging
import signal
import sys
import threading
import time
from typing import Any, Self

from options.settings import Settings
from runners.logs import configure_logs
from runners.otlp_metrics import MetricsExport
from runners.sidecar_app import make_app
from runners.sidecar_probe import DeadLetters, KafkaEnds, Probe
from runners.sidecar_server import HttpServer, open_port
from runners.sidecar_source import MetricsSource, NoJob
from runners.sidecar_totals import Partition
from runners.sidecar_view import View
from transforms.errors import SettingsError

_STOP_SECS = 1.0  # of the 10 that a stop may take
_LOGGER = logging.getLogger(__name__)


class Sidecar:
    """Serves `/metrics`, `/info`, `/health`, `/live`, `/ready`, and a page at `/`.

    Guarantees that nothing it does waits for the pipeline, or makes the pipeline wait: not a
    slow client, a server that does not answer, or an exporter that fails.

    Args:
        source: the job; `watch` takes another one.

    Raises:
        SettingsError: the port cannot be opened.
    """

    def __init__(self, settings: Settings, source: MetricsSource) -> None:
        listener = open_port(settings.sidecar_host, settings.port)
        host, port = listener.getsockname()[:2]
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        self._kafka = Probe[dict[Partition, int]]("Kafka", KafkaEnds(settings), {})
        self._postgres = Probe[list[dict[str, Any]]]("PostgreSQL", DeadLetters(settings), [])
        self._view = View(settings, port, self._kafka, self._postgres, source)
        self._server = HttpServer(listener, make_app(self._view), self._tick)
        self._export = MetricsExport(settings, self._view) if settings.otel_metrics else None

    def watch(self, source: MetricsSource) -> None:
        """Show another job from now on."""
        self._view.watch(source)

    def lag(self) -> int | None:
        """Return the lag over all partitions as it is now, None until it is known."""
        return self._view.lag()

    def __enter__(self) -> Self:
        for part in (self._kafka, self._postgres, self._server, self._export):
            if part is not None:
                part.start()
        return self

    def __exit__(self, *_: object) -> None:
        parts = (self._kafka, self._postgres, self._server, self._export)
        for part in parts:
            if part is not None:
                part.stop()
        deadline = time.monotonic() + _STOP_SECS
        for thread in (self._server.thread, self._export.thread if self._export else None):
            if thread is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    async def _tick(self) -> None:
        try:
            self._view.tick()
        except Exception:  # whatever it is, the server has to go on
            _LOGGER.exception("the sidecar cannot look at the job")


def main() -> int:
    """Serve until SIGINT or SIGTERM; return the exit code."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    logging.disable(logging.WARNING)  # importing Beam warns of Google's libraries
    from options.load import load, require  # noqa: PLC0415

    logging.disable(logging.NOTSET)
    try:
        loaded = load(sys.argv[1:])
        settings = loaded.settings
        require(settings, "kafka_broker_1", "db_host")
        configure_logs(settings)
        with Sidecar(settings, NoJob(loaded.runner)) as sidecar:
            _LOGGER.info("shown at %s", sidecar.address)
            stop.wait()
    except SettingsError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
