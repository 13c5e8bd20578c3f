"""Every Beam metric of the pipeline: its name, kind, unit and meaning.

At the end of each bundle `read = written + duplicate + skipped + dead_lettered`.
"""

from apache_beam.metrics import Metrics

NAMESPACE = "reconciliation"

# Counters, in records.
READ = "read"  # taken from Kafka
WRITTEN = "written"  # became a new row
DUPLICATE = "duplicate"  # their row was there already
SKIPPED = "skipped"  # of another event type; also by type as skipped.TYPE
DEAD_LETTERED = "dead_lettered"  # also by code as dead_lettered.CODE
DISCREPANCY = "discrepancy"  # rows whose payment and order differ in amount or currency

# Counter, in partitions.
OFFSET_RESET = "offset_reset"  # positions that Kafka no longer had, set to the earliest

# Distributions.
BATCH_ROWS = "batch_rows"  # rows in one write
BATCH_WRITE_MS = "batch_write_ms"  # milliseconds of one write, its commit included
EVENT_TO_COMMIT_MS = "event_to_commit_ms"  # milliseconds from a write's oldest record to its commit

# Gauge, in records, one for each partition: lag.TOPIC.PARTITION.
LAG = "lag"

# Event types come from outside: beyond this many, the rest are counted as one.
MAX_EVENT_TYPES = 20
OTHER_EVENT_TYPES = "other"
_MAX_TYPE_LENGTH = 100


def increment(name: str, amount: int) -> None:
    """Add to a counter; call it inside a DoFn, once a bundle rather than once a record."""
    if amount:
        Metrics.counter(NAMESPACE, name).inc(amount)


def record(name: str, value: int) -> None:
    """Add a value to a distribution; call it inside a DoFn."""
    Metrics.distribution(NAMESPACE, name).update(value)


def set_lag(topic: str, partition: int, records: int) -> None:
    """Set a partition's lag; call it inside a DoFn."""
    Metrics.gauge(NAMESPACE, f"{LAG}.{topic}.{partition}").set(records)


def event_type_label(event_type: str, known: set[str]) -> str:
    """Return the name to count an event type under; adds it to `known` while there is room."""
    label = event_type[:_MAX_TYPE_LENGTH]
    if label not in known:
        if len(known) >= MAX_EVENT_TYPES:
            return OTHER_EVENT_TYPES
        known.add(label)
    return label
