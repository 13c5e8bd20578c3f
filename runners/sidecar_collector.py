"""From Beam's metrics to Prometheus': its names, base units, labels and histograms."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.core import Metric as Family

from runners.sidecar_probe import Health
from runners.sidecar_source import BeamMetric
from runners.sidecar_totals import Partition, Totals
from transforms.errors import RECORD_CODES
from transforms.metric_names import BUCKETS_MS, DEAD_LETTERED, LAG, METRICS, POSITION, Kind, Metric

_LABELS = ("runner", "step")
_PHASES = {"start_msecs": "start", "process_msecs": "process", "finish_msecs": "finish"}


def pipeline_families(
    runner: str, totals: Totals, lags: Mapping[Partition, int]
) -> Iterator[Family]:
    """Yield the pipeline's own metrics as Prometheus families.

    What the pipeline has not counted yet is there as 0, so that the first of it is an increase
    for `rate`.

    Args:
        lags: by topic and partition; see `Progress.lags`.
    """
    for metric in METRICS:
        labels = [runner, metric.step]
        if metric.name == LAG:
            yield _by_partition(metric, labels, lags)
        elif metric.name == POSITION:
            yield _by_partition(metric, labels, totals.positions)
        elif metric.kind is Kind.COUNTER:
            yield _counter(metric, labels, totals)
        elif metric.kind is Kind.HISTOGRAM:
            yield _histogram(metric, labels, totals)
        elif metric.kind is Kind.DISTRIBUTION:
            yield from _distribution(metric, labels, totals)
        else:
            yield _gauge(metric, labels, totals)


def beam_families(runner: str, metrics: Iterable[BeamMetric]) -> Iterator[Family]:
    """Yield the useful ones of Beam's system metrics."""
    elements = CounterMetricFamily(
        "beam_elements", "Elements that a step of Beam's put out.", labels=_LABELS
    )
    seconds = CounterMetricFamily(
        "beam_step_seconds",
        "Time in a step of Beam's by phase (start, process, finish of a bundle), sampled.",
        labels=[*_LABELS, "phase"],
    )
    for metric in metrics:
        if metric.namespace == "beam" and isinstance(metric.value, int):
            if metric.name in _PHASES:
                labels = [runner, metric.step, _PHASES[metric.name]]
                seconds.add_metric(labels, metric.value / 1000)
            else:
                elements.add_metric([runner, metric.step], metric.value)
    yield elements
    yield seconds


def sidecar_families(
    runner: str, state: str, checks: Mapping[str, Health], versions: dict[str, str]
) -> Iterator[Family]:
    """Yield what the sidecar itself knows: readiness, the job's state, what runs."""
    yield GaugeMetricFamily(
        "reconciliation_ready",
        "Whether /ready answers 200.",
        value=all(check.is_ok for check in checks.values()),
    )
    check_ok = GaugeMetricFamily(
        "reconciliation_check_ok",
        "Whether Kafka and PostgreSQL answer, and the pipeline moves.",
        labels=["check"],
    )
    for name, check in checks.items():
        check_ok.add_metric([name], check.is_ok)
    yield check_ok
    job_state = GaugeMetricFamily(
        "reconciliation_job_state", "The state of the job.", labels=["runner", "state"]
    )
    job_state.add_metric([runner, state], 1)
    yield job_state
    yield InfoMetricFamily("reconciliation_build", "What runs.", value=versions)


def _by_partition(metric: Metric, labels: list[str], values: Mapping[Partition, int]) -> Family:
    family = GaugeMetricFamily(metric.exported, metric.help, labels=[*_LABELS, *metric.labels])
    for (topic, partition), value in values.items():
        family.add_metric([*labels, topic, str(partition)], value)
    return family


def _counter(metric: Metric, labels: list[str], totals: Totals) -> Family:
    family = CounterMetricFamily(metric.exported, metric.help, labels=[*_LABELS, *metric.labels])
    if not metric.labels:
        family.add_metric(labels, totals.counters[metric.name])
        return family
    zeros = dict.fromkeys(map(str, RECORD_CODES), 0) if metric.name == DEAD_LETTERED else {}
    for label, count in (zeros | totals.labelled[metric.name]).items():
        family.add_metric([*labels, label], count)
    return family


def _histogram(metric: Metric, labels: list[str], totals: Totals) -> Family:
    family = HistogramMetricFamily(metric.exported, metric.help, labels=_LABELS)
    values = totals.histograms[metric.name]
    bounds = [*(str(bound / metric.per_unit) for bound in BUCKETS_MS), "+Inf"]
    counts = [sum(values.counts[: end + 1]) for end in range(len(bounds))]
    buckets = list(zip(bounds, counts, strict=True))
    family.add_metric(labels, buckets, values.sum / metric.per_unit)
    return family


def _distribution(metric: Metric, labels: list[str], totals: Totals) -> Iterator[Family]:
    value = totals.distributions.get(metric.name)
    summary = SummaryMetricFamily(metric.exported, metric.help, labels=_LABELS)
    summary.add_metric(labels, value.count if value else 0, value.sum if value else 0)
    yield summary
    for end, text in (("min", "The least"), ("max", "The most")):
        gauge = GaugeMetricFamily(
            f"{metric.exported}_{end}", f"{text} {metric.help.lower()}", labels=_LABELS
        )
        if value is not None:
            gauge.add_metric(labels, getattr(value, end))
        yield gauge


def _gauge(metric: Metric, labels: list[str], totals: Totals) -> Family:
    family = GaugeMetricFamily(metric.exported, metric.help, labels=_LABELS)
    if metric.name in totals.gauges:
        family.add_metric(labels, totals.gauges[metric.name] / metric.per_unit)
    return family
