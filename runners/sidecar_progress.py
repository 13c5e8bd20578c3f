"""Whether the pipeline moves, how far behind it is, how fast it is; decides, and asks nobody."""

from collections import deque
from collections.abc import Mapping

from msgspec import Struct

from runners.sidecar_totals import Partition, Totals
from transforms.metric_names import BUCKETS_MS, EVENT_TO_COMMIT_MS, READ

# A bundle ends within 1 s of its start, and then its last batch has to be written. That a bundle
# has ended is seen up to 1 s later, and being stuck has to be seen within 5 s.
STUCK_SECS = 3.0
_RATE_SECS = 5.0
_LATENCY_SECS = 60.0


class _Sample(Struct, frozen=True):
    at: float
    read: int
    latencies: list[int]


class Progress:
    """Follows a pipeline's totals and the ends of its partitions.

    Args:
        now: monotonic seconds, as in all calls.
    """

    def __init__(self, now: float) -> None:
        self._moved_at = now
        self._mark = (0.0, 0)
        self._totals = Totals()
        self._ends: dict[Partition, int] = {}
        self._samples = deque([_Sample(now, 0, [0] * (len(BUCKETS_MS) + 1))])

    def update(self, now: float, totals: Totals, ends: Mapping[Partition, int]) -> None:
        """Take in what is known now.

        Args:
            ends: the offset behind the last record of each partition, as Kafka tells; empty when
                it tells nothing.
        """
        self._totals, self._ends = totals, {**self._ends, **ends}
        mark = (totals.newest_gauge, totals.counters.total())
        if mark != self._mark:  # a bundle has ended
            self._mark, self._moved_at = mark, now
        latencies = list(totals.histograms[EVENT_TO_COMMIT_MS].counts)
        self._samples.append(_Sample(now, totals.counters[READ], latencies))
        while self._samples[0].at < now - _LATENCY_SECS:
            self._samples.popleft()

    def lags(self, totals: Totals) -> dict[Partition, int]:
        """Return the lag of each partition of a pipeline that is at the totals.

        The pipeline tells it at the end of a bundle. What Kafka has received since is added, so
        that the lag of a pipeline that stands still goes on growing.
        """
        lags = dict(totals.lags)
        for partition, position in totals.positions.items():
            end = self._ends.get(partition, 0)
            lags[partition] = max(lags.get(partition, 0), end - position)
        return lags

    def stuck_secs(self, now: float) -> float | None:
        """Return for how long the pipeline has not moved although records wait; None if it does.

        Before its first bundle has ended, all records are taken for waiting.
        """
        stands_secs = now - self._moved_at
        waiting = self.lags(self._totals) or self._ends
        return stands_secs if stands_secs >= STUCK_SECS and any(waiting.values()) else None

    def events_per_sec(self) -> float:
        """Return the records read a second, over the last 5 s."""
        newest = self._samples[-1]
        oldest = next(s for s in self._samples if s.at >= newest.at - _RATE_SECS)
        elapsed = newest.at - oldest.at
        return max(0, newest.read - oldest.read) / elapsed if elapsed else 0.0

    def latency_ms(self, share: float) -> float | None:
        """Return a percentile of event-to-commit over the last minute, None without events.

        Args:
            share: 0 to 1. The value is interpolated within its bucket.
        """
        first, last = self._samples[0].latencies, self._samples[-1].latencies
        return quantile([new - old for new, old in zip(last, first, strict=True)], share)


def quantile(counts: list[int], share: float) -> float | None:
    """Return a quantile of values in the buckets of `BUCKETS_MS`, interpolated.

    Of values above every bound only that is known: they give the last bound.
    """
    rank, below, low = share * sum(counts), 0, 0
    if not rank:
        return None
    for bound, count in zip(BUCKETS_MS, counts[:-1], strict=True):
        if count and below + count >= rank:
            return low + (bound - low) * (rank - below) / count
        below, low = below + count, bound
    return float(low)
