"""Calls made again: since the answer did not parse, a tool failed, or the provider did."""

from __future__ import annotations

from collections.abc import Iterator

from bursar.advisor.suspects.finding import Finding, Row, View, basis_of, money, percent, words
from bursar.model.money import usd

PARSE_CAUSES = frozenset({"parse", "parser", "parsing", "json", "schema", "validation", "format"})
TOOL_CAUSES = frozenset({"tool", "tool_error", "tool_failure"})
PROVIDER_CAUSES = frozenset(
    {"provider", "sdk", "timeout", "rate_limit", "throttled", "overloaded", "network"}
)
"""Words that sources use as a retry's cause, and the three causes that they stand for."""
RETRY_RATE = 10
"""One retry in so many calls is too many, whatever it costs."""
RETRY_SHARE = 50
"""So are retries that cost one part in so many of the spend."""
LEAST_RETRIES = 2
"""One retry is an accident."""


def find_parse_retries(view: View) -> Iterator[Finding]:
    """Answers asked for again because they could not be parsed."""
    for row in view.ask("caused_retries", causes=words(PARSE_CAUSES)):
        if not _too_many(row, row["calls"], view):
            continue
        yield Finding(
            kind="parse_retries",
            where=row["place"],
            cost_nano=row["nano"],
            evidence={
                "text": f"{row['retries']:,} of {row['calls']:,} calls"
                f" ({percent(row['retries'], row['calls'])}) repeated one whose answer did not"
                f" parse, for {money(row['nano'])}.",
                **_counts(row, row["calls"], view),
            },
            mend="Have the provider enforce the schema (structured output or a forced tool), and"
            " repair the answer locally before paying for a retry.",
            basis=basis_of(row["estimated"]),
        )


def find_tool_retries(view: View) -> Iterator[Finding]:
    """Tools asked for again right after they had failed."""
    for row in view.ask("tool_retries", causes=words(TOOL_CAUSES)):
        uses = max(row["uses"], row["retries"])
        if not _too_many(row, uses, view):
            continue
        yield Finding(
            kind="tool_retries",
            where=row["place"],
            cost_nano=row["nano"],
            evidence={
                "text": f"{row['retries']:,} calls asked for {row['place']} again right after it"
                f" had failed ({percent(row['retries'], uses)} of its {uses:,} uses).",
                **_counts(row, uses, view),
            },
            mend=f"Retry {row['place']} in code, with backoff and a breaker after 2 failures, and"
            " let its error say which argument was wrong.",
            basis=basis_of(row["estimated"]),
        )


def find_provider_retries(view: View) -> Iterator[Finding]:
    """Attempts that were paid and then sent again since the provider, or the network, failed."""
    for row in view.ask("provider_retries", causes=words(PROVIDER_CAUSES)):
        if not _too_many(row, row["calls"], view):
            continue
        yield Finding(
            kind="provider_retries",
            where=row["place"],
            cost_nano=row["nano"],
            evidence={
                "text": f"{row['retries']:,} attempts over {row['calls']:,} calls repeated one"
                f" that had been given up after it had cost {money(row['nano'])} in all.",
                **_counts(row, row["calls"], view),
            },
            mend="Raise the client's timeout above the slowest good answer and set the SDK's own"
            " max_retries to 1, so that paid work is not thrown away.",
            basis=basis_of(row["estimated"]),
        )


def _too_many(row: Row, of: int, view: View) -> bool:
    if row["retries"] < LEAST_RETRIES:
        return False
    return row["retries"] * RETRY_RATE > of or row["nano"] * RETRY_SHARE >= view.spend_nano


def _counts(row: Row, of: int, view: View) -> Row:
    return {
        "retries": row["retries"],
        "of": of,
        "rate": round(row["retries"] / of, 4),
        "dearest": {
            "session": (view.sessions(row["top_session"]) or [None])[0],
            "step": row["top_step"],
            "cost_usd": usd(row["top_nano"]),
        },
        "top_sessions": view.sessions(row["top_session"]),
    }
