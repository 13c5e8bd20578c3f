"""The chain: ReadFromKafka | Reconcile | WriteToPostgres."""

import apache_beam as beam

from options.settings import Settings
from options.workers import WorkerSettings
from pipeline.clients import WorkerClients
from transforms.kafka import ReadFromKafka
from transforms.postgres import WriteToPostgres
from transforms.reconcile import Reconcile


def build(pipeline: beam.Pipeline, settings: Settings, workers: WorkerSettings) -> None:
    """Add the whole chain to a pipeline. It holds no secret."""
    clients = WorkerClients(workers)
    (
        pipeline
        | "Read from Kafka"
        >> ReadFromKafka(
            clients.consumer_config,
            settings.topic_event,
            start=settings.start,
            until_end=settings.until_end,
        )
        | "Reconcile" >> Reconcile()
        | "Write to PostgreSQL"
        >> WriteToPostgres(
            clients.connect, batch_rows=settings.batch_rows, batch_bytes=settings.batch_bytes
        )
    )
