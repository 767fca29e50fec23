"""`bursar check` and `bursar keys`: the gateway's settings and the keys of its clients.

Neither starts anything: what is printed is what `bursar serve` would do with the same file.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from bursar.cli.analyzing import AsJson
from bursar.cli.opening import open_book
from bursar.cli.screen import Screen
from bursar.gateway.settings.explaining import Explained, explain
from bursar.gateway.settings.keys import new_key
from bursar.gateway.settings.reading import load_settings
from bursar.gateway.settings.tag_names import problem_of
from bursar.gateway.settings.yaml_text import yaml_of
from bursar.model.errors import BadInput
from bursar.state.sizes import Tops

SETTINGS = "bursar.yaml"
CHECK_EXAMPLES = """
Examples:

  bursar check
  bursar check /etc/bursar.yaml --json
"""
KEYS_EXAMPLES = """
Examples:

  bursar keys new --id support-bot --tenant acme
"""
SettingsFile = Annotated[
    Path | None,
    typer.Argument(help=f"The settings. Default: BURSAR_SETTINGS, then {SETTINGS} here, if any."),
]


def add_commands(app: typer.Typer) -> None:
    app.command("check", epilog=CHECK_EXAMPLES)(check)
    keys = typer.Typer(
        help="Keys of the gateway's clients.", no_args_is_help=True, epilog=KEYS_EXAMPLES
    )
    keys.callback()(_keys)
    keys.command("new", epilog=KEYS_EXAMPLES)(new)
    app.add_typer(keys, name="keys")


def settings_path(named: Path | None) -> Path | None:
    """The settings file that is meant; None for the gateway without any."""
    if named is not None:
        return named
    if from_environment := os.environ.get("BURSAR_SETTINGS"):
        return Path(from_environment)
    here = Path(SETTINGS)
    return here if here.exists() else None


def check(file: SettingsFile = None, as_json: AsJson = False) -> None:
    """Check the gateway's settings and say what they mean. Starts nothing, calls nobody."""
    path = settings_path(file)
    settings = load_settings(path, os.environ)
    name = None if path is None else str(path)
    found = explain(settings, os.environ, name, time.time(), _dearest_answer_pico)
    if as_json:
        typer.echo(msgspec.json.encode(found))
    else:
        _print(found)


def _dearest_answer_pico() -> int:
    """Of a token of an answer, over all models with a known price."""
    return Tops(open_book()).ceiling(None).answer_pico


def _keys() -> None:
    """Keeps `new` a command of its own while there is no other."""


def new(
    name: Annotated[str, typer.Option("--id", help="Its name, shown everywhere: a-z, 0-9, -.")],
    tenant: Annotated[
        str | None, typer.Option(help="On whose behalf it calls; without: the call may say.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key for a client. It is printed once; the settings keep its SHA-256 alone."""
    if tenant is not None and (problem := problem_of("tenant", tenant)):
        raise BadInput(f"the tenant {problem}", mend="write a short printable name")
    text, digest = new_key(name)
    rules = {"sha256": digest} | ({"tenant": tenant} if tenant is not None else {})
    if as_json:
        typer.echo(msgspec.json.encode({"key": text, "settings": {"keys": {name: rules}}}))
        return
    typer.echo(text)
    sys.stderr.write(
        "bursar: this key is shown once; give it to the client, and add to bursar.yaml:\n"
    )
    typer.echo("\n" + yaml_of({"keys": {name: rules}}))


def _print(found: Explained) -> None:
    screen = Screen()
    screen.heading(found.address)
    screen.line(f"settings: {found.file or 'none, so everything is at its default'}")
    screen.heading("Providers")
    screen.table(
        [(one, "left") for one in ("provider", "address", "key", "prices", "dialects")],
        (
            (
                one["name"],
                one["base_url"],
                f"{one['key']} {_found(one['key_found'])}".strip(),
                one["prices"],
                ", ".join(one["dialects"]),
            )
            for one in found.providers
        ),
    )
    screen.heading("Where calls go")
    for number, line in enumerate((*found.routes, *found.models), 1):
        screen.line(f"{number}. {line}")
    for dialect, provider in found.dialects.items():
        screen.line(f"{dialect}: {provider or 'nobody; refused (404)'}")
    screen.heading("Who may call")
    if not found.keys:
        screen.line("Everybody on this machine; no key is needed.")
    for key in found.keys:
        told = [f"{name} {', '.join(key[name])}" for name in ("models", "providers", "routes")]
        until = f" until {key['expires']}" if key["expires"] else ""
        screen.line(
            f"{key['id']}: {key['state']}{until}, tenant {key['tenant'] or '(the call says)'};"
            f" {'; '.join(told)}"
        )
    if found.state is not None:
        screen.heading("Caps")
        screen.line(found.state)
    for cap in found.caps:
        screen.line(f"{cap.name}: {cap.says}")
        for one in cap.limits:
            screen.line(f"  {one.limit}: {one.over}")
    for title, lines in (
        ("Levers", found.levers),
        ("Who else is told", found.telemetry),
        ("Refused", found.refused),
        ("Missing in the environment", found.missing),
        ("Think twice", found.warnings),
        ("Bounds", tuple(f"{name}: {value}" for name, value in found.bounds.items())),
    ):
        if lines:
            screen.heading(title)
        for line in lines:
            screen.line(line)


def _found(here: bool | None) -> str:
    return {True: "", False: "(missing)", None: "(looked up at the first call)"}[here]
