"""The generated reference says all that the code has, nothing else, and is up to date."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.main import get_command

from bursar import reference
from bursar.advisor.analysis import analyse
from bursar.advisor.questions import REPORTS, report_sql, run_report
from bursar.cli.app import app
from bursar.intake.formats import FORMATS
from bursar.intake.importing import import_paths
from bursar.ledger.engines.duck import Duck
from bursar.ledger.recorder import Recorder
from bursar.ledger.reports import Scope
from bursar.ledger.schema import DERIVED, TABLES
from bursar.price.book import load_book
from bursar.simulator.sample import write_sample

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = DOCS / "reference"
NOW = datetime(2026, 11, 22)


def test_the_pages_are_up_to_date(tmp_path: Path) -> None:
    for path in reference.write(PAGES, tmp_path / "reference"):
        committed = PAGES / path.name
        assert committed.exists(), "make docs"
        assert committed.read_text(encoding="utf-8") == path.read_text(encoding="utf-8"), (
            "make docs"
        )


@pytest.mark.parametrize(
    "place",
    [
        ("reports", "cost_usd"),
        ("json", "outcomes.labelled"),
        ("tables", "parts"),
        ("columns", "attempts", "cost_nano"),
        ("columns", "shared", "n"),
    ],
    ids="/".join,
)
def test_a_name_without_meaning_stops_the_writing(place: tuple[str, ...], tmp_path: Path) -> None:
    told = copy.deepcopy(reference.meanings())
    holder = told
    for step in place[:-1]:
        holder = holder[step]
    meaning = holder.pop(place[-1])
    if place[0] == "json":
        holder["gone.field"] = meaning
    with pytest.raises(reference.Undocumented):
        reference.pages(PAGES, told)


@pytest.mark.parametrize("section", ["reports", "json", "tables"])
def test_a_meaning_without_name_stops_the_writing(section: str) -> None:
    told = copy.deepcopy(reference.meanings())
    told[section]["gone"] = "text: nothing"
    with pytest.raises(reference.Undocumented, match="gone"):
        reference.pages(PAGES, told)


def test_every_column_stands_in_the_schema_page() -> None:
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", read("schema.md"), re.M | re.S))
    assert sections.keys() == TABLES.keys()
    for table, columns in TABLES.items():
        rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (\S.*) \|$", sections[table], re.M)
        derived = {name: kind for name, (kind, _) in DERIVED.get(table, {}).items()}
        assert [(name, kind) for name, kind, _ in rows] == list((columns | derived).items())


@pytest.fixture(name="ledger", scope="module")
def ledger_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Duck]:
    """A ledger of the generated sample, and of a line that is skipped and one that is flagged."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder / "sample.jsonl", NOW)
    lines = '{"session": "s", "model": "m", "at": "1970-01-01", "usage": {"input": 9}}\nbroken\n'
    (folder / "odd.jsonl").write_text(lines, encoding="utf-8")
    duck = Duck()
    import_paths([folder], Recorder(duck, load_book(home=folder, now=NOW), NOW))
    yield duck
    duck.close()


def paths(value: object, path: str = "") -> Iterator[str]:
    """The documented spelling of every field that a real analysis holds."""
    if isinstance(value, list):
        yield from (found for one in value for found in paths(one, path + "[]"))
    elif isinstance(value, dict) and path.split(".")[-1] not in ("usage", "evidence"):
        for name, one in value.items():
            step = "*" if path == "by" else name
            yield from paths(one, f"{path}.{step}" if path else step)
    else:
        yield path


def test_every_field_of_an_analysis_is_documented(ledger: Duck, tmp_path: Path) -> None:
    found = msgspec.to_builtins(analyse(ledger, load_book(home=tmp_path, now=NOW)))
    assert found["suspects"]
    assert found["flags"]
    assert found["skipped"]
    assert found["notes"]
    assert set(paths(found)) == reference.meanings()["json"].keys()


def fits(value: Any, kind: str) -> bool:
    """Whether a value of the JSON is of the type that the reference names."""
    if value is None:
        return kind.endswith("?")
    types: dict[str, type | tuple[type, ...]] = {
        "money": str,
        "text": str,
        "time": str,
        "whole": int,
        "ratio": (int, float),
        "usage": dict,
        "object": dict,
    }
    return isinstance(value, types[kind.removesuffix("?")])


def test_every_field_is_of_the_type_that_is_documented(ledger: Duck, tmp_path: Path) -> None:
    told = {path: text.split(":")[0] for path, text in reference.meanings()["json"].items()}

    def check(value: object, path: str) -> None:
        if path in told:
            assert fits(value, told[path]), (path, value)
        elif isinstance(value, list):
            for one in value:
                check(one, path + "[]")
        elif isinstance(value, dict):
            for name, one in value.items():
                step = "*" if path == "by" else name
                check(one, f"{path}.{step}" if path else step)

    book = load_book(home=tmp_path, now=NOW)
    check(msgspec.to_builtins(analyse(ledger, book)), "")
    empty = Duck()
    check(msgspec.to_builtins(analyse(empty, book)), "")
    empty.close()


@pytest.mark.parametrize("name", REPORTS)
def test_every_column_of_a_report_is_documented(name: str, ledger: Duck) -> None:
    described = ledger.named("DESCRIBE " + report_sql(name, "TRUE", REPORTS[name].by))
    columns = [re.sub("_nano$", "_usd", row["column_name"]) for row in described]
    for row in run_report(ledger, name, Scope()):
        assert list(row) == columns
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", read("reports.md"), re.M | re.S))
    assert re.findall(r"^\| `(\w+)` \| \S", sections[name], re.M) == columns


def test_every_setting_that_is_read_is_documented() -> None:
    found: set[str] = set()
    for folder in ("src", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            found |= set(re.findall(r"environ(?:\.get\(|\[)\s*\"([A-Z_]+)\"", text))
    assert "BURSAR_HOME" in found
    assert not found - {"PATH", "HOME"} - reference.meanings()["settings"].keys()


def read(name: str) -> str:
    return (PAGES / name).read_text(encoding="utf-8")


def links(page: Path) -> set[Path]:
    """Files that a page links to."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"\]\(([^)#\s]+)", text)
    return {(page.parent / target).resolve() for target in found if ":" not in target}


def test_every_page_can_be_reached_from_the_first() -> None:
    reached, queue = {DOCS / "index.md"}, [DOCS / "index.md"]
    while queue:
        for page in links(queue.pop()):
            if page.suffix == ".md" and page.exists() and page not in reached:
                reached.add(page)
                queue.append(page)
    assert not [str(page) for page in sorted(DOCS.rglob("*.md")) if page not in reached]


@pytest.mark.parametrize("section", ["howto", "formats", "reference"])
def test_a_section_lists_its_pages(section: str) -> None:
    index = DOCS / section / "index.md"
    assert index in links(DOCS / "index.md")
    pages = set((DOCS / section).rglob("*.md")) - {index}
    assert not [str(page) for page in sorted(pages - links(index))]


def test_every_format_has_its_page() -> None:
    told = (DOCS / "formats" / "index.md").read_text(encoding="utf-8")
    assert not [form.name for form in FORMATS if f"`{form.name}`" not in told]


def typed(text: str) -> Iterator[str]:
    """Commands of ours that a page tells the reader to type."""
    for block in re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.M | re.S):
        for line in re.sub(r"\\\n", " ", block).splitlines():
            for part in line.removeprefix("$ ").split("|"):
                if part.strip().startswith("bursar "):
                    yield part.strip()


def known(command: Any, words: list[str]) -> str | None:
    """What a command line names that does not exist; None where all of it does."""
    rest = list(words)
    while rest and getattr(command, "commands", None):
        name = rest.pop(0)
        if name.startswith("-"):
            rest.insert(0, name)
            break
        if name not in command.commands:
            return name
        command = command.commands[name]
    spelled = {"--help", "-h"} | {
        name for one in command.params for name in (*one.opts, *one.secondary_opts)
    }
    options = [word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
    return next((one for one in options if one not in spelled), None)


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_commands_on_a_page_exist(page: Path) -> None:
    command = get_command(app)
    lines = list(typed(page.read_text(encoding="utf-8")))
    wrong = [(line, known(command, line.split()[1:])) for line in lines]
    assert not [one for one in wrong if one[1]]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("prices find x --limit 3", None),
        ("analyse x", "analyse"),
        ("analyze x --jsn", "--jsn"),
        ("prices findd x", "findd"),
        ("--version", None),
    ],
)
def test_a_wrong_command_is_found(line: str, wrong: str | None) -> None:
    assert known(get_command(app), line.split()) == wrong


def test_the_readme_names_verbs_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    verbs = set(re.findall(r"^make (\w+)", text, re.M))
    assert verbs
    assert verbs <= set(re.findall(r"^([a-z]+):.*## ", makefile, re.M))
