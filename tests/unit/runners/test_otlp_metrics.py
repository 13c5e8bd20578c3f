import pytest
from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)

from runners.otlp_metrics import _interval_secs, to_otlp
from transforms.errors import SettingsError


def test_counters_are_sums_and_gauges_are_gauges() -> None:
    counter = CounterMetricFamily("a", "help", labels=["x"])
    counter.add_metric(["1"], 2)
    gauge = GaugeMetricFamily("b_seconds", "help", value=3)
    sums, gauges = to_otlp([counter, gauge], 1, 2)
    assert (sums.name, sums.unit, gauges.name, gauges.unit) == ("a_total", "1", "b_seconds", "s")
    assert isinstance(sums.data, Sum)
    assert sums.data.is_monotonic
    assert isinstance(gauges.data, Gauge)
    [point] = sums.data.data_points
    assert (point.attributes, point.value) == ({"x": "1"}, 2.0)
    assert (point.start_time_unix_nano, point.time_unix_nano) == (1, 2)


def test_buckets_are_not_cumulative() -> None:
    family = HistogramMetricFamily("h", "help", labels=["x"])
    family.add_metric(["1"], [("0.5", 1), ("1.0", 3), ("+Inf", 6)], 9.5)
    [metric] = to_otlp([family], 1, 2)
    assert isinstance(metric.data, Histogram)
    [point] = metric.data.data_points
    assert list(point.bucket_counts) == [1, 2, 3]
    assert list(point.explicit_bounds) == [0.5, 1.0]
    assert (point.count, point.sum, point.attributes) == (6, 9.5, {"x": "1"})


def test_a_summary_is_its_count_and_its_sum() -> None:
    [count, total] = to_otlp([SummaryMetricFamily("s", "help", 4, 10)], 1, 2)
    assert (count.name, total.name) == ("s_count", "s_sum")


def test_a_family_without_values_is_not_sent() -> None:
    assert list(to_otlp([CounterMetricFamily("a", "help", labels=["x"])], 1, 2)) == []


@pytest.mark.parametrize("text", ["soon", "0", "-5", "9" * 20])
def test_an_interval_that_is_no_number_is_one_clear_line(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", text)
    with pytest.raises(SettingsError, match="expected milliseconds"):
        _interval_secs()
