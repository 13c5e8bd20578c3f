"""What can go wrong: every exception of the project, and every code that is stored or shown.

Imports nothing, so that every package may import it.
"""

from enum import StrEnum
from typing import ClassVar


class ErrorCode(StrEnum):
    """What is wrong, in a word for dead letters, logs and metrics. Never rename one."""

    # Of a record: it becomes a dead letter.
    EMPTY_VALUE = "EMPTY_VALUE"
    NOT_UTF8 = "NOT_UTF8"
    NOT_JSON = "NOT_JSON"
    MISSING_FIELD = "MISSING_FIELD"
    WRONG_TYPE = "WRONG_TYPE"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    TEXT_TOO_LONG = "TEXT_TOO_LONG"
    NUL_CHARACTER = "NUL_CHARACTER"
    DATABASE_REJECTED = "DATABASE_REJECTED"
    # Of either.
    UNEXPECTED = "UNEXPECTED"
    # Of the job: it stops, or does not start.
    INVALID_SETTINGS = "INVALID_SETTINGS"
    CHECK_FAILED = "CHECK_FAILED"
    REFUSED = "REFUSED"
    UNAVAILABLE = "UNAVAILABLE"
    STOP_TIMEOUT = "STOP_TIMEOUT"
    SERVICE_FAILED = "SERVICE_FAILED"


# What a record can become a dead letter for.
RECORD_CODES = tuple(ErrorCode)[: list(ErrorCode).index(ErrorCode.UNEXPECTED) + 1]


class ReconciliationError(Exception):
    """Whatever the project raises for others to handle.

    Attributes:
        code: what is wrong; stable.
        exit_code: what the process ends with when nothing handles it.
    """

    code: ErrorCode = ErrorCode.UNEXPECTED
    exit_code: ClassVar[int] = 1


class BadRecordError(ReconciliationError):
    """A record that cannot become a row.

    Args:
        code: why.
        message: the same for a person; names the field.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class JobError(ReconciliationError):
    """The job has to stop; the message says, a line for each fault, what to change."""


class SettingsError(JobError):
    """Settings are wrong."""

    code = ErrorCode.INVALID_SETTINGS
    exit_code = 2


class CheckError(JobError):
    """Kafka or PostgreSQL is not as the pipeline needs it."""

    code = ErrorCode.CHECK_FAILED


class ConfigurationError(JobError):
    """A server refuses what the settings ask for; a retry would be refused too."""

    code = ErrorCode.REFUSED
    exit_code = 3


class UnavailableError(JobError):
    """A server stayed away for longer than retries may last, or until the stop."""

    code = ErrorCode.UNAVAILABLE
    exit_code = 4


class StopTimeoutError(UnavailableError):
    """The pipeline did not end in time after a stop; its thread is still there."""

    code = ErrorCode.STOP_TIMEOUT


class ServiceError(JobError):
    """A local service could not be started."""

    code = ErrorCode.SERVICE_FAILED


class PortTakenError(ServiceError):
    """The server ended before it answered, as it does when another process took its port."""
