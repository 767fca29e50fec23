"""The same thing done again: one action inside a session, one request across sessions."""

from __future__ import annotations

from collections.abc import Iterator

from bursar.advisor.suspects.finding import Finding, View, basis_of, many, money

ALLOWED_TIMES = 2
"""An action may be done so often in a session; a third time with the same result is a loop."""
KEEP_S = 24 * 3600
"""How long an answer may stand in a response cache."""


def find_repeated_actions(view: View) -> Iterator[Finding]:
    """The same tool with the same arguments and the same result, three times or more."""
    for row in view.ask("repeated_actions", allowed=ALLOWED_TIMES):
        tool, times = row["place"], row["times"]
        yield Finding(
            kind="repeated_actions",
            where=tool,
            cost_nano=row["nano"],
            evidence={
                "text": f"in {many(row['sessions'], 'session')},"
                f" {many(row['calls'], 'call')} asked for {tool} with arguments that had been"
                f" tried {ALLOWED_TIMES} times or more with the same result; at most {times} times"
                " in one session.",
                "calls": row["calls"],
                "sessions": row["sessions"],
                "most_times": times,
                "step": row["top_step"],
                "top_sessions": view.sessions(row["top_session"]),
            },
            mend=f"Refuse {tool} with the same arguments a third time in one session, and tell the"
            " model the result that it has already.",
            basis=basis_of(row["estimated"]),
        )


def find_duplicate_requests(view: View) -> Iterator[Finding]:
    """Equal prompts to the same model for the same tenant within a day."""
    for row in view.ask("duplicate_requests", keep_s=KEEP_S):
        calls = row["calls"]
        yield Finding(
            kind="duplicate_requests",
            where=row["place"],
            cost_nano=row["nano"],
            evidence={
                "text": f"{many(calls, 'call')} sent a prompt that had been answered within a day"
                f" before ({many(row['prompts'], 'prompt')}, one of them {row['times']:,} times),"
                f" for {money(row['nano'])}.",
                "calls": calls,
                "prompts": row["prompts"],
                "most_times": row["times"],
                "tokens": row["tokens"],
                "top_sessions": view.top(row),
            },
            mend=f"Answer equal requests of {row['place']} from a response cache, keyed by the"
            f" whole request and the tenant, kept for up to {KEEP_S // 3600} hours.",
            basis=basis_of(row["estimated"]),
        )
