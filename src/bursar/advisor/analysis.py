"""The analysis of a ledger, in the shape that `bursar analyze --json` promises.

Everything is asked in SQL and summed in integers; dollars become exact decimal strings at the very
end. `Analysis` is the one value that the JSON, the terminal and the page are all drawn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from bursar.advisor.flags import find_flags
from bursar.advisor.suspects import find_suspects
from bursar.ledger.engines.duck import Duck
from bursar.ledger.reports import Scope, dimension, load_sql
from bursar.model.block import Kind
from bursar.model.money import usd
from bursar.price.book import Book

BY = ("model", "route", "provider", "day", "tenant", "tool")
USAGE = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
ESTIMATED = ("input", "output")
"""What can be told from texts; cache reads, writes and reasoning cannot."""
BASELINE_DAYS = 5
"""Days of traffic below which the advice says that it is early."""
SMALL_SPEND_NANO = 1_000_000_000
"""Spend below which no mend is worth an engineer's hour: one dollar."""

Row = dict[str, Any]


class Analysis(msgspec.Struct, kw_only=True):
    """What `bursar analyze` found. Field by field the promised JSON."""

    period: Row
    totals: Row
    by: dict[str, list[Row]]
    anatomy: list[Row]
    iterations: Row
    tail: Row
    retries: Row
    cache: Row
    growth: Row
    outcomes: Row
    suspects: list[Row]
    flags: list[Row]
    skipped: list[Row]
    notes: list[str] = []
    """What must be said before any advice: too few days, too little spend, what is unknown."""


def analyse(duck: Duck, book: Book, scope: Scope | None = None) -> Analysis:
    """Ask everything of the attempts in `scope`."""
    asked = _Asked(duck, scope or Scope())
    head = asked.one("totals")
    units = asked.units()
    total_nano = head["cost_nano"]
    iterations = asked.one("iterations")
    anatomy = asked.anatomy(total_nano)
    found = Analysis(
        period=_period(head),
        totals=asked.totals(head, units),
        by={name: asked.by(name, total_nano) for name in BY},
        anatomy=anatomy,
        iterations={
            "mean": _ratio(iterations["calls"], iterations["sessions"]),
            "p50": iterations["calls_p50"],
            "p95": iterations["calls_p95"],
            "max": iterations["calls_max"],
        },
        tail={
            "p50_usd": usd(iterations["cost_p50"]),
            "p95_usd": usd(iterations["cost_p95"]),
            "p99_usd": usd(iterations["cost_p99"]),
            "max_usd": usd(iterations["cost_max"]),
            "max_over_median": _ratio(iterations["cost_max"], iterations["cost_p50"]),
        },
        retries=asked.retries(head),
        cache=asked.cache(head, anatomy),
        growth=asked.growth(head),
        outcomes=asked.outcomes(),
        suspects=[msgspec.to_builtins(one) for one in find_suspects(duck, asked.scope, book)],
        flags=[msgspec.to_builtins(one) for one in find_flags(duck, asked.scope)],
        skipped=asked.skipped(),
    )
    found.notes = _notes(found, total_nano)
    return found


class _Asked:
    """The questions, over one scope."""

    def __init__(self, duck: Duck, scope: Scope) -> None:
        self.duck = duck
        self.scope = scope

    def ask(self, name: str, **places: str) -> list[Row]:
        sql = load_sql(name, scope=self.scope.where, **places)
        return self.duck.named(sql, self.scope.values)

    def one(self, name: str) -> Row:
        return self.ask(name)[0]

    def units(self, by: str = "NULL") -> dict[Any, dict[str, int]]:
        """Further units (searches, images...) summed by name, for each key of a dimension."""
        found: dict[Any, dict[str, int]] = {}
        for row in self.ask("other_units", dimension=by):
            sums = found.setdefault(row["key"], {})
            for unit, count in msgspec.json.decode(row["other_units"]).items():
                sums[unit] = sums.get(unit, 0) + count * row["times"]
        return found

    def totals(self, head: Row, units: dict[Any, dict[str, int]]) -> Row:
        of_sessions = self.one("recorded_sessions")["recorded_cost_nano"]
        recorded = [n for n in (head["recorded_cost_nano"], of_sessions) if n is not None]
        return {
            "sessions": head["sessions"],
            "calls": head["calls"] or 0,
            "attempts": head["attempts"],
            "retries": head["retries"] or 0,
            "usage": _usage(head, units.get(None, {})),
            "cost_usd": usd(head["cost_nano"]),
            "unpriced_attempts": head["unpriced_attempts"] or 0,
            "recorded_cost_usd": usd(sum(recorded)) if recorded else None,
            "basis": {
                "measured_usd": usd(head["measured_nano"] or 0),
                "modelled_usd": usd(head["modelled_nano"] or 0),
            },
        }

    def by(self, name: str, total_nano: int | None, limit: int | None = None) -> list[Row]:
        expression = dimension(name)
        units = self.units(expression)
        rows = self.ask("by_day") if name == "day" else self.ask("by", dimension=expression)
        if name == "day":
            rows.sort(key=lambda row: row["key"] or "")
        return [
            {
                "key": row["key"],
                "calls": row["calls"],
                "usage": _usage(row, units.get(row["key"], {})),
                "cost_usd": usd(row["cost_nano"]),
                "share": _ratio(row["cost_nano"], total_nano),
            }
            for row in rows[:limit]
        ]

    def anatomy(self, total_nano: int | None) -> list[Row]:
        rows = self.ask("anatomy")
        prompt = sum(row["tokens"] or 0 for row in rows if row["kind"] != Kind.OUTPUT)
        found: list[Row] = []
        booked = 0
        for row in rows:
            fresh, carried = row["fresh_nano"], row["carried_nano"]
            cost = None if fresh is None else fresh + carried
            booked += cost or 0
            found.append(
                {
                    "kind": row["kind"],
                    "tokens": row["tokens"],
                    "share": None if row["kind"] == Kind.OUTPUT else _ratio(row["tokens"], prompt),
                    "cost_usd": usd(cost),
                    "fresh_usd": usd(fresh),
                    "carried_usd": usd(carried),
                }
            )
        rest = (total_nano or 0) - booked
        if rest:
            found.append(
                {
                    "kind": Kind.UNSEEN.value,
                    "tokens": None,
                    "share": None,
                    "cost_usd": usd(rest),
                    "fresh_usd": usd(rest),
                    "carried_usd": "0",
                }
            )
        return found

    def retries(self, head: Row) -> Row:
        return {
            "rate": _ratio(head["retries"] or 0, head["attempts"]),
            "cost_usd": usd(head["retry_nano"] or 0),
            "by_cause": self._retries_by("a.retry_cause", "cause"),
            "by_tool": self._retries_by("a.tool", "tool"),
        }

    def _retries_by(self, expression: str, name: str) -> list[Row]:
        return [
            {name: row["key"], "retries": row["retries"], "cost_usd": usd(row["cost_nano"])}
            for row in self.ask("retries", dimension=expression)
        ]

    def cache(self, head: Row, anatomy: Sequence[Row]) -> Row:
        if not head["counted"]:
            return dict.fromkeys(
                ("read_tokens", "write_tokens", "reads_per_write", "read_share", "saved_usd")
            )
        read = head["cache_read_tokens"]
        written = _sum(head["cache_write_5m_tokens"], head["cache_write_1h_tokens"])
        prompts = self.one("prompt_cost")
        saved = None
        if prompts["listed_nano"] is not None:
            saved = prompts["listed_nano"] - prompts["prompt_nano"]
        return {
            "read_tokens": read,
            "write_tokens": written,
            "reads_per_write": _ratio(read, written),
            "read_share": _ratio(read, head["prompt_tokens"]),
            "saved_usd": usd(saved),
        }

    def growth(self, head: Row) -> Row:
        row = self.one("growth")
        repeated = None
        if head["followed_tokens"]:
            repeated = _ratio(head["repeated_tokens"], head["followed_tokens"])
        return {
            "resend_factor": _ratio(row["sent"], row["last_prompts"]),
            "repeated_prefix_share": repeated,
            "last_over_first_p50": _round(row["ratio_p50"]),
        }

    def outcomes(self) -> Row:
        row = self.one("outcomes")
        successes = row["successes"]
        cost = row["cost_nano"]
        return {
            "labelled": row["labelled"],
            "success_rate": _ratio(successes, row["labelled"]),
            "cost_per_success_usd": usd(cost // successes) if cost and successes else None,
            "failed_spend_share": _ratio(row["failed_nano"], cost),
        }

    def skipped(self) -> list[Row]:
        return self.duck.named("SELECT file, line, reason FROM skips ORDER BY file, line")


def _notes(found: Analysis, total_nano: int | None) -> list[str]:
    """What a careful analyst says before any advice."""
    notes: list[str] = []
    days, totals = found.period["days"], found.totals
    if not totals["attempts"]:
        return ["No model call was found, so there is nothing to say about cost."]
    if found.period["from"] is None:
        notes.append("No call says when it was made: there are no days, and prices are today's.")
    elif days < BASELINE_DAYS:
        noun = "day" if days == 1 else "days"
        notes.append(
            f"Only {days} {noun} of traffic: suspects are early signs, not a baseline"
            f" ({BASELINE_DAYS} days or more are needed for advice)."
        )
    if total_nano is not None and total_nano < SMALL_SPEND_NANO:
        notes.append(f"The spend is ${usd(total_nano)}: too little for any change to be worth it.")
    if totals["unpriced_attempts"]:
        notes.append(
            f"{totals['unpriced_attempts']:,} of {totals['attempts']:,} attempts have no price: the"
            " total is a lower bound. `bursar prices missing` lists them."
        )
    modelled = totals["basis"]["modelled_usd"]
    if modelled != "0":
        notes.append(f"${modelled} rests on estimated tokens or assumed prices.")
    return notes


def _period(head: Row) -> Row:
    return {
        "from": _moment(head["first_at"]),
        "to": _moment(head["last_at"]),
        "days": head["days"] if head["first_at"] is not None else None,
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds") + "Z"


def _usage(row: Row, other: dict[str, int]) -> Row:
    """Counts by field. Where nobody counted, only prompt and answer can be estimated."""
    told = USAGE if row["counted"] else ESTIMATED
    counts: Row = {name: row[f"{name}_tokens"] if name in told else None for name in USAGE}
    counts["other"] = other
    return counts


def _sum(*values: int | None) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)


def _ratio(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else round(part / whole, 6)
