"""What one write takes: rows and dead letters, bounded by count and by bytes."""

import time
from collections.abc import Callable, Sequence

from transforms.copy_text import copy_line
from transforms.dead_letters import DeadLetter
from transforms.records import KafkaRecord
from transforms.rows import Row

_OVERHEAD_BYTES = 500  # of an element beside its raw record, about


class Batch:
    """Rows as COPY lines, the records they come from, and dead letters.

    Args:
        max_rows: rows and dead letters together.
        max_bytes: of COPY lines and raw records together.
        is_sampled: tells which records are traced; None for none.

    Attributes:
        timestamps_ms: of all records.
        sampled: the records to trace.
        started_ns: when the first element came, nanoseconds since 1970.
    """

    def __init__(
        self,
        max_rows: int,
        max_bytes: int,
        is_sampled: Callable[[KafkaRecord], bool] | None = None,
    ) -> None:
        self._is_sampled = is_sampled
        self._room_rows = max_rows
        self._room_bytes = max_bytes
        self.records: list[KafkaRecord] = []
        self.lines: list[str] = []
        self.dead_letters: list[DeadLetter] = []
        self.timestamps_ms: list[int] = []
        self.sampled: list[KafkaRecord] = []
        self.started_ns = 0

    def add(self, outcome: Row | DeadLetter) -> bool:
        """Add what became of one record; return whether the batch is full."""
        if not self.started_ns:
            self.started_ns = time.time_ns()
        size = _OVERHEAD_BYTES + len(outcome.record.value or b"")
        if isinstance(outcome, Row):
            line = copy_line(outcome)
            size += len(line)
            self.records.append(outcome.record)  # the rest of the row is in the line
            self.lines.append(line)
        else:
            self.dead_letters.append(outcome)
        self.timestamps_ms.append(outcome.record.timestamp_ms)
        if self._is_sampled is not None and self._is_sampled(outcome.record):
            self.sampled.append(outcome.record)
        self._room_rows -= 1
        self._room_bytes -= size
        return self._room_rows <= 0 or self._room_bytes <= 0

    def __len__(self) -> int:
        return len(self.records) + len(self.dead_letters)


def copy_text(lines: Sequence[str], created_at: str) -> bytes:
    """Return the lines as COPY input, each ended by the time of writing."""
    end = created_at + "\n"
    return (end.join(lines) + end).encode() if lines else b""
