"""The command as people and scripts run it: help, JSON, errors, pipes, and every question."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.main import get_command

from bursar.advisor.questions import REPORTS
from bursar.cli.app import app
from bursar.cli.screen import Screen, safe
from bursar.ledger.engines.duck import Duck
from trials import GOOD, bursar, bursar_apart, call_line, jsonl

RESPONSE = {
    "id": "r-1",
    "object": "chat.completion",
    "model": "gpt-4o",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "x"}}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
}
OVERLAY = """
[[price]]
provider = "openai"
model = "mystery-9"
from = 2020-01-01
input = "1"
output = "2"
"""


@pytest.fixture(name="home", scope="module")
def home_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a ledger called `prod`: ten good sessions, a talk, and one without a price."""
    home = tmp_path_factory.mktemp("home")
    talk = [
        {"role": "user", "content": "find it"},
        {"role": "assistant", "content": "", "usage": {"input": 500, "output": 50},
         "tool_calls": [{"id": "t", "function": {"name": "find", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "t", "content": "found " * 50},
        {"role": "assistant", "content": "here", "usage": {"input": 900, "output": 10}},
    ]  # fmt: skip
    lines = [
        call_line("talk-1", messages=talk, route="airline", tenant="t1", usage=None),
        call_line("odd", model="mystery-9", route="other", at="2026-06-01T00:00:00Z"),
    ]
    (home / "logs").mkdir()
    (home / "logs" / "a.jsonl").write_bytes(GOOD)
    (home / "logs" / "b.jsonl").write_bytes(jsonl(lines))
    ran = bursar("import", home / "logs", "--ledger", "prod", "--json", home=home)
    assert (ran.code, ran.json["added"]) == (0, 13)
    return home


def command_paths(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    command = command or get_command(app)
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from command_paths(inner, (*path, name))


@pytest.mark.parametrize("path", list(command_paths()), ids=" ".join)
def test_every_command_has_help_with_a_description(path: tuple[str, ...]) -> None:
    command = get_command(app)
    for name in path:
        command = command.commands[name]  # type: ignore[attr-defined]
    assert command.help
    assert len(command.help.split()) > 3
    if path and path[0] != "prices" and path[0] not in ("suspects", "sessions"):
        assert "Examples:" in (command.epilog or "")


@pytest.mark.parametrize("path", [(), ("analyze",), ("prices",), ("prices", "find")], ids=" ".join)
def test_help_is_printed(path: tuple[str, ...], tmp_path: Path) -> None:
    for option in ("--help", "-h"):
        ran = bursar(*path, option, home=tmp_path)
        assert ran.code == 0
        assert "Usage" in ran.text
        assert ran.err == ""


QUESTIONS = [
    *(("report", name) for name in REPORTS),
    ("report", "costs", "--by", "route", "--by", "model", "--by", "tag:team"),
    ("suspects",),
    ("sessions",),
    ("show", "talk-1"),
    ("show", "tal"),
    ("prices", "missing"),
]


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_every_question_answers_in_text_and_in_one_json_document(
    question: tuple[str, ...], home: Path
) -> None:
    asked = bursar(*question, "--ledger", "prod", "--json", home=home)
    assert asked.code == 0
    assert isinstance(asked.json, dict)
    assert asked.err == ""
    shown = bursar(*question, "--ledger", home / "ledgers" / "prod.duckdb", home=home)
    assert shown.code == 0
    assert shown.text.strip()
    assert shown.err == ""


def test_costs_of_a_ledger(home: Path) -> None:
    rows = bursar("report", "costs", "--by", "route", "-l", "prod", "--json", home=home).json[
        "rows"
    ]
    found = {row["route"]: (row["calls"], row["cost_usd"]) for row in rows}
    # 1400 x $2.50 + 60 x $10 per million tokens
    assert found == {None: (10, "0.035"), "airline": (2, "0.0041"), "other": (1, None)}


def test_a_session_as_a_waterfall(home: Path) -> None:
    found = bursar("show", "talk", "-l", "prod", "--json", home=home).json
    assert (found["session"], found["calls"], found["cost_usd"]) == ("talk-1", 2, "0.0041")
    assert [step["cost_usd"] for step in found["steps"]] == ["0.00175", "0.00235"]
    assert [step["tool"] for step in found["steps"]] == ["find", None]
    assert {block["kind"] for block in found["blocks"]} == {"user", "history", "tool_result"}


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        ((), 13),
        (("--since", "2026-06-01"), 1),
        (("--until", "2026-06-01"), 12),
        (("--since", "2026-05-01T10:00:00Z", "--until", "2026-05-01T12:00:01+02:00"), 12),
        (("--where", "route=airline"), 2),
        (("--where", "route=airline", "--where", "tenant=t2"), 0),
        (("--where", "session=good-3"), 1),
        (("--where", "model=gpt-4o", "--since", "2026-05-02"), 0),
        (("--where", "route='; DROP TABLE attempts; --"), 0),
        (("--where", "tag:x=1"), 0),
    ],
    ids=str,
)
def test_scopes(options: tuple[str, ...], calls: int, home: Path) -> None:
    ran = bursar("report", "costs", *options, "-l", "prod", "--json", home=home)
    assert ran.code == 0
    assert sum(row["calls"] for row in ran.json["rows"]) == calls


ERRORS = [
    (("analyze", "/no/such/path"), "/no/such/path does not exist"),
    (("analyze", "{home}/logs", "--since", "yesterday"), "--since 'yesterday' is no date"),
    (("analyze", "{home}/logs", "--until", "0001-01-01T00:00:00+14:00"), "is no date"),
    (("analyze", "{home}/logs", "--where", "route"), "is no filter"),
    (("analyze", "{home}/logs", "--where", "no such=1"), "nothing to group or filter by"),
    (("analyze", "{home}/logs", "--where", "tag:a'b=1"), "nothing to group or filter by"),
    (("analyze", "{home}/logs", "--html", "/proc/nope/x.html"), "cannot be written"),
    (("analyze", "{home}/logs", "--html", "{home}"), "cannot be written"),
    (("analyze", "{home}/logs", "--ledger", "{home}/logs/a.jsonl"), "is not a ledger"),
    (("analyze", "{home}/logs", "--ledger", "{home}/logs"), "is a folder, not a ledger"),
    (("analyze", "{home}/logs", "--ledger", "/dev/null"), "is no regular file"),
    (("analyze", "{home}/logs", "--ledger", "/proc/nope/x.duckdb"), "cannot be opened"),
    (("analyze", "{home}/logs", "--ledger", "a b"), "is no name for a ledger"),
    (("report", "costs", "-l", "nope"), "there is no ledger"),
    (("report", "nope", "-l", "prod"), ", ".join(REPORTS)),
    (("report", "costs", "--by", "x;y", "-l", "prod"), "nothing to group or filter by"),
    (("show", "nope", "-l", "prod"), "there is no session or request 'nope'"),
    (("show", "good", "-l", "prod"), "begins several sessions: good-0"),
    (("show", "\x1b[31m", "-l", "prod"), "there is no session"),
    (("price", "/no/such/file"), "No such file"),
    (("price", "{home}/logs/a.jsonl", "--at", "soon"), "is no date"),
    (("price", "{home}/logs/a.jsonl", "--dialect", "nope"), "unknown dialect"),
    (("price", "{home}"), "Is a directory"),
    (("prices", "find", "no model of this name"), "no model's name holds"),
    (("prices", "reprice", "-l", "nope"), "there is no ledger"),
    (("prices", "find", "gpt", "--prices", "/no/such.toml"), "/no/such.toml"),
]


@pytest.mark.parametrize(("words", "text"), ERRORS, ids=[" ".join(e[0])[:60] for e in ERRORS])
def test_an_error_is_a_sentence_with_its_mend_and_exit_2(
    words: tuple[str, ...], text: str, home: Path
) -> None:
    before = (home / "logs" / "a.jsonl").read_bytes()
    ran = bursar(*(word.replace("{home}", str(home)) for word in words), home=home)
    assert ran.code == 2
    assert text in ran.err
    assert "mend: " in ran.err
    assert "\x1b" not in ran.err
    assert (home / "logs" / "a.jsonl").read_bytes() == before


@pytest.mark.parametrize("words", [("nope",), ("analyze",), ("report",), ("price", "--nope")])
def test_a_wrong_command_line_is_exit_2(words: tuple[str, ...], home: Path) -> None:
    ran = bursar(*words, home=home)
    assert ran.code == 2
    assert "Usage" in ran.err


def test_a_ledger_held_by_another_process_is_told(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "held.duckdb"
    script = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        ran = bursar("import", home / "logs", "--ledger", file, home=home)
        holder.communicate(b"\n")
    assert ran.code == 2
    assert str(file) in ran.err
    assert "close the other process" in ran.err
    assert bursar("import", home / "logs", "--ledger", file, home=home).code == 0


def test_a_ledger_of_a_newer_bursar_is_refused(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "new.duckdb"
    assert bursar("import", home / "logs", "-l", file, home=home).code == 0
    duck = Duck(file)
    duck.run("UPDATE facts SET value = '999' WHERE name = 'schema_version'")
    duck.close()
    ran = bursar("report", "costs", "-l", file, home=home)
    assert ran.code == 2
    assert "newer Bursar" in ran.err


def test_several_paths_and_a_page(home: Path, tmp_path: Path) -> None:
    page = tmp_path / "new" / "bill.html"
    logs = home / "logs"
    ran = bursar("analyze", logs / "a.jsonl", logs / "b.jsonl", "--html", page, "--json", home=home)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["totals"]["calls"] == 13
    assert "<!doctype html>" in page.read_text(encoding="utf-8").lower()


def test_importing_twice_adds_nothing(home: Path) -> None:
    ran = bursar("import", home / "logs", "-l", "prod", "--json", home=home)
    assert (ran.code, ran.json["entries"], ran.json["added"]) == (0, 13, 0)


# -- prices

SSE = (
    "data: "
    + json.dumps({**RESPONSE, "object": "chat.completion.chunk", "choices": []})
    + "\n\ndata: [DONE]\n\n"
).encode()


@pytest.mark.parametrize("body", [json.dumps(RESPONSE).encode(), SSE], ids=["json", "sse"])
def test_a_price_from_stdin(body: bytes, home: Path) -> None:
    ran = bursar("price", "-", "--json", "--provider", "openai", home=home, stdin=body)
    assert ran.code == 0
    found = ran.json
    promised = {"file", "dialect", "provider", "model", "usage", "cost_usd", "unpriced_reason",
                "lines", "price_version", "basis"}  # fmt: skip
    assert promised <= found.keys()
    assert (found["cost_usd"], found["unpriced_reason"]) == ("0.0035", None)
    assert [tuple(line.values()) for line in found["lines"]] == [
        ("input", 1000, "2.5", "0.0025"),
        ("output", 100, "10", "0.001"),
    ]
    shown = bursar("price", "-", "--provider", "openai", home=home, stdin=body)
    assert "cost $0.0035" in shown.text


def test_prices_of_several_files_are_one_line_each(home: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.json"
    good.write_text(json.dumps(RESPONSE))
    odd = tmp_path / "odd.json"
    odd.write_text(json.dumps(RESPONSE | {"model": "mystery-9"}))
    bad = tmp_path / "bad.json"
    bad.write_bytes(b'{"usage": ')
    ran = bursar("price", good, odd, bad, good, "--json", home=home)
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 2
    assert [line.get("cost_usd") for line in lines] == ["0.0035", None, None, "0.0035"]
    assert "mystery-9" in lines[1]["unpriced_reason"]
    assert lines[2]["error"]


@pytest.mark.parametrize(
    "body",
    [b"", b"\0", b"[]", b"null", b"7", b'"x"', b"{}", b"\xff\xfe", b"<html>", b"[" * 100_000,
     b'{"a":' * 100_000, b'{"usage": {"prompt_tokens": -1, "completion_tokens": 1}}',
     b"data: {\n\n", b'{"usage": {"prompt_tokens": 1e999}}'],
)  # fmt: skip
def test_a_body_that_is_no_response_is_an_error_or_unpriced(body: bytes, home: Path) -> None:
    ran = bursar("price", "-", "--json", home=home, stdin=body)
    found = ran.json
    assert found.get("cost_usd") is None
    assert (ran.code == 2) == ("error" in found)
    assert found.get("error") or found["unpriced_reason"]


def test_overlays_missing_and_reprice(home: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours.toml"
    ours.write_text(OVERLAY)
    ledger = ("-l", tmp_path / "x.duckdb")
    assert bursar("import", home / "logs", *ledger, home=home).code == 0
    gone = bursar("prices", "missing", *ledger, "--json", home=home).json["unpriced"]
    assert [(row["model"], row["attempts"]) for row in gone] == [("mystery-9", 1)]
    done = bursar("prices", "reprice", *ledger, "--prices", ours, "--json", home=home)
    assert done.json["changed"] == 1
    # 1000 x $1 + 100 x $2 per million tokens
    assert done.json["after_nano"] - done.json["before_nano"] == 1_200_000
    assert bursar("prices", "missing", *ledger, "--json", home=home).json["unpriced"] == []
    back = bursar("prices", "reprice", *ledger, "--json", home=home).json
    assert back["after_nano"] == done.json["before_nano"]


def test_prices_find_validate_and_overlays(home: Path, tmp_path: Path) -> None:
    found = bursar("prices", "find", "gpt-4o-mini", "--json", home=home).json["models"]
    assert {"provider", "model", "input", "output"} <= found[0].keys()
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(OVERLAY)
    bad.write_text(OVERLAY.replace('"1"', "1.5"))
    ran = bursar("prices", "validate", good, bad, "--json", home=home)
    assert ran.code == 2
    assert [one["file"] for one in ran.json["refused"]] == [str(bad)]
    assert bursar("prices", "validate", good, home=home).code == 0
    (tmp_path / "prices").mkdir()
    assert bursar("prices", "overlays", "--json", home=tmp_path).json["overlays"] == []
    (tmp_path / "prices" / "a.toml").write_text(OVERLAY)
    listed = bursar("prices", "overlays", "--json", home=tmp_path).json["overlays"]
    assert listed == [str(tmp_path / "prices" / "a.toml")]


def test_a_broken_overlay_in_the_home_is_told_with_its_file(home: Path, tmp_path: Path) -> None:
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "a.toml").write_text("[[price]\n")
    ran = bursar("analyze", home / "logs", home=tmp_path)
    assert ran.code == 2
    assert "a.toml" in ran.err


# -- the terminal


@pytest.mark.parametrize("words", [("analyze", "{logs}"), ("prices", "find", "g", "--limit", "500"),
                                   ("--help",), ("analyze", "{logs}", "--json")])  # fmt: skip
def test_a_pipe_that_closes_early_makes_no_noise(words: tuple[str, ...], home: Path) -> None:
    logs = str(home / "logs")
    command = [sys.executable, "-m", "bursar", *(word.replace("{logs}", logs) for word in words)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "BURSAR_HOME": str(home)},
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.read(1)
        child.stdout.close()
        err = child.stderr.read()
    assert err == b""
    assert child.returncode in (0, 1)


def test_output_on_a_terminal_of_few_characters(home: Path) -> None:
    line = call_line("käse-☃", route="[bold]☃", tenant="\x1b]0;owned\x07")
    file = home / "odd.jsonl"
    file.write_bytes(jsonl([line]))
    ran = bursar_apart("analyze", file, home=home, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert ran.code == 0
    assert b"\x1b" not in ran.out
    assert b"\x07" not in ran.out
    assert b"[bold]?" in ran.out


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_is_printed_as_it_is(text: str) -> None:
    screen = Screen()
    with screen.console.capture() as captured:
        screen.line(f"a {text}")
        screen.table([("", "left")], [[f"<{text}>"]])
    line, _, table = captured.get().partition("\n")
    assert line == f"a {safe(text)}".encode("utf-8", "replace").decode()
    if len(text) < 30 and not safe(text).isspace():
        assert "".join(f"<{safe(text)}>".split()) in "".join(table.split())


def test_a_line_keeps_its_place_in_a_pipe(home: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100) / ("y" * 100)
    deep.mkdir(parents=True)
    (deep / "f.jsonl").write_bytes(GOOD * 10 + b"broken\n")
    ran = bursar("analyze", deep, home=home)
    assert f"{deep}/f.jsonl:101: is not a JSON object" in ran.text
