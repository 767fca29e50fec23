"""`bursar serve`: the gateway, its journal and its ledger, until it is told to stop."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from bursar.cli.gateway import settings_path
from bursar.cli.opening import home, ledger_path, open_book, overlays
from bursar.gateway.wishes import Wishes
from bursar.model.errors import BadInput

SERVE_EXAMPLES = """
Examples:

  bursar serve
  bursar serve /etc/bursar.yaml --workers 4
  bursar serve --port 9000 --ledger production
"""
MOST_WORKERS = 64
THRIFT = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "262144",
    "MALLOC_TRIM_THRESHOLD_": "262144",
}
"""How glibc's allocator gives freed memory back: by itself it raises both bounds to what it has met
once. Whoever sets these variables is followed."""


def add_commands(app: typer.Typer) -> None:
    app.command("serve", epilog=SERVE_EXAMPLES)(serve)


def serve(
    file: Annotated[
        Path | None,
        typer.Argument(help="The settings. Default: BURSAR_SETTINGS, then bursar.yaml here."),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on, instead of the settings'.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="Port, instead of the settings'; 0 takes any."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=MOST_WORKERS, help="Worker processes.")
    ] = None,
    ledger: Annotated[
        str | None, typer.Option(help="A ledger by name or path. Default: the home's own.")
    ] = None,
) -> None:
    """Serve OpenAI, Anthropic and Bedrock clients, and record every attempt that is paid.

    Point `base_url` or `endpoint_url` here; nothing else changes. The ledger can be asked meanwhile
    (bursar report, suspects, sessions, show). Ctrl-C ends it after the calls under way.
    """
    if not hasattr(os, "fork"):
        raise BadInput("bursar serve needs a system with fork", mend="run it on Linux or macOS")
    open_book()
    wishes = Wishes(
        home=str(home()),
        ledger=str(ledger_path(ledger)),
        settings=_text(settings_path(file)),
        overlays=tuple(map(str, overlays())),
        host=host,
        port=port,
        workers=workers,
    )
    words = msgspec.json.encode(wishes).decode()
    here = [] if os.getcwd() in sys.path else ["-P"]
    sys.stdout.flush()
    command = [sys.executable, *here, "-m", "bursar.gateway", words]
    os.execve(sys.executable, command, {**THRIFT, **os.environ})


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
