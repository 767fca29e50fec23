"""Writes docs/reference from the code: commands, reports, JSON, settings, schema, HTTP, the index.

What a name means stands in `reference.toml`, as data. A name of the code without a meaning, or a
meaning without its name, stops the writing: a page is whole and true, or there is none. Run by
`make docs`; a test compares what is committed with what would be written now.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from typer.main import get_command

from bursar.advisor import flags, suspects
from bursar.advisor.analysis import BY, USAGE, Analysis
from bursar.advisor.questions import REPORTS, report_sql
from bursar.cli.app import app
from bursar.gateway.openapi import openapi_json
from bursar.gateway.settings.meanings import Section, sections
from bursar.gateway.settings.watched import NEXT_START
from bursar.ledger.engines.duck import Duck
from bursar.ledger.reports import DIMENSIONS, load_sql
from bursar.ledger.schema import DERIVED, SCHEMA_VERSION, TABLES
from bursar.model.errors import BursarError, NotFound

WRITTEN = "<!-- Written by `make docs`; change src/bursar/reference.toml or the code instead. -->\n"
SHARED = "shared"
TYPES = {
    "money": 'exact dollars as a decimal string, such as `"0.0125"`',
    "ratio": "a number, rounded to six places",
    "whole": "a whole number",
    "text": "a string",
    "time": "a string, such as `2026-11-22T10:00:00Z`",
    "usage": "an object of counts, see below",
    "object": "an object",
}
Meanings = dict[str, Any]


class Undocumented(BursarError):
    """A name of the code has no meaning, or a meaning has no name."""


def meanings() -> Meanings:
    """The data of `reference.toml`."""
    text = files("bursar").joinpath("reference.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def pages(docs: Path, told: Meanings) -> dict[str, str]:
    """Page name -> text. `docs`: where the pages of suspects and flags are written by hand."""
    return {
        "cli.md": cli_page(),
        "reports.md": reports_page(told["reports"]),
        "json.md": json_page(told["json"]),
        "settings.md": settings_page(told),
        "bursar-yaml.md": gateway_page(sections()),
        "schema.md": schema_page(told["tables"], told["columns"]),
        "openapi.json": openapi_json().decode(),
        "index.md": index_page(docs),
    }


def matched(place: str, names: Iterable[str], told: Mapping[str, str]) -> None:
    """Both hold the same names, or Undocumented says which do not."""
    here = set(names)
    for wrong, what in (
        (sorted(here - told.keys()), "has no meaning"),
        (sorted(told.keys() - here), "is no longer there"),
    ):
        if wrong:
            raise Undocumented(
                f"{place}: {', '.join(wrong)} {what}", mend="edit src/bursar/reference.toml"
            )


def page(title: str, *parts: str) -> str:
    return f"# {title}\n\n{WRITTEN}\n" + "\n".join(parts)


def table(head: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


# -- commands


def cli_page() -> str:
    intro = (
        "Text goes to stdout, or JSON with `--json`; progress and errors go to stderr. `--ledger`"
        " takes a name or a path; without it the ledger is `ledger.duckdb` in `BURSAR_HOME`."
        " [Settings](settings.md) lists the environment variables and the exit codes.\n"
    )
    return page("Commands", intro, *_command(get_command(app), "bursar"))


def _command(command: Any, path: str) -> Iterator[str]:
    """A section for a command and each below it. Typer's commands have no public type."""
    below: dict[str, Any] = getattr(command, "commands", {})
    shown = [one for one in command.params if not getattr(one, "hidden", False)]
    arguments = [one for one in shown if not one.opts[0].startswith("-")]
    options = [one for one in shown if one.opts[0].startswith("-")]
    usage = " ".join(
        [path, "COMMAND" if below else ""]
        + [_argument(one) for one in arguments]
        + ["[OPTIONS]" if options else ""]
    )
    yield f"## {path}\n"
    yield " ".join(str(command.help or "").split()) + "\n"
    yield f"```\n{' '.join(usage.split())}\n```\n"
    rows = [(f"`{one.name.upper()}`", one.help or "") for one in arguments]
    rows += [(_spelled(one), _option_text(one)) for one in options]
    yield table(("argument or option", "meaning"), rows)
    if command.epilog:
        examples = [line.strip() for line in command.epilog.splitlines() if line.strip()]
        yield "Examples:\n\n```sh\n" + "\n".join(examples[1:]) + "\n```\n"
    for name, one in below.items():
        if not one.hidden:
            yield from _command(one, f"{path} {name}")


def _argument(argument: Any) -> str:
    name = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _spelled(option: Any) -> str:
    names = [*option.opts, *option.secondary_opts]
    value = "" if option.is_flag else f" {option.name.upper()}"
    return ", ".join(f"`{name}`" for name in names) + value


def _option_text(option: Any) -> str:
    text = str(option.help or "").rstrip()
    if option.multiple and "several" not in text:
        text += " May be given several times."
    if not option.is_flag and option.default is not None:
        text += f" Default: {option.default}."
    return text.strip()


# -- reports


def reports_page(told: dict[str, str]) -> str:
    intro = (
        "`bursar report NAME` asks one of these; `--since`, `--until` and `--where` narrow every"
        " one of them. The SQL of each stands in `src/bursar/ledger/reports/report_NAME.sql`."
        " Columns that end in `_usd` are exact dollars, as decimal strings in JSON; a dash or null"
        " is *not known*.\n"
    )
    names = ", ".join(f"`{name}`" for name in DIMENSIONS)
    grouping = (
        "## What to group and filter by\n\n"
        f"`--by` and `--where` take {names}, or `tag:NAME` for a tag of your own. Days and hours"
        " are UTC.\n"
    )
    columns = {name: report_columns(name) for name in REPORTS}
    matched("reports", {one for found in columns.values() for one in found}, told)
    sections = [
        f"## {name}\n\n{REPORTS[name].title}. {_question(name)}\n\n"
        + table(("column", "meaning"), [(f"`{one}`", told[one]) for one in found])
        for name, found in columns.items()
    ]
    return page("Reports", intro, *sections, grouping)


def report_columns(name: str) -> list[str]:
    """The columns that a report prints, as the database itself describes them."""
    sql = report_sql(name, "TRUE", REPORTS[name].by)
    duck = Duck()
    try:
        rows = duck.named("DESCRIBE " + sql)
    finally:
        duck.close()
    found = [str(row["column_name"]) for row in rows]
    return [one.removesuffix("_nano") + "_usd" if one.endswith("_nano") else one for one in found]


def _question(name: str) -> str:
    """The first comment of the report's SQL."""
    first = load_sql(f"report_{name}").splitlines()[0]
    if not first.startswith("-- "):
        raise Undocumented(f"report_{name}.sql does not begin with its question")
    by = " and ".join(REPORTS[name].by)
    more = f" Without `--by`: by {by}." if by else ""
    return first.removeprefix("-- ") + more


# -- the JSON of analyze


def json_page(told: dict[str, str]) -> str:
    heads = {path.split(".")[0].removesuffix("[]") for path in told}
    matched("json", Analysis.__struct_fields__, dict.fromkeys(heads, ""))
    intro = (
        "`bursar analyze PATH --json`, and `bursar demo --json`, print one object. The names are"
        " stable: more may come, none is renamed. A live demo adds `generated`, which is true, and"
        " `bill`: the simulator's invoice beside the ledger's sum. `by.*` stands for "
        + ", ".join(f"`by.{name}`" for name in BY)
        + ".\n"
    )
    kinds = {text.split(": ", 1)[0].removesuffix("?") for text in told.values()}
    matched("json types", kinds, TYPES)
    types = table(("type", "is"), TYPES.items())
    null = "A type with a question mark may be null: *not known*, never zero.\n"
    sections: list[str] = []
    for name in Analysis.__struct_fields__:
        rows = [
            (f"`{path}`", *text.split(": ", 1))
            for path, text in told.items()
            if path.split(".")[0].removesuffix("[]") == name
        ]
        sections.append(f"## {name}\n\n" + table(("field", "type", "meaning"), rows))
    usage = (
        "## usage\n\nCounts that do not overlap, so that they may be added: "
        + ", ".join(f"`{name}`" for name in USAGE)
        + ", and `other`, an object of further billed units by name. Null: no attempt was counted."
        " See [concepts](../concepts.md#usage).\n"
    )
    return page("The JSON of an analysis", intro, types, null, *sections, usage)


# -- settings


def settings_page(told: Meanings) -> str:
    def rows(name: str) -> list[tuple[str, str]]:
        return [(f"`{one}`", text) for one, text in told[name].items()]

    return page(
        "Settings",
        "Only the gateway has a settings file, [bursar.yaml](bursar-yaml.md). Nothing else is"
        " configured, and nothing is sent anywhere but to the providers.\n",
        "## Environment variables\n\n" + table(("variable", "meaning"), rows("settings")),
        "## Files\n\n" + table(("place", "holds"), rows("places")),
        "## Exit codes\n\n" + table(("code", "means"), rows("exits")),
    )


def gateway_page(parts: Iterable[Section]) -> str:
    """Every setting of `bursar.yaml`, from the texts under the fields of its structs."""
    intro = (
        "The settings of `bursar serve`. Everything is optional; what stands in the file and not"
        " here is refused, with its line. `bursar check` says in plain words what a file means."
        " [How to write one](../howto/gateway-settings.md) has a full example.\n\n"
        "A *duration* is `250ms`, `30s`, `5m`, `1h`, `7d` or a number of seconds; a *size* is"
        " `64KiB`, `8MiB`, `2MB` or a number of bytes; a *time* is `2027-01-31` or"
        " `2027-01-31T12:00:00Z`, in UTC; an *amount* is `$500`, `2M tokens` or `1_000 calls`,"
        " exact to a nanodollar, with its window behind it where it has one of its own: `$50/day`,"
        " `60 calls/min`, `2M tokens/24h`; a *share* is `80%`. Patterns are those of a shell: `*`,"
        " `?`, `[ab]`, case"
        " and all. Words such as `no` and `on` are words. Anchors, tags and second documents are"
        " not read. A key is never written into the file, only where it is: `env:NAME` or"
        " `file:/path`.\n\n"
        "What is marked † holds from the next start on: `bursar serve` says so where a file that is"
        " read again has another. Everything else holds within a second of being written.\n"
    )
    found: list[str] = []
    for one in parts:
        rows = [
            (f"`{row.name}`{_lasting(one.path, row.name)}", row.kind, row.default, row.says)
            for row in one.settings
        ]
        head = ("setting", "is", "default", "meaning")
        title = f"`{one.path}`" if one.path else "The file"
        found.append(f"## {title}\n\n{one.says}\n\n" + table(head, rows))
    return page("bursar.yaml", intro, *found)


def _lasting(path: str, name: str) -> str:
    """The mark of a setting that a running gateway does not change."""
    whole = f"{path}.{name}" if path else name
    lasts = any(whole == one or whole.startswith(f"{one}.") for one in NEXT_START)
    return " †" if lasts else ""


# -- schema


def schema_page(tables: dict[str, str], columns: dict[str, dict[str, str]]) -> str:
    matched("tables", TABLES, tables)
    intro = (
        "The ledger is one DuckDB file. Open it read-only with any DuckDB client while Bursar is"
        f" not writing. This is schema {SCHEMA_VERSION}. Money is a whole number of nanodollars"
        " (10^-9 USD), times are UTC, NULL is *not known*.\n"
    )
    sections: list[str] = []
    used: set[str] = set()
    for name, stored in TABLES.items():
        kinds = stored | {one: kind for one, (kind, _) in DERIVED.get(name, {}).items()}
        told = {one: columns[SHARED][one] for one in kinds if one in columns[SHARED]}
        used |= told.keys() - columns.get(name, {}).keys()
        told |= columns.get(name, {})
        matched(f"columns of {name}", kinds, told)
        rows = [(f"`{one}`", kind, told[one]) for one, kind in kinds.items()]
        head = ("column", "type", "meaning")
        sections.append(f"## {name}\n\n{tables[name]}\n\n" + table(head, rows))
    matched("shared columns", used, columns[SHARED])
    return page("The ledger's tables", intro, *sections)


# -- index


def index_page(docs: Path) -> str:
    written = [
        ("[Commands](cli.md)", "every command and option"),
        ("[Reports](reports.md)", "every named report and its columns"),
        ("[The JSON of an analysis](json.md)", "field by field"),
        ("[Settings](settings.md)", "environment variables, files, exit codes"),
        ("[bursar.yaml](bursar-yaml.md)", "every setting of the gateway"),
        ("[openapi.json](openapi.json)", "the gateway's HTTP interface, as OpenAPI 3.1"),
        ("[The ledger's tables](schema.md)", "for questions of your own in SQL"),
    ]
    parts = [table(("page", "holds"), written)]
    for title, folder, kinds, says in (
        ("Suspects", "suspects", suspects.KINDS, "Places to look at first. The names are stable."),
        ("Flags", "flags", flags.KINDS, "Numbers that cannot be true. The names are stable."),
    ):
        rows = [
            (f"[`{kind}`]({folder}/{kind}.md)", summary(docs / folder / f"{kind}.md"))
            for kind in kinds
        ]
        parts.append(f"## {title}\n\n{says}\n\n" + table(("kind", "says"), rows))
    return page("Reference", *parts)


def summary(path: Path) -> str:
    """The first sentence of a page written by hand; nothing where the page is not there yet."""
    if not path.exists():
        return ""
    parts = path.read_text(encoding="utf-8").split("\n\n")
    first = next((part for part in parts if part[:1] not in ("#", "<", "|", "`")), "")
    sentence, dot, _ = " ".join(first.split()).partition(". ")
    return sentence + "." if dot else sentence


def write(docs: Path, folder: Path) -> list[Path]:
    """Write all pages into `folder`. Nothing is written unless every page can be."""
    made = pages(docs, meanings())
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in made]


def main() -> None:
    docs = Path("docs") / "reference"
    try:
        if not docs.parent.is_dir():
            raise NotFound("there is no folder docs here", mend="run make docs in the checkout")
        for path in write(docs, docs):
            sys.stdout.write(f"{path}\n")
    except BursarError as bad:
        sys.stderr.write(f"{bad}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()

__all__ = ["Undocumented", "meanings", "pages", "write"]
