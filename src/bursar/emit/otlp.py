"""Spans and metrics by OpenTelemetry's SDK: what it asks for is made here, and sent by it.

A span's id is the call's, as the provider was told in `traceparent`; a call without a trace of its
client's begins one of its own. Metrics are cumulative, so that one that is not delivered is made
good by the next.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from bursar import __version__
from bursar.emit import genai
from bursar.emit.genai import metric_attributes, name_of, span_attributes
from bursar.emit.line import SENT, line_to
from bursar.emit.options import OtlpOptions
from bursar.emit.paid import Paid
from bursar.ledger.journal.ids import time_of
from bursar.ledger.journal.spans import FLAGS_TAG, PARENT_TAG, TRACE_TAG, span_id_of
from bursar.model.money import NANO_PER_USD

SCOPE = "bursar"
SERVICE = {"service.name": "bursar", "service.version": __version__}
EPOCH = datetime(1970, 1, 1)
MICROSECOND = timedelta(microseconds=1)
NS_PER_US, NS_PER_MS, MS_PER_S = 1_000, 1_000_000, 1_000
TRACE_ID = re.compile(r"[0-9a-f]{32}")
SPAN_ID = re.compile(r"[0-9a-f]{16}")
TRACE_BITS = 128
SAMPLED = 1
TOKEN_BUCKETS = [4**power for power in range(14)]
SECOND_BUCKETS = [0.01 * 2**power for power in range(14)]
"""Both as the conventions advise."""
INSTRUMENTS = (
    (genai.TOKEN_USAGE, "{token}", TOKEN_BUCKETS, "Tokens of one operation, by type."),
    (genai.DURATION, "s", SECOND_BUCKETS, "From the request to the end of the answer."),
    (genai.FIRST_CHUNK, "s", SECOND_BUCKETS, "From the request to the head of a streamed answer."),
)
Ended = Callable[[str, bytes], None]


def quiet() -> None:
    """The SDK writes a line for each failure; what matters of it is counted and said by us."""
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False


def resource_of(tools: Any) -> Any:
    """Who tells: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before our own name."""
    resources = tools.resources
    named = resources.OTELResourceDetector().detect().attributes
    return resources.Resource.create({**SERVICE, **named})


class Spans:
    """Attempts as spans, and the way to the collector."""

    def __init__(self, tools: Any, options: OtlpOptions, resource: Any) -> None:
        self._tools = tools
        self._options = options
        self._resource = resource
        self._scope = tools.InstrumentationScope(SCOPE, __version__)
        self._fate: str = ""
        self._answer = b""
        self._exporter = tools.OTLPSpanExporter(
            endpoint=f"{options.endpoint}/v1/traces",
            timeout=options.timeout_s,
            compression=_compression(tools, options),
            session=line_to(tools, options, self._ended),
        )

    def span(self, paid: Paid) -> Any:
        """The span of an attempt; None where the client does not record its trace."""
        tools, tags = self._tools, paid.call.tags.other
        flags = tags.get(FLAGS_TAG)
        trace_id, parent_id = tags.get(TRACE_TAG, ""), tags.get(PARENT_TAG, "")
        if TRACE_ID.fullmatch(trace_id) and int(trace_id, 16):
            if flags is not None and not self._options.unsampled:
                return None
            trace = int(trace_id, 16)
        else:
            trace, parent_id = random.getrandbits(TRACE_BITS) or 1, ""
        sampled = tools.TraceFlags(SAMPLED)
        parent = None
        if SPAN_ID.fullmatch(parent_id) and int(parent_id, 16):
            parent = tools.SpanContext(trace, int(parent_id, 16), True, sampled)
        attempt = paid.attempt
        start_ns = _unix_ns(paid.call.at or time_of(paid.call_id))
        attributes = span_attributes(paid, self._options.servers)
        code = tools.StatusCode.ERROR if genai.ERROR in attributes else tools.StatusCode.UNSET
        return tools.ReadableSpan(
            name=name_of(paid),
            context=tools.SpanContext(trace, span_id_of(paid.call_id, attempt.n), False, sampled),
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            kind=tools.SpanKind.CLIENT,
            instrumentation_scope=self._scope,
            status=tools.Status(code),
            start_time=start_ns,
            end_time=start_ns + (attempt.total_ms or 0) * NS_PER_MS,
        )

    def send(self, spans: list[Any]) -> dict[str, int]:
        """Send a batch, once. How many spans met which fate."""
        self._ended("", b"")
        self._exporter.export(spans)
        fate = self._fate
        if fate != SENT:
            return {fate or "unencodable": len(spans)}
        rejected = min(self._rejected(), len(spans))
        fates = {SENT: len(spans) - rejected, "rejected": rejected}
        return {fate: count for fate, count in fates.items() if count}

    def close(self) -> None:
        self._exporter.shutdown()

    def _ended(self, fate: str, answer: bytes) -> None:
        self._fate, self._answer = fate, answer

    def _rejected(self) -> int:
        """Spans that the collector says it did not take, of a batch that it took."""
        answer = self._tools.TraceResponse()
        try:
            answer.ParseFromString(self._answer)
        except self._tools.DecodeError:
            return 0
        return answer.partial_success.rejected_spans


class Meters:
    """Attempts as histograms, sent every so often by a thread of the SDK's own."""

    def __init__(self, tools: Any, options: OtlpOptions, resource: Any, ended: Ended) -> None:
        self._options = options
        metrics = tools.metrics
        exporter = tools.OTLPMetricExporter(
            endpoint=f"{options.endpoint}/v1/metrics",
            timeout=options.timeout_s,
            compression=_compression(tools, options),
            session=line_to(tools, options, ended),
        )
        reader = tools.PeriodicExportingMetricReader(
            exporter,
            export_interval_millis=options.interval_s * MS_PER_S,
            export_timeout_millis=options.timeout_s * MS_PER_S,
            cardinality_limits=dict.fromkeys(
                (metrics.Histogram, metrics.Counter), options.most_series
            ),
        )
        self._provider = metrics.MeterProvider([reader], resource, shutdown_on_exit=False)
        meter = self._provider.get_meter(SCOPE, __version__)
        self._tokens, self._duration, self._first_chunk = (
            meter.create_histogram(
                name, unit=unit, description=what, explicit_bucket_boundaries_advisory=buckets
            )
            for name, unit, buckets, what in INSTRUMENTS
        )
        self._cost = meter.create_counter(
            genai.COST, unit="USD", description="Cost; attempts without a price are not in it."
        )

    def record(self, paid: Paid) -> None:
        """Count one attempt."""
        options, attempt = self._options, paid.attempt
        found = metric_attributes(paid, options.servers, options.labels)
        if attempt.total_ms is not None:
            self._duration.record(attempt.total_ms / MS_PER_S, found)
        found.pop(genai.ERROR, None)
        if attempt.first_byte_ms is not None and paid.call.stream:
            self._first_chunk.record(attempt.first_byte_ms / MS_PER_S, found)
        if attempt.usage is not None:
            for kind, tokens in (("input", attempt.usage.prompt), ("output", attempt.usage.answer)):
                self._tokens.record(tokens, {**found, genai.TOKEN_TYPE: kind})
        if attempt.cost_nano:
            self._cost.add(attempt.cost_nano / NANO_PER_USD, found)

    def close(self, within_s: float) -> None:
        """Send once more, and end."""
        self._provider.shutdown(timeout_millis=within_s * MS_PER_S)


def _compression(tools: Any, options: OtlpOptions) -> Any:
    return tools.Compression.Gzip if options.gzip else tools.Compression.NoCompression


def _unix_ns(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND * NS_PER_US
