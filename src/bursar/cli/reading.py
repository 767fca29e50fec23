"""`bursar report`, `suspects`, `sessions` and `show`: questions to a ledger that exists."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from bursar.advisor.analysis import analyse
from bursar.advisor.questions import (
    REPORTS,
    find_request,
    find_session,
    run_report,
    session_list,
    waterfall,
)
from bursar.cli.analyzing import AsJson, Ledger, Since, Until, Where
from bursar.cli.opening import asked_scope, open_book, opened
from bursar.cli.screen import Screen, money, number
from bursar.model.errors import BadInput

REPORT_EXAMPLES = """
Examples:

  bursar report costs --by route --by day
  bursar report tools --ledger prod
  bursar report tail --since 2026-11-01 --json
"""
SHOW_EXAMPLES = """
Examples:

  bursar sessions --limit 5
  bursar show 2b9d8116-e1de-4038-a101-5fd575fdcb0e
  bursar show req_011CSHoEeqs5C35K2UUqR7Fy
"""
LISTED_BLOCKS = 40
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="At most this many rows.")]


def add_commands(app: typer.Typer) -> None:
    app.command("report", epilog=REPORT_EXAMPLES)(report)
    app.command("suspects")(suspects)
    app.command("sessions")(sessions)
    app.command("show", epilog=SHOW_EXAMPLES)(show)


def report(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(REPORTS)}.")],
    by: Annotated[
        list[str] | None, typer.Option(help="What to group costs by; may be given several times.")
    ] = None,
    ledger: Ledger = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Print one report of a ledger."""
    if name not in REPORTS:
        raise BadInput(f"there is no report {name!r}", mend=f"choose one of {', '.join(REPORTS)}")
    with opened(ledger) as duck:
        rows = run_report(duck, name, asked_scope(since, until, where), by or [])
    if as_json:
        typer.echo(msgspec.json.encode({"report": name, "rows": rows}))
        return
    screen = Screen()
    screen.heading(REPORTS[name].title)
    if not rows:
        screen.line("The ledger holds nothing for this question.")
        return
    columns = list(rows[0])
    screen.table(
        [(column, "left" if isinstance(rows[0][column], str) else "right") for column in columns],
        ([_cell(column, row[column]) for column in columns] for row in rows[:limit]),
    )
    if len(rows) > limit:
        screen.line(f"... and {len(rows) - limit} more (--limit, --json)")


def suspects(
    ledger: Ledger = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """Print what to look at first, ranked by dollars, with the evidence and the mend."""
    with opened(ledger) as duck:
        found = analyse(duck, open_book(), asked_scope(since, until, where))
    if as_json:
        typer.echo(
            msgspec.json.encode(
                {"suspects": found.suspects, "flags": found.flags, "notes": found.notes}
            )
        )
        return
    screen = Screen()
    for note in found.notes:
        screen.line(f"! {note}")
    screen.suspects(found.suspects)
    screen.flags(found.flags)


def sessions(
    ledger: Ledger = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List sessions, dearest first."""
    with opened(ledger) as duck:
        rows = session_list(duck, asked_scope(since, until, where), limit)
    if as_json:
        typer.echo(msgspec.json.encode({"sessions": rows}))
        return
    screen = Screen()
    columns = ["session", "route", "tenant", "calls", "cost_usd", "from", "success"]
    screen.table(
        [(column, "right" if column in ("calls", "cost_usd") else "left") for column in columns],
        ([_cell(column, row[column]) for column in columns] for row in rows),
    )


def show(
    session: Annotated[
        str,
        typer.Argument(help="A session's id, or enough of its start; or a provider's request id."),
    ],
    ledger: Ledger = None,
    as_json: AsJson = False,
) -> None:
    """Show one session as a waterfall: each step, its blocks, its dollars."""
    with opened(ledger) as duck:
        fall = waterfall(duck, find_session(duck, session))
        calls = [] if fall["session"].startswith(session) else find_request(duck, session)
    fall["requests"] = [{one: row[one] for one in ("step", "n", "place")} for row in calls]
    if as_json:
        typer.echo(msgspec.json.encode(fall))
        return
    screen = Screen()
    screen.heading(f"Session {fall['session']}: {money(fall['cost_usd'])}, {fall['calls']} calls")
    for call in calls:
        screen.line(f"Request {session} is step {call['step']}, at {call['place']}")
    _print_steps(screen, fall["steps"])
    _print_decisions(screen, fall["steps"])
    _print_blocks(screen, fall["blocks"])


def _print_steps(screen: Screen, steps: list[dict[str, Any]]) -> None:
    screen.table(
        [
            ("step", "right"),
            ("model", "left"),
            ("prompt", "right"),
            ("cached", "right"),
            ("answer", "right"),
            ("cost", "right"),
            ("tool", "left"),
            ("by kind", "left"),
        ],
        (
            (
                step["step"],
                step["model"],
                number(step["prompt_tokens"]),
                number(step["cache_read_tokens"]),
                number(step["answer_tokens"]),
                money(step["cost_usd"]),
                step["tool"],
                ", ".join(f"{part['kind']} {money(part['cost_usd'])}" for part in step["parts"]),
            )
            for step in steps
        ),
    )


def _print_decisions(screen: Screen, steps: list[dict[str, Any]]) -> None:
    """What was done to each call, where anything was."""
    decided = [(step["step"], one) for step in steps for one in step["decisions"]]
    if not decided:
        return
    screen.heading("What was done to the calls")
    for step, one in decided:
        screen.line(f"step {step}: {one['lever']} {one['verdict']}: {one['why']}")


def _print_blocks(screen: Screen, blocks: list[dict[str, Any]]) -> None:
    screen.heading("Blocks by lifetime cost")
    screen.table(
        [
            ("block", "left"),
            ("first step", "right"),
            ("tokens", "right"),
            ("sent again", "right"),
            ("fresh", "right"),
            ("written", "right"),
            ("read", "right"),
            ("carried", "right"),
            ("all", "right"),
        ],
        (
            (
                block["kind"] + (f" {block['name']}" if block["name"] else ""),
                block["first_step"],
                number(block["tokens"]),
                block["carries"],
                money(block["fresh_usd"]),
                money(block["written_usd"]),
                money(block["read_usd"]),
                money(block["carried_usd"]),
                money(block["cost_usd"]),
            )
            for block in blocks[:LISTED_BLOCKS]
        ),
    )
    if len(blocks) > LISTED_BLOCKS:
        screen.line(f"... and {len(blocks) - LISTED_BLOCKS} more blocks (--json lists all)")


def _cell(column: str, value: Any) -> str | None:
    if value is None:
        return None
    if column.endswith("_usd"):
        return money(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value)
    return str(value)
