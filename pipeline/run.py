"""Runs the chain: checks first, shows progress, stops on a signal."""

import gc
import logging
import signal
import sys
import time
from collections.abc import Callable

import apache_beam as beam
import psycopg2
from apache_beam.runners.runner import PipelineResult, PipelineState
from msgspec.structs import replace

from options.load import DIRECT_RUNNER, Loaded
from options.settings import Settings
from pipeline import chain
from pipeline.check import run_checks
from pipeline.counts import Counts, read_counts
from pipeline.progress import open_progress
from runners.clients import connect
from runners.direct import RunningPipeline, StreamingDirectRunner
from runners.sidecar import Sidecar
from runners.sidecar_source import NoJob
from runners.telemetry import start_telemetry, stop_telemetry
from transforms import schema
from transforms.errors import (
    CheckError,
    ConfigurationError,
    ErrorCode,
    JobError,
    StopTimeoutError,
    UnavailableError,
)
from transforms.sqlstate import Remedy, describe, remedy_for
from transforms.stop import clear_stop, request_stop, stop_requested

_SHOW_INTERVAL_SECS = 0.5
_STOP_TIMEOUT_SECS = 7.0  # of the 10 that a stop may take; the exporters get the rest

# Many records are alive at once, and few of them are in cycles: Beam makes some a bundle. The
# default of 700 new objects costs a tenth of the throughput.
_GC_THRESHOLD = (50_000, 20, 100)

# How long a busy step keeps the interpreter from the sidecar's thread, each time that it asks. At
# the default of 5 ms a scrape took up to 44 ms, at this 29, for the same throughput; 1 ms costs
# a tenth of that, because the writer's thread and the steps interrupt each other.
_SWITCH_INTERVAL_SECS = 0.0025

_LOGGER = logging.getLogger(__name__)

Observer = Callable[[Counts], None]


def run(loaded: Loaded, observe: Observer = lambda _counts: None) -> Counts:
    """Run until the end, or until SIGTERM or SIGINT asks to stop; a second signal kills.

    When it returns, everything that was read is written, and its offsets are committed.

    Args:
        observe: gets the counts twice a second.

    Returns:
        The final counts.

    Raises:
        JobError: a check failed, or the pipeline did.
    """
    settings = loaded.settings
    try:
        start_telemetry(settings)
        with Sidecar(settings, NoJob(loaded.runner)) as sidecar:
            return _run(loaded, sidecar, observe)
    except Exception as error:
        if not sys.stdout.isatty():  # a terminal gets the message from the command line
            code = error.code if isinstance(error, JobError) else ErrorCode.UNEXPECTED
            _LOGGER.error("%s", error, extra={"error_code": str(code)})
        raise
    finally:
        stop_telemetry()


def _run(loaded: Loaded, sidecar: Sidecar, observe: Observer) -> Counts:
    settings = loaded.settings
    if settings.migrate:
        migrate(settings)
    faults = [str(check) for check in run_checks(settings) if check.fault is not None]
    if faults:
        raise CheckError("\n".join(faults))
    _log_start(loaded, sidecar.address)
    clear_stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _on_signal)
    if loaded.runner == DIRECT_RUNNER:
        return _run_direct(loaded, sidecar, observe)
    return _run_elsewhere(loaded)


def migrate(settings: Settings) -> bool:
    """Create or upgrade the tables; return whether anything had to be done.

    Raises:
        JobError: the database refuses, or cannot be reached.
    """
    try:
        connection = connect(settings)
        try:
            return schema.migrate(connection)
        finally:
            connection.close()
    except psycopg2.Error as error:
        is_away = remedy_for(error) is Remedy.RETRY
        kind = UnavailableError if is_away else ConfigurationError
        raise kind(f"migrate: {describe(error)}") from error


def _log_start(loaded: Loaded, address: str) -> None:
    settings = loaded.settings
    _LOGGER.info(
        "reading %s as group %s, writing to %s on %s; shown at %s",
        ", ".join(settings.topic_event),
        settings.kafka_group_id,
        settings.db_name,
        settings.db_host,
        address,
        extra={
            "app_name": settings.app_name,
            "version": settings.version,
            "account": settings.account,
            "env": settings.env,
            "runner": loaded.runner,
        },
    )


def _on_signal(_number: int, _frame: object) -> None:
    request_stop()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_DFL)


def _run_direct(loaded: Loaded, sidecar: Sidecar, observe: Observer) -> Counts:
    pipeline = beam.Pipeline(runner=StreamingDirectRunner(request_stop), options=loaded.beam)
    chain.build(pipeline, loaded.settings, loaded.workers)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLD)
    sys.setswitchinterval(_SWITCH_INTERVAL_SECS)
    result = pipeline.run()
    sidecar.watch(result)
    progress = open_progress(until_end=loaded.settings.until_end)

    def show(counts: Counts) -> None:
        if not loaded.settings.until_end:  # else it is the lag behind the fixed end
            counts = replace(counts, lag=sidecar.lag())  # grows while no bundle ends
        progress.update(counts)
        observe(counts)

    try:
        _watch(result, show)
    finally:
        counts = read_counts(result.metrics())
        progress.close(counts)
    if not loaded.settings.until_end and not stop_requested():
        raise JobError("the stream ended by itself; nothing is lost, the next start goes on")
    return counts


def _watch(result: RunningPipeline, show: Observer) -> None:
    """Show the counts until the pipeline has ended.

    Raises:
        StopTimeoutError: it did not end in time after a stop.
    """
    deadline = None
    while result.wait_until_finish(_SHOW_INTERVAL_SECS * 1000) == PipelineState.RUNNING:
        show(read_counts(result.metrics()))
        if deadline is None and stop_requested():
            _LOGGER.info("stopping: writing what was read; a second signal kills")
            deadline = time.monotonic() + _STOP_TIMEOUT_SECS
        if deadline is not None and time.monotonic() >= deadline:
            raise StopTimeoutError(
                f"PostgreSQL or Kafka did not take the last batch or its offsets within "
                f"{_STOP_TIMEOUT_SECS:g} s of the stop; nothing is lost, the next start goes on"
            )
    result.wait_until_finish()


def _run_elsewhere(loaded: Loaded) -> Counts:
    pipeline = beam.Pipeline(runner=loaded.runner, options=loaded.beam)
    chain.build(pipeline, loaded.settings, loaded.workers)
    result: PipelineResult = pipeline.run()
    result.wait_until_finish()
    return read_counts(result.metrics())
