"""Traces and log lines by OTLP (gRPC), in the process that calls: the one of the job, or a worker.

Whatever happens to the receiver, the pipeline goes on: spans and lines wait in a bounded queue,
and what does not fit is dropped. OpenTelemetry's own variables (headers, certificates, resource
attributes, queue sizes) work as its SDK documents them.
"""

import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from options.settings import Settings

_STOP_SECS = 2.0  # of the 10 that a stop may take

_lock = threading.Lock()
_shutdowns: list[Callable[[], None]] | None = None


def start_telemetry(settings: Settings) -> None:
    """Start what the settings ask for; does nothing when this process has started it."""
    global _shutdowns  # noqa: PLW0603 - OpenTelemetry's providers are the process' too
    with _lock:
        if _shutdowns is None:
            _shutdowns = [*_start_traces(settings), *_start_logs(settings)]


def stop_telemetry() -> None:
    """Send what is left; a receiver that does not answer is left alone after 2 s."""
    for shutdown in _shutdowns or ():
        # A daemon: a hanging receiver must not keep the process alive.
        thread = threading.Thread(target=shutdown, daemon=True)
        thread.start()
        thread.join(_STOP_SECS)


def otlp_arguments(settings: Settings) -> dict[str, Any]:
    """Return the arguments of every exporter."""
    endpoint = settings.otel_exporter_otlp_endpoint
    return {"endpoint": endpoint, "insecure": not endpoint.startswith("https://")}


def resource(settings: Settings) -> Resource:
    """Return what tells this deployment from others."""
    return Resource.create(
        {
            "service.name": settings.app_name,
            "service.version": settings.version,
            "deployment.environment.name": settings.env,
        }
    )


def _start_traces(settings: Settings) -> list[Callable[[], None]]:
    if not (settings.otel_traces or settings.otel_stdout_tracer):
        return []
    # Which events are sampled is decided before a span is made, see transforms/tracing.py.
    provider = TracerProvider(
        sampler=ALWAYS_ON, resource=resource(settings), shutdown_on_exit=False
    )
    if settings.otel_traces:
        provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(**otlp_arguments(settings)))
        )
    if settings.otel_stdout_tracer:
        console = ConsoleSpanExporter(out=sys.stdout, formatter=_line)
        provider.add_span_processor(BatchSpanProcessor(console))
    trace.set_tracer_provider(provider)
    return [provider.shutdown]


def _line(span: ReadableSpan) -> str:
    return f"{span.to_json(indent=None)}\n"


def _start_logs(settings: Settings) -> list[Callable[[], None]]:
    if not settings.otel_logs:
        return []
    provider = LoggerProvider(resource=resource(settings), shutdown_on_exit=False)
    provider.add_log_record_processor(
        BatchLogRecordProcessor(OTLPLogExporter(**otlp_arguments(settings)))
    )
    set_logger_provider(provider)
    handler = LoggingHandler(logger_provider=provider)
    # The exporter's own lines must not feed it.
    handler.addFilter(lambda record: not record.name.startswith("opentelemetry"))
    logging.getLogger().addHandler(handler)
    return [provider.shutdown]
