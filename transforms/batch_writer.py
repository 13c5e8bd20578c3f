"""Writes a batch in one transaction: every row once, every bad row as a dead letter."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime

import psycopg2
from msgspec import Struct
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from transforms.batch import Batch, copy_text
from transforms.copy_text import ROW_COLUMNS
from transforms.dead_letters import DEAD_LETTER_COLUMNS, DeadLetter, dead_letter_values
from transforms.errors import ConfigurationError, ErrorCode
from transforms.postgres_session import PostgresSession
from transforms.schema import DEAD_LETTER_TABLE, ROW_TABLE, SOURCE_KEY
from transforms.sqlstate import Remedy, describe, remedy_for

_COPY_BUFFER_BYTES = 1 << 20  # psycopg2's 8 KB would call back into Python 200 times a batch
_STAGE_TABLE = "clearance_reconciliation_stage"


def _columns(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


_ROW_TABLE = sql.Identifier(ROW_TABLE)
_STAGE = sql.Identifier("pg_temp", _STAGE_TABLE)
_COPY = sql.SQL("COPY {} ({}) FROM STDIN")
_COPY_ROWS = _COPY.format(_ROW_TABLE, _columns(ROW_COLUMNS))
_COPY_STAGE = _COPY.format(_STAGE, _columns(ROW_COLUMNS))
_CREATE_STAGE = sql.SQL(
    "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA"
).format(sql.Identifier(_STAGE_TABLE), _columns(ROW_COLUMNS), _ROW_TABLE)
_CLEAR_STAGE = sql.SQL("TRUNCATE {}").format(_STAGE)
_INSERT_STAGE = sql.SQL(
    "INSERT INTO {} ({columns}) SELECT {columns} FROM {} ON CONFLICT ({}) DO NOTHING"
).format(_ROW_TABLE, _STAGE, _columns(SOURCE_KEY), columns=_columns(ROW_COLUMNS))
_INSERT_DEAD_LETTERS = sql.SQL(
    "INSERT INTO {table} ({}) VALUES %s ON CONFLICT ({}) DO UPDATE SET "
    "attempts = {table}.attempts + 1, last_seen_at = EXCLUDED.last_seen_at, "
    "error_code = EXCLUDED.error_code, error_message = EXCLUDED.error_message"
).format(
    _columns(DEAD_LETTER_COLUMNS),
    _columns(SOURCE_KEY),
    table=sql.Identifier(DEAD_LETTER_TABLE),
)


class WriteResult(Struct, frozen=True):
    """What became of a batch; the three add up to it.

    Args:
        written: new rows.
        duplicate: rows that were there already.
        dead_letters: those of the batch, and the rows that the database rejected.
    """

    written: int
    duplicate: int
    dead_letters: list[DeadLetter]


def write_batch(session: PostgresSession, batch: Batch) -> WriteResult:
    """Write the batch and commit.

    Writing the same batch again changes no row: the unique index on the source position takes
    it for a duplicate. A row that the database rejects becomes a dead letter in the same
    transaction, and the others are written.

    COPY straight into the table is the fast way (108,000 rows/s here, 84,000 by a staging
    table); any conflict or rejected row fails it as a whole, and the careful way follows.

    Raises:
        JobError: see `PostgresSession.run`; and ConfigurationError for a dead letter that the
            database rejects.
    """
    try:
        return session.run(lambda connection: _write_fast(connection, batch))
    except psycopg2.Error:  # a conflict or a rejected row: `run` lets nothing else through
        pass
    try:
        return session.run(lambda connection: _write_carefully(connection, batch))
    except psycopg2.Error as error:
        raise ConfigurationError(
            f"PostgreSQL rejects a dead letter: compare {DEAD_LETTER_TABLE} with "
            f"transforms/schema.sql: {describe(error)}"
        ) from error


def _write_fast(connection: Connection, batch: Batch) -> WriteResult:
    now = datetime.now(UTC)
    with connection.cursor() as cursor:
        if batch.lines:
            _copy(cursor, _COPY_ROWS, batch.lines, now)
        _insert_dead_letters(cursor, batch.dead_letters, now)
    return WriteResult(len(batch.records), 0, batch.dead_letters)


def _write_carefully(connection: Connection, batch: Batch) -> WriteResult:
    now = datetime.now(UTC)
    rejected: list[DeadLetter] = []
    with connection.cursor() as cursor:
        cursor.execute(_CREATE_STAGE)
        written = _insert_bisecting(cursor, batch, range(len(batch.records)), now, rejected)
        dead_letters = batch.dead_letters + rejected
        _insert_dead_letters(cursor, dead_letters, now)
    duplicate = len(batch.records) - written - len(rejected)
    return WriteResult(written, duplicate, dead_letters)


def _insert_bisecting(
    cursor: Cursor, batch: Batch, part: range, now: datetime, rejected: list[DeadLetter]
) -> int:
    """Insert a part of the rows under a savepoint; halve it where the database rejects one.

    Returns:
        How many rows are new. Rows rejected alone are appended to `rejected`.
    """
    if not part:
        return 0
    cursor.execute("SAVEPOINT part")
    try:
        _copy(cursor, _COPY_STAGE, batch.lines[part.start : part.stop], now)
        cursor.execute(_INSERT_STAGE)
        written = cursor.rowcount
        cursor.execute(_CLEAR_STAGE)
        cursor.execute("RELEASE SAVEPOINT part")
        return written
    except psycopg2.Error as error:
        if remedy_for(error) is not Remedy.DEAD_LETTER:
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT part")
        cursor.execute("RELEASE SAVEPOINT part")
        if len(part) == 1:
            record = batch.records[part.start]
            rejected.append(DeadLetter(record, ErrorCode.DATABASE_REJECTED, describe(error)))
            return 0
    half = len(part) // 2
    return sum(
        _insert_bisecting(cursor, batch, smaller, now, rejected)
        for smaller in (part[:half], part[half:])
    )


def _copy(cursor: Cursor, statement: sql.Composed, lines: Sequence[str], now: datetime) -> None:
    text = io.BytesIO(copy_text(lines, now.isoformat()))
    cursor.copy_expert(statement, text, _COPY_BUFFER_BYTES)


def _insert_dead_letters(cursor: Cursor, letters: Sequence[DeadLetter], now: datetime) -> None:
    if letters:
        values = [dead_letter_values(letter, now) for letter in letters]
        execute_values(cursor, _INSERT_DEAD_LETTERS, values)
