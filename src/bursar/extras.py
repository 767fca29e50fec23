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
