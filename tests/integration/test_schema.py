"""The tables: made, upgraded in place, and checked."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from tests.support import Database
from transforms import schema
from transforms.errors import ConfigurationError

_ROWS = "order_clearance_reconciliacion"

# The table as the old service makes it.
_OLD_TABLE = """
CREATE TABLE order_clearance_reconciliacion (
    id                      BIGSERIAL PRIMARY KEY,
    transaction_id          VARCHAR(100) NULL,
    reconciliacion_type     VARCHAR(100) NULL,
    reconciliacion_status   VARCHAR(100) NULL,
    reconciliacion_currency VARCHAR(100) NULL,
    reconciliacion_amount   DECIMAL(10,2) NOT NULL DEFAULT 0,
    fk_clearance_id         BIGINT NULL,
    clearance_status        VARCHAR(100) NULL,
    clearance_currency      VARCHAR(100) NULL,
    clearance_amount        DECIMAL(10,2) NOT NULL DEFAULT 0,
    fk_order_id             BIGINT NULL,
    order_status            VARCHAR(100) NULL,
    order_currency          VARCHAR(100) NULL,
    order_amount            DECIMAL(10,2) NOT NULL DEFAULT 0,
    created_at              timestamptz NOT NULL,
    updated_at              timestamptz NULL
);
INSERT INTO order_clearance_reconciliacion (transaction_id, created_at)
VALUES ('old', now()), ('old', now());
"""


def _migrate(database: Database) -> bool:
    connection = database.connect()
    try:
        return schema.migrate(connection)
    finally:
        connection.close()


def _faults(database: Database) -> list[str]:
    connection = database.connect()
    try:
        return schema.find_faults(connection)
    finally:
        connection.close()


def test_an_empty_database_gets_the_tables_once(empty_database: Database) -> None:
    assert "migrate" in _faults(empty_database)[0]
    assert _migrate(empty_database)
    assert _faults(empty_database) == []
    assert not _migrate(empty_database)


def test_the_old_services_table_is_upgraded_in_place(empty_database: Database) -> None:
    empty_database.query(_OLD_TABLE)
    assert "source_topic" in _faults(empty_database)[0]
    assert _migrate(empty_database)
    assert _faults(empty_database) == []
    assert empty_database.count(_ROWS) == 2
    # The old service goes on writing, without the new columns.
    empty_database.query(f"INSERT INTO {_ROWS} (transaction_id, created_at) VALUES ('o', now())")
    nullable = empty_database.query(
        "SELECT count(*) FROM information_schema.columns WHERE table_name = %s "
        "AND is_nullable = 'YES' AND (column_name LIKE 'source_%%' OR column_name = 'request_id')",
        [_ROWS],
    )
    assert nullable == [(5,)]


def test_two_that_start_at_once_are_safe(empty_database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: _migrate(empty_database), range(4)))
    assert sorted(done) == [False, False, False, True]
    assert _faults(empty_database) == []


def test_a_migration_without_work_locks_nothing(database: Database) -> None:
    writer = database.connect()
    writer.cursor().execute(f"LOCK TABLE {_ROWS} IN ROW EXCLUSIVE MODE")
    assert not _migrate(database)
    writer.close()


@pytest.mark.parametrize(
    "index",
    [
        None,
        "UNIQUE INDEX broken ON {} (source_topic, source_partition, source_offset)",
        "INDEX broken ON {} (source_topic, source_partition, source_offset, source_timestamp)",
        "UNIQUE INDEX broken ON {} (source_topic, source_partition, source_offset, "
        "source_timestamp) WHERE source_offset > 0",
    ],
)
def test_an_index_that_does_not_serve_is_a_fault(index: str | None, database: Database) -> None:
    database.query(f"DROP INDEX {_ROWS}_source_key")
    if index:
        database.query("CREATE " + index.format(_ROWS))
    assert "no unique index" in _faults(database)[0]


@pytest.fixture
def other_user(database: Database) -> Iterator[Database]:
    """The same database as a user without rights sees it."""
    role = f"user_of_{database.environment['DB_NAME']}"
    database.query(f"CREATE ROLE {role} LOGIN PASSWORD 'p'")
    try:
        yield Database(database.environment | {"DB_USER": role, "DB_PASSWORD": "p"})
    finally:
        database.query(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_right_that_is_missing_is_a_fault(database: Database, other_user: Database) -> None:
    database.query(f"GRANT SELECT ON {_ROWS} TO {other_user.environment['DB_USER']}")
    faults = _faults(other_user)
    assert any(f"no right to INSERT on {_ROWS}" in fault for fault in faults)
    assert any("sequence" in fault for fault in faults)


def test_the_key_takes_a_record_once_and_a_topic_made_again_anew(database: Database) -> None:
    insert = (
        f"INSERT INTO {_ROWS} (created_at, source_topic, source_partition, source_offset, "
        "source_timestamp) VALUES (now(), 't', 0, 0, %s)"
    )
    database.query(insert, ["2026-01-01Z"])
    database.query(insert, ["2026-01-02Z"])
    with pytest.raises(psycopg2.errors.UniqueViolation):
        database.query(insert, ["2026-01-01Z"])


def test_a_deferrable_key_is_a_fault(database: Database) -> None:
    database.query(
        f"DROP INDEX {_ROWS}_source_key; ALTER TABLE {_ROWS} ADD CONSTRAINT late UNIQUE "
        "(source_topic, source_partition, source_offset, source_timestamp) DEFERRABLE"
    )
    assert "no unique index" in _faults(database)[0]


def test_an_index_in_the_way_is_named_and_nothing_is_changed(empty_database: Database) -> None:
    empty_database.query(_OLD_TABLE)
    empty_database.query(f"CREATE INDEX {_ROWS}_source_key ON {_ROWS} (transaction_id)")
    with pytest.raises(ConfigurationError, match="in the way"):
        _migrate(empty_database)
    assert "source_topic" in _faults(empty_database)[0]


def test_row_level_security_is_a_fault(database: Database, other_user: Database) -> None:
    database.query(f"ALTER TABLE {_ROWS} ENABLE ROW LEVEL SECURITY")
    assert any("row-level security" in fault for fault in _faults(other_user))
