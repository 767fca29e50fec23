"""What prompts carry along: large tool results, growing conversations, tools nobody uses."""

from __future__ import annotations

from collections.abc import Iterator

from bursar.advisor.suspects.finding import (
    EXPLAINED,
    Finding,
    View,
    by_place,
    listing,
    many,
    money,
    percent,
    total,
)
from bursar.model.money import usd
from bursar.model.usage import Basis

LARGE_TOKENS = 200
"""A tool result of so many tokens (about 150 words) is more than an answer to a question."""
HUGE_TOKENS = 500
"""Results of this mean size are worth cutting at the source; smaller ones only when carried on."""
RESULT_SHARE = 10
"""A tool's large results are told when they are at least one part in so many of the spend."""
GROWTH = 3
"""A prompt that ends so many times longer than it began has grown; the bound of the mend too."""
SMALL_TOKENS = 2_000
"""A prompt of a page or two is small, however small the first one was."""
RESEND = 3
"""All prompts of a session over its last one: fewer means that little was sent again."""
GROWTH_CALLS = 5
"""Fewer calls make no trend."""
SCHEMA_CALLS = 10
"""Calls of a route before a tool that it never used counts as unused."""


def find_large_tool_results(view: View) -> Iterator[Finding]:
    """Tools whose large results, carried from step to step, make up much of the bill."""
    for row in view.ask("large_tool_results", large_tokens=LARGE_TOKENS):
        if row["nano"] * RESULT_SHARE < view.spend_nano:
            continue
        results, mean = row["results"], row["tokens"] // row["results"]
        carries = row["carries"] / results
        yield Finding(
            kind="large_tool_results",
            where=row["tool"],
            cost_nano=row["nano"],
            dollars=EXPLAINED,
            evidence={
                "text": f"{many(results, 'result')} of {mean:,} tokens on average were sent again"
                f" {carries:.1f} times each; {percent(row['again_nano'], row['nano'])} of their"
                f" {money(row['nano'])} is for sending them again.",
                "results": results,
                "sessions": row["sessions"],
                "mean_tokens": mean,
                "mean_carries": round(carries, 2),
                "sent_again_usd": usd(row["again_nano"]),
                "dearest": {
                    "session": (view.sessions(row["top_session"]) or [None])[0],
                    "step": row["top_step"],
                    "tokens": row["top_tokens"],
                    "carries": row["top_carries"],
                    "cost_usd": usd(row["top_nano"]),
                },
                "top_sessions": view.sessions(row["top_session"]),
            },
            mend=_shorter(row["tool"], mean),
            basis=Basis.MODELLED,
        )


def _shorter(tool: str, mean: int) -> str:
    once = "once the next step has read them, replace them by the fields that it used"
    if mean < HUGE_TOKENS:
        return f"Do not carry results of {tool} for the rest of the session: {once}."
    return (
        f"Let {tool} return at most {HUGE_TOKENS} tokens (fields, rows, lines asked for); {once}."
    )


def find_context_growth(view: View) -> Iterator[Finding]:
    """Conversations that grow without a bound."""
    rows = view.ask(
        "context_growth",
        growth=GROWTH,
        small_tokens=SMALL_TOKENS,
        resend=RESEND,
        calls=GROWTH_CALLS,
    )
    for row in rows:
        sessions = row["sessions"]
        first, last = row["first_prompts"] // sessions, row["last_prompts"] // sessions
        resend = row["sent"] / row["last_prompts"]
        bound = max(GROWTH * first, SMALL_TOKENS)
        yield Finding(
            kind="context_growth",
            where=row["place"],
            cost_nano=row["nano"],
            evidence={
                "text": f"in {many(sessions, 'session')} the prompt grew from {first:,} to {last:,}"
                f" tokens over {row['calls'] // sessions} calls; each token of the last prompt was"
                f" sent {resend:.1f} times. The dollars are the conversation carried beyond"
                f" {GROWTH} times the first prompt (at least {SMALL_TOKENS:,} tokens).",
                "sessions": sessions,
                "calls": row["calls"],
                "first_prompt_tokens": first,
                "last_prompt_tokens": last,
                "last_over_first": round(row["last_prompts"] / row["first_prompts"], 2),
                "resend_factor": round(resend, 2),
                "top_sessions": view.top(row),
            },
            mend=f"Hold the prompt of {row['place']} under {bound:,} tokens: summarise or drop"
            " turns older than the last few, in large bites so that the cache survives.",
            basis=Basis.MODELLED,
        )


def find_unused_tool_schemas(view: View) -> Iterator[Finding]:
    """Tool specifications that are paid for in every call and never used."""
    rows = view.ask("unused_tool_schemas", calls=SCHEMA_CALLS)
    for place, group in by_place(rows).items():
        names = [row["name"] for row in group]
        tokens = sum(row["tokens"] // row["times"] for row in group)
        yield Finding(
            kind="unused_tool_schemas",
            where=place,
            cost_nano=total(group, "nano"),
            evidence={
                "text": f"{many(len(names), 'tool')} of {tokens:,} tokens in all went with"
                f" {group[0]['calls']:,} calls and were never used: {listing(names)}.",
                "tools": [
                    {
                        "name": row["name"],
                        "tokens": row["tokens"] // row["times"],
                        "cost_usd": usd(row["nano"]),
                    }
                    for row in group
                ],
                "tokens_per_call": tokens,
                "calls": group[0]["calls"],
                "top_sessions": view.sessions(*(row["session"] for row in group[:3])),
            },
            mend=f"Leave {listing(names)} out of the tools that {place} sends.",
            basis=Basis.MODELLED,
        )
