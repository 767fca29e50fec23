"""Laws of the import: twice is once, in whatever pieces; a session may grow; sums hold exactly."""

from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.advisor.analysis import analyse
from bursar.intake.exchange_line import Fields
from bursar.ledger.engines.duck import Duck
from trials import COST_NANO, GOOD, OF_CALLS, OF_READING, book, call_line, content, jsonl, take_in

Line = dict[str, Any]
LAWS = settings(max_examples=12, deadline=None)
MODELS = ("gpt-4o", "gpt-4o-mini", "mystery-9")
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("find", "open")
]
counts = st.integers(0, 5000)


@st.composite
def transcripts(draw: st.DrawFn, name: str, least: int = 1) -> Line:
    """A session line whose calls carry usage of their own, or none."""
    messages: list[Line] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": "You are terse. " * draw(st.integers(1, 9))})
    for turn in range(draw(st.integers(least, 6))):
        messages.append({"role": "user", "content": draw(st.sampled_from("abc")) * 40})
        answer: Line = {"role": "assistant", "content": draw(st.sampled_from("xyz")) * 30}
        if draw(st.booleans()):
            names = ("input", "cache_read", "cache_write_5m", "output", "reasoning")
            answer["usage"] = {one: draw(counts) for one in names}
        if draw(st.booleans()):
            use = f"{turn}"
            called = {
                "id": use,
                "type": "function",
                "function": {"name": "find", "arguments": "{}"},
            }
            answer["tool_calls"] = [called]
            messages += [answer, {"role": "tool", "tool_call_id": use, "content": "found " * 20}]
        else:
            messages.append(answer)
        answer["at"] = f"2026-05-0{turn + 1}T10:00:00Z"
    line = call_line(name, messages=messages, model=draw(st.sampled_from(MODELS)), tools=TOOLS)
    del line["usage"]
    if draw(st.booleans()):
        line["outcome"] = {"success": draw(st.booleans())}
    if draw(st.booleans()):
        line["tenant"] = draw(st.sampled_from(["t1", "t2"]))
    return line


@st.composite
def files(draw: st.DrawFn) -> list[Line]:
    """Lines of all sorts: transcripts, totals, calls of a session in the order of their time."""
    lines: list[Line] = [draw(transcripts(f"talk-{n}")) for n in range(draw(st.integers(1, 4)))]
    lines += [
        call_line(f"total-{n}", usage={"input": draw(counts), "output": draw(counts)})
        for n in range(draw(st.integers(0, 3)))
    ]
    prompt = [{"role": "user", "content": "first question"}]
    for step in range(draw(st.integers(0, 4))):
        answer = {"role": "assistant", "content": f"answer {step}"}
        lines.append(
            call_line(
                "calls",
                kind="call",
                id=f"c{step}",
                messages=[*prompt, answer],
                usage={"input": draw(counts), "cache_read": draw(counts), "output": 5},
                at=f"2026-05-02T10:0{step}:00Z",
            )
        )
        prompt = [*prompt, answer, {"role": "user", "content": "and then?"}]
    return lines


def into(duck: Duck, *parts: Sequence[Line], names: Sequence[str] = ()) -> None:
    """One import of each part, from a file of its own."""
    with TemporaryDirectory() as folder:
        for number, part in enumerate(parts):
            file = Path(folder) / (names[number] if names else f"{number}.jsonl")
            file.write_bytes(jsonl(part))
            take_in(duck, file)


def once(*parts: Sequence[Line]) -> Duck:
    duck = Duck(None)
    into(duck, *parts)
    return duck


@LAWS
@given(files(), st.integers(0, 20))
def test_twice_is_once(lines: list[Line], broken: int) -> None:
    odd: list[Any] = [*lines, call_line("odd", at="2026-05-01T10:00:00", usage={"input": -1})]
    odd += [call_line("early", at="1970-01-01T00:00:00Z"), call_line("late", at="2100-01-01")]
    odd.insert(broken % len(odd), b'{"cut": ')
    with TemporaryDirectory() as folder:
        file = Path(folder) / "f.jsonl"
        file.write_bytes(jsonl(odd))
        duck = Duck(None)
        take_in(duck, file)
        before = content(duck, (*OF_CALLS, *OF_READING))
        for _ in range(2):
            assert take_in(duck, file).added == 0
            assert content(duck, (*OF_CALLS, *OF_READING)) == before
        take_in(duck, Path(folder))
        assert content(duck, (*OF_CALLS, *OF_READING)) == before


@LAWS
@given(files(), st.lists(st.integers(0, 20), max_size=4))
def test_any_split_into_files_is_the_same_ledger(lines: list[Line], cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(lines)) for cut in cuts), len(lines)]
    parts = [lines[low:high] for low, high in pairwise(places)]
    assert same_but_rounding(content(once(*parts)), content(once(lines)), len(parts))


@LAWS
@given(st.lists(st.integers(), min_size=3, max_size=3), st.data())
def test_sessions_may_come_in_any_order(keys: list[int], drawn: st.DataObject) -> None:
    lines = [drawn.draw(transcripts(f"talk-{n}")) for n in range(len(keys))]
    order = sorted(range(len(keys)), key=lambda n: (keys[n], n))
    shuffled = [lines[n] for n in order]
    assert content(once(shuffled)) == content(once(lines))
    assert content(once(*([line] for line in shuffled))) == content(once(lines))


@LAWS
@given(files(), st.randoms(use_true_random=False))
def test_in_any_order_of_lines_each_call_costs_the_same(
    lines: list[Line], shuffle: random.Random
) -> None:
    shuffled = list(lines)
    shuffle.shuffle(shuffled)
    asked = "SELECT call_id, cost_nano FROM attempts ORDER BY ALL"
    assert once(*([line] for line in shuffled)).rows(asked) == once(lines).rows(asked)


NANOS = {"fresh_nano", "written_nano", "read_nano", "carried_nano"}


def same_but_rounding(one: Any, other: Any, imports: int) -> bool:
    """Equal, but for the last nanodollar of a block in each bucket and import.

    Each import shares what its calls cost over the session's blocks, in whole nanodollars: a share
    is off by less than one nanodollar each time, so n imports differ from one by n at most.
    """
    blocks, others = one.pop("blocks"), other.pop("blocks")
    assert one == other
    assert len(blocks) == len(others)
    for mine, theirs in zip(blocks, others, strict=True):
        assert mine[:-4] == theirs[:-4]
        assert all(abs(a - b) <= imports for a, b in zip(mine[-4:], theirs[-4:], strict=True))
    return True


@LAWS
@given(transcripts("grows", least=2), st.lists(st.integers(1, 20), max_size=3))
def test_a_session_that_grows_is_the_final_one(whole: Line, lengths: list[int]) -> None:
    messages = whole["messages"]
    ends = [n + 1 for n, one in enumerate(messages) if one["role"] == "assistant"]
    parts = [
        [whole | {"messages": messages[: ends[min(length, len(ends)) - 1]]}]
        for length in sorted(lengths)
    ]
    duck = Duck(None)
    into(duck, *parts, [whole], names=["f.jsonl"] * (len(parts) + 1))
    assert same_but_rounding(content(duck), content(once([whole])), len(parts) + 1)


@LAWS
@given(files())
def test_parts_and_blocks_add_up_exactly(lines: list[Line]) -> None:
    duck = once(lines[: len(lines) // 2], lines)
    assert duck.rows(
        "SELECT a.call_id FROM attempts a LEFT JOIN parts p USING (call_id, n)"
        " GROUP BY a.call_id, a.n, a.cost_nano, a.prompt_tokens"
        " HAVING sum(p.fresh_nano + p.carried_nano) IS DISTINCT FROM a.cost_nano"
        " OR sum(p.tokens) FILTER (p.kind <> 'output') IS DISTINCT FROM nullif(a.prompt_tokens, 0)"
        " AND a.prompt_tokens > 0"
    ) == []  # fmt: skip
    of_parts = duck.rows(
        "SELECT a.session, p.kind, sum(fresh_nano + carried_nano) AS nano FROM parts p"
        " JOIN attempts a USING (call_id, n) WHERE a.session IS NOT NULL AND a.added IS NOT NULL"
        " AND p.kind <> 'output' GROUP BY ALL HAVING nano > 0 ORDER BY ALL"
    )
    of_blocks = duck.rows(
        "SELECT session, kind, sum(fresh_nano + written_nano + read_nano + carried_nano) AS nano"
        " FROM blocks WHERE session > 0 GROUP BY ALL HAVING nano > 0 ORDER BY ALL"
    )
    assert of_parts == of_blocks


@settings(max_examples=8, deadline=None)
@given(files())
def test_every_view_of_a_ledger_adds_up_to_its_total(lines: list[Line]) -> None:
    found = analyse(once(lines), book())
    total = Decimal(found.totals["cost_usd"] or 0)

    def summed(rows: list[Line], name: str = "cost_usd") -> Decimal:
        return sum((Decimal(row[name] or 0) for row in rows), Decimal(0))

    assert summed(found.anatomy) == total
    assert summed(found.anatomy, "fresh_usd") + summed(found.anatomy, "carried_usd") == total
    for name, rows in found.by.items():
        assert summed(rows) == total, name
        assert sum(row["calls"] for row in rows) == found.totals["calls"]
        for unit in ("input", "cache_read", "cache_write_5m", "output", "reasoning"):
            counted = [row["usage"][unit] for row in rows if row["usage"][unit] is not None]
            assert sum(counted) == (found.totals["usage"][unit] or 0)
    basis = found.totals["basis"]
    assert Decimal(basis["measured_usd"]) + Decimal(basis["modelled_usd"]) == total
    prompt = sum(row["tokens"] for row in found.anatomy if row["kind"] != "output")
    usage = found.totals["usage"]
    assert prompt == sum(usage[name] or 0 for name in ("input", "cache_read", "cache_write_5m"))


# -- what is said of a file follows its latest reading


def test_a_line_that_is_whole_at_last_is_no_longer_skipped(tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    duck = Duck(None)
    file.write_bytes(GOOD[:-30])
    assert len(take_in(duck, file).skips) == 1
    file.write_bytes(GOOD)
    assert take_in(duck, file).added == 1
    assert analyse(duck, book()).skipped == []
    assert duck.rows("SELECT sum(cost_nano) FROM attempts") == [(10 * COST_NANO,)]


def test_a_flag_is_raised_once_however_often_its_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    duck = Duck(None)
    lines = [call_line(f"s{n}", at="2026-05-01T10:00:00") for n in range(9)]
    for end in (5, 5, 9):
        file.write_bytes(jsonl([*lines[:end], lines[0]]))
        take_in(duck, file)
    told = [(one["kind"], one["what"]) for one in analyse(duck, book()).flags]
    zones = [what for kind, what in told if kind == "time_suspect"]
    assert len(zones) == 1
    assert zones[0].endswith("; and 7 more")
    assert sum(kind == "duplicate_lines" for kind, _ in told) == 1


def test_a_reader_that_fails_costs_its_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        (tmp_path / name).write_bytes(GOOD.replace(b"good", name[0].encode() * 4))

    def key(self: Fields) -> str:
        if self.number == 5 and "b.jsonl" in self.place:
            raise ZeroDivisionError("nothing to divide by")
        return self.place

    monkeypatch.setattr(Fields, "key", key)
    duck = Duck(None)
    done = take_in(duck, tmp_path)
    assert done.entries == 24
    (skip,) = done.skips
    assert skip.file.endswith("b.jsonl")
    assert "ZeroDivisionError" in skip.reason
    assert "report it" in skip.reason
