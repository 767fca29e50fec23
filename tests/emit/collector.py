"""A collector on this machine: takes OTLP over HTTP, keeps it, misbehaves where it is told to."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

TRACES, METRICS = "/v1/traces", "/v1/metrics"


class Collector:
    """What came, and how the next requests are answered."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        """Of traces, unpacked, in the order of arrival; those of refused requests as well."""
        self.headers: list[dict[str, str]] = []
        self.metric_bodies: list[bytes] = []
        self.status = 200
        self.refusals = 0
        """So many requests get `status`, then all is well; 0: all get it."""
        self.wait_s = 0.0
        self.cut = False
        """The connection is cut behind the request."""
        self.rejected = 0
        self.location = ""
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def spans(self) -> list[Any]:
        """Every span that came, with its resource's and scope's names."""
        found = []
        for body in list(self.bodies):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for group in resource.scope_spans:
                    found.extend(group.spans)
        return found

    def points(self) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """Metric -> its points as they stand in the latest request: (attributes, point)."""
        if not self.metric_bodies:
            return {}
        latest = ExportMetricsServiceRequest.FromString(self.metric_bodies[-1])
        return {
            metric.name: [
                (plain(point.attributes), point)
                for point in getattr(metric, metric.WhichOneof("data")).data_points
            ]
            for resource in latest.resource_metrics
            for group in resource.scope_metrics
            for metric in group.metrics
        }


def plain(pairs: Any) -> dict[str, Any]:
    """Attributes as a plain mapping."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)


@contextmanager
def collecting() -> Generator[Collector]:
    """A collector that runs for a while."""
    collector = Collector()

    class Taker(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            time.sleep(collector.wait_s)
            if self.path == TRACES:
                collector.bodies.append(body)
                collector.headers.append({k.lower(): v for k, v in self.headers.items()})
            elif self.path == METRICS:
                collector.metric_bodies.append(body)
            if collector.cut:
                self.close_connection = True
                self.connection.close()
                return
            status = collector.status
            if status != 200 and collector.refusals:
                collector.refusals -= 1
                collector.status = status if collector.refusals else 200
            answer = ExportTraceServiceResponse()
            if collector.rejected:
                answer.partial_success.rejected_spans = collector.rejected
            content = answer.SerializeToString() if status == 200 else b""
            self.send_response(status)
            if collector.location:
                self.send_header("location", collector.location)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A connection that was cut."""

    server = Server(("127.0.0.1", 0), Taker)
    collector.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
