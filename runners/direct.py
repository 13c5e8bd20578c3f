"""Beam's local runner, for streams that run for days on one machine.

Beam's `DirectRunner` tries to download and start Prism, and the `FnApiRunner` behind it shows
metrics only when a pipeline has ended, and nests one more generator in memory for each bundle.
This runner is `FnApiRunner` in a thread of its own, with live metrics and flat memory.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from apache_beam.metrics import monitoring_infos
from apache_beam.metrics.metric import MetricResults
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import Pipeline
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.runner import PipelineResult, PipelineState
from apache_beam.runners.worker import statesampler

from runners.sidecar_source import BeamMetric, Distribution, Gauge

# Beam's own metrics that are worth showing, by their URN.
_SYSTEM = {
    monitoring_infos.ELEMENT_COUNT_URN: "element_count",
    monitoring_infos.START_BUNDLE_MSECS_URN: "start_msecs",
    monitoring_infos.PROCESS_BUNDLE_MSECS_URN: "process_msecs",
    monitoring_infos.FINISH_BUNDLE_MSECS_URN: "finish_msecs",
}
_ZERO = b"\0"  # 0 as a varint, the payload of a counter
_Info = Any  # metrics_pb2.MonitoringInfo, which has no types


class StreamingDirectRunner(fn_runner.FnApiRunner):
    """Runs a pipeline on this machine until its sources end.

    Args:
        request_stop: asks the pipeline's sources to end; what `cancel` calls.
    """

    def __init__(self, request_stop: Callable[[], None]) -> None:
        super().__init__()
        self._request_stop = request_stop
        self._lock = threading.Lock()
        self._infos: dict[str, dict[frozenset[Any], _Info]] = {}
        self._steps: dict[str, str] = {}  # by the id of the PCollection that they put out

    def run_pipeline(self, pipeline: Pipeline, options: PipelineOptions) -> "RunningPipeline":
        """Start the pipeline in a thread and return at once."""
        return RunningPipeline(
            lambda: super(StreamingDirectRunner, self).run_pipeline(pipeline, options),
            self.metrics,
            self.beam_metrics,
            self._request_stop,
        )

    def run_via_runner_api(self, pipeline_proto: Any, options: PipelineOptions) -> Any:
        for transform in pipeline_proto.components.transforms.values():
            if not transform.subtransforms:
                for pcollection in transform.outputs.values():
                    self._steps[pcollection] = transform.unique_name
        return super().run_via_runner_api(pipeline_proto, options)

    def metrics(self) -> MetricResults:
        """Return the metrics of all bundles that have ended. Safe from any thread."""
        return fn_runner.FnApiMetrics(self._merged(), user_metrics_only=False)

    def beam_metrics(self) -> list[BeamMetric]:
        """Return the same as `metrics` in the sidecar's form. Safe from any thread."""
        return [
            metric
            for infos in self._merged().values()
            for info in infos
            if (metric := to_metric(info, self._steps)) is not None
        ]

    def _merged(self) -> dict[str, list[_Info]]:
        with self._lock:
            return {stage: list(merged.values()) for stage, merged in self._infos.items()}

    def _execute_bundle(self, context: Any, manager: Any, bundle_input: Any) -> Any:
        result = super()._execute_bundle(context, manager, bundle_input)
        infos = result.process_bundle.monitoring_infos
        with self._lock:  # a reader sees whole bundles: their counts add up
            merge_infos(self._infos.setdefault(manager.stage.name, {}), infos)
        del infos[:]  # FnApiRunner would keep them too
        return result


class RunningPipeline(PipelineResult):
    """A pipeline that runs in a thread."""

    def __init__(
        self,
        run: Callable[[], PipelineResult],
        metrics: Callable[[], MetricResults],
        beam_metrics: Callable[[], list[BeamMetric]],
        request_stop: Callable[[], None],
    ) -> None:
        super().__init__(PipelineState.RUNNING)
        self._run = run
        self._metrics = metrics
        self._beam_metrics = beam_metrics
        self._request_stop = request_stop
        self._error: BaseException | None = None
        # A daemon, so that a database that never answers cannot keep the process alive.
        self._thread = threading.Thread(target=self._run_to_end, name="pipeline", daemon=True)
        self._thread.start()

    def wait_until_finish(self, duration: float | None = None) -> str:
        """Block until the pipeline has ended.

        Args:
            duration: milliseconds to wait at most, None for ever.

        Returns:
            The state; RUNNING when the time is over.

        Raises:
            Exception: what a step of the pipeline raised.
        """
        self._thread.join(None if duration is None else duration / 1000)
        if self._error is not None:
            raise self._error
        return str(self.state)

    def cancel(self) -> str:
        """Ask the sources to end; what they have read is written first."""
        self._request_stop()
        return str(self.state)

    def metrics(self) -> MetricResults:
        return self._metrics()

    @property
    def runner(self) -> str:
        return "DirectRunner"

    @property
    def job(self) -> str:
        return ""

    def beam_metrics(self) -> list[BeamMetric]:
        """Return the metrics in the sidecar's form. Safe from any thread."""
        return self._beam_metrics()

    def _run_to_end(self) -> None:
        try:
            self._state = self._run().state
        except BaseException as error:
            self._error = error
            self._state = PipelineState.FAILED
        _end_samplers()


def merge_infos(merged: dict[frozenset[Any], _Info], infos: Iterable[_Info]) -> None:
    """Merge a bundle's monitoring infos into those of the bundles before it.

    Counters and distributions add up. Of a gauge the newest value is kept: Beam's `consolidate`
    would keep every one, and a bundle that does not set it reports a 0 from 1970 (Beam 2.77).
    """
    for info in infos:
        if info.payload == _ZERO and info.type == monitoring_infos.SUM_INT64_TYPE:
            continue  # most of Beam's own: the rest costs 1 ms a bundle
        key = monitoring_infos.to_key(info)
        before = merged.get(key)
        if before is None:
            merged[key] = info
        elif info.type == monitoring_infos.LATEST_INT64_TYPE:
            merged[key] = max(info, before, key=_timestamp)  # of one millisecond the later
        else:
            merged[key] = next(iter(monitoring_infos.consolidate([info, before])))


def to_metric(info: _Info, steps: Mapping[str, str]) -> BeamMetric | None:
    """Return a monitoring info in the sidecar's form; None for what is not worth showing.

    Args:
        steps: names by the id of the PCollection that a step puts out.
    """
    labels = info.labels
    step = labels.get(monitoring_infos.PTRANSFORM_LABEL)
    if info.urn in monitoring_infos.USER_METRIC_URNS:
        namespace, name = monitoring_infos.parse_namespace_and_name(info)
    else:
        namespace, name = "beam", _SYSTEM.get(info.urn)
        step = step or steps.get(labels.get(monitoring_infos.PCOLLECTION_LABEL))
    if step is None or name is None:
        return None
    return BeamMetric(step.removesuffix("/Process"), namespace, name, _value(info))


def _value(info: _Info) -> int | Distribution | Gauge:
    value = monitoring_infos.extract_metric_result_map_value(info)
    if monitoring_infos.is_distribution(info):
        return Distribution(value.count, value.sum, value.min, value.max)
    if monitoring_infos.is_gauge(info):
        set_at, number = monitoring_infos.extract_gauge_value(info)
        return Gauge(number, float(set_at))
    return int(value)


def _timestamp(gauge: _Info) -> float:
    return float(monitoring_infos.extract_gauge_value(gauge)[0])


class _LastingSampler(statesampler.StateSampler):
    """Samples how long each step takes, in one thread for all bundles.

    Beam's sampler starts a thread for each bundle, and the bundle's end waits until that thread
    wakes: 2 ms for a short bundle, 50 ms for one that waited for a record. This one's thread
    goes on between bundles. It looks 5 times a second, without the interpreter's lock: a step's
    time is right over minutes, not over a bundle.
    """

    _thread: threading.Thread | None = None

    def start(self) -> None:
        self.tracked_thread = threading.current_thread()
        statesampler.set_current_tracker(self)
        self.started = True
        if self._thread is None:
            self._thread = threading.Thread(target=self.run, name="beam-sampler", daemon=True)
            self._thread.start()
            _samplers.append(self)

    def stop(self) -> None:
        statesampler.set_current_tracker(None)


_samplers: list[_LastingSampler] = []


def _end_samplers() -> None:
    while _samplers:
        _samplers.pop().finished = True  # its thread ends within 0.2 s


def _consolidate_eagerly(infos: Iterable[_Info]) -> list[_Info]:
    return list(monitoring_infos.consolidate(infos))


# `run_stages` keeps the lazy generator that this returns, and wraps it anew for every bundle:
# 32 KB a bundle, and a RecursionError in the end (Beam 2.77).
fn_runner.consolidate_monitoring_infos = _consolidate_eagerly
statesampler.StateSampler = _LastingSampler
