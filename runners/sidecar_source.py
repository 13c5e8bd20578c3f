"""What the sidecar watches: a job's state and Beam metrics, behind one small interface."""

from typing import Protocol

from msgspec import Struct

UNKNOWN = "UNKNOWN"
RUNNING = "RUNNING"


class Distribution(Struct, frozen=True):
    """The value of a Beam distribution."""

    count: int
    sum: int
    min: int
    max: int


class Gauge(Struct, frozen=True):
    """The value of a Beam gauge.

    Args:
        set_at: when it was set, seconds since 1970; 0 when the runner does not tell.
    """

    value: int
    set_at: float = 0.0


class BeamMetric(Struct, frozen=True):
    """One metric of one step; of a counter the value is an int.

    Args:
        namespace: the pipeline's own, or `beam` for the system's `element_count`,
            `start_msecs`, `process_msecs` and `finish_msecs`.
    """

    step: str
    namespace: str
    name: str
    value: int | Distribution | Gauge


class Snapshot(Struct, frozen=True):
    """A job at one moment.

    Args:
        state: Beam's name of it (RUNNING, DONE, FAILED, ...), or UNKNOWN.
    """

    state: str
    metrics: list[BeamMetric]
    job: str = ""


class MetricsSource(Protocol):
    """A job of some runner."""

    @property
    def runner(self) -> str:
        """The runner's name, as `--runner` takes it."""

    def snapshot(self) -> Snapshot:
        """Return the job as it is. Answers within milliseconds, and from any thread."""


class NoJob:
    """Nothing to watch: before a pipeline is built, or beside none."""

    def __init__(self, runner: str) -> None:
        self.runner = runner

    def snapshot(self) -> Snapshot:
        return Snapshot(UNKNOWN, [])
