"""The tables: their names, their creation, and whether a database has what the writes need."""

from collections.abc import Iterator
from importlib.resources import files

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from transforms.copy_text import ROW_COLUMNS
from transforms.dead_letters import DEAD_LETTER_COLUMNS
from transforms.errors import ConfigurationError

ROW_TABLE = "order_clearance_reconciliacion"
DEAD_LETTER_TABLE = "order_clearance_reconciliacion_dead_letter"
SOURCE_KEY = ("source_topic", "source_partition", "source_offset", "source_timestamp")

_WRITTEN = {ROW_TABLE: {*ROW_COLUMNS}, DEAD_LETTER_TABLE: {*DEAD_LETTER_COLUMNS}}
# The conflict-ignoring insert reads the key's columns; a dead letter seen again is updated.
_RIGHTS = {ROW_TABLE: ("INSERT", "SELECT"), DEAD_LETTER_TABLE: ("INSERT", "SELECT", "UPDATE")}
_LOCK_TIMEOUT = "10s"
_LOCK = 7_004_001  # any number that no other program takes in this database
_MIGRATE = "run 'python -m pipeline migrate', or start with --migrate"

_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
"""
# ON CONFLICT takes no partial, deferrable or invalid index, and none on expressions.
_UNIQUE_KEYS = """
SELECT array_agg(a.attname ORDER BY a.attname)
FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND i.indisvalid AND i.indisready
  AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indexrelid
"""


def migrate(connection: Connection) -> bool:
    """Create the tables and indexes, or upgrade them in place. Commits.

    Idempotent, and safe when two start at once: the second waits for the first (an advisory
    lock), and finds nothing to do. An upgrade keeps writers and readers from the table for as
    long as the index is built: about 1 s for a million rows. It gives up, and changes nothing, when
    another session keeps it from that lock for 10 s.

    Returns:
        Whether anything had to be done.

    Raises:
        psycopg2.Error: the database refuses; nothing was changed.
        ConfigurationError: an object that does not serve is in the way; nothing was changed.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")  # an index on a large table takes long
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        if not list(_missing_parts(cursor)):
            return False  # no lock on a table in use
        cursor.execute("SET LOCAL lock_timeout = %s", (_LOCK_TIMEOUT,))
        cursor.execute(files("transforms").joinpath("schema.sql").read_text())
        if faults := list(_missing_parts(cursor)):
            raise ConfigurationError(
                f"{faults[0]}; that was tried, and another object of the same name is in the way: "
                "drop or rename it"
            )
        return True


def find_faults(connection: Connection) -> list[str]:
    """Return what the writes would fail on, one line each, with what to do about it."""
    with connection, connection.cursor() as cursor:
        return list(_missing_parts(cursor)) or list(_missing_rights(cursor))


def _missing_parts(cursor: Cursor) -> Iterator[str]:
    for table, columns in _WRITTEN.items():
        cursor.execute(_COLUMNS, (table,))
        present = {name for (name,) in cursor.fetchall()}
        if not present:
            yield f"table {table} is missing: {_MIGRATE}"
            continue
        if absent := sorted(columns - present):
            yield f"table {table} has no column {', '.join(absent)}: {_MIGRATE}"
        cursor.execute(_UNIQUE_KEYS, (table,))
        if sorted(SOURCE_KEY) not in [key for (key,) in cursor.fetchall()]:
            yield f"table {table} has no unique index on {', '.join(SOURCE_KEY)}: {_MIGRATE}"


def _missing_rights(cursor: Cursor) -> Iterator[str]:
    for table, rights in _RIGHTS.items():
        for right in rights:
            cursor.execute("SELECT has_table_privilege(%s, %s)", (table, right))
            if cursor.fetchone() == (False,):
                yield f"no right to {right} on {table}: GRANT {right} ON {table} to DB_USER"
        cursor.execute(
            "SELECT has_sequence_privilege(pg_get_serial_sequence(%s, 'id'), 'USAGE')", (table,)
        )
        if cursor.fetchone() == (False,):
            yield f"no right to use the sequence of {table}.id: GRANT USAGE ON it to DB_USER"
        cursor.execute("SELECT row_security_active(%s)", (table,))
        if cursor.fetchone() == (True,):
            yield f"row-level security of {table} holds for DB_USER: give it the right BYPASSRLS"
    cursor.execute("SELECT has_database_privilege(current_database(), 'TEMPORARY')")
    if cursor.fetchone() == (False,):
        yield "no right to make temporary tables: GRANT TEMPORARY ON the database to DB_USER"
