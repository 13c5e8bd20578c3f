"""Every Beam metric of the pipeline: its name, kind, unit and meaning, and how it is exported.

At the end of each bundle `read = written + duplicate + skipped + dead_lettered`. Imports nothing
of ours and no Beam, so that what shows the metrics may import it. Beam metrics have no labels:
what varies is the end of the name, behind a dot, as in `skipped.TYPE`.
"""

from enum import StrEnum

from msgspec import Struct

NAMESPACE = "reconciliation"

READ_STEP = "Read from Kafka"
RECONCILE_STEP = "Reconcile"
WRITE_STEP = "Write to PostgreSQL"
STEPS = (READ_STEP, RECONCILE_STEP, WRITE_STEP)

READ = "read"
WRITTEN = "written"
DUPLICATE = "duplicate"
SKIPPED = "skipped"
DEAD_LETTERED = "dead_lettered"
DISCREPANCY = "discrepancy"
OFFSET_RESET = "offset_reset"
BATCH_ROWS = "batch_rows"
BATCH_WRITE_MS = "batch_write_ms"
EVENT_TO_COMMIT_MS = "event_to_commit_ms"
LAST_COMMIT_MS = "last_commit_ms"
LAG = "lag"
POSITION = "position"

# Beam's distributions have no percentiles, so a histogram is counters: NAME.BOUND for the values
# up to a bound and above the one before, NAME.inf for the rest, NAME.sum. From a lone row's write
# to an outage's 300 s.
BUCKETS_MS = (2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000)
LAST_BUCKET = "inf"
SUM = "sum"


class Kind(StrEnum):
    """What a metric is made of in Beam."""

    COUNTER = "counter"
    DISTRIBUTION = "distribution"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(Struct, frozen=True):
    """One metric.

    Args:
        name: in Beam; the start of the name where there are labels.
        step: label of the step that reports it, its first part.
        exported: name for Prometheus, without `_total`, in base units.
        labels: what the rest of Beam's name holds, the last one without dots.
        per_unit: by what a value is divided for the base unit.
    """

    name: str
    kind: Kind
    step: str
    exported: str
    help: str
    labels: tuple[str, ...] = ()
    per_unit: int = 1


METRICS = (
    Metric(
        READ,
        Kind.COUNTER,
        READ_STEP,
        "reconciliation_records_read",
        "Records taken from Kafka.",
    ),
    Metric(
        WRITTEN,
        Kind.COUNTER,
        WRITE_STEP,
        "reconciliation_rows_written",
        "Records that became a new row.",
    ),
    Metric(
        DUPLICATE,
        Kind.COUNTER,
        WRITE_STEP,
        "reconciliation_rows_duplicate",
        "Records whose row was there already.",
    ),
    Metric(
        SKIPPED,
        Kind.COUNTER,
        RECONCILE_STEP,
        "reconciliation_records_skipped",
        "Records of another event type, which make no row.",
        ("event_type",),
    ),
    Metric(
        DEAD_LETTERED,
        Kind.COUNTER,
        WRITE_STEP,
        "reconciliation_dead_letters",
        "Records that cannot become a row, kept in the dead-letter table.",
        ("code",),
    ),
    Metric(
        DISCREPANCY,
        Kind.COUNTER,
        RECONCILE_STEP,
        "reconciliation_discrepancies",
        "Rows whose payment and order differ in amount or currency.",
    ),
    Metric(
        OFFSET_RESET,
        Kind.COUNTER,
        READ_STEP,
        "reconciliation_offset_resets",
        "Positions that Kafka no longer had, set to the earliest record.",
    ),
    Metric(
        BATCH_ROWS,
        Kind.DISTRIBUTION,
        WRITE_STEP,
        "reconciliation_batch_rows",
        "Rows and dead letters in one write.",
    ),
    Metric(
        BATCH_WRITE_MS,
        Kind.HISTOGRAM,
        WRITE_STEP,
        "reconciliation_batch_write_seconds",
        "Time of one write to PostgreSQL, its commit and its retries included.",
        per_unit=1000,
    ),
    Metric(
        EVENT_TO_COMMIT_MS,
        Kind.HISTOGRAM,
        WRITE_STEP,
        "reconciliation_event_to_commit_seconds",
        "Time from a record's Kafka timestamp to the commit of its row or dead letter.",
        per_unit=1000,
    ),
    Metric(
        LAST_COMMIT_MS,
        Kind.GAUGE,
        WRITE_STEP,
        "reconciliation_last_commit_timestamp_seconds",
        "When rows or dead letters were last committed to PostgreSQL, seconds since 1970.",
        per_unit=1000,
    ),
    Metric(
        LAG,
        Kind.GAUGE,
        READ_STEP,
        "reconciliation_lag_records",
        "Records between the position of the pipeline and the end of the partition.",
        ("topic", "partition"),
    ),
    Metric(
        POSITION,
        Kind.GAUGE,
        READ_STEP,
        "reconciliation_position_offset",
        "Offset of the next record to read; what is before it is committed to PostgreSQL.",
        ("topic", "partition"),
    ),
)
