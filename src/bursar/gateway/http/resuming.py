"""TLS to providers: certificates checked, sessions resumed.

A resumed session saves a round trip's worth of arithmetic on each new connection. asyncio has no
way to hand a session over, so the context itself remembers one per host and gives it to each new
connection before its handshake.
"""

from __future__ import annotations

import ssl
from typing import Any

MOST_SESSIONS = 256


class ResumingContext(ssl.SSLContext):
    """A client's context with one remembered session per host."""

    sessions: dict[str, ssl.SSLSession]

    def wrap_bio(self, *args: Any, **named: Any) -> ssl.SSLObject:
        wrapped = super().wrap_bio(*args, **named)
        session = self.sessions.get(named.get("server_hostname") or "")
        if session is not None:
            wrapped.session = session
        return wrapped

    def remember(self, host: str, wrapped: ssl.SSLObject) -> None:
        """Keep the session of a connection that has been used."""
        session = wrapped.session
        if session is not None and (host in self.sessions or len(self.sessions) < MOST_SESSIONS):
            self.sessions[host] = session


def client_context(ca_file: str | None = None) -> ResumingContext:
    """Trusts what this machine trusts, or only the authorities in `ca_file`."""
    context = ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sessions = {}
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        context.load_verify_locations(ca_file)
    return context
