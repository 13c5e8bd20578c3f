import io
import logging
import os
import pty

import pytest

from pipeline.counts import Counts
from pipeline.progress import LiveLine, LogLines, Rate, line, open_progress


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_line_has_every_count() -> None:
    counts = Counts(read=1234, written=1000, duplicate=200, skipped=30, dead=4, lag=5)
    assert line(counts, 99.6) == (
        "read 1,234 written 1,000 duplicate 200 skipped 30 dead 4 lag 5 100/s"
    )
    assert "lag ?" in line(Counts(), 0)


def test_the_rate_is_of_the_last_whole_window() -> None:
    clock = FakeClock()
    rate = Rate(2.0, clock)
    clock.now = 1
    assert rate.update(500) == 500
    clock.now = 2
    assert rate.update(2000) == 1000
    clock.now = 4
    assert rate.update(2000) == 0
    assert rate.overall(2000) == 500


def test_log_lines_come_every_10_s_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    caplog.set_level(logging.INFO)
    lines = LogLines(clock)
    for clock.now in range(26):
        lines.update(Counts(read=clock.now))
    lines.close(Counts(read=30))
    shown = [(r.message, vars(r)["read"], vars(r)["events_per_sec"]) for r in caplog.records]
    assert shown == [("progress", 10, 1.0), ("progress", 20, 1.0), ("end", 30, 1.2)]


def test_a_bounded_run_shows_how_far_it_is() -> None:
    stream = io.StringIO()
    live = LiveLine(until_end=True, stream=stream)
    live.update(Counts(read=50, lag=50))
    assert "50%|" in stream.getvalue()
    live.close(Counts(read=100, lag=0))
    assert "100%|" in stream.getvalue()


def test_a_terminal_that_does_not_tell_its_size_shows_the_line() -> None:
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as terminal:
        live = open_progress(until_end=False, stream=terminal)
        live.close(Counts(read=5))
        shown = b""
        while b"read 5 " not in shown:  # a terminal hands over piece by piece
            shown += os.read(reader, 10_000)
    os.close(reader)
