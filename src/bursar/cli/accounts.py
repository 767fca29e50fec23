"""Accounts of caps on a terminal: a table for each limit, or all that is known of each account."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from bursar.cli.screen import Screen, money, number
from bursar.gateway.purse.events import Event, said
from bursar.gateway.purse.listing import Line
from bursar.gateway.purse.thresholds import moment
from bursar.gateway.settings.amounts import span_text

LISTED = 50
COLUMNS = [
    *(("of", "left"), ("limit", "right"), ("spent", "right"), ("held", "right")),
    *(("suspect", "right"), ("left", "right"), ("resets (UTC)", "left")),
    *(("refused", "right"), ("falsely", "right")),
]


def print_events(screen: Screen, events: Iterable[Event]) -> None:
    """A line for each."""
    found = list(events)
    if found:
        screen.heading("Latest events")
    for event in found:
        kind = f"warn {event.percent}%" if event.kind == "warn" else event.kind
        screen.line(f"{moment(event.at_ms)}  {kind}  {_whose(event.scope)}  {event.basis}")


def print_tables(screen: Screen, lines: tuple[Line, ...]) -> None:
    """One for each limit."""
    shown = groupby(lines[:LISTED], lambda one: (one.cap, one.unit, _window(one)))
    for (cap, _, window), alike in shown:
        rows = list(alike)
        screen.heading(f"{cap}, {window}: {_over(rows[0])}")
        known = [one for one in rows if one.at is not None]
        if known:
            screen.table(COLUMNS, (_row(one) for one in known))
        for line in rows:
            if line.at is None:
                screen.line(f"{_amount(line, 'limit')}: no account was used lately")
    if len(lines) > LISTED:
        screen.line(f"... and {len(lines) - LISTED} more (--name, --of; --json lists all)")


def _row(line: Line) -> tuple[str, ...]:
    return (
        _whose(line.of) or "all",
        *(_amount(line, name) for name in ("limit", "spent", "held", "suspect", "left")),
        (line.resets or "-").removesuffix(":00Z").replace("T", " "),
        number(line.refusals),
        number(line.false_refusals),
    )


def _over(line: Line) -> str:
    """The most by which it can be exceeded, in a few words."""
    if line.most_over is None:
        return "can be exceeded without bound"
    return f"can be exceeded by at most {_amount(line, 'most_over')}"


def print_account(screen: Screen, line: Line) -> None:
    screen.heading(f"{line.cap} {_whose(line.of)}".strip())
    screen.line(f"limit: {_amount(line, 'limit')}, {_window(line)}")
    screen.line(f"{line.because}")
    if line.at is None:
        screen.line("no account of it was used lately")
        return
    screen.line(
        f"spent {_amount(line, 'spent')}, held {_amount(line, 'held')},"
        f" suspect {_amount(line, 'suspect')}, left {_amount(line, 'left')}"
    )
    screen.line(f"resets: {line.resets or 'at no fixed moment'}")
    screen.line(
        f"since {line.since or '-'}: {number(line.calls)} calls, {number(line.refusals)} refused"
        f" ({number(line.false_refusals)} of {number(line.judged)} judged falsely),"
        f" {number(line.cuts)} streams cut"
    )
    screen.line(f"has exceeded its limit by {_amount(line, 'worst_over')} at most")


def _amount(line: Line, name: str) -> str:
    amount = getattr(line, name)
    if amount is None or isinstance(amount, str):
        return money(amount)
    return said(line.unit, amount) if line.unit == "wall" else f"{number(amount)}{_unit(line)}"


def _unit(line: Line) -> str:
    return {"tokens": " tok", "calls": "", "at_once": ""}.get(line.unit, "")


def _window(line: Line) -> str:
    if line.unit in ("at_once", "wall"):
        return {"at_once": "at once", "wall": "wall time"}[line.unit]
    name, _, zone = line.window.partition("@")
    if name.endswith("s") and name[:-1].isdigit():
        return span_text(int(name[:-1]))
    return f"{name} ({zone})" if zone else name


def _whose(of: dict[str, str | None]) -> str:
    return ", ".join(f"{scope}={value or '(none)'}" for scope, value in of.items())
