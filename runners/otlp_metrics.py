"""Sends the metrics of `/metrics` by OTLP too."""

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import pairwise

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.core import Metric as Family
from prometheus_client.core import Sample
from prometheus_client.registry import Collector

from options.settings import Settings
from runners.telemetry import checked_variables, otlp_arguments, resource
from transforms.errors import SettingsError

_LONGEST_MS = 86_400_000  # a day
_LOGGER = logging.getLogger(__name__)
_CUMULATIVE = AggregationTemporality.CUMULATIVE


class MetricsExport:
    """Sends metrics again and again; a receiver that fails or hangs holds up nothing else.

    The time between two is OpenTelemetry's variable `OTEL_METRIC_EXPORT_INTERVAL`, in
    milliseconds, 60,000 by default.

    Attributes:
        thread: ends soon after `stop`, unless the receiver hangs.

    Raises:
        SettingsError: one of OpenTelemetry's own variables is wrong.
    """

    def __init__(self, settings: Settings, collector: Collector) -> None:
        self._collector = collector
        self._resource = resource(settings)
        self._interval_secs = _interval_secs()
        with checked_variables():
            self._exporter = OTLPMetricExporter(**otlp_arguments(settings))
        self._started_ns = time.time_ns()
        self._stop = threading.Event()
        self.thread = threading.Thread(target=self._run, name="otlp-metrics", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        """Send once more, and end."""
        self._stop.set()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stop.wait(self._interval_secs)
            try:
                self._exporter.export(self._data())
            except Exception:  # whatever it is, the pipeline has to go on
                _LOGGER.warning("metrics were not sent by OTLP", exc_info=True)

    def _data(self) -> MetricsData:
        metrics = to_otlp(self._collector.collect(), self._started_ns, time.time_ns())
        scope = ScopeMetrics(InstrumentationScope("reconciliation"), list(metrics), "")
        return MetricsData([ResourceMetrics(self._resource, [scope], "")])


def _interval_secs() -> float:
    text = os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "60000")
    if not text.isdecimal() or not 0 < int(text) <= _LONGEST_MS:
        raise SettingsError(f"OTEL_METRIC_EXPORT_INTERVAL: expected milliseconds, got {text!r}")
    return int(text) / 1000


def to_otlp(families: Iterable[Family], started_ns: int, now_ns: int) -> Iterator[Metric]:
    """Yield Prometheus families as OTLP metrics, under the same names.

    Args:
        started_ns: since when counters count, nanoseconds since 1970.
    """
    for family in families:
        if family.type == "histogram":
            points = _histogram_points(family, started_ns, now_ns)
            data: Histogram | Sum | Gauge = Histogram(points, _CUMULATIVE)
            yield Metric(family.name, family.documentation, _unit(family.name), data)
            continue
        by_name: dict[str, list[Sample]] = {}
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                by_name.setdefault(sample.name, []).append(sample)
        for name, samples in by_name.items():
            numbers = [
                NumberDataPoint(s.labels, started_ns, now_ns, float(s.value)) for s in samples
            ]
            is_sum = name.endswith(("_total", "_count", "_sum"))
            data = Sum(numbers, _CUMULATIVE, is_monotonic=True) if is_sum else Gauge(numbers)
            yield Metric(name, family.documentation, _unit(family.name), data)


def _histogram_points(family: Family, started_ns: int, now_ns: int) -> list[HistogramDataPoint]:
    """Return a point for each set of labels; OTLP's buckets are not cumulative."""
    series: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
    for sample in family.samples:
        labels = tuple((k, v) for k, v in sample.labels.items() if k != "le")
        series.setdefault(labels, []).append(sample)
    points = []
    for labels, samples in series.items():
        buckets = [(float(s.labels["le"]), int(s.value)) for s in samples if "le" in s.labels]
        counts = [0, *(count for _, count in buckets)]
        points.append(
            HistogramDataPoint(
                attributes=dict(labels),
                start_time_unix_nano=started_ns,
                time_unix_nano=now_ns,
                count=counts[-1],
                sum=next(s.value for s in samples if s.name.endswith("_sum")),
                bucket_counts=[high - low for low, high in pairwise(counts)],
                explicit_bounds=[bound for bound, _ in buckets[:-1]],
                min=None,  # type: ignore[arg-type] # not known
                max=None,  # type: ignore[arg-type]
            )
        )
    return points


def _unit(name: str) -> str:
    for suffix, unit in (("_seconds", "s"), ("_bytes", "By")):
        if name.endswith(suffix):
            return unit
    return "1"
