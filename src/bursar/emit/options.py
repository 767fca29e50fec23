"""What somebody wants told, and where: read from settings elsewhere, plain here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec


class OtlpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """An OpenTelemetry collector, reached by OTLP over HTTP."""

    endpoint: str
    """Its base; `/v1/traces` and `/v1/metrics` come behind it."""
    headers: Callable[[], Mapping[str, str]]
    """Gives the headers of each request; a function, so that no text of this shows them."""
    may_connect: Callable[[str], bool]
    """Whether an address, as the resolver writes it, may be connected to."""
    servers: Mapping[str, tuple[str, int]] = {}
    """Whose prices a provider has -> its host and port, where there is one such provider."""
    spans: bool = True
    metrics: bool = True
    unsampled: bool = False
    """Spans of traces as well that the client does not record."""
    labels: tuple[str, ...] = ()
    """Tags that become attributes of metrics."""
    most_series: int = 1_000
    most_waiting: int = 10_000
    """Attempts, and again spans, that wait in memory."""
    linger_s: float = 1.0
    interval_s: float = 60.0
    timeout_s: float = 10.0
    gzip: bool = True
