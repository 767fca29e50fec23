"""The one place for imports that are optional or slow.

Each function imports when it is called, so that a start pays only for what it uses, and so that an
extra that is not installed gives an error with its mend instead of a traceback.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable
from functools import partial
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


def aws_signing() -> Any:
    """botocore's signature and credentials, as attributes of one object."""
    try:
        from types import SimpleNamespace

        from botocore.auth import SigV4Auth  # pyright: ignore[reportMissingTypeStubs]
        from botocore.awsrequest import AWSRequest  # pyright: ignore[reportMissingTypeStubs]
        from botocore.credentials import Credentials  # pyright: ignore[reportMissingTypeStubs]
        from botocore.session import Session  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as bad:
        raise BadInput(
            "a Bedrock provider needs the package botocore",
            mend="install it: pip install 'bursar[gateway]'",
        ) from bad
    return SimpleNamespace(
        AWSRequest=AWSRequest, Credentials=Credentials, Session=Session, SigV4Auth=SigV4Auth
    )


def prometheus() -> Any:
    """What writes Prometheus' text format, as attributes of one object."""
    try:
        from types import SimpleNamespace

        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )
        from prometheus_client.exposition import CONTENT_TYPE_LATEST
        from prometheus_client.registry import Collector
    except ImportError as bad:
        raise BadInput(
            "metrics need the package prometheus-client",
            mend="install it: pip install 'bursar[gateway]'",
        ) from bad
    return SimpleNamespace(
        CONTENT_TYPE_LATEST=CONTENT_TYPE_LATEST,
        Collector=Collector,
        CollectorRegistry=CollectorRegistry,
        CounterMetricFamily=CounterMetricFamily,
        GaugeMetricFamily=GaugeMetricFamily,
        HistogramMetricFamily=HistogramMetricFamily,
        generate_latest=generate_latest,
    )


OTLP_PACKAGES = {
    "opentelemetry.exporter.otlp.proto.http": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.sdk.metrics": "opentelemetry-sdk",
    "requests": "requests",
}
"""Import name -> package, of all that telling a collector needs."""


def missing_for_otlp() -> list[str]:
    """Packages that telling a collector needs and that are not installed."""
    from importlib.util import find_spec

    missing: list[str] = []
    for name, package in OTLP_PACKAGES.items():
        try:
            found = find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            missing.append(package)
    return missing


def opentelemetry() -> Any:
    """OpenTelemetry's SDK and its exporters over HTTP, as attributes of one object."""
    try:
        from types import SimpleNamespace

        import requests
        from google.protobuf.message import DecodeError
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
        from opentelemetry.sdk import metrics, resources
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
    except ImportError as bad:
        raise BadInput(
            f"telemetry.otlp needs {' and '.join(missing_for_otlp()) or bad}",
            mend="install it: pip install 'bursar[otel]'",
        ) from bad
    return SimpleNamespace(
        Compression=Compression,
        DecodeError=DecodeError,
        InstrumentationScope=InstrumentationScope,
        NoConnection=requests.ConnectionError,
        OTLPMetricExporter=OTLPMetricExporter,
        OTLPSpanExporter=OTLPSpanExporter,
        PeriodicExportingMetricReader=PeriodicExportingMetricReader,
        ReadableSpan=ReadableSpan,
        RequestException=requests.RequestException,
        Session=requests.Session,
        SpanContext=SpanContext,
        SpanKind=SpanKind,
        Status=Status,
        StatusCode=StatusCode,
        TraceFlags=TraceFlags,
        TraceResponse=trace_service_pb2.ExportTraceServiceResponse,
        metrics=metrics,
        resources=resources,
    )


def late(module: str) -> Any:
    """A module of ours that only one process of several needs, loaded there."""
    from importlib import import_module

    return import_module(module)


def event_loop() -> Callable[[], AbstractEventLoop]:
    """What makes the event loop: uvloop's where it is installed, else Python's own."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        from asyncio import new_event_loop
    return new_event_loop


def yaml_events() -> tuple[Callable[[str], Iterable[Any]], type[Exception]]:
    """The event parser of PyYAML, on libyaml where it is built in, and the error of broken YAML."""
    try:
        import yaml
    except ImportError as bad:
        raise BadInput(
            "a settings file needs the package PyYAML",
            mend="install it: pip install 'bursar[gateway]'",
        ) from bad
    module: Any = yaml
    loader = getattr(module, "CSafeLoader", module.SafeLoader)
    return partial(module.parse, Loader=loader), module.YAMLError


def redis() -> Any:
    """redis-py's connections and errors, as attributes of one object."""
    try:
        from types import SimpleNamespace

        from redis import exceptions
        from redis.asyncio import connection
    except ImportError as bad:
        raise BadInput(
            "a store on Redis needs the package redis",
            mend="install it: pip install 'bursar[redis]'",
        ) from bad
    return SimpleNamespace(
        Connection=connection.Connection,
        MovedError=exceptions.MovedError,
        NoScriptError=exceptions.NoScriptError,
        RedisError=exceptions.RedisError,
        ResponseError=exceptions.ResponseError,
        parse_url=connection.parse_url,
    )


DEMO_PACKAGES = {"openai": "openai", "anthropic": "anthropic", "yaml": "PyYAML"}
"""Import name -> package, of all that the live demo needs beyond Bursar itself."""


def missing_for_demo() -> list[str]:
    """Packages of the live demo that are not installed. Imports none of them."""
    from importlib.util import find_spec

    return [package for name, package in DEMO_PACKAGES.items() if find_spec(name) is None]


def agent_clients() -> Any:
    """The real clients of OpenAI and Anthropic, as modules of one object."""
    try:
        from types import SimpleNamespace

        import anthropic
        import openai
    except ImportError as bad:
        raise BadInput(
            "the generated agent needs the packages openai and anthropic",
            mend="install them: pip install 'bursar[gateway,demo]'",
        ) from bad
    return SimpleNamespace(anthropic=anthropic, openai=openai)
