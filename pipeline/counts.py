"""What the pipeline has done so far, read from Beam's metrics."""

from apache_beam.metrics.metric import MetricResults, MetricsFilter
from msgspec import Struct

from transforms import metric_names as metrics


class Counts(Struct, frozen=True):
    """Records by what became of them: read = written + duplicate + skipped + dead.

    Args:
        lag: records between the positions and the end, None until the first fetch.
    """

    read: int = 0
    written: int = 0
    duplicate: int = 0
    skipped: int = 0
    dead: int = 0
    lag: int | None = None


def read_counts(results: MetricResults) -> Counts:
    """Return the counts of all bundles that have ended."""
    found = results.query(MetricsFilter().with_namespace(metrics.NAMESPACE))
    counters = {result.key.metric.name: result.result for result in found["counters"]}
    lags = [
        result.result.value
        for result in found["gauges"]
        if result.key.metric.name.startswith(f"{metrics.LAG}.")
    ]
    return Counts(
        read=counters.get(metrics.READ, 0),
        written=counters.get(metrics.WRITTEN, 0),
        duplicate=counters.get(metrics.DUPLICATE, 0),
        skipped=counters.get(metrics.SKIPPED, 0),
        dead=counters.get(metrics.DEAD_LETTERED, 0),
        lag=sum(lags) if lags else None,
    )
