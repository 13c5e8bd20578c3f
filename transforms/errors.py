"""What can go wrong, by kind: dead-letter codes for records, exceptions for the job."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """Why a record became a dead letter. The values are stored and shown: never rename one."""

    EMPTY_VALUE = "EMPTY_VALUE"
    NOT_UTF8 = "NOT_UTF8"
    NOT_JSON = "NOT_JSON"
    MISSING_FIELD = "MISSING_FIELD"
    WRONG_TYPE = "WRONG_TYPE"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    TEXT_TOO_LONG = "TEXT_TOO_LONG"
    NUL_CHARACTER = "NUL_CHARACTER"
    DATABASE_REJECTED = "DATABASE_REJECTED"
    UNEXPECTED = "UNEXPECTED"


class BadRecordError(Exception):
    """A record that cannot become a row.

    Args:
        code: why.
        message: the same for a person; names the field.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class JobError(Exception):
    """The job has to stop; the message is one line that says what to change."""


class ConfigurationError(JobError):
    """A server refuses what the settings ask for; a retry would be refused too."""


class UnavailableError(JobError):
    """A server stayed away for longer than retries may last, or until the stop."""
