"""The chain: ReadFromKafka | Reconcile | WriteToPostgres."""

import apache_beam as beam

from options.settings import Settings, TraceSampler
from options.workers import WorkerSettings
from runners.clients import WorkerClients
from transforms.kafka import ReadFromKafka
from transforms.metric_names import READ_STEP, RECONCILE_STEP, WRITE_STEP
from transforms.postgres import WriteToPostgres
from transforms.reconcile import Reconcile
from transforms.tracing import Tracing


def build(pipeline: beam.Pipeline, settings: Settings, workers: WorkerSettings) -> None:
    """Add the whole chain to a pipeline. It holds no secret."""
    clients = WorkerClients(workers)
    tracing = tracing_of(settings, clients)
    (
        pipeline
        | READ_STEP
        >> ReadFromKafka(
            clients.consumer_config,
            settings.topic_event,
            start=settings.start,
            until_end=settings.until_end,
        )
        | RECONCILE_STEP >> Reconcile(tracing)
        | WRITE_STEP
        >> WriteToPostgres(
            clients.connect,
            batch_rows=settings.batch_rows,
            batch_bytes=settings.batch_bytes,
            tracing=tracing,
            on_worker=clients.start_telemetry,
        )
    )


def tracing_of(settings: Settings, clients: WorkerClients) -> Tracing | None:
    """Return which events are traced, None for none."""
    sampler = settings.otel_traces_sampler.value
    root = sampler.removeprefix("parentbased_")
    ratio = {"always_on": 1.0, "always_off": 0.0}.get(root, settings.otel_traces_sampler_arg)
    if sampler == TraceSampler.ALWAYS_OFF or not (
        settings.otel_traces or settings.otel_stdout_tracer
    ):
        return None
    return Tracing(sampler != root, ratio, settings.kafka_group_id, clients.span_output)
