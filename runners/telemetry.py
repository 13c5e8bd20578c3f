"""Traces and log lines by OTLP (gRPC), in the process that calls: the one of the job, or a worker.

Whatever happens to the receiver, the pipeline goes on: spans and lines wait in a bounded queue,
and what does not fit is dropped. OpenTelemetry's own variables (headers, certificates, resource
attributes, queue sizes) work as its SDK documents them.
"""

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import unquote

from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import (
    ReadableSpan,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from options.settings import Settings
from runners.logs import RepeatFilter
from transforms.errors import SettingsError

_HEADER = re.compile(r"\s*[A-Za-z0-9_.-]+\s*=[\x20-\x7e]*")
_STOP_SECS = 1.0  # of the 10 that a stop may take

_lock = threading.Lock()
_started: "_Started | None" = None


class _Started(NamedTuple):
    resource: Resource
    spans: SynchronousMultiSpanProcessor
    logs: LoggerProvider | None


def start_telemetry(settings: Settings) -> None:
    """Start what the settings ask for; does nothing when this process has started it.

    Raises:
        SettingsError: one of OpenTelemetry's own variables is wrong.
    """
    global _started  # noqa: PLW0603 - a process has one logging, and so one telemetry
    with _lock:
        if _started is None:
            _check_headers()
            with checked_variables():
                found = resource(settings)
                _started = _Started(found, _start_spans(settings), _start_logs(settings, found))


def span_output() -> tuple[Resource, SpanProcessor]:
    """Return what describes this process, and what takes its spans.

    `on_end` of it never waits: spans wait in a queue, and what does not fit is dropped.
    """
    assert _started is not None, "start_telemetry comes first"
    return _started.resource, _started.spans


def stop_telemetry() -> None:
    """Send what is left; a receiver that does not answer is left alone after 1 s."""
    if _started is None:
        return
    shutdowns = [_started.spans.shutdown, *([_started.logs.shutdown] if _started.logs else [])]
    # Daemons: a receiver that hangs must not keep the process alive.
    threads = [threading.Thread(target=shutdown, daemon=True) for shutdown in shutdowns]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + _STOP_SECS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


class _ProcessResource(Resource):
    """The one of this process. The exporter asks for its hash for each span, which the SDK (1.45)
    makes of a JSON text each time: 1 % of the throughput with 1 % of the events traced."""

    def __hash__(self) -> int:
        return 0


@contextmanager
def checked_variables() -> Iterator[None]:
    """Turn what the SDK raises for its own variables, which is of many kinds.

    Raises:
        SettingsError: one of them is wrong.
    """
    try:
        yield
    except Exception as error:
        raise SettingsError(f"a variable OTEL_... is wrong: {error}") from None


def otlp_arguments(settings: Settings) -> dict[str, Any]:
    """Return the arguments of every exporter."""
    endpoint = settings.otel_exporter_otlp_endpoint
    return {"endpoint": endpoint, "insecure": not endpoint.startswith("https://")}


def resource(settings: Settings) -> Resource:
    """Return what tells this deployment from others."""
    ours = {
        "service.name": settings.app_name,
        "service.version": settings.version,
        "deployment.environment.name": settings.env,
    }
    known = {name: value for name, value in ours.items() if value}
    # OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME win.
    found = Resource.create(known).merge(OTELResourceDetector().detect())
    return _ProcessResource(found.attributes, found.schema_url)


def _check_headers() -> None:
    """Refuse headers that the SDK would log as a whole, or gRPC not send; never shows them."""
    for name in ("", "TRACES_", "METRICS_", "LOGS_"):
        variable = f"OTEL_EXPORTER_OTLP_{name}HEADERS"
        for header in filter(None, os.environ.get(variable, "").split(",")):
            if not _HEADER.fullmatch(unquote(header)):
                raise SettingsError(
                    f"{variable}: expected NAME=VALUE, several separated by commas, printable"
                )


def _start_spans(settings: Settings) -> SynchronousMultiSpanProcessor:
    processors = SynchronousMultiSpanProcessor()
    if settings.otel_traces:
        exporter = OTLPSpanExporter(**otlp_arguments(settings))
        processors.add_span_processor(BatchSpanProcessor(exporter))
    if settings.otel_stdout_tracer:
        console = ConsoleSpanExporter(out=sys.stdout, formatter=_line)
        processors.add_span_processor(BatchSpanProcessor(console))
    return processors


def _line(span: ReadableSpan) -> str:
    return f"{span.to_json(indent=None)}\n"


def _start_logs(settings: Settings, found: Resource) -> LoggerProvider | None:
    if not settings.otel_logs:
        return None
    provider = LoggerProvider(resource=found, shutdown_on_exit=False)
    provider.add_log_record_processor(
        BatchLogRecordProcessor(OTLPLogExporter(**otlp_arguments(settings)))
    )
    handler = LoggingHandler(logger_provider=provider)
    # The exporter's own lines must not feed it.
    handler.addFilter(lambda record: not record.name.startswith("opentelemetry"))
    handler.addFilter(RepeatFilter())
    logging.getLogger().addHandler(handler)
    return provider
