"""An entry that cannot be recorded is set aside: the others go on, and a line says where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.ledger.engines.duck import Duck
from bursar.ledger.journal.aside import MOST_ASIDE, Sieve
from bursar.ledger.journal.inferring import Inference
from bursar.ledger.journal.keeper import Keeper, has_journals
from bursar.ledger.journal.writer import Writer
from bursar.ledger.posting import Poster
from bursar.ledger.recorder import Recorder
from bursar.ledger.rows import Posted
from bursar.model.entry import Entry
from bursar.model.errors import LedgerError
from ledger.journal.writing import ANSWER, ATTEMPT, NANO, call, taken_in
from trials import book


def written(home: Path, count: int) -> str:
    """`count` calls in a journal; its segment, as skips name it."""

    async def run() -> None:
        writer = Writer(home, "n")
        for number in range(count):
            writer.begin(call(number))
            await writer.end(f"id:{number}", (ATTEMPT,), ANSWER)
        await writer.close()

    asyncio.run(run())
    (path,) = home.glob("journal/*/*.wal")
    return f"journal/{path.parent.name}/{path.name}"


def poisoned(monkeypatch: pytest.MonkeyPatch, *keys: str, without_prompt: bool) -> None:
    """Posting these calls fails; `without_prompt`: even where their prompt is left out."""
    real = Poster.post

    def post(self: Poster, entry: Entry, call_id: int) -> Posted:
        if entry.call.key in keys and (without_prompt or entry.call.blocks is not None):
            raise KeyError("a fault of ours")
        return real(self, entry, call_id)

    monkeypatch.setattr(Poster, "post", post)


@pytest.mark.parametrize("keys", [("id:0",), ("id:3",), ("id:2", "id:7"), ("id:9", "id:8")])
def test_the_rest_goes_on_and_the_cost_is_kept(
    keys: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = written(tmp_path, 10)
    poisoned(monkeypatch, *keys, without_prompt=False)
    duck = taken_in(tmp_path)
    rows = duck.rows("SELECT call_id, cost_nano, tenant FROM attempts ORDER BY 1")
    assert rows == [(number, NANO, "acme") for number in range(10)]
    skips = duck.rows("SELECT file, reason FROM skips")
    assert sorted(reason.split()[2] for _, reason in skips) == sorted(keys)
    for file, reason in skips:
        assert file == label
        assert " at offset " in reason
        assert "is kept without its prompt, by a fault in Bursar: KeyError at test_aside" in reason
    assert not has_journals(tmp_path)
    monkeypatch.undo()
    whole = {f"id:{row[0]}" for row in duck.rows("SELECT call_id FROM attempts WHERE kept = 0")}
    assert whole == {f"id:{number}" for number in range(10)} - set(keys)


def test_an_entry_that_fails_even_without_its_prompt_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = written(tmp_path, 5)
    poisoned(monkeypatch, "id:2", without_prompt=True)
    duck = taken_in(tmp_path)
    assert duck.rows("SELECT call_id FROM attempts ORDER BY 1") == [(0,), (1,), (3,), (4,)]
    ((file, reason),) = duck.rows("SELECT file, reason FROM skips")
    assert (file, reason.partition(" at offset ")[0]) == (label, "the call id:2")
    assert "is not recorded, by a fault in Bursar" in reason
    assert duck.rows("SELECT entries, added FROM sources") == [(4, 4)]
    again = Keeper(tmp_path, duck, book())
    again.turn()
    assert duck.rows("SELECT count(*) FROM skips") == [(1,)], "told once"


def test_a_fault_of_the_inference_costs_the_session_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, 4)
    real = Inference.infer

    def infer(self: Inference, entry: Entry) -> Entry:
        if entry.call.key == "id:1":
            raise IndexError("a fault of ours")
        return real(self, entry)

    monkeypatch.setattr(Inference, "infer", infer)
    duck = taken_in(tmp_path)
    rows = duck.rows("SELECT call_id, cost_nano, session IS NULL FROM attempts ORDER BY 1")
    assert rows == [(number, NANO, number == 1) for number in range(4)]
    ((reason,),) = duck.rows("SELECT reason FROM skips")
    assert "has no inferred session" in reason


@pytest.mark.parametrize("bad", [OSError("disk full"), MemoryError(), LedgerError("held")])
def test_a_disk_that_refuses_is_no_fault_of_an_entry(
    bad: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, 3)

    def commit(*_: object) -> None:
        raise bad

    duck = Duck(None)
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "commit", commit)
        with pytest.raises(type(bad)):
            Keeper(tmp_path, duck, book()).turn()
    assert has_journals(tmp_path)
    assert taken_in(tmp_path, duck).rows("SELECT count(*) FROM attempts") == [(3,)]


@given(bad=st.sets(st.integers(0, 63), max_size=9), count=st.integers(0, 64))
def test_the_sieve_keeps_exactly_what_fits(bad: set[int], count: int) -> None:
    entries = [Entry(call=call(number), attempts=(ATTEMPT,)) for number in range(count)]

    def trial(tried: Sequence[Entry]) -> str | None:
        found = [one for one in tried if int(one.call.key[3:]) in bad]
        return "no" if found else None

    sieve = Sieve(trial)
    sieve.take(entries)
    assert [int(one.call.key[3:]) for one in sieve.sound] == [
        number for number in range(count) if number not in bad
    ]
    assert {int(one.call.key[3:]) for one, _ in sieve.aside} == {n for n in bad if n < count}


def test_when_all_fail_it_is_not_the_entries() -> None:
    entries = [Entry(call=call(number), attempts=(ATTEMPT,)) for number in range(MOST_ASIDE + 1)]
    with pytest.raises(LedgerError, match="more than"):
        Sieve(lambda tried: "no" if tried else None).take(entries)
