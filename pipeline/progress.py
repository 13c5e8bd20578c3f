"""Shows what a run does: one live line in a terminal, else a JSON log line every 10 s."""

import logging
import shutil
import sys
import time
from collections.abc import Callable
from typing import Protocol, TextIO

from msgspec.structs import asdict
from tqdm import tqdm

from pipeline.counts import Counts

_LOGGER = logging.getLogger("pipeline.progress")
_LOG_INTERVAL_SECS = 10.0
_RATE_WINDOW_SECS = 2.0  # long enough to be calm, short enough to be live


class Progress(Protocol):
    """Takes the counts of a run, again and again."""

    def update(self, counts: Counts) -> None: ...

    def close(self, counts: Counts) -> None: ...


def open_progress(*, until_end: bool, stream: TextIO = sys.stderr) -> Progress:
    """Return what suits the stream: a terminal gets a live line, a file gets log lines."""
    return LiveLine(until_end=until_end, stream=stream) if stream.isatty() else LogLines()


class Rate:
    """Events a second, over a short window, and over all the time.

    Args:
        window_secs: how long a value stays.
        clock: monotonic seconds.
    """

    def __init__(self, window_secs: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_secs = window_secs
        self._clock = clock
        self._start = clock()
        self._window = (self._start, 0)
        self._per_sec: float | None = None

    def update(self, total: int) -> float:
        """Take in the total, return the events a second of the last whole window, if any."""
        now = self._clock()
        then, total_then = self._window
        if now - then >= self._window_secs:
            self._per_sec = (total - total_then) / (now - then)
            self._window = (now, total)
        return self.overall(total) if self._per_sec is None else self._per_sec

    def overall(self, total: int) -> float:
        """Return the events a second since the start."""
        elapsed = self._clock() - self._start
        return total / elapsed if elapsed else 0.0


class LiveLine:
    """One line that is written over: a progress bar when the run has an end."""

    def __init__(self, *, until_end: bool, stream: TextIO) -> None:
        bar = " {percentage:.0f}%|{bar}|" if until_end else ""
        # 80 x 24 for a terminal that says 0 x 0; tqdm itself would show nothing there.
        columns, lines = shutil.get_terminal_size()
        self._rate = Rate(_RATE_WINDOW_SECS)
        self._bar = tqdm(
            total=1,
            file=stream,
            bar_format="{desc}" + bar,
            ncols=columns,
            nrows=lines,
        )

    def update(self, counts: Counts) -> None:
        self._show(counts, self._rate.update(counts.read))

    def close(self, counts: Counts) -> None:
        self._show(counts, self._rate.overall(counts.read))
        self._bar.close()

    def _show(self, counts: Counts, per_sec: float) -> None:
        self._bar.total = max(1, counts.read + (counts.lag or 0))
        self._bar.n = counts.read
        self._bar.set_description_str(line(counts, per_sec))


class LogLines:
    """A log line every 10 s with the rate since the last, and one at the end with that of all."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rate = Rate(_LOG_INTERVAL_SECS, clock)
        self._next = clock() + _LOG_INTERVAL_SECS

    def update(self, counts: Counts) -> None:
        if self._clock() >= self._next:
            self._next += _LOG_INTERVAL_SECS
            self._log("progress", counts, self._rate.update(counts.read))

    def close(self, counts: Counts) -> None:
        self._log("end", counts, self._rate.overall(counts.read))

    def _log(self, message: str, counts: Counts, per_sec: float) -> None:
        _LOGGER.info(message, extra={**asdict(counts), "events_per_sec": round(per_sec, 1)})


def line(counts: Counts, per_sec: float) -> str:
    """Return the counts in one line."""
    lag = "?" if counts.lag is None else f"{counts.lag:,}"
    return (
        f"read {counts.read:,} written {counts.written:,} duplicate {counts.duplicate:,} "
        f"skipped {counts.skipped:,} dead {counts.dead:,} lag {lag} {per_sec:,.0f}/s"
    )
