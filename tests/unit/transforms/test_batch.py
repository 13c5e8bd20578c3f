from tests.support import record, sample
from transforms.batch import Batch, copy_text
from transforms.dead_letters import DeadLetter
from transforms.errors import ErrorCode
from transforms.rows import Row, reconcile


def _row() -> Row:
    row = reconcile(record(sample("payment_ok")))
    assert isinstance(row, Row)
    return row


def test_is_full_by_count_of_both_kinds() -> None:
    batch = Batch(max_rows=2, max_bytes=1 << 20)
    assert not batch.add(_row())
    assert batch.add(DeadLetter(record(), ErrorCode.NOT_JSON, ""))
    assert (len(batch), len(batch.lines), len(batch.dead_letters)) == (2, 1, 1)


def test_is_full_by_bytes() -> None:
    batch = Batch(max_rows=1000, max_bytes=10_000)
    assert not batch.add(_row())
    assert batch.add(DeadLetter(record(b"x" * 10_000), ErrorCode.NOT_JSON, ""))


def test_each_copy_line_ends_with_the_time_of_writing() -> None:
    assert copy_text(["a\t", "b\t"], "now") == b"a\tnow\nb\tnow\n"
    assert copy_text([], "now") == b""
