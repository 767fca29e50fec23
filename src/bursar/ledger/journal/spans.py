"""Where a call stands in somebody's trace, as its tags keep it, and which span is our own.

A worker writes these tags and continues the trace towards the provider; whoever tells a collector
of the call later must name the same span.
"""

from __future__ import annotations

from bursar.model.block import digest_of

TRACE_TAG = "trace_id"
"""32 hex digits."""
PARENT_TAG = "parent_span_id"
"""The client's span: 16 hex digits."""
FLAGS_TAG = "trace_flags"
"""Kept only where the client does not record its trace."""


def span_id_of(call_id: int, n: int = 0) -> int:
    """The span of an attempt, never 0: the call's id, so that a trace leads to the ledger and back.
    A further attempt of one call has a hash of both."""
    return (digest_of(f"{call_id}/{n}") if n else call_id) or 1
