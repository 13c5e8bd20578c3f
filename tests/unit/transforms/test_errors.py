"""Codes and exit codes are a promise: scripts and dashboards hang on them."""

import pytest

from transforms import errors
from transforms.errors import ErrorCode, ReconciliationError


def _classes(base: type[ReconciliationError]) -> list[type[ReconciliationError]]:
    return [base, *(found for each in base.__subclasses__() for found in _classes(each))]


@pytest.mark.parametrize(
    ("name", "code", "exit_code"),
    [
        ("SettingsError", "INVALID_SETTINGS", 2),
        ("CheckError", "CHECK_FAILED", 1),
        ("ConfigurationError", "REFUSED", 3),
        ("UnavailableError", "UNAVAILABLE", 4),
        ("StopTimeoutError", "STOP_TIMEOUT", 4),
        ("ServiceError", "SERVICE_FAILED", 1),
        ("JobError", "UNEXPECTED", 1),
    ],
)
def test_codes_are_stable(name: str, code: str, exit_code: int) -> None:
    found = getattr(errors, name)
    assert (str(found.code), found.exit_code) == (code, exit_code)


def test_every_code_has_its_own_name_as_value() -> None:
    assert all(code.value == code.name for code in ErrorCode)


def test_a_record_has_no_code_of_a_job() -> None:
    of_jobs = {each.code for each in _classes(ReconciliationError)} - {ErrorCode.UNEXPECTED}
    assert not of_jobs & set(errors.RECORD_CODES)
    assert set(ErrorCode) == of_jobs | set(errors.RECORD_CODES)
