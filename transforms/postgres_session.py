"""A connection that outlives the server's restarts: waits, connects again, runs the same again."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg2
from psycopg2.extensions import connection as Connection

from transforms.errors import ConfigurationError, UnavailableError
from transforms.sqlstate import Remedy, describe, remedy_for
from transforms.stop import wait_for_stop

_LOGGER = logging.getLogger(__name__)

_FIRST_WAIT_SECS = 0.1
_LONGEST_WAIT_SECS = 10.0
RETRY_LIMIT_SECS = 300.0  # half of the 10 minutes that a checkpoint may take

Result = TypeVar("Result")


class PostgresSession:
    """Runs transactions on one connection, opened when it is needed.

    Args:
        connect: returns a new connection; called again after a loss, so that a password that
            was changed meanwhile is read anew.
        retry_limit_secs: how long an outage may last.
        clock: monotonic seconds.
        wait: blocks for seconds, returns whether the stop was requested meanwhile.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        *,
        retry_limit_secs: float = RETRY_LIMIT_SECS,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] = wait_for_stop,
    ) -> None:
        self._connect = connect
        self._retry_limit_secs = retry_limit_secs
        self._clock = clock
        self._wait = wait
        self._connection: Connection | None = None

    def run(self, transaction: Callable[[Connection], Result]) -> Result:
        """Run the transaction and commit; on an outage wait and run it again, from its start.

        A commit whose answer was lost is run again too: the transaction has to be idempotent.

        Returns:
            What the transaction returned.

        Raises:
            psycopg2.Error: the database rejects the data (class 22, 23, 44, P0); rolled back.
            ConfigurationError: a retry would fail alike.
            UnavailableError: the outage lasted longer than the limit, or until the stop.
        """
        deadline = self._clock() + self._retry_limit_secs
        wait_secs = _FIRST_WAIT_SECS
        while True:
            try:
                return self._run_once(transaction)
            except psycopg2.Error as error:
                remedy = remedy_for(error)
                if remedy is Remedy.DEAD_LETTER:
                    raise
                self.close()
                message = describe(error)
                if remedy is Remedy.STOP:
                    raise ConfigurationError(f"PostgreSQL refuses the write: {message}") from error
                if self._clock() >= deadline:
                    raise UnavailableError(
                        f"PostgreSQL was away for {self._retry_limit_secs:g} s: {message}"
                    ) from error
            _LOGGER.warning(
                "PostgreSQL is away, next try in %.1f s: %s",
                wait_secs,
                message,
                extra={"error_code": str(UnavailableError.code)},
            )
            if self._wait(wait_secs * random.uniform(0.5, 1.0)):  # jitter: not all at once
                raise UnavailableError(
                    f"stopped while PostgreSQL was away, nothing is lost: {message}"
                )
            wait_secs = min(wait_secs * 2, _LONGEST_WAIT_SECS)

    def server(self) -> dict[str, str | int]:
        """Return the database as attributes of a span; none without a connection."""
        if self._connection is None:
            return {}
        info = self._connection.info
        return {"db.namespace": info.dbname, "server.address": info.host, "server.port": info.port}

    def close(self) -> None:
        """Close the connection, if any."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run_once(self, transaction: Callable[[Connection], Result]) -> Result:
        if self._connection is None:
            self._connection = self._connect()
        with self._connection:  # commits, or rolls back
            return transaction(self._connection)
