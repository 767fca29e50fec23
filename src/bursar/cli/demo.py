"""`bursar demo`: the whole analysis, on your own transcripts or on a generated sample."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from bursar.cli.analyzing import AsJson, answer
from bursar.cli.opening import now, temporary
from bursar.ledger.reports import Scope
from bursar.simulator.sample import write_sample

TRANSCRIPTS = (
    ("Claude Code", Path(".claude") / "projects"),
    ("Codex CLI", Path(".codex") / "sessions"),
)
DEMO_EXAMPLES = """
Examples:

  bursar demo
  bursar demo --sample --html demo.html
"""


def add_commands(app: typer.Typer) -> None:
    app.command("demo", epilog=DEMO_EXAMPLES)(demo)


def demo(
    sample: Annotated[
        bool, typer.Option("--sample", help="Use the generated sample without asking.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Also write one self-contained page to this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Analyze your own coding-agent transcripts, if you agree, or else a generated sample.

    Nothing leaves this machine and nothing is kept: the ledger is in memory.
    """
    own = [] if sample else _own_transcripts()
    if own:
        _run(own, html, as_json=as_json)
        return
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
