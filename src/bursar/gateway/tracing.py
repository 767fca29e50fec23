"""W3C trace context: taken from the client, continued to the provider, kept with the call.

Our own span takes the call's id, so that a trace leads to the ledger and back. What is malformed
is ignored, as the recommendation asks.
"""

from __future__ import annotations

import re

import msgspec

from bursar.ledger.journal.spans import span_id_of

HEADER = b"traceparent"
STATE = b"tracestate"
PATTERN = re.compile(rb"^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$")
NO_TRACE = b"0" * 32
NO_SPAN = b"0" * 16
SAMPLED = 1


class Trace(msgspec.Struct, frozen=True):
    """Where a call stands in somebody's trace."""

    trace_id: str
    parent_id: str
    """The client's span."""
    flags: str

    @property
    def is_recorded(self) -> bool:
        """Whether the client records it."""
        return bool(int(self.flags, 16) & SAMPLED)


def trace_of(header: bytes | None) -> Trace | None:
    """The client's trace, or None."""
    found = PATTERN.match(header) if header else None
    if found is None or found[1] == NO_TRACE or found[2] == NO_SPAN:
        return None
    return Trace(found[1].decode(), found[2].decode(), found[3].decode())


def continued(trace: Trace, call_id: int) -> bytes:
    """The header for the provider."""
    return f"00-{trace.trace_id}-{span_id_of(call_id):016x}-{trace.flags}".encode()
