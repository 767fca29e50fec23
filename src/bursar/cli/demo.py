"""`bursar demo`: the whole analysis, on your own transcripts, a live run or a generated sample."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from bursar.cli.analyzing import AsJson, answer
from bursar.cli.live import can_run, run_live
from bursar.cli.opening import now, temporary
from bursar.ledger.reports import Scope
from bursar.model.errors import BadInput
from bursar.simulator.sample import write_sample

TRANSCRIPTS = (
    ("Claude Code", Path(".claude") / "projects"),
    ("Codex CLI", Path(".codex") / "sessions"),
)
DEMO_EXAMPLES = """
Examples:

  bursar demo
  bursar demo --live
  bursar demo --sample --html demo.html
"""

INSTALL = "To have it: pip install 'bursar[gateway,demo]'"
LIVE = (
    "This is a GENERATED run: a simulated provider, bursar serve, and an invented agent with the"
    " real openai and anthropic clients, all on this machine. Its prices are real.\n"
)


def add_commands(app: typer.Typer) -> None:
    app.command("demo", epilog=DEMO_EXAMPLES)(demo)


def demo(
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Run a GENERATED agent through the gateway against a simulated provider.",
        ),
    ] = False,
    sample: Annotated[
        bool, typer.Option("--sample", help="Read a GENERATED log of a week; starts no gateway.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Also write one self-contained page to this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Analyze your own coding-agent transcripts, if you agree, or else a generated agent.

    The live run starts a simulated provider, the gateway and an invented agent with the real openai
    and anthropic clients, and ends with what the ledger says. Where its packages are not installed,
    a generated log is read. Nothing leaves this machine and nothing is kept.
    """
    if live and sample:
        raise BadInput("--live and --sample exclude each other", mend="give one of them")
    own = [] if live or sample else _own_transcripts()
    if own:
        _run(own, html, as_json=as_json)
        return
    obstacle = None if live or sample else can_run()
    if sample or obstacle is not None:
        if obstacle is not None:
            sys.stderr.write(f"No live run: {obstacle}. {INSTALL}\n")
        _run_sample(html, as_json=as_json)
        return
    sys.stderr.write(LIVE)
    if code := run_live(html, as_json=as_json):
        sys.exit(code)


def _run_sample(html: Path | None, *, as_json: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "generated-sample.jsonl"
        write_sample(file, now())
        sys.stderr.write(
            "This is a GENERATED sample: an invented support agent with several routes and"
            " tenants, growing prompts, retries and one runaway. Its prices are real.\n"
        )
        _run([file], html, as_json=as_json, label="a generated sample")


def _run(paths: list[Path], html: Path | None, *, as_json: bool, label: str | None = None) -> None:
    with temporary() as duck:
        answer(duck, paths, Scope(), html, as_json=as_json, label=label)


def _own_transcripts() -> list[Path]:
    """The user's transcripts, after asking; nothing where nobody can be asked."""
    here = [(title, Path.home() / folder) for title, folder in TRANSCRIPTS]
    found = [(title, path) for title, path in here if path.is_dir() and any(path.rglob("*.jsonl"))]
    if not found or not sys.stdin.isatty():
        return []
    names = " and ".join(f"{title} ({path})" for title, path in found)
    if typer.confirm(f"Found your own transcripts of {names}. Analyze them?", default=True):
        return [path for _, path in found]
    return []
