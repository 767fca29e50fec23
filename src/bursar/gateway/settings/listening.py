"""What `bursar.yaml` may say of the HTTP server: where it listens, and its bounds.

The text under a field is the reference, as in `structs`.
"""

from __future__ import annotations

import msgspec

from bursar.gateway.settings.values import Bytes, Seconds

KIB, MIB = 1 << 10, 1 << 20


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parts: nothing that is not known may stand in the file."""


class Listen(Part, frozen=True, kw_only=True):
    """Where clients reach the gateway."""

    host: str = "127.0.0.1"
    """Address to listen on. Beyond loopback the gateway starts only where `keys` has an entry."""
    port: int = 8787
    """TCP port; 0 takes any free one."""
    workers: int = 1
    """Worker processes, 1 to 64. One per core that the gateway may use."""
    tls_certificate: str | None = None
    """PEM file with the certificate and its chain. Together with `tls_key`: serve HTTPS."""
    tls_key: str | None = None
    """PEM file with the private key."""
    grace_s: Seconds = msgspec.field(name="grace", default=Seconds(30))
    """When the gateway is stopped: how long open calls may take to end."""


class HttpLimits(Part, frozen=True, kw_only=True):
    """Bounds of the HTTP server. Each says what it answers."""

    body_bytes: Bytes = Bytes(8 * MIB)
    """Largest body; above, 413."""
    header_bytes: Bytes = Bytes(32 * KIB)
    """All headers together; above, 431."""
    headers: int = 100
    """Number of headers; above, 431."""
    target_bytes: Bytes = Bytes(8 * KIB)
    """Length of the path with its query; above, 414."""
    header_read_s: Seconds = msgspec.field(name="header_read", default=Seconds(10))
    """Time to send all headers; then 408."""
    body_idle_s: Seconds = msgspec.field(name="body_idle", default=Seconds(15))
    """Longest silence within a body; then 408."""
    body_min_bytes_per_s: int = 256
    """Slowest body, on average, after its first `body_idle`; below, 408."""
    keep_alive_s: Seconds = msgspec.field(name="keep_alive", default=Seconds(75))
    """An unused connection is closed after this."""
    connections: int = 4_096
    """Open connections per worker; further ones get 503."""
    slow_reader_s: Seconds = msgspec.field(name="slow_reader", default=Seconds(60))
    """A client that reads nothing for this long counts as gone."""
    write_high_bytes: Bytes = Bytes(256 * KIB)
    """Unread answer per client before the provider is read no further."""
