"""Single questions to a ledger: the named reports, the list of sessions, one session in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from bursar.ledger.engines.duck import Duck
from bursar.ledger.reports import Scope, dimension, load_sql
from bursar.ledger.schema import request_digest
from bursar.model.errors import BadInput, NotFound
from bursar.model.money import usd

Row = dict[str, Any]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One named report: a SQL file of the same name, and how often it needs the scope."""

    title: str
    by: tuple[str, ...] = ()
    """What it groups by unless asked otherwise; empty where nothing can be chosen."""


REPORTS: dict[str, Report] = {
    "costs": Report(title="Costs by any tags and by day", by=("route", "day")),
    "iterations": Report(title="Calls and cost per session, by route"),
    "retries": Report(title="Retries by cause and tool"),
    "anatomy": Report(title="What prompts are made of, by kind of block"),
    "growth": Report(title="Prompt size by step"),
    "cache": Report(title="Provider prompt cache, by route and model"),
    "tail": Report(title="The dearest sessions"),
    "tenants": Report(title="Tenants against the mean"),
    "daily": Report(title="Cost by day of one dimension", by=("route",)),
    "dearest": Report(title="What cost most, and its calls per session", by=("route",)),
    "spikes": Report(title="Hours of the last day at five times the usual", by=("route",)),
    "outliers": Report(title="What costs over ten times the mean", by=("tenant",)),
    "slopes": Report(title="Tokens that a step adds to the prompt", by=("route",)),
    "tools": Report(title="What each tool's calls, results and schemas cost"),
}


def run_report(duck: Duck, name: str, scope: Scope, by: Sequence[str] = ()) -> list[Row]:
    """The rows of a report; money as exact decimal strings in columns that end in `_usd`."""
    names = list(by) or list(REPORTS[name].by)
    rows = duck.named(report_sql(name, scope.where, names), scope.values)
    return [dollars(row) for row in rows]


def report_sql(name: str, where: str, by: Sequence[str]) -> str:
    """The SQL of a report, grouped by the named dimensions where it groups at all."""
    most = len(REPORTS[name].by)
    if name != "costs" and len(by) > most:
        raise BadInput(
            f"report {name} groups by {'one thing' if most else 'nothing that can be chosen'}",
            mend="report costs takes any number of --by",
        )
    places = {"scope": where}
    if by:
        places["dimension"] = dimension(by[0])
        places["columns"] = ", ".join(f'{dimension(one)} AS "{one}"' for one in by)
        places["keys"] = ", ".join(str(place + 1) for place in range(len(by)))
    return load_sql(f"report_{name}", **places)


def dollars(row: Row) -> Row:
    """Every `_nano` column as its `_usd` twin."""
    return {
        name.removesuffix("_nano") + "_usd" if name.endswith("_nano") else name: usd(value)
        if name.endswith("_nano")
        else value
        for name, value in row.items()
    }


def session_list(duck: Duck, scope: Scope, limit: int) -> list[Row]:
    """Sessions, dearest first."""
    rows = duck.named(load_sql("report_sessions", scope=scope.where), (*scope.values, limit))
    return [dollars(row) | {"from": _iso(row["from"])} for row in rows]


def dearest_sessions(duck: Duck, scope: Scope, count: int) -> list[tuple[int, str]]:
    """(number, id) of the sessions that cost most."""
    names = [row["session"] for row in session_list(duck, scope, count)]
    return [find_session(duck, name) for name in names]


def find_session(duck: Duck, text: str) -> tuple[int, str]:
    """(number, id) of the one session whose id is or starts with `text`, or that sent the
    provider's request of this id."""
    rows = duck.rows("SELECT session, id FROM sessions WHERE id = ?", [text])
    if not rows:
        rows = duck.rows(
            "SELECT session, id FROM sessions WHERE starts_with(id, ?) ORDER BY id LIMIT 4", [text]
        )
    if not rows:
        calls = find_request(duck, text)
        rows = sorted({(row["session"], row["id"]) for row in calls if row["id"] is not None})
        if calls and not rows:
            raise NotFound(
                f"request {text!r} is the call at {calls[0]['place']}, which has no session",
                mend="look at that line",
            )
    if not rows:
        raise NotFound(
            f"there is no session or request {text!r}", mend="bursar sessions lists them"
        )
    if len(rows) > 1:
        ids = ", ".join(str(row[1]) for row in rows)
        raise NotFound(f"{text!r} begins several sessions: {ids}", mend="give more of the id")
    return int(str(rows[0][0])), str(rows[0][1])


def find_request(duck: Duck, text: str) -> list[Row]:
    """The attempts of the provider's request of this id: session, id, step, n, place."""
    return duck.named(load_sql("request"), [request_digest(text)])


def waterfall(duck: Duck, session: tuple[int, str]) -> Row:
    """One session: each step with the kinds of its prompt, and its blocks by lifetime cost."""
    number, name = session
    steps = duck.named(load_sql("session_steps"), [number])
    parts: dict[tuple[int, int], list[Row]] = {}
    for row in duck.named(load_sql("session_parts"), [number]):
        parts.setdefault((row["call_id"], row["n"]), []).append(
            {
                "kind": row["kind"],
                "tokens": row["tokens"],
                "carried_tokens": row["carried_tokens"],
                "cost_usd": usd(row["cost_nano"]),
            }
        )
    decisions: dict[int, list[Row]] = {}
    for row in duck.named(load_sql("session_decisions"), [number]):
        decisions.setdefault(row.pop("call_id"), []).append(row)
    blocks = duck.named(load_sql("session_blocks"), [number])
    costs = [row["cost_nano"] for row in steps if row["cost_nano"] is not None]
    return {
        "session": name,
        "calls": sum(1 for row in steps if row["n"] == 0),
        "cost_usd": usd(sum(costs)) if costs else None,
        "steps": [
            dollars({k: v for k, v in row.items() if k not in ("call_id", "at")})
            | {
                "at": _iso(row["at"]),
                "parts": parts.get((row["call_id"], row["n"]), []),
                "decisions": decisions.get(row["call_id"], []) if row["n"] == 0 else [],
            }
            for row in steps
        ],
        "blocks": [dollars(row) for row in blocks],
    }


def _iso(at: Any) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds") + "Z"
