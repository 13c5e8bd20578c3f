"""Batches against a real PostgreSQL: rejected rows, duplicates, lost connections."""

import random
from collections.abc import Iterator

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from options.load import load
from runners.clients import connect
from tests.support import Database, record, sample
from transforms.batch import Batch
from transforms.batch_writer import WriteResult, write_batch
from transforms.dead_letters import DeadLetter
from transforms.errors import ConfigurationError, ErrorCode
from transforms.postgres_session import PostgresSession
from transforms.rows import Row, reconcile

_ROWS = "order_clearance_reconciliacion"
_DEAD = "order_clearance_reconciliacion_dead_letter"


@pytest.fixture
def session(database: Database) -> Iterator[PostgresSession]:
    session = PostgresSession(database.connect, retry_limit_secs=10)
    yield session
    session.close()


def _batch(offsets: range, letters: range = range(0)) -> Batch:
    batch = Batch(max_rows=10_000, max_bytes=1 << 30)
    for offset in offsets:
        value = sample("payment_ok").replace(b'"id":393', b'"id":%d' % offset)
        row = reconcile(record(value, offset=offset))
        assert isinstance(row, Row)
        batch.add(row)
    for offset in letters:
        batch.add(DeadLetter(record(b"bad", offset=offset), ErrorCode.NOT_JSON, "not JSON"))
    return batch


def _counts(result: WriteResult) -> tuple[int, int, int]:
    return result.written, result.duplicate, len(result.dead_letters)


def test_rows_and_dead_letters_are_written_together(
    database: Database, session: PostgresSession
) -> None:
    assert _counts(write_batch(session, _batch(range(100), range(100, 103)))) == (100, 0, 3)
    assert (database.count(_ROWS), database.count(_DEAD)) == (100, 3)


def test_a_batch_written_again_is_all_duplicates(
    database: Database, session: PostgresSession
) -> None:
    write_batch(session, _batch(range(100), range(100, 101)))
    assert _counts(write_batch(session, _batch(range(100), range(100, 101)))) == (0, 100, 1)
    assert (database.count(_ROWS), database.count(_DEAD)) == (100, 1)
    assert database.query(f"SELECT attempts, last_seen_at > first_seen_at FROM {_DEAD}") == [
        (2, True)
    ]


def test_a_batch_that_was_written_in_part_is_completed(
    database: Database, session: PostgresSession
) -> None:
    write_batch(session, _batch(range(50)))
    assert _counts(write_batch(session, _batch(range(100)))) == (50, 50, 0)
    assert database.count(_ROWS) == 100


@pytest.mark.parametrize("rejected", [[0], [99], [17, 18, 50], list(range(100))])
def test_rows_that_the_database_rejects_are_dead_letters_and_harm_no_other(
    rejected: list[int], database: Database, session: PostgresSession
) -> None:
    numbers = ",".join(map(str, rejected))
    database.query(
        f"ALTER TABLE {_ROWS} ADD CONSTRAINT house_rule CHECK (fk_clearance_id NOT IN ({numbers}))"
    )
    result = write_batch(session, _batch(range(100)))
    assert _counts(result) == (100 - len(rejected), 0, len(rejected))
    assert database.count(_ROWS) == 100 - len(rejected)
    letters = database.query(
        f"SELECT source_offset, error_code, error_message FROM {_DEAD} ORDER BY source_offset"
    )
    assert [offset for offset, _, _ in letters] == rejected
    assert {code for _, code, _ in letters} == {"DATABASE_REJECTED"}
    assert "SQLSTATE 23514" in letters[0][2]
    assert "constraint house_rule" in letters[0][2]


def test_duplicates_and_rejected_rows_in_one_batch_add_up(
    database: Database, session: PostgresSession
) -> None:
    write_batch(session, _batch(range(10)))
    database.query(f"ALTER TABLE {_ROWS} ADD CONSTRAINT house_rule CHECK (fk_clearance_id <> 15)")
    assert _counts(write_batch(session, _batch(range(20), range(20, 22)))) == (9, 10, 3)


def test_another_unique_index_makes_dead_letters_not_duplicates(
    database: Database, session: PostgresSession
) -> None:
    database.query(f"CREATE UNIQUE INDEX house_index ON {_ROWS} (fk_order_id)")
    assert _counts(write_batch(session, _batch(range(3)))) == (1, 0, 2)


def test_a_trigger_that_raises_makes_a_dead_letter(
    database: Database, session: PostgresSession
) -> None:
    database.query(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN IF NEW.source_offset = 1 THEN RAISE 'no'; END IF; RETURN NEW; END$$; "
        f"CREATE TRIGGER refuse BEFORE INSERT ON {_ROWS} FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    assert _counts(write_batch(session, _batch(range(3)))) == (2, 0, 1)


def test_a_connection_that_was_cut_is_replaced(
    database: Database, session: PostgresSession
) -> None:
    write_batch(session, _batch(range(5)))
    database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert _counts(write_batch(session, _batch(range(5, 10)))) == (5, 0, 0)
    assert database.count(_ROWS) == 10


def test_a_commit_whose_answer_was_lost_is_no_duplicate_row(database: Database) -> None:
    class LosesFirstAnswer(psycopg2.extensions.connection):
        is_first = True

        def __exit__(self, *error: object) -> None:
            super().__exit__(*error)  # type: ignore[arg-type]
            if LosesFirstAnswer.is_first:
                LosesFirstAnswer.is_first = False
                self.close()
                raise psycopg2.OperationalError("server closed the connection unexpectedly")

    def connect() -> Connection:
        environment = database.environment
        return psycopg2.connect(
            host=environment["DB_HOST"],
            port=environment["DB_PORT"],
            user=environment["DB_USER"],
            password=environment["DB_PASSWORD"],
            dbname=environment["DB_NAME"],
            connection_factory=LosesFirstAnswer,
        )

    session = PostgresSession(connect, retry_limit_secs=10)
    assert _counts(write_batch(session, _batch(range(5)))) == (0, 5, 0)
    session.close()
    assert database.count(_ROWS) == 5


def test_a_table_that_is_gone_stops_the_job(database: Database, session: PostgresSession) -> None:
    database.query(f"DROP TABLE {_ROWS}")
    with pytest.raises(ConfigurationError, match=f"42P01.*{_ROWS}"):
        write_batch(session, _batch(range(5)))


def test_a_dead_letter_that_cannot_be_stored_stops_the_job(
    database: Database, session: PostgresSession
) -> None:
    database.query(f"ALTER TABLE {_DEAD} ADD COLUMN house_column TEXT NOT NULL")
    with pytest.raises(ConfigurationError, match="rejects a dead letter.*house_column"):
        write_batch(session, _batch(range(5), range(5, 6)))
    assert database.count(_ROWS) == 0


def test_a_deferred_constraint_makes_a_dead_letter(
    database: Database, session: PostgresSession
) -> None:
    database.query(
        "CREATE TABLE clearance (id BIGINT PRIMARY KEY); INSERT INTO clearance VALUES (0), (2); "
        f"ALTER TABLE {_ROWS} ADD CONSTRAINT known FOREIGN KEY (fk_clearance_id) "
        "REFERENCES clearance DEFERRABLE INITIALLY DEFERRED"
    )
    assert _counts(write_batch(session, _batch(range(3)))) == (2, 0, 1)


def test_a_column_made_narrower_makes_dead_letters(
    database: Database, session: PostgresSession
) -> None:
    database.query(f"ALTER TABLE {_ROWS} ALTER COLUMN fk_clearance_id TYPE SMALLINT")
    result = write_batch(session, _batch(range(32_766, 32_770)))
    assert _counts(result) == (2, 0, 2)
    assert [letter.record.offset for letter in result.dead_letters] == [32_768, 32_769]


def test_a_value_too_long_for_an_index_makes_a_dead_letter(
    database: Database, session: PostgresSession
) -> None:
    database.query(f"CREATE INDEX house_index ON {_ROWS} (request_id)")
    batch = _batch(range(2))
    long_id = random.Random(0).randbytes(20_000).hex().encode()  # does not compress
    row = reconcile(record(sample("payment_ok"), offset=9, headers=[("x-request-id", long_id)]))
    assert isinstance(row, Row)
    batch.add(row)
    assert _counts(write_batch(session, batch)) == (2, 0, 1)


def test_a_dead_letter_that_comes_twice_is_stored_once(
    database: Database, session: PostgresSession
) -> None:
    batch = _batch(range(0), range(5))
    batch.add(batch.dead_letters[0])
    assert _counts(write_batch(session, batch)) == (0, 0, 6)
    assert database.count(_DEAD) == 5


def test_rows_that_a_trigger_swallows_are_not_counted_as_written(
    database: Database, session: PostgresSession
) -> None:
    database.query(
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN IF NEW.source_offset < 2 THEN RETURN NULL; END IF; RETURN NEW; END$$; "
        f"CREATE TRIGGER swallow BEFORE INSERT ON {_ROWS} FOR EACH ROW EXECUTE FUNCTION swallow()"
    )
    assert _counts(write_batch(session, _batch(range(5)))) == (3, 2, 0)


def test_text_is_utf_8_whatever_the_client_prefers(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    for name, value in database.environment.items():
        monkeypatch.setenv(name, value)
    session = PostgresSession(lambda: connect(load([]).settings))
    batch = _batch(range(0))
    text = "S\N{LATIN SMALL LETTER A WITH TILDE}o"
    row = reconcile(record(sample("payment_ok").replace(b"ORDER:PENDING", text.encode())))
    assert isinstance(row, Row)
    batch.add(row)
    write_batch(session, batch)
    session.close()
    assert database.query(f"SELECT order_status, length(order_status) FROM {_ROWS}") == [(text, 3)]
