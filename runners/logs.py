"""Log lines: JSON on stdout, short readable ones in a terminal, JSON in a file if one is named."""

import logging
import sys
import time
from collections.abc import Callable
from logging.handlers import RotatingFileHandler

from pythonjsonlogger.json import JsonFormatter
from tqdm import tqdm

from options.settings import LogLevel, Settings
from transforms.errors import SettingsError

# What fails again and again in an outage, or comes with many records.
_REPEATING = (
    "librdkafka",
    "opentelemetry",
    "transforms.kafka_commit",
    "transforms.postgres",
    "uvicorn",
)
_REPEAT_SECS = 10.0
# Beam's and others' lines of level info tell a user nothing; their tracebacks are ours to turn
# into one line.
_QUIET = {
    "apache_beam": logging.WARNING,
    "apache_beam.runners.common": logging.CRITICAL,
    "apache_beam.transforms.core": logging.ERROR,
    "root": logging.INFO,
    "testcontainers": logging.WARNING,
}
# A day of one line every 10 s is 3 MB.
_FILE_BYTES = 10 << 20
_OLD_FILES = 5


class _TerminalHandler(logging.Handler):
    """Prints beside the live line, not through it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            tqdm.write(self.format(record))
        except Exception:  # a terminal that is gone must not stop the pipeline
            self.handleError(record)


class RepeatFilter(logging.Filter):
    """Passes a line of one kind once in 10 s: an outage of Kafka fails many tries a second.

    The kind is the logger and the message's first word; librdkafka's is the event, such as FAIL,
    a dead letter's is its code. Loggers that do not repeat themselves pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._next: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(_REPEATING):
            return True
        kind, now = (record.name, record.getMessage().partition(" ")[0]), self._clock()
        if now < self._next.get(kind, now):
            return False
        self._next[kind] = now + _REPEAT_SECS
        return True


def configure_logs(settings: Settings) -> None:
    """Send all log lines of the process to stdout, and to the file of `LOG_GROUP`.

    A line that cannot be written, as on a full disk, is dropped.

    Raises:
        SettingsError: the file cannot be opened.
    """
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    handlers = [_stdout_handler()]
    if settings.log_group and settings.otel_stdout_log_group:
        handlers.append(_file_handler(settings.log_group))
    for handler in handlers:
        handler.addFilter(RepeatFilter())
    level = settings.log_level
    logging.basicConfig(level=level.value.upper(), handlers=handlers, force=True)
    # It shows the headers of the exporters, which may be secrets.
    logging.getLogger("opentelemetry.util.re").disabled = True
    if level is not LogLevel.DEBUG:
        for name, least in _QUIET.items():
            logging.getLogger(name).setLevel(max(least, logging.getLogger().level))


def json_formatter() -> JsonFormatter:
    """Return what makes a line: time, level, logger, message, and what `extra` holds."""
    return JsonFormatter(
        "%(levelname)s %(name)s %(message)s",
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp="time",
    )


def _stdout_handler() -> logging.Handler:
    if sys.stdout.isatty():
        terminal = _TerminalHandler()
        terminal.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        return terminal
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(json_formatter())
    return handler


def _file_handler(path: str) -> logging.Handler:
    try:
        handler = RotatingFileHandler(
            path, maxBytes=_FILE_BYTES, backupCount=_OLD_FILES, encoding="utf-8"
        )
    except OSError as error:
        raise SettingsError(
            f"--log_group (LOG_GROUP): cannot write {path}: {error.strerror}"
        ) from None
    handler.setFormatter(json_formatter())
    return handler
