"""The usual suspects of an agent's bill, ranked by dollars, each with evidence and a mend.

One small module per family; each finder asks the ledger one question in SQL and turns the answer
into findings. Here they are put together: too small ones are left out, the rest ranked. Dollars of
different suspects may overlap (a tool result that a runaway session carries), so they are no sum.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bursar.advisor.suspects.actions import find_duplicate_requests, find_repeated_actions
from bursar.advisor.suspects.concentration import find_dominant_workflow, find_tenant_outlier
from bursar.advisor.suspects.context import (
    find_context_growth,
    find_large_tool_results,
    find_unused_tool_schemas,
)
from bursar.advisor.suspects.endpoints import find_idle_endpoint
from bursar.advisor.suspects.finding import Finder, Finding, View
from bursar.advisor.suspects.fitness import (
    find_dear_model_on_simple_steps,
    find_reasoning_on_simple_tasks,
)
from bursar.advisor.suspects.prefix import (
    find_cache_busted,
    find_cache_never_read,
    find_uncached_prefix,
)
from bursar.advisor.suspects.retries import (
    find_parse_retries,
    find_provider_retries,
    find_tool_retries,
)
from bursar.advisor.suspects.sessions import find_failed_spend, find_runaway_sessions
from bursar.ledger.engines.duck import Duck
from bursar.ledger.reports import Scope
from bursar.model.money import usd
from bursar.model.usage import Basis
from bursar.price.book import Book

FINDERS: dict[str, Finder] = {
    "uncached_prefix": find_uncached_prefix,
    "cache_busted": find_cache_busted,
    "cache_never_read": find_cache_never_read,
    "large_tool_results": find_large_tool_results,
    "context_growth": find_context_growth,
    "unused_tool_schemas": find_unused_tool_schemas,
    "parse_retries": find_parse_retries,
    "tool_retries": find_tool_retries,
    "provider_retries": find_provider_retries,
    "repeated_actions": find_repeated_actions,
    "runaway_sessions": find_runaway_sessions,
    "failed_spend": find_failed_spend,
    "tenant_outlier": find_tenant_outlier,
    "dominant_workflow": find_dominant_workflow,
    "reasoning_on_simple_tasks": find_reasoning_on_simple_tasks,
    "dear_model_on_simple_steps": find_dear_model_on_simple_steps,
    "duplicate_requests": find_duplicate_requests,
    "idle_endpoint": find_idle_endpoint,
}
KINDS = tuple(FINDERS)
"""Stable names; each has its page in docs/reference/suspects."""

LEAST_NANO = 1_000
"""$0.000001: what is smaller is nothing."""
LEAST_SHARE = 100
"""One part in so many of the spend: what is smaller is not worth an engineer's look."""


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """One place to look at, in the shape that the JSON promises."""

    rank: int
    """1 is the dearest."""
    kind: str
    where: str
    cost_usd: str
    """Exact dollars, avoidable or explained as `evidence["dollars"]` says."""
    share: float
    """Of the scope's priced spend."""
    evidence: dict[str, Any]
    mend: str
    basis: Basis


def find_suspects(
    duck: Duck, scope: Scope | None = None, book: Book | None = None
) -> list[Suspect]:
    """Everything suspicious about the attempts in `scope`, dearest first.

    `book` gives the prices of what was not bought (a cached read, a cheaper model); without it
    cache prices are assumed and no cheaper model is proposed.
    """
    scope = scope or Scope()
    rows = duck.rows(
        f"SELECT SUM(a.cost_nano) FROM attempts AS a WHERE {scope.where}", scope.values
    )
    spend_nano = int(str(rows[0][0] or 0))
    if spend_nano <= 0:
        return []
    view = View(duck=duck, scope=scope, book=book, spend_nano=spend_nano)
    found = [one for finder in FINDERS.values() for one in finder(view)]
    kept = [one for one in found if _worth_telling(one, spend_nano)]
    kept.sort(key=lambda one: (-one.cost_nano, KINDS.index(one.kind), one.where))
    return [_ranked(place, one, spend_nano) for place, one in enumerate(kept, 1)]


def _worth_telling(one: Finding, spend_nano: int) -> bool:
    if one.danger:
        return one.cost_nano > 0
    return one.cost_nano >= LEAST_NANO and one.cost_nano * LEAST_SHARE >= spend_nano


def _ranked(rank: int, one: Finding, spend_nano: int) -> Suspect:
    """Blocks are counted over whole sessions, which a scope may cut: the spend is the bound."""
    cost_nano = min(one.cost_nano, spend_nano)
    return Suspect(
        rank=rank,
        kind=one.kind,
        where=one.where,
        cost_usd=usd(cost_nano) or "0",
        share=round(cost_nano / spend_nano, 4),
        evidence={"text": one.evidence["text"], "dollars": one.dollars, **one.evidence},
        mend=one.mend,
        basis=one.basis,
    )


__all__ = ["FINDERS", "KINDS", "Suspect", "find_suspects"]
