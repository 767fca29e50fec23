"""`bursar price` and `bursar prices`: the arithmetic of one answer, and the prices themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from bursar.advisor.pricing import price_body, rate_rows, unpriced_rows
from bursar.cli.analyzing import AsJson, Ledger
from bursar.cli.opening import home, moment_of, now, open_book, opened, overlays
from bursar.cli.screen import Screen, money
from bursar.ledger.repricing import reprice
from bursar.model.errors import BadInput, BursarError
from bursar.model.money import usd
from bursar.price.book import load_book

LARGEST_BODY = 64 * 1024 * 1024
PRICE_EXAMPLES = """
Examples:

  bursar price response.json
  curl -sN ... | bursar price -
  bursar price stream.sse --model claude-sonnet-4-6 --at 2026-09-01
"""
PRICES_EXAMPLES = """
Examples:

  bursar prices find sonnet-4-6
  bursar prices overlays
  bursar prices validate ours.toml
  bursar prices reprice --prices ours.toml --ledger prod
"""
Overlay = Annotated[
    list[Path] | None, typer.Option("--prices", help="A price overlay (TOML) to use as well.")
]
At = Annotated[str | None, typer.Option(help="Price at this day (UTC); the default is now.")]


def add_commands(app: typer.Typer) -> None:
    app.command("price", epilog=PRICE_EXAMPLES)(price)
    prices = typer.Typer(
        help="Look up, check and re-apply prices.", no_args_is_help=True, epilog=PRICES_EXAMPLES
    )
    prices.command("find")(find)
    prices.command("overlays")(list_overlays)
    prices.command("validate")(validate)
    prices.command("missing")(missing)
    prices.command("reprice")(reprice_ledger)
    app.add_typer(prices, name="prices")


def price(
    files: Annotated[
        list[str], typer.Argument(help="Raw provider responses (JSON or SSE); - is stdin.")
    ],
    provider: Annotated[str | None, typer.Option(help="Who billed it, if not told.")] = None,
    model: Annotated[str | None, typer.Option(help="The model, if the body does not say.")] = None,
    dialect: Annotated[str | None, typer.Option(help="The wire format, if not told.")] = None,
    price_class: Annotated[
        str | None, typer.Option("--class", help="standard, batch, flex, priority or fast.")
    ] = None,
    at: At = None,
    overlay: Overlay = None,
    as_json: AsJson = False,
) -> None:
    """Show the usage that a raw response holds and the arithmetic of its cost, line by line."""
    book = open_book(tuple(overlay or ()))
    moment = moment_of(at, "--at")
    failed = False
    for name in files:
        try:
            found = price_body(
                book,
                _body(name),
                name,
                {"dialect": dialect, "provider": provider, "model": model, "class": price_class},
                moment,
            )
        except BursarError as bad:
            failed = True
            if as_json:
                typer.echo(msgspec.json.encode({"file": name, "error": bad.message}))
            else:
                sys.stderr.write(f"bursar: {name}: {bad}\n")
            continue
        if as_json:
            typer.echo(msgspec.json.encode(found))
        else:
            _print_price(found)
    if failed:
        raise typer.Exit(2)


def find(
    text: Annotated[str, typer.Argument(help="Part of a model's or provider's name.")],
    at: At = None,
    overlay: Overlay = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many models.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Look up the rates of models, in dollars per million tokens."""
    book = open_book(tuple(overlay or ()))
    rows = rate_rows(book, text, moment_of(at, "--at"), limit)
    if as_json:
        typer.echo(msgspec.json.encode({"book": book.version, "models": rows}))
        return
    screen = Screen()
    if not rows:
        raise BadInput(f"no model's name holds {text!r}", mend="try a shorter part of the name")
    columns = [
        "provider",
        "model",
        "input",
        "cache_read",
        "cache_write_5m",
        "cache_write_1h",
        "output",
    ]
    screen.table(
        [(name, "left" if name in ("provider", "model") else "right") for name in columns],
        ([row[name] for name in columns] for row in rows),
    )
    screen.line(f"{book.version}; dollars per million tokens; - is: no price is known")


def list_overlays(as_json: AsJson = False) -> None:
    """List the price files of your own that are in force."""
    files = [str(path) for path in overlays()]
    if as_json:
        typer.echo(msgspec.json.encode({"folder": str(home() / "prices"), "overlays": files}))
        return
    screen = Screen()
    screen.line(f"Overlays are read from {home() / 'prices'}/*.toml, in the order of their names.")
    for file in files:
        screen.line(f"  {file}")
    if not files:
        screen.line("  none")


def validate(
    files: Annotated[list[Path], typer.Argument(help="Price overlays (TOML).")],
    as_json: AsJson = False,
) -> None:
    """Check price overlays without using them."""
    bad_files: list[dict[str, str]] = []
    for file in files:
        try:
            load_book([file], now=now())
        except BursarError as bad:
            bad_files.append({"file": str(file), "error": bad.message, "mend": bad.mend})
    if as_json:
        typer.echo(msgspec.json.encode({"checked": len(files), "refused": bad_files}))
    else:
        screen = Screen()
        for one in bad_files:
            screen.line(f"{one['file']}: {one['error']}")
            screen.line(f"  mend: {one['mend']}")
        screen.line(f"{len(files) - len(bad_files)} of {len(files)} files are valid.")
    if bad_files:
        raise typer.Exit(2)


def missing(ledger: Ledger = None, as_json: AsJson = False) -> None:
    """List what has no price in a ledger, with the reason."""
    with opened(ledger) as duck:
        rows = unpriced_rows(duck)
    if as_json:
        typer.echo(msgspec.json.encode({"unpriced": rows}))
        return
    screen = Screen()
    if not rows:
        screen.line("Every attempt has a price.")
        return
    screen.table(
        [("provider", "left"), ("model", "left"), ("attempts", "right"), ("reason", "left")],
        ([row["provider"], row["model"], row["attempts"], row["reason"]] for row in rows),
    )


def reprice_ledger(ledger: Ledger = None, overlay: Overlay = None, as_json: AsJson = False) -> None:
    """Price a whole ledger again, with today's knowledge of what prices were."""
    with opened(ledger) as duck:
        done = reprice(duck, open_book(tuple(overlay or ())), now())
    if as_json:
        typer.echo(msgspec.json.encode(done))
        return
    Screen().line(
        f"{done.changed:,} of {done.attempts:,} attempts have another cost now:"
        f" {money(usd(done.before_nano))} before, {money(usd(done.after_nano))} after."
    )


def _body(name: str) -> bytes:
    try:
        if name == "-":
            raw = sys.stdin.buffer.read(LARGEST_BODY + 1)
        else:
            with Path(name).open("rb") as stream:
                raw = stream.read(LARGEST_BODY + 1)
    except OSError as bad:
        raise BadInput(
            f"cannot be read: {bad.strerror}", mend="give the path of a file, or - for stdin"
        ) from bad
    if len(raw) > LARGEST_BODY:
        raise BadInput(
            f"is larger than {LARGEST_BODY >> 20} MB, so no single response",
            mend="bursar analyze reads logs of any size",
        )
    return raw


def _print_price(found: dict[str, Any]) -> None:
    screen = Screen()
    screen.heading(f"{found['file']}: {found['provider'] or '?'} {found['model'] or '?'}")
    screen.line(f"dialect {found['dialect']}, {found['price_version'] or 'no price'}")
    screen.table(
        [("unit", "left"), ("count", "right"), ("$ per million", "right"), ("cost", "right")],
        (
            [line["unit"], f"{line['tokens']:,}", line["rate_usd_per_mtok"], f"${line['cost_usd']}"]
            for line in found["lines"]
        ),
    )
    if found["cost_usd"] is None:
        screen.line(f"unpriced: {found['unpriced_reason']}")
    else:
        screen.line(f"cost ${found['cost_usd']} ({found['basis']})")
    for note in found["notes"]:
        screen.line(f"! {note}")
