"""`bursar analyze` and `bursar import`: logs in, a priced and explained bill out."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from bursar import __version__
from bursar.advisor.analysis import Analysis, analyse
from bursar.advisor.questions import dearest_sessions, waterfall
from bursar.cli.opening import asked_scope, now, open_book, opened, temporary
from bursar.cli.progress import Progress
from bursar.cli.screen import Screen
from bursar.dashboard.page import report_page
from bursar.intake.importing import Imported, import_paths
from bursar.ledger.engines.duck import Duck
from bursar.ledger.recorder import Recorder
from bursar.ledger.reports import Scope
from bursar.model.errors import BadInput

Paths = Annotated[
    list[Path], typer.Argument(help="Files or folders; what each is is told by its content.")
]
Ledger = Annotated[
    str | None, typer.Option("--ledger", "-l", help="A ledger's name, or a path to its file.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Since = Annotated[str | None, typer.Option(help="Only calls from this day or time on (UTC).")]
Until = Annotated[str | None, typer.Option(help="Only calls before this day or time (UTC).")]
Where = Annotated[
    list[str] | None, typer.Option(help="Only calls with NAME=VALUE, such as route=airline.")
]

WATERFALLS = 3
"""Sessions that the page draws step by step."""
YOUNG_OBJECTS = 100_000
"""An import makes many objects and no cycles: look for garbage less often."""
FEW = 5
"""Reasons that an error gives where there are many."""
ANALYZE_EXAMPLES = """
Examples:

  bursar analyze ~/.claude/projects
  bursar analyze logs/ --html bill.html
  bursar analyze s3-export/ --ledger prod --since 2026-11-01
  bursar analyze traces.jsonl --json | jq .totals
"""
IMPORT_EXAMPLES = """
Examples:

  bursar import ~/.claude/projects
  bursar import AWSLogs/ --ledger prod
"""


def add_commands(app: typer.Typer) -> None:
    app.command("analyze", epilog=ANALYZE_EXAMPLES)(analyze)
    app.command("import", epilog=IMPORT_EXAMPLES)(import_)


def analyze(
    paths: Paths,
    ledger: Ledger = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write one self-contained page to this file.")
    ] = None,
    as_json: AsJson = False,
    since: Since = None,
    until: Until = None,
    where: Where = None,
) -> None:
    """Import logs and print where the money went, what to look at first, and what is doubtful.

    Without --ledger the ledger lives in memory and is gone afterwards.
    """
    scope = asked_scope(since, until, where)
    with opened(ledger, create=True) if ledger else temporary() as duck:
        done = answer(duck, paths, scope, html, as_json=as_json)
    refuse_nothing(done)


def answer(
    duck: Duck,
    paths: list[Path],
    scope: Scope,
    html: Path | None,
    *,
    as_json: bool,
    label: str | None = None,
) -> Imported:
    """Import, analyse and print; write the page where one was asked for.

    `label` stands for the paths on the page.
    """
    done = load(duck, paths)
    found = analyse(duck, open_book(), scope)
    if html is not None:
        falls = [waterfall(duck, one) for one in dearest_sessions(duck, scope, WATERFALLS)]
        write_page(found, falls, [label] if label else [str(path) for path in paths], html)
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return done
    screen = Screen()
    screen.imported(done)
    screen.analysis(found)
    if html is not None:
        screen.line(f"Page written to {html}")
    return done


def import_(paths: Paths, ledger: Ledger = None, as_json: AsJson = False) -> None:
    """Read logs into a ledger. Reading the same thing twice adds nothing."""
    with opened(ledger, create=True) as duck:
        done = load(duck, paths)
    if as_json:
        typer.echo(msgspec.json.encode(done))
    else:
        Screen().imported(done)
    refuse_nothing(done)


def refuse_nothing(done: Imported) -> None:
    """An error that says why, where not one file gave anything."""
    if done.formats and (done.entries or not done.skips):
        return
    why = "".join(
        f"\n  {skip.file}{f':{skip.line}' if skip.line else ''}: {skip.reason}"
        for skip in done.skips[:FEW]
    )
    raise BadInput(
        f"nothing could be read{why or ': there is no file in it'}",
        mend="give log files of a format in docs/formats, or a folder that holds some",
    )


def load(duck: Duck, paths: list[Path]) -> Imported:
    """Read every path into the ledger, with progress on stderr. At least one must exist."""
    missing = [path for path in paths if not path.exists()]
    if missing and len(missing) == len(paths):
        raise BadInput(
            f"{missing[0]} does not exist", mend="give the path of a log file or of a folder"
        )
    gc.set_threshold(YOUNG_OBJECTS, 50, 50)
    with Progress() as progress:
        return import_paths(paths, Recorder(duck, open_book(), now()), progress.show)


def write_page(
    found: Analysis, falls: list[dict[str, Any]], sources: list[str], html: Path
) -> None:
    """One self-contained page: the analysis, with the dearest sessions as waterfalls."""
    drawn = msgspec.to_builtins(found) | {"top_sessions": falls}
    page = report_page(drawn, title="What your agents cost", version=__version__, sources=sources)
    try:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(page, encoding="utf-8")
    except OSError as bad:
        raise BadInput(
            f"{html} cannot be written: {bad.strerror}", mend="name a file that you may write"
        ) from bad
