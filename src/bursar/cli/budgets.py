"""`bursar budgets`: what each account has left, and raises for some time.

While the gateway runs, its workers say how the accounts stand. When it does not, the ledger says
what was spent in the windows of now; what calls under way held, nobody knows then.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from bursar.cli.accounts import LISTED, print_account, print_events, print_tables
from bursar.cli.analyzing import AsJson
from bursar.cli.gateway import settings_path
from bursar.cli.opening import home, ledger_path, open_book, opened
from bursar.cli.screen import Screen
from bursar.gateway.purse.events import Event, events_in
from bursar.gateway.purse.listing import Known, Line, lines_of, questions_of, views_of_ledger
from bursar.gateway.purse.thresholds import moment
from bursar.gateway.purse.views import Seen, seen_in
from bursar.gateway.settings.amounts import Words, amounts_of
from bursar.gateway.settings.caps_compiling import rules_of
from bursar.gateway.settings.raises import (
    NAME,
    Lift,
    end_raises,
    load_raises,
    raise_limit,
    with_raises,
)
from bursar.gateway.settings.reading import load_settings
from bursar.gateway.settings.structs import Settings
from bursar.gateway.settings.values import Moment, moment_of
from bursar.ledger.journal.keeper import has_journals
from bursar.model.errors import BadInput, NotFound
from bursar.state.claims import Caps
from bursar.state.sizes import Tops

MS_PER_S = 1_000
EVENTS = 10
RUN = "run"
EXAMPLES = """
Examples:

  bursar budgets
  bursar budgets --name tenants --of tenant=acme
  bursar budgets --json
"""
SHOW_EXAMPLES = """
Examples:

  bursar budgets show tenants
  bursar budgets show tenants --of tenant=acme
"""
RAISE_EXAMPLES = """
Examples:

  bursar budgets raise tenants --to '$800/month' --until 2026-12-01 --of acme
"""
UNRAISE_EXAMPLES = """
Examples:

  bursar budgets unraise tenants
  bursar budgets unraise tenants --of acme
"""
NO_SETTINGS = "there are no settings, and so no budgets"
HOW = "add them to bursar.yaml, such as: budgets: {company: {limit: $500/month}}"
Name = Annotated[str, typer.Argument(help="Of the budget, as in the settings.")]
Of = Annotated[
    list[str] | None,
    typer.Option("--of", help="Whose accounts: SCOPE=VALUE, as in tenant=acme."),
]
File = Annotated[
    Path | None,
    typer.Option("--settings", help="The settings. Default: those that the gateway runs with."),
]
Ledger = Annotated[
    str | None,
    typer.Option("--ledger", "-l", help="A ledger by name or path, when no gateway runs."),
]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """What `bursar budgets` says."""

    settings: str
    source: str
    """`gateway`: the workers of the one that runs. `ledger`: none runs."""
    at: str
    """When that was so."""
    age_s: float
    lines: tuple[Line, ...]
    raises: tuple[dict[str, Any], ...]
    """By command; those of the settings are in the settings."""
    notes: tuple[str, ...] = ()


def add_commands(app: typer.Typer) -> None:
    group = typer.Typer(help="What each budget has left, and raises for some time.")
    group.callback(invoke_without_command=True, epilog=EXAMPLES)(budgets)
    group.command("show", epilog=SHOW_EXAMPLES)(show)
    group.command("raise", epilog=RAISE_EXAMPLES)(raise_)
    group.command("unraise", epilog=UNRAISE_EXAMPLES)(unraise)
    app.add_typer(group, name="budgets")


def budgets(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Option("--name", help="Only the budgets, tasks or limits of this name.")
    ] = None,
    of: Of = None,
    settings: File = None,
    ledger: Ledger = None,
    as_json: AsJson = False,
) -> None:
    """List what each budget, task and concurrency limit has spent, holds and has left."""
    if context.invoked_subcommand is not None:
        return
    found = _listed(settings, ledger, name, of)
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    screen = Screen()
    _head(screen, found)
    if not found.lines:
        screen.line(f"Nothing fits; mend: {HOW}" if not (name or of) else "Nothing fits.")
    else:
        print_tables(screen, found.lines)


def show(
    name: Name,
    of: Of = None,
    settings: File = None,
    ledger: Ledger = None,
    as_json: AsJson = False,
) -> None:
    """Show all that is known of a budget's accounts, with its latest events."""
    found = _listed(settings, ledger, name, of)
    if not found.lines:
        raise NotFound(f"no account of {name!r} fits", mend="bursar budgets lists what there is")
    events = _events_of(found.lines)
    if as_json:
        typer.echo(msgspec.json.encode({**msgspec.to_builtins(found), "events": events}))
        return
    screen = Screen()
    _head(screen, found)
    for line in found.lines[:LISTED]:
        print_account(screen, line)
    print_events(screen, events)


def raise_(
    name: Name,
    to: Annotated[
        list[str],
        typer.Option("--to", help="The amount, with its window where there are several."),
    ],
    until: Annotated[str, typer.Option(help="Day or time (UTC) at which the usual limit is back.")],
    of: Annotated[
        list[str] | None, typer.Option("--of", help="A value of `each`, as in acme. Default: all.")
    ] = None,
    settings: File = None,
    as_json: AsJson = False,
) -> None:
    """Raise a budget's limit for some time. A gateway that runs takes it within a second or two.

    It is written to raises.json in the home folder, ends by itself, and goes before raises of the
    settings. A raise of the same accounts takes the place of the one before.
    """
    _, usual = _settings(settings, _seen())
    now_s = int(time.time())
    try:
        amounts, end = amounts_of(to), moment_of(until)
    except ValueError as bad:
        raise BadInput(str(bad), mend="write --to '$800/month' --until 2026-12-01") from bad
    budget = usual.budgets.get(_bare(name))
    each = () if budget is None else budget.each
    lift = Lift(
        budget=_bare(name), to=amounts, until=end, of=_values(of, each), since=Moment(now_s)
    )
    held = raise_limit(home(), lift, usual, now_s)
    _print_raises(held, f"Raised {lift.said}.", as_json=as_json)


def unraise(
    name: Name,
    of: Annotated[
        list[str] | None, typer.Option("--of", help="Only the raise for this value. Default: all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take back what `bursar budgets raise` did. Raises in the settings stay."""
    now_s = int(time.time())
    ended = end_raises(home(), _bare(name), _values(of, ()), now_s)
    if not ended:
        held = ", ".join(one.said for one in load_raises(home() / NAME) if one.until > now_s)
        raise NotFound(
            f"nothing of {name!r} is raised by command", mend=f"raised are: {held or 'none'}"
        )
    kept = tuple(one for one in load_raises(home() / NAME) if one.until > now_s)
    _print_raises(kept, f"Ended {'; '.join(one.said for one in ended)}.", as_json=as_json)


# -- what is known


def _listed(
    file: Path | None, ledger: str | None, name: str | None, of: list[str] | None
) -> Listed:
    seen = _seen()
    path, settings = _settings(file, seen)
    now_ms = round(time.time() * MS_PER_S)
    lifts = tuple(one for one in load_raises(home() / NAME) if one.until * MS_PER_S > now_ms)
    settings, wrongs = with_raises(settings, lifts, now_ms / MS_PER_S)
    caps = Caps(rules_of(settings))
    running = seen.is_alive(now_ms)
    at_ms = now_ms if not running or seen.at_ms is None else seen.at_ms
    if not caps.rules:
        views = ()
    else:
        views = seen.views if running else _views_of_ledger(caps, seen, ledger, now_ms)
    lines = lines_of(settings, caps, Known(views, now_ms, running), _dearest_answer_pico)
    wanted = _filters(of)
    return Listed(
        settings=str(path),
        source="gateway" if running else "ledger",
        at=moment(at_ms),
        age_s=round((now_ms - at_ms) / MS_PER_S, 1),
        lines=tuple(one for one in lines if _fits(one, name, wanted)),
        raises=tuple(map(_raise_said, lifts)),
        notes=tuple(wrongs),
    )


def _seen() -> Seen:
    return seen_in(home() / RUN)


def _settings(file: Path | None, seen: Seen) -> tuple[Path, Settings]:
    """Those that are named, else those that the gateway has, else those found here."""
    path = file
    if path is None and seen.settings is not None and Path(seen.settings).exists():
        path = Path(seen.settings)
    path = path or settings_path(None)
    if path is None:
        raise NotFound(NO_SETTINGS, mend=f"name a file with --settings, or {HOW}")
    return path, load_settings(path, os.environ)


def _views_of_ledger(caps: Caps, seen: Seen, ledger: str | None, now_ms: int) -> tuple[Any, ...]:
    before = {view.account: view for view in seen.views}
    questions = questions_of(caps, now_ms)
    if not ledger_path(ledger).exists() and not has_journals(home()):
        return views_of_ledger(caps, [[] for _ in questions], now_ms, before)
    with opened(ledger) as duck:
        answers = [duck.rows(sql, values) for sql, values in questions]
    return views_of_ledger(caps, answers, now_ms, before)


def _dearest_answer_pico() -> int:
    return Tops(open_book()).ceiling(None).answer_pico


def _bare(name: str) -> str:
    """A budget's name, with or without what goes before it."""
    return name.removeprefix("budgets.")


def _filters(of: list[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in of or ():
        scope, equals, value = one.partition("=")
        if not equals:
            raise BadInput(f"--of {one!r} names no scope", mend="write --of tenant=acme")
        found[scope] = value
    return found


def _values(of: list[str] | None, each: Iterable[str]) -> Words:
    """Values as given, with or without their scope."""
    scopes = tuple(f"{one}=" for one in each)
    plain: list[str] = []
    for one in of or ():
        scope = next((name for name in scopes if one.startswith(name)), "")
        plain.append(one.removeprefix(scope))
    return Words(plain)


def _fits(line: Line, name: str | None, wanted: dict[str, str]) -> bool:
    if name is not None and name not in (line.cap, line.cap.partition(".")[2]):
        return False
    return all(scope in line.of and line.of[scope] == value for scope, value in wanted.items())


def _events_of(lines: tuple[Line, ...]) -> list[Event]:
    whose = {(one.cap, tuple(one.of.items())) for one in lines}
    folder = home() / RUN
    return events_in(folder, EVENTS, lambda one: (one.cap, tuple(one.scope.items())) in whose)


def _raise_said(lift: Lift) -> dict[str, Any]:
    return {
        "budget": lift.budget,
        "to": [str(one) for one in lift.to],
        "of": list(lift.of),
        "until": moment(lift.until * MS_PER_S),
        "since": moment(lift.since * MS_PER_S),
    }


def _print_raises(held: tuple[Lift, ...], told: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode({"raises": [_raise_said(one) for one in held]}))
        return
    typer.echo(told)


def _head(screen: Screen, found: Listed) -> None:
    if found.source == "gateway":
        screen.line(f"As the gateway had it {found.age_s:g} s ago ({found.settings}).")
    else:
        screen.line(
            f"No gateway runs; spent in the windows of now, by the ledger ({found.settings})."
        )
    for one in found.raises:
        whose = f" for {', '.join(one['of'])}" if one["of"] else ""
        screen.line(
            f"Raised: {one['budget']} to {' and '.join(one['to'])}{whose} until {one['until']}"
        )
    for note in found.notes:
        screen.line(f"! {note}")
