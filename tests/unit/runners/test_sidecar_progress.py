from collections import Counter

import pytest

from runners.sidecar_progress import STUCK_SECS, Progress, quantile
from runners.sidecar_totals import Histogram, Totals
from transforms.metric_names import BUCKETS_MS, EVENT_TO_COMMIT_MS, READ

_KEY = ("topic", 0)


def _totals(read: int = 0, lag: int = 0, position: int = 0, set_at: float = 1.0) -> Totals:
    return Totals(
        counters=Counter({READ: read}),
        lags={_KEY: lag},
        positions={_KEY: position},
        newest_gauge=set_at,
    )


def test_a_pipeline_that_ends_bundles_is_not_stuck_whatever_its_lag() -> None:
    progress = Progress(0.0)
    for now in range(20):
        progress.update(now, _totals(lag=10**6, set_at=now + 1), {_KEY: 10**6 + now})
        assert progress.stuck_secs(now) is None


def test_a_pipeline_that_stands_while_records_wait_is_stuck() -> None:
    progress = Progress(0.0)
    progress.update(0.0, _totals(lag=5), {})
    progress.update(STUCK_SECS - 0.1, _totals(lag=5), {})
    assert progress.stuck_secs(STUCK_SECS - 0.1) is None
    assert progress.stuck_secs(STUCK_SECS) == STUCK_SECS
    progress.update(STUCK_SECS, _totals(read=1, lag=4), {})
    assert progress.stuck_secs(STUCK_SECS) is None


def test_a_pipeline_that_stands_is_stuck_when_kafka_receives_more() -> None:
    progress = Progress(0.0)
    progress.update(0.0, _totals(position=100), {_KEY: 100})
    progress.update(100.0, _totals(position=100), {_KEY: 100})
    assert progress.stuck_secs(100.0) is None, "nothing to do is no fault"
    progress.update(101.0, _totals(position=100), {_KEY: 107})
    assert progress.stuck_secs(101.0) == 101.0


def test_a_pipeline_that_never_ended_a_bundle_is_stuck_when_kafka_receives() -> None:
    progress = Progress(0.0)
    progress.update(1.0, Totals(), {_KEY: 100})
    assert progress.stuck_secs(STUCK_SECS) == STUCK_SECS


def test_the_lag_of_a_pipeline_that_stands_goes_on_growing() -> None:
    progress = Progress(0.0)
    totals = _totals(lag=3, position=97)
    progress.update(0.0, totals, {_KEY: 100})
    assert progress.lags(totals) == {_KEY: 3}
    totals = _totals(lag=3, position=97)
    progress.update(1.0, totals, {_KEY: 150})
    assert progress.lags(totals) == {_KEY: 53}
    totals = _totals(lag=40, position=110)
    progress.update(2.0, totals, {_KEY: 150})
    assert progress.lags(totals) == {_KEY: 40}


def test_the_lag_is_as_the_pipeline_tells_while_kafka_tells_nothing() -> None:
    progress = Progress(0.0)
    totals = _totals(lag=3, position=97)
    progress.update(0.0, totals, {})
    assert progress.lags(totals) == {_KEY: 3}


def test_the_last_ends_that_kafka_told_are_kept() -> None:
    progress = Progress(0.0)
    totals = _totals(position=97)
    progress.update(0.0, totals, {_KEY: 150})
    progress.update(1.0, totals, {})
    assert progress.lags(totals) == {_KEY: 53}


def test_the_rate_is_of_the_last_5_s() -> None:
    progress = Progress(0.0)
    assert progress.events_per_sec() == 0.0
    for now in range(1, 11):
        progress.update(now, _totals(read=1000 * now), {})
    assert progress.events_per_sec() == 1000
    for now in range(11, 17):
        progress.update(now, _totals(read=10_000), {})
    assert progress.events_per_sec() == 0.0


def test_percentiles_are_of_the_last_minute() -> None:
    progress = Progress(0.0)
    assert progress.latency_ms(0.5) is None
    slow = Histogram()
    slow.add("300000", 100)
    progress.update(0.0, Totals(histograms={EVENT_TO_COMMIT_MS: slow}), {})
    assert (progress.latency_ms(0.5) or 0) > 60_000
    both = Histogram(list(slow.counts))
    both.add("10", 100)
    progress.update(61.0, Totals(histograms={EVENT_TO_COMMIT_MS: slow}), {})
    progress.update(62.0, Totals(histograms={EVENT_TO_COMMIT_MS: both}), {})
    assert progress.latency_ms(0.5) == pytest.approx(7.5)


def test_a_quantile_is_interpolated_within_its_bucket() -> None:
    counts = [0] * (len(BUCKETS_MS) + 1)
    assert quantile(counts, 0.5) is None
    counts[3] = 10  # 10 to 25 ms
    assert quantile(counts, 0.5) == 17.5
    counts[-1] = 1000
    assert quantile(counts, 0.99) == BUCKETS_MS[-1]
