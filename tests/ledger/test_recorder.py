"""The recorder: nothing half written, whatever kills it; what it says of its sources is true."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from bursar.ledger import recorder as recorder_module
from bursar.ledger.engines.duck import Duck
from bursar.ledger.recorder import Recorder
from bursar.model.block import Block, Kind, Role
from bursar.model.call import Call, Limits, Tags
from bursar.model.entry import Answer, Attempt, Entry, Flag, Origin, Skip, ToolUse
from bursar.model.errors import BadInput
from bursar.model.usage import Usage
from trials import COST_NANO, NOW, book, call_line, content, jsonl, take_in

ROUNDS = 15
IMPORT = """
import sys, time
from datetime import datetime
from pathlib import Path
from bursar.intake.importing import import_paths
from bursar.ledger import recorder
from bursar.ledger.engines.duck import Duck
from bursar.price.book import load_book
recorder.BATCH, recorder.FLUSH_ROWS, recorder.OPEN_SESSIONS = 7, 20, 4
now = datetime(2026, 11, 22, 12)
book = load_book(now=now)
duck = Duck(Path(sys.argv[2]))
print("ready", flush=True)
import_paths([Path(sys.argv[1])], recorder.Recorder(duck, book, now))
print("done", flush=True)
duck.close()
"""


def logs(folder: Path) -> Path:
    """Three files of sessions that grow over files and calls that come one by one."""
    folder.mkdir()
    noise = random.Random(3)
    for name in "abc":
        lines: list[dict[str, object]] = []
        for n in range(40):
            messages: list[dict[str, object]] = []
            for turn in range(1, 4):
                messages.append({"role": "user", "content": f"{name} {n} {turn} " * 9})
                usage = {"input": noise.randint(1, 999), "output": turn, "cache_read": 11}
                messages.append({"role": "assistant", "content": f"ok {turn}", "usage": usage})
            lines.append(call_line(f"{name}-{n}", messages=messages) | {"usage": None})
            prompt = [{"role": "user", "content": "x " * (n + 1)}]
            lines.append(call_line("long", kind="call", id=f"{name}{n}", messages=prompt))
        folder.joinpath(f"{name}.jsonl").write_bytes(jsonl(lines))
    return folder


def test_killed_at_any_moment_and_read_again_is_the_same_ledger(tmp_path: Path) -> None:
    folder = logs(tmp_path / "logs")
    undisturbed = Duck(None)
    take_in(undisturbed, folder)
    expected = content(undisturbed)
    nanos = [row[-4:] for row in expected.pop("blocks")]
    moments = random.Random(11)
    longest_s, partly = 0.6, 0
    for number in range(ROUNDS):
        file = tmp_path / f"{number}.duckdb"
        with subprocess.Popen(
            [sys.executable, "-c", IMPORT, str(folder), str(file)], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            started = time.monotonic()
            if number == 0:
                assert child.stdout.readline() == b"done\n"
                longest_s = time.monotonic() - started
            else:
                time.sleep(moments.uniform(0, longest_s))
                child.send_signal(signal.SIGKILL)
        duck = Duck(file)
        held = duck.rows("SELECT count(*) FROM attempts")[0][0]
        partly += 0 < held < len(expected["attempts"])
        lost = duck.rows("SELECT count(*) FROM attempts a ANTI JOIN sources s USING (source)")
        assert lost == [(0,)]
        take_in(duck, folder)
        found = content(duck)
        imports = 600  # each small transaction of this trial rounds once
        blocks = [row[-4:] for row in found.pop("blocks")]
        assert found == expected
        assert all(
            abs(a - b) <= imports
            for mine, theirs in zip(blocks, nanos, strict=True)
            for a, b in zip(mine, theirs, strict=True)
        )
        duck.close()
    assert partly, "no import was killed half way: the trial proves nothing"


def test_a_call_stands_under_the_file_that_it_was_read_from(tmp_path: Path) -> None:
    folder = logs(tmp_path / "logs")
    duck = Duck(None)
    take_in(duck, folder)
    take_in(duck, folder)
    rows = duck.rows(
        "SELECT s.file, count(*) FROM attempts a JOIN sources s USING (source)"
        " GROUP BY 1 ORDER BY 1"
    )
    assert rows == [(str(folder / f"{name}.jsonl"), 160) for name in "abc"]


# -- one recorder, entry by entry


def entry(key: str, **more: object) -> Entry:
    usage = Usage(input=1000, output=100)
    fields: dict[str, object] = {
        "call": Call(key=key, at=datetime(2026, 5, 1), provider="openai", model="gpt-4o"),
        "attempts": (Attempt(usage=usage),),
        "origin": Origin(file="f", line=3),
    }
    return Entry(**(fields | more))  # type: ignore[arg-type]


def recorded(*items: Entry | Flag | Skip) -> Duck:
    duck = Duck(None)
    recorder = Recorder(duck, book(), NOW)
    recorder.begin("f", "exchange", 1)
    assert recorder.take_all(items) is None
    recorder.end()
    recorder.close()
    return duck


def test_a_repeated_call_is_kept_once_and_flagged() -> None:
    duck = recorded(entry("a"), entry("b"), entry("a"), entry("a"))
    assert duck.rows("SELECT count(*), sum(cost_nano) FROM attempts") == [(2, 2 * COST_NANO)]
    flags = duck.rows("SELECT kind, place, what FROM flags")
    told = "f:3 repeats an earlier call; f:3 repeats an earlier call"
    assert flags == [("duplicate_lines", "f", told)]


def test_a_repeated_call_is_flagged_across_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "BATCH", 1)
    monkeypatch.setattr(recorder_module, "FLUSH_ROWS", 1)
    duck = recorded(entry("a"), entry("b"), entry("a"))
    assert duck.rows("SELECT count(*) FROM attempts") == [(2,)]
    assert duck.rows("SELECT count(*) FROM flags WHERE kind = 'duplicate_lines'") == [(1,)]
    assert duck.rows("SELECT source, entries, added FROM sources") == [(1, 3, 2)]


def test_values_that_no_database_holds_cost_only_themselves() -> None:
    half, huge = "half \ud83d", 2**70
    odd = entry(
        "odd",
        call=Call(
            key="odd",
            provider="openai",
            model="gpt-4o",
            tags=Tags(session=half, step_index=huge, route=half),
            limits=Limits(max_tokens=huge),
            blocks=(Block(role=Role.USER, kind=Kind.USER, digest=5, tokens=9, name=half),),
        ),
        attempts=(Attempt(usage=Usage(input=1000, output=100), status=huge, total_ms=huge),),
        answer=Answer(tool_uses=(ToolUse(id=half, tool=half),), stop=half),
    )
    duck = recorded(entry("a"), odd)
    assert duck.rows("SELECT sum(cost_nano) FROM attempts") == [(2 * COST_NANO,)]
    (row,) = duck.named("SELECT * FROM attempts WHERE route IS NOT NULL")
    assert (row["route"], row["tool"], row["stop"]) == ("half ?",) * 3
    assert (row["step"], row["status"], row["total_ms"], row["max_tokens"]) == (None,) * 4


def test_a_cost_beyond_64_bits_is_unpriced() -> None:
    duck = recorded(entry("a", attempts=(Attempt(usage=Usage(input=2**53, output=2**53)),)))
    ((cost, reason),) = duck.rows("SELECT cost_nano, unpriced FROM attempts")
    assert cost is None
    assert "beyond any real amount" in reason


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (BadInput("no such thing", mend="do it otherwise"), "no such thing; do it otherwise"),
        (OSError(5, "Input/output error"), "cannot be read to its end: Input/output error"),
        (KeyError("x"), "by a fault in Bursar: KeyError at test_recorder.py:"),
    ],
)
def test_a_reader_that_fails_keeps_what_it_found(error: Exception, text: str) -> None:
    def items() -> Iterator[Entry]:
        yield entry("a")
        raise error

    duck = Duck(None)
    recorder = Recorder(duck, book(), NOW)
    recorder.begin("f", "exchange", 1)
    why = recorder.take_all(items())
    recorder.end()
    recorder.close()
    assert why is not None
    assert text in why
    assert duck.rows("SELECT sum(cost_nano) FROM attempts") == [(COST_NANO,)]


def test_flags_of_one_source_have_a_bound() -> None:
    flags = [Flag(kind="usage_suspect", where=f"f:{n}", what="odd") for n in range(500)]
    duck = recorded(*flags)
    ((places, last),) = duck.rows("SELECT count(*), max(what) FILTER (place = 'f') FROM flags")
    assert places == recorder_module.MOST_PLACES + 1
    assert last.endswith("and 397 more")
