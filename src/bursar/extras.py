"""The one place for imports that are optional or slow.

Each function imports when it is called, so that a start pays only for what it uses, and so that an
extra that is not installed gives an error with its mend instead of a traceback.
"""

from __future__ import annotations

from typing import Any

from bursar.model.errors import BadInput


def otlp_resource_spans() -> tuple[Any, type[Exception]]:
    """The protobuf message `ResourceSpans` of OpenTelemetry, and the error of a broken one."""
    try:
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
    except ImportError as bad:
        raise BadInput(
            "OTLP protobuf files need the package opentelemetry-proto",
            mend="install opentelemetry-proto, or export the traces as JSON",
        ) from bad
    return ResourceSpans, DecodeError
