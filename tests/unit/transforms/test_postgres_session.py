from typing import Any

import psycopg2
import pytest
from psycopg2 import errors

from transforms.errors import UnavailableError
from transforms.postgres_session import PostgresSession


class FakeClock:
    def __init__(self, *, stop_after_waits: int | None = None) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self._stop_after_waits = stop_after_waits

    def __call__(self) -> float:
        return self.now

    def wait(self, secs: float) -> bool:
        self.now += secs
        self.waits.append(secs)
        return len(self.waits) == self._stop_after_waits


class FakeConnection:
    def __init__(self) -> None:
        self.is_closed = False

    def __enter__(self) -> "FakeConnection":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


def _session(clock: FakeClock, opened: list[FakeConnection]) -> PostgresSession:
    def connect() -> Any:
        opened.append(FakeConnection())
        return opened[-1]

    return PostgresSession(connect, retry_limit_secs=60, clock=clock, wait=clock.wait)


def test_one_connection_serves_all_transactions() -> None:
    opened: list[FakeConnection] = []
    session = _session(FakeClock(), opened)
    assert [session.run(lambda _: 1), session.run(lambda _: 2)] == [1, 2]
    assert len(opened) == 1


def test_an_outage_is_waited_out_on_new_connections() -> None:
    opened: list[FakeConnection] = []
    clock = FakeClock()
    session = _session(clock, opened)

    def transaction(_: Any) -> str:
        if len(opened) < 4:
            raise psycopg2.OperationalError("server closed the connection")
        return "written"

    assert session.run(transaction) == "written"
    assert [connection.is_closed for connection in opened] == [True, True, True, False]
    assert 0.05 <= clock.waits[0] <= 0.1
    assert 0.2 <= clock.waits[2] <= 0.4


def test_an_outage_that_lasts_too_long_ends_the_job() -> None:
    clock = FakeClock()
    session = _session(clock, [])

    def transaction(_: Any) -> None:
        raise psycopg2.OperationalError("refused")

    with pytest.raises(UnavailableError, match="away for 60 s: refused"):
        session.run(transaction)
    assert 60 <= clock.now <= 80
    assert max(clock.waits) <= 10


def test_a_stop_ends_the_wait() -> None:
    session = _session(FakeClock(stop_after_waits=2), [])

    def transaction(_: Any) -> None:
        raise psycopg2.OperationalError("refused")

    with pytest.raises(UnavailableError, match="nothing is lost"):
        session.run(transaction)


def test_what_is_no_outage_is_not_tried_again() -> None:
    opened: list[FakeConnection] = []
    clock = FakeClock()
    session = _session(clock, opened)
    with pytest.raises(ZeroDivisionError):
        session.run(lambda _: 1 // 0)
    assert clock.waits == []


def test_a_misuse_of_the_driver_is_not_tried_again() -> None:
    clock = FakeClock()
    session = _session(clock, [])

    def transaction(_: Any) -> None:
        raise errors.lookup("42P01")("no table")

    with pytest.raises(Exception, match="refuses the write: no table"):
        session.run(transaction)
    assert clock.waits == []
