"""`bursar explain`: what became of one call, and what each lever saw and did."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from bursar.advisor.calls import explained
from bursar.cli.analyzing import AsJson, Ledger
from bursar.cli.opening import opened
from bursar.cli.screen import Screen, money, number

EXAMPLES = """
Examples:

  bursar explain 386547056640000000
  bursar explain req_011CSHoEeqs5C35K2UUqR7Fy --json
"""


def add_commands(app: typer.Typer) -> None:
    app.command("explain", epilog=EXAMPLES)(explain)


def explain(
    call: Annotated[
        str,
        typer.Argument(help="The x-bursar-call-id of an answer, or the provider's request id."),
    ],
    ledger: Ledger = None,
    as_json: AsJson = False,
) -> None:
    """Explain one call: what was sent and paid for it, and what each lever did and why."""
    with opened(ledger) as duck:
        found = explained(duck, call)
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    screen = Screen()
    cost = "cost unknown" if found["cost_usd"] is None else money(found["cost_usd"])
    screen.heading(f"Call {found['call_id']}: {cost}")
    if found["attempts"]:
        screen.line(", ".join(_where(found)))
        _print_attempts(screen, found["attempts"])
    else:
        screen.line("Nothing was sent for it.")
    screen.heading("What was done to it")
    if not found["decisions"]:
        screen.line("Nothing: it went on as it came, and no lever looked at it.")
        return
    screen.table(
        [("lever", "left"), ("verdict", "left"), ("tokens", "right"), ("why", "left")],
        ((one["lever"], one["verdict"], _tokens(one), one["why"]) for one in found["decisions"]),
    )


def _where(found: dict[str, Any]) -> list[str]:
    at = found["at"]
    told = [
        "at an unknown time" if at is None else f"{at[:19].replace('T', ' ')} UTC",
        f"route {found['route'] or 'unknown'}",
    ]
    if found["tenant"]:
        told.append(f"tenant {found['tenant']}")
    if found["session"]:
        told.append(f"step {found['step']} of session {found['session']}")
    return told


def _print_attempts(screen: Screen, attempts: list[dict[str, Any]]) -> None:
    screen.table(
        [
            ("attempt", "right"),
            ("model", "left"),
            ("status", "right"),
            ("prompt", "right"),
            ("cached", "right"),
            ("written", "right"),
            ("answer", "right"),
            ("cost", "right"),
            ("basis", "left"),
            ("ms", "right"),
            ("ended", "left"),
        ],
        (
            (
                one["n"],
                one["model"],
                one["status"],
                number(one["prompt_tokens"]),
                number(one["cache_read_tokens"]),
                number(_written(one)),
                number(one["answer_tokens"]),
                money(one["cost_usd"]) if one["cost_usd"] is not None else one["unpriced"],
                one["basis"],
                number(one["total_ms"]),
                one["stop"] or one["outcome"],
            )
            for one in attempts
        ),
    )


def _written(one: dict[str, Any]) -> int | None:
    counts = one["cache_write_5m_tokens"], one["cache_write_1h_tokens"]
    return None if None in counts else sum(counts)


def _tokens(one: dict[str, Any]) -> str | None:
    before, after = one["tokens_before"], one["tokens_after"]
    if before is None and after is None:
        return None
    return f"{number(before) or '?'} -> {number(after) or '?'}"
