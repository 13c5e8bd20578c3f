"""The pipeline's own Beam metrics, summed over steps and by the names of the pipeline."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from msgspec import Struct, field

from runners.sidecar_source import BeamMetric, Distribution, Gauge
from transforms.metric_names import (
    BUCKETS_MS,
    LAG,
    LAST_BUCKET,
    METRICS,
    NAMESPACE,
    POSITION,
    SUM,
    Kind,
)

Partition = tuple[str, int]  # topic and number

_HISTOGRAMS = {metric.name for metric in METRICS if metric.kind is Kind.HISTOGRAM}


class Histogram(Struct):
    """The values of one histogram.

    Args:
        counts: by bucket, not cumulative; the last is for what is above every bound.
        sum: of all values.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_MS) + 1))
    sum: int = 0

    def add(self, bucket: str, amount: int) -> None:
        """Add what the counter `NAME.BUCKET` holds."""
        if bucket == SUM:
            self.sum += amount
        elif bucket == LAST_BUCKET:
            self.counts[-1] += amount
        else:
            self.counts[BUCKETS_MS.index(int(bucket))] += amount


class Totals(Struct):
    """Metrics by name.

    Args:
        counters: without labels; of one with labels the sum over them.
        labelled: counters by their label.
        newest_gauge: when a gauge was last set, seconds since 1970.
    """

    counters: Counter[str] = field(default_factory=Counter)
    labelled: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    histograms: dict[str, Histogram] = field(default_factory=lambda: defaultdict(Histogram))
    distributions: dict[str, Distribution] = field(default_factory=dict)
    gauges: dict[str, int] = field(default_factory=dict)
    lags: dict[Partition, int] = field(default_factory=dict)
    positions: dict[Partition, int] = field(default_factory=dict)
    newest_gauge: float = 0.0


def sum_up(metrics: Iterable[BeamMetric]) -> Totals:
    """Return the totals of the pipeline's own metrics; others are not looked at."""
    totals = Totals()
    for metric in metrics:
        if metric.namespace == NAMESPACE:
            name, _, label = metric.name.partition(".")
            _add(totals, name, label, metric.value)
    return totals


def _add(totals: Totals, name: str, label: str, value: int | Distribution | Gauge) -> None:
    if isinstance(value, Distribution):
        totals.distributions[name] = value
    elif isinstance(value, Gauge):
        totals.newest_gauge = max(totals.newest_gauge, value.set_at)
        if name in {LAG, POSITION}:
            topic, _, partition = label.rpartition(".")
            by_partition = totals.lags if name == LAG else totals.positions
            by_partition[topic, int(partition)] = value.value
        else:
            totals.gauges[name] = max(totals.gauges.get(name, 0), value.value)
    elif name in _HISTOGRAMS:
        totals.histograms[name].add(label, value)
    elif label:
        totals.labelled[name][label] += value
    else:
        totals.counters[name] += value
