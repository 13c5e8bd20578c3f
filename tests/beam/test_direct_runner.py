"""The streaming direct runner, with a source that needs no service."""

import gc
import threading
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import psutil
import pytest
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState
from apache_beam.transforms.core import RestrictionProvider

from runners.direct import RunningPipeline, StreamingDirectRunner
from tests.support import wait_until

_stop = threading.Event()


class _Unbounded(OffsetRestrictionTracker):
    def is_bounded(self) -> bool:
        return False


class _Provider(RestrictionProvider):
    def initial_restriction(self, element: Any) -> OffsetRange:
        return OffsetRange(0, 1 << 60)

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return _Unbounded(restriction)

    def restriction_size(self, element: Any, restriction: OffsetRange) -> int:
        return 1


class _Tick(beam.DoFn):
    """Emits one number a bundle, until the stop."""

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        element: Any,
        tracker: Any = beam.DoFn.RestrictionParam(_Provider()),  # noqa: B008
    ) -> Iterator[int]:
        number = tracker.current_restriction().start
        if _stop.is_set():
            tracker.try_claim(1 << 60)
            return
        if not tracker.try_claim(number):
            return
        Metrics.counter("test", "ticks").inc()
        Metrics.gauge("test", "newest").set(number)
        Metrics.distribution("test", "numbers").update(number)
        yield number
        tracker.defer_remainder()


def _run(step: Any) -> RunningPipeline:
    _stop.clear()
    pipeline = beam.Pipeline(runner=StreamingDirectRunner(_stop.set), options=PipelineOptions([]))
    _ = pipeline | beam.Impulse() | beam.ParDo(_Tick()) | beam.Map(step)
    result: RunningPipeline = pipeline.run()
    return result


def _ticks(result: RunningPipeline) -> int:
    counters = result.metrics().query()["counters"]
    return sum(c.result for c in counters if c.key.metric.name == "ticks")


def test_metrics_are_live_and_a_cancel_ends_it() -> None:
    result = _run(lambda number: number)
    wait_until(lambda: _ticks(result) > 10, "live metrics")
    assert result.state == PipelineState.RUNNING
    result.cancel()
    assert result.wait_until_finish(30_000) == PipelineState.DONE
    [newest] = result.metrics().query()["gauges"]
    assert newest.result.value == _ticks(result) - 1


def test_the_error_of_a_step_reaches_the_caller() -> None:
    def fail(number: int) -> None:
        raise LookupError(f"no {number}")

    result = _run(fail)
    with pytest.raises(LookupError, match="no 0"):
        result.wait_until_finish(30_000)
    assert result.state == PipelineState.FAILED


def test_memory_is_flat_over_thousands_of_bundles() -> None:
    """Beam itself keeps a generator for each bundle, and every value of a gauge."""
    result = _run(lambda number: number)
    wait_until(lambda: _ticks(result) > 1_000, "the caches are warm")
    before, ticks = _live_objects(), _ticks(result)
    memory = psutil.Process().memory_info().rss
    wait_until(lambda: _ticks(result) > ticks + 4_000, "4,000 bundles more", timeout_secs=240)
    grown_bytes = psutil.Process().memory_info().rss - memory
    # While bundles run, many objects live for a moment; what is kept only grows.
    wait_until(lambda: _live_objects() - before < 1_000, "no objects kept", timeout_secs=30)
    result.cancel()
    result.wait_until_finish(30_000)
    assert grown_bytes < 8 << 20, "bytes kept"


def _live_objects() -> int:
    """Return the fewest of several counts: the pipeline makes objects while they are counted."""
    counts = []
    for _ in range(10):
        gc.collect()
        counts.append(len(gc.get_objects()))
    return min(counts)
