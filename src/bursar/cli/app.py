"""The `bursar` command and its edge: every error leaves as a sentence, never as a traceback."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from bursar import __version__
from bursar.cli import (
    analyzing,
    budgets,
    demo,
    explaining,
    gateway,
    prices,
    reading,
    serving,
    simulating,
)
from bursar.cli.screen import CONTROL
from bursar.model.errors import BursarError

app = typer.Typer(
    name="bursar",
    help="Meters and explains the cost of LLM agents: point it at the logs you already have.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
analyzing.add_commands(app)
reading.add_commands(app)
explaining.add_commands(app)
prices.add_commands(app)
demo.add_commands(app)
gateway.add_commands(app)
budgets.add_commands(app)
serving.add_commands(app)
simulating.add_commands(app)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"bursar {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line. Exit codes: 0 done, 2 cannot be done as asked, 70 our own fault."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except BursarError as bad:
        sys.stderr.write(f"bursar: {str(bad).translate(CONTROL)}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("bursar: stopped; what was committed so far stays in the ledger\n")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as fault:
        if os.environ.get("BURSAR_DEBUG"):
            raise
        sys.stderr.write(
            f"bursar: this is a fault in Bursar: {type(fault).__name__}: {str(fault)[:300]}\n"
            "  mend: set BURSAR_DEBUG=1 and run it again to see where, and report it\n"
        )
        sys.exit(70)
