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


class MetricsSource(Protocol):
    """A job of some runner. Answers within milliseconds, from any thread."""

    @property
    def runner(self) -> str:
        """The runner's name, as `--runner` takes it."""

    @property
    def state(self) -> str:
        """Beam's name of the job's state (RUNNING, DONE, FAILED, ...), or UNKNOWN."""

    @property
    def job(self) -> str:
        """The job's id, empty where the runner has none."""

    def beam_metrics(self) -> list[BeamMetric]:
        """Return the metrics of all bundles that have ended."""


class NoJob:
    """Nothing to watch: before a pipeline is built, or beside none."""

    state = UNKNOWN
    job = ""

    def __init__(self, runner: str) -> None:
        self.runner = runner

    def beam_metrics(self) -> list[BeamMetric]:
        return []
