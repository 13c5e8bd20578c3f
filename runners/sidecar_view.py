"""What the sidecar says of a pipeline: the documents behind its paths, and its metrics."""

import os
import platform
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from options.settings import Settings
from runners.sidecar_collector import beam_families, pipeline_families, sidecar_families
from runners.sidecar_probe import Health, Probe
from runners.sidecar_progress import Progress
from runners.sidecar_source import RUNNING, MetricsSource
from runners.sidecar_totals import Partition, sum_up
from transforms.metric_names import (
    DEAD_LETTERED,
    DUPLICATE,
    LAST_COMMIT_MS,
    READ,
    SKIPPED,
    STEPS,
    WRITTEN,
)

_PACKAGE = "clearance-reconciliation"


class View(Collector):
    """Answers from memory: no answer waits for a server, or for the pipeline.

    Args:
        kafka: asks for the ends of the partitions.
        postgres: asks for the newest dead letters.
        source: the job; may be set to another one.
    """

    def __init__(
        self,
        settings: Settings,
        port: int,
        kafka: Probe[dict[Partition, int]],
        postgres: Probe[list[dict[str, Any]]],
        source: MetricsSource,
    ) -> None:
        self._settings = settings
        self._port = port
        self._kafka = kafka
        self._postgres = postgres
        self._started_at = datetime.now(UTC)
        self._process_registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._process_registry)
        self._process = list(self._process_registry.collect())
        self._versions = {
            "version": settings.version,
            "release": metadata.version(_PACKAGE),
            "beam": metadata.version("apache-beam"),
        }
        self.watch(source)

    def watch(self, source: MetricsSource) -> None:
        """Take another job."""
        self._source = source
        self._progress = Progress(time.monotonic())

    def tick(self) -> None:
        """Look at the job and the process; call it once a second.

        The process' files in /proc are read here, not for a request: each system call gives the
        interpreter's lock away, and a busy pipeline gives it back milliseconds later.
        """
        self._process = list(self._process_registry.collect())
        ends = self._kafka.answer
        self._progress.update(time.monotonic(), sum_up(self._source.beam_metrics()), ends)

    def lag(self) -> int | None:
        """Return the lag over all partitions, None until it is known."""
        lags = self._progress.lags(sum_up(self._source.beam_metrics()))
        return sum(lags.values()) if lags else None

    def checks(self) -> dict[str, Health]:
        """Return what has to be well for the pipeline to be ready."""
        return {
            "kafka": self._kafka.health(),
            "postgres": self._postgres.health(),
            "pipeline": self._pipeline_health(self._source.state),
        }

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Return whether Kafka and PostgreSQL answer and the pipeline runs, and why not."""
        checks = self.checks()
        is_ready = all(check.is_ok for check in checks.values())
        return is_ready, {
            "ready": is_ready,
            "checks": {
                name: {"ok": check.is_ok, "reason": check.fault} for name, check in checks.items()
            },
        }

    def info(self) -> dict[str, Any]:
        """Return the facts of the pipeline; no secret, and no user's name."""
        settings = self._settings
        telemetry = (
            "otel_exporter_otlp_endpoint",
            "otel_traces",
            "otel_traces_sampler",
            "otel_traces_sampler_arg",
            "otel_stdout_tracer",
            "otel_metrics",
            "otel_logs",
            "log_level",
            "log_group",
        )
        return {
            "application": {
                "name": settings.app_name,
                "version": settings.version,
                "account": settings.account,
                "env": settings.env,
                "release": self._versions["release"],
            },
            "server": {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "address": settings.sidecar_host,
                "port": self._port,
                "python": platform.python_version(),
                "started_at": self._started_at.isoformat(timespec="seconds"),
            },
            "runner": self._job(),
            "pipeline": {
                "steps": STEPS,
                "start": settings.start,
                "until_end": settings.until_end,
                "batch_rows": settings.batch_rows,
                "batch_bytes": settings.batch_bytes,
            },
            "database": self._database(),
            "kafka": {
                **self._kafka_facts(),
                "client_id": settings.kafka_client_id,
                "protocol": settings.kafka_protocol,
            },
            "topics": settings.topic_event,
            "telemetry": {name: getattr(settings, name) for name in telemetry},
        }

    def status(self) -> dict[str, Any]:
        """Return what the page shows."""
        totals = sum_up(self._source.beam_metrics())
        lags = self._progress.lags(totals)
        commit_ms = totals.gauges.get(LAST_COMMIT_MS)
        return {
            "app": self._settings.app_name,
            "env": self._settings.env,
            "version": self._settings.version,
            **self._job(),
            "uptime_secs": (datetime.now(UTC) - self._started_at).total_seconds(),
            **self.ready()[1],
            "events_per_sec": self._progress.events_per_sec(),
            "lag": sum(lags.values()) if lags else None,
            "partitions": [
                {"topic": topic, "partition": partition, "lag": lag}
                for (topic, partition), lag in sorted(lags.items())
            ],
            "latency_ms": {
                "p50": self._progress.latency_ms(0.5),
                "p99": self._progress.latency_ms(0.99),
            },
            "last_commit": _time_text(commit_ms),
            "counts": {
                "read": totals.counters[READ],
                "written": totals.counters[WRITTEN],
                "duplicate": totals.counters[DUPLICATE],
                "skipped": totals.counters[SKIPPED],
                "dead": totals.counters[DEAD_LETTERED],
            },
            "skipped": totals.labelled[SKIPPED],
            "dead_letters": totals.labelled[DEAD_LETTERED],
            "newest_dead_letters": self._postgres.answer,
            "kafka": {**self._kafka_facts(), "topics": self._settings.topic_event},
            "database": self._database(),
            "steps": STEPS,
        }

    def collect(self) -> Iterator[Family]:
        """Yield the job's metrics, the sidecar's own, and those of the process."""
        runner, metrics = self._source.runner, self._source.beam_metrics()
        totals = sum_up(metrics)
        yield from pipeline_families(runner, totals, self._progress.lags(totals))
        yield from beam_families(runner, metrics)
        yield from sidecar_families(runner, self._source.state, self.checks(), self._versions)
        yield from self._process

    def _pipeline_health(self, state: str) -> Health:
        if state != RUNNING:
            return Health(f"the pipeline's state is {state}")
        stuck_secs = self._progress.stuck_secs(time.monotonic())
        if stuck_secs is not None:
            return Health(f"the pipeline has not moved for {stuck_secs:.0f} s, and records wait")
        return Health()

    def _job(self) -> dict[str, str]:
        source = self._source
        return {"runner": source.runner, "state": str(source.state), "job": source.job}

    def _kafka_facts(self) -> dict[str, Any]:
        settings = self._settings
        return {"brokers": settings.brokers.split(","), "group_id": settings.kafka_group_id}

    def _database(self) -> dict[str, Any]:
        settings = self._settings
        return {"host": settings.db_host, "port": settings.db_port, "name": settings.db_name}


def _time_text(since_1970_ms: int | None) -> str | None:
    if since_1970_ms is None:
        return None
    return datetime.fromtimestamp(since_1970_ms / 1000, UTC).isoformat()
