"""Repricing: with other prices and back is the old ledger; sums hold at any prices."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.intake.importing import import_paths
from bursar.ledger.engines.duck import Duck
from bursar.ledger.recorder import Recorder
from bursar.ledger.repricing import reprice
from bursar.price.book import Book, load_book
from trials import COST_NANO, GOOD, NOW, book, call_line, content, jsonl, ledger, take_in

ALL = ("attempts", "parts", "blocks", "sessions", "tool_uses", "tool_outcomes", "flags", "skips")
OVERLAY = """
[[price]]
provider = "openai"
model = "gpt-4o"
from = 2020-01-01
input = "{input}"
cache_read = "{read}"
output = "{output}"

[[price]]
provider = "openai"
model = "mystery-9"
from = 2020-01-01
input = "1"
output = "2"
"""


def overlaid(folder: Path, **rates: object) -> Book:
    file = folder / "ours.toml"
    file.write_text(OVERLAY.format(**rates), encoding="utf-8")
    return load_book([file], now=NOW)


@st.composite
def lines(draw: st.DrawFn) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for n in range(draw(st.integers(1, 3))):
        messages: list[dict[str, Any]] = []
        for turn in range(draw(st.integers(1, 5))):
            messages.append({"role": "user", "content": f"{n} {turn} " * draw(st.integers(1, 40))})
            answer: dict[str, Any] = {"role": "assistant", "content": "a" * draw(st.integers(0, 9))}
            if draw(st.booleans()):
                names = ("input", "cache_read", "output")
                answer["usage"] = {one: draw(st.integers(0, 3000)) for one in names}
            messages.append(answer)
        model = draw(st.sampled_from(["gpt-4o", "gpt-4o-mini", "mystery-9"]))
        line = call_line(f"s{n}", messages=messages, model=model)
        del line["usage"]
        found.append(line)
    found.append(call_line("refused", status=429) | {"usage": None, "cost_usd": "0"})
    return found


@settings(max_examples=15, deadline=None)
@given(lines(), st.integers(1, 2))
def test_there_and_back_is_the_same_ledger(asked: list[dict[str, Any]], imports: int) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "f.jsonl"
        duck = Duck(None)
        for part in (asked[:1], asked)[-imports:]:
            file.write_bytes(jsonl(part))
            take_in(duck, file)
        before = content(duck, ALL)
        there = reprice(duck, overlaid(folder, input="7.77", read="0.5", output="33.3"), NOW)
        back = reprice(duck, book(), NOW)
        assert content(duck, ALL) == before
        assert (there.before_nano, there.after_nano) == (back.after_nano, back.before_nano)
        assert duck.rows("SELECT count(*) FROM repricings") == [(2,)]


@settings(max_examples=15, deadline=None)
@given(lines(), st.tuples(*[st.integers(0, 10**6)] * 3))
def test_sums_hold_at_any_prices(asked: list[dict[str, Any]], rates: tuple[int, int, int]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "f.jsonl"
        file.write_bytes(jsonl(asked))
        duck = ledger(file)
        texts = [f"{rate / 1000:f}" for rate in rates]
        ours = overlaid(folder, **dict(zip(("input", "read", "output"), texts, strict=True)))
        done = reprice(duck, ours, NOW)
        repriced = content(duck, ALL)
        fresh = Duck(None)
        with_ours(fresh, file, ours)
    assert repriced == content(fresh, ALL)
    total = duck.rows("SELECT coalesce(sum(cost_nano), 0) FROM attempts")
    parts = duck.rows("SELECT coalesce(sum(fresh_nano + carried_nano), 0) FROM parts")
    assert total == parts == [(done.after_nano,)]


def with_ours(duck: Duck, file: Path, ours: Book) -> None:
    import_paths([file], Recorder(duck, ours, NOW))


def test_a_repricing_says_what_it_changed(tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_bytes(GOOD + jsonl([call_line("odd", model="mystery-9")]))
    duck = ledger(tmp_path / "f.jsonl")
    done = reprice(duck, overlaid(tmp_path, input="5", read="1", output="20"), NOW)
    assert (done.attempts, done.changed) == (11, 11)
    assert done.before_nano == 10 * COST_NANO
    # twice the rates of gpt-4o, and 1000 x $1 + 100 x $2 of the other per million tokens
    assert done.after_nano == 20 * COST_NANO + 1_000_000 + 200_000
    assert duck.rows("SELECT count(*) FROM attempts WHERE unpriced IS NOT NULL") == [(0,)]


def test_a_repricing_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f.jsonl").write_bytes(GOOD)
    duck = ledger(tmp_path / "f.jsonl")
    before = content(duck, ALL)
    ours = overlaid(tmp_path, input="5", read="1", output="20")

    def full(table: str, columns: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(duck, "append", full)
    with pytest.raises(OSError, match="No space"):
        reprice(duck, ours, NOW)
    assert content(duck, ALL) == before
