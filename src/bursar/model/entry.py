"""What the ledger keeps: a call, each attempt that was paid for it, and how it ended.

Escalation, retry and fallback pay several models for one ask, so usage and cost belong to the
Attempt, never to the Call. Corrections are new entries; nothing is overwritten.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from bursar.model.block import Block
from bursar.model.call import Call
from bursar.model.usage import Basis, Usage

STANDARD = "standard"
"""The price class of a plain call; others are `batch`, `flex`, `priority`, `fast`."""


UNREADABLE = "unreadable"
"""How an answer ended that was empty, or in no known form."""
LENS = "lens"
"""Stands behind a decision to believe a usage that is odd."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request that reached a provider."""

    n: int = 0
    """0 for the first attempt of the call."""
    provider: str | None = None
    model: str | None = None
    """The model that answered."""
    price_class: str = STANDARD
    """Read from the response, since a provider may downgrade what was asked."""
    usage: Usage | None = None
    """None: nobody counted."""
    basis: Basis = Basis.MEASURED
    """Of `usage`: measured by the provider, or modelled from texts."""
    cost_nano: int | None = None
    """None: no price is known, see `unpriced_reason`."""
    unpriced_reason: str | None = None
    price_version: str | None = None
    recorded_cost_nano: int | None = None
    """What somebody else recorded: kept beside our own cost, never instead of it."""
    status: int | None = None
    """HTTP status, or None."""
    first_byte_ms: int | None = None
    total_ms: int | None = None
    is_retry: bool = False
    retry_cause: str | None = None
    provider_request_id: str | None = None
    parts: tuple[Attempt, ...] = ()
    """Priced separately and summed: the iterations of one answer that other models took part in."""


class ToolUse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool that an answer asks for."""

    id: str | None = None
    """The provider's id of this use, which its result names."""
    tool: str
    arguments_digest: int | None = None


class ToolOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came back from a tool, seen in the prompt of a later call."""

    id: str | None = None
    tool: str | None = None
    result_digest: int | None = None
    failed: bool | None = None
    """True, False, or None when the source does not tell."""
    tokens: int | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the client got."""

    blocks: tuple[Block, ...] = ()
    tool_uses: tuple[ToolUse, ...] = ()
    stop: str | None = None
    """`end`, `max_tokens`, `tool_use`, `refusal`, `filter`, or the provider's own word."""
    status: str = "ok"
    """`ok`, `cached`, `refused`, `left`, `failed`."""


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a lever did to a call, and why."""

    lever: str
    verdict: str
    """`pass`, `rewrote`, `refused`, `answered`, `again`."""
    why: str = ""
    tokens_before: int | None = None
    tokens_after: int | None = None


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where an entry was read, so that a person can look it up."""

    file: str
    line: int | None = None
    format: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call with everything that is known of it."""

    call: Call
    attempts: tuple[Attempt, ...]
    answer: Answer | None = None
    tool_outcomes: tuple[ToolOutcome, ...] = ()
    """Results of earlier tool uses that this call's new blocks hold."""
    decisions: tuple[Decision, ...] = ()
    origin: Origin | None = None


class SessionFact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a source says of a whole session rather than of a call."""

    session: str
    at: datetime | None = None
    success: bool | None = None
    score: float | None = None
    usage: Usage | None = None
    """A recorded total, where the calls carry none of their own."""
    recorded_cost_nano: int | None = None
    origin: Origin | None = None


class Skip(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a file that was not understood. Listed, never silent; the rest goes on."""

    file: str
    line: int | None = None
    reason: str


class Flag(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Data that contradicts itself, seen while reading."""

    kind: str
    where: str
    what: str
