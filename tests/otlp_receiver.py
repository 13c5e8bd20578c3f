"""A real OTLP receiver: a gRPC server that keeps what it is sent."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Receiver:
    """What has come, and where to send it."""

    def __init__(self) -> None:
        self.address = ""
        self.requests: list[Any] = []

    def spans(self) -> list[Any]:
        return [
            span
            for request in list(self.requests)
            if isinstance(request, trace_service_pb2.ExportTraceServiceRequest)
            for of_resource in request.resource_spans
            for scope in of_resource.scope_spans
            for span in scope.spans
        ]

    def metrics(self) -> dict[str, Any]:
        """Return the newest of each metric by name."""
        return {
            metric.name: metric
            for request in list(self.requests)
            if isinstance(request, metrics_service_pb2.ExportMetricsServiceRequest)
            for of_resource in request.resource_metrics
            for scope in of_resource.scope_metrics
            for metric in scope.metrics
        }

    def logs(self) -> list[Any]:
        return [
            line
            for request in list(self.requests)
            if isinstance(request, logs_service_pb2.ExportLogsServiceRequest)
            for of_resource in request.resource_logs
            for scope in of_resource.scope_logs
            for line in scope.log_records
        ]


_SERVICES = (
    (
        trace_service_pb2_grpc.TraceServiceServicer,
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server,
        trace_service_pb2.ExportTraceServiceResponse,
    ),
    (
        metrics_service_pb2_grpc.MetricsServiceServicer,
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server,
        metrics_service_pb2.ExportMetricsServiceResponse,
    ),
    (
        logs_service_pb2_grpc.LogsServiceServicer,
        logs_service_pb2_grpc.add_LogsServiceServicer_to_server,
        logs_service_pb2.ExportLogsServiceResponse,
    ),
)


def _servicer(base: type[Any], response: type[Any], receiver: Receiver) -> Any:
    class Servicer(base):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
            receiver.requests.append(request)
            return response()

    return Servicer()


@contextmanager
def otlp_receiver() -> Iterator[Receiver]:
    """Run a receiver on a free port of 127.0.0.1."""
    receiver = Receiver()
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        for base, add, response in _SERVICES:
            add(_servicer(base, response, receiver), server)
        receiver.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield receiver
        finally:
            server.stop(None).wait()


def attributes(item: Any) -> dict[str, Any]:
    """Return the attributes of a span, a log line or a data point."""
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in item.attributes
    }
