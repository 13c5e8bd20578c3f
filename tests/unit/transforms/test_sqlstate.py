import psycopg2
import pytest
from psycopg2 import errors

from transforms.sqlstate import Remedy, remedy_for


@pytest.mark.parametrize(
    ("sqlstate", "remedy"),
    [
        ("22003", Remedy.DEAD_LETTER),
        ("23502", Remedy.DEAD_LETTER),
        ("23505", Remedy.DEAD_LETTER),
        ("44000", Remedy.DEAD_LETTER),
        ("P0001", Remedy.DEAD_LETTER),
        ("54000", Remedy.DEAD_LETTER),
        ("21000", Remedy.STOP),
        ("28P01", Remedy.STOP),
        ("3D000", Remedy.STOP),
        ("3F000", Remedy.STOP),
        ("42P01", Remedy.STOP),
        ("42501", Remedy.STOP),
        ("08006", Remedy.RETRY),
        ("25006", Remedy.RETRY),
        ("40001", Remedy.RETRY),
        ("40P01", Remedy.RETRY),
        ("53300", Remedy.RETRY),
        ("57014", Remedy.RETRY),
        ("57P01", Remedy.RETRY),
        ("XX000", Remedy.RETRY),
    ],
)
def test_the_sqlstate_decides(sqlstate: str, remedy: Remedy) -> None:
    error = errors.lookup(sqlstate)()
    assert remedy_for(_WithState(error, sqlstate)) is remedy


def test_a_lost_socket_is_tried_again() -> None:
    assert remedy_for(psycopg2.OperationalError("gone")) is Remedy.RETRY
    assert remedy_for(psycopg2.InterfaceError("gone")) is Remedy.RETRY


def test_a_misuse_of_the_driver_stops() -> None:
    assert remedy_for(psycopg2.ProgrammingError("misuse")) is Remedy.STOP


class _WithState(psycopg2.Error):
    """psycopg2 lets only its own C code set a SQLSTATE."""

    def __init__(self, error: psycopg2.Error, sqlstate: str) -> None:
        super().__init__(error)
        self._sqlstate = sqlstate

    @property
    def pgcode(self) -> str:  # type: ignore[override]
        return self._sqlstate
