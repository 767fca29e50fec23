"""Whole sessions that went wrong: those that never stopped, and those that failed."""

from __future__ import annotations

from collections.abc import Iterator

from bursar.advisor.suspects.finding import EXPLAINED, Finding, View, basis_of, money, percent
from bursar.model.money import usd

LEAST_CALLS = 20
"""Shorter sessions are no runaways, however short the others are."""
LEAST_SESSIONS = 5
"""With fewer sessions in a route nothing is typical."""
MEDIAN_TIMES = 3
"""A runaway makes more calls than so many times the median (and twice the upper quartile)."""
DEAR_TIMES = 10
"""Or costs more than so many times the median."""
FAILED_SHARE = 20
"""Failed sessions are told when they are at least one part in so many of the labelled spend."""


def find_runaway_sessions(view: View) -> Iterator[Finding]:
    """Sessions without an end. Told even when they are cheap: the next one may not be."""
    rows = view.ask(
        "runaway_sessions",
        calls=LEAST_CALLS,
        sessions=LEAST_SESSIONS,
        median=MEDIAN_TIMES,
        dear=DEAR_TIMES,
    )
    for row in rows:
        count, ceiling = row["runaways"], row["ceiling"]
        noun = "session" if count == 1 else "sessions"
        yield Finding(
            kind="runaway_sessions",
            where=row["place"],
            cost_nano=row["nano"],
            danger=True,
            evidence={
                "text": f"{count:,} of {row['sessions']:,} sessions ran away: up to"
                f" {row['calls']:,} calls where {row['calls_p50']} is usual. The {noun} cost"
                f" {money(row['whole_nano'])}, {money(row['nano'])} of it beyond the ceiling.",
                "runaways": count,
                "of_sessions": row["sessions"],
                "most_calls": row["calls"],
                "median_calls": row["calls_p50"],
                "median_usd": usd(row["nano_p50"]),
                "ceiling_calls": ceiling,
                "whole_usd": usd(row["whole_nano"]),
                "top_sessions": view.top(row),
            },
            mend=f"Stop a session of {row['place']} after {ceiling} calls or"
            f" {money(DEAR_TIMES * row['nano_p50'])}, whichever comes first, and let it fail"
            " loudly.",
            basis=basis_of(row["estimated"]),
        )


def find_failed_spend(view: View) -> Iterator[Finding]:
    """What labelled failures have cost."""
    for row in view.ask("failed_spend"):
        if row["nano"] * FAILED_SHARE < row["labelled_nano"]:
            continue
        yield Finding(
            kind="failed_spend",
            where=row["place"],
            cost_nano=row["nano"],
            dollars=EXPLAINED,
            evidence={
                "text": f"{row['failed']:,} of {row['labelled']:,} labelled sessions failed and"
                f" took {percent(row['nano'], row['labelled_nano'])} of what these sessions cost.",
                "failed": row["failed"],
                "labelled": row["labelled"],
                "labelled_usd": usd(row["labelled_nano"]),
                "top_sessions": view.top(row),
            },
            mend=f"Look at the dearest failures of {row['place']} first (bursar show SESSION), and"
            " stop sessions early where they share a sign that they will fail.",
            basis=basis_of(row["estimated"]),
        )
