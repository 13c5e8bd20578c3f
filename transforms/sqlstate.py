"""PostgreSQL's errors, by what to do about them. SQLSTATE decides, never the message.

The classes are from PostgreSQL's manual, appendix A (Error Codes).
"""

from enum import Enum, auto

import psycopg2


class Remedy(Enum):
    """What to do about an error."""

    RETRY = auto()  # the server is away or busy: wait, connect again, write the same again
    DEAD_LETTER = auto()  # the database rejects a row for its data
    STOP = auto()  # every retry would fail alike until somebody changes something


_DEAD_LETTER_CLASSES = frozenset(
    {
        "22",  # data exception
        "23",  # integrity constraint violation
        "54",  # program limit exceeded: a value too long for an index
        "44",  # WITH CHECK OPTION violation
        "P0",  # raised by a trigger
    }
)
_STOP_CLASSES = frozenset(
    {
        "21",  # cardinality violation: a statement of ours is wrong
        "0A",  # feature not supported
        "28",  # invalid authorization
        "3D",  # no such database
        "3F",  # no such schema
        "42",  # no such table or column, no right, syntax
    }
)


def remedy_for(error: psycopg2.Error) -> Remedy:
    """Return what to do about an error.

    Whatever is neither the row's fault nor the configuration's is tried again: 08, 25006 (a
    standby after a failover), 40, 53, 55, 57, 58, XX, and a lost socket, which has no SQLSTATE.
    Retries end in time, so that an error nobody thought of stops the job and loses nothing.
    """
    sqlstate = error.pgcode
    if sqlstate is None:
        # psycopg2's own: a lost socket is Operational- or InterfaceError.
        lost = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
        return Remedy.RETRY if lost else Remedy.STOP
    if sqlstate[:2] in _DEAD_LETTER_CLASSES:
        return Remedy.DEAD_LETTER
    if sqlstate[:2] in _STOP_CLASSES:
        return Remedy.STOP
    return Remedy.RETRY


def describe(error: psycopg2.Error) -> str:
    """Return the error in one line, with the names it gives, without any row's values."""
    diagnosis = error.diag
    names = [
        f"{kind} {name}"
        for kind, name in (
            ("table", diagnosis.table_name),
            ("column", diagnosis.column_name),
            ("constraint", diagnosis.constraint_name),
        )
        if name
    ]
    message = diagnosis.message_primary or str(error)
    sqlstate = f"SQLSTATE {error.pgcode}: " if error.pgcode else ""
    return sqlstate + " ".join(message.split()) + (f" ({', '.join(names)})" if names else "")
