"""`bursar serve`: the gateway, its journal and its ledger, until it is told to stop."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from bursar.cli.gateway import settings_path
from bursar.cli.opening import home, ledger_path, overlays
from bursar.gateway.serving import Wishes, run_gateway
from bursar.model.errors import BadInput

SERVE_EXAMPLES = """
Examples:

  bursar serve
  bursar serve /etc/bursar.yaml --workers 4
  bursar serve --port 9000 --ledger production
"""
MOST_WORKERS = 64


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
    wishes = Wishes(
        home=home(),
        ledger=ledger_path(ledger),
        settings=settings_path(file),
        overlays=tuple(overlays()),
        environ=dict(os.environ),
        host=host,
        port=port,
        workers=workers,
    )
    code = run_gateway(wishes, _say)
    if code:
        sys.exit(code)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
