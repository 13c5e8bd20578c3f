"""Log lines: JSON on stdout, short readable ones in a terminal."""

import logging
import sys
import time
from collections.abc import Callable

from pythonjsonlogger.json import JsonFormatter
from tqdm import tqdm

from options.settings import LogLevel

# Beam's and others' lines of level info tell a user nothing; their tracebacks are ours to turn
# into one line.
_REPEATING = ("librdkafka", "transforms.kafka_commit")
_REPEAT_SECS = 10.0
_QUIET = {
    "apache_beam": logging.WARNING,
    "apache_beam.runners.common": logging.CRITICAL,
    "apache_beam.transforms.core": logging.ERROR,
    "root": logging.INFO,
    "testcontainers": logging.WARNING,
}


class _TerminalHandler(logging.Handler):
    """Prints beside the live line, not through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record))


class RepeatFilter(logging.Filter):
    """Passes a line of one kind once in 10 s: an outage of Kafka fails many tries a second.

    The kind is the message's first word; librdkafka's is the event, such as FAIL.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._next: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now = record.getMessage().partition(" ")[0], self._clock()
        if now < self._next.get(kind, now):
            return False
        self._next[kind] = now + _REPEAT_SECS
        return True


def configure_logs(level: LogLevel) -> None:
    """Send all log lines of the process to stdout."""
    handler: logging.Handler
    if sys.stdout.isatty():
        handler = _TerminalHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    else:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(
            JsonFormatter(
                "%(levelname)s %(name)s %(message)s",
                rename_fields={"levelname": "level", "name": "logger"},
                timestamp="time",
            )
        )
    for name in _REPEATING:
        logging.getLogger(name).addFilter(RepeatFilter())
    logging.basicConfig(level=level.value.upper(), handlers=[handler], force=True)
    if level is not LogLevel.DEBUG:
        for name, least in _QUIET.items():
            logging.getLogger(name).setLevel(max(least, logging.getLogger().level))
