"""The keeper tells of what is committed, once, whatever is read again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bursar.ledger.engines.duck import Duck
from bursar.ledger.journal.keeper import Keeper
from bursar.ledger.journal.writer import Writer
from bursar.ledger.posting import Poster
from bursar.ledger.rows import Posted
from ledger.journal.writing import ANSWER, ATTEMPT, NANO, call
from trials import book


async def write(home: Path, *numbers: int) -> None:
    writer = Writer(home, "n")
    for number in numbers:
        writer.begin(call(number))
        await writer.end(f"id:{number}", (ATTEMPT,), ANSWER)
    await writer.close()


def test_what_is_told_is_priced_inferred_and_committed(tmp_path: Path) -> None:
    duck, told = Duck(None), list[Posted]()

    def tell(posted: object) -> None:
        rows = duck.rows("SELECT call_id FROM attempts ORDER BY call_id")
        told.extend(posted)  # type: ignore[arg-type]
        assert [row[0] for row in rows] == [one.call_id for one in told]

    asyncio.run(write(tmp_path, 1, 2))
    Keeper(tmp_path, duck, book(), tell).drain()
    asyncio.run(write(tmp_path, 3))
    Keeper(tmp_path, duck, book(), tell).drain()
    assert [one.call_id for one in told] == [1, 2, 3]
    assert {one.attempts[0][0].cost_nano for one in told} == {NANO}
    assert all(one.entry.call.tags.session for one in told)
    duck.close()


def test_an_entry_that_is_set_aside_is_not_told_and_the_others_are_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Poster.post

    def post(self: Poster, entry: object, call_id: int) -> Posted:
        if call_id == 2:
            raise ZeroDivisionError
        return real(self, entry, call_id)  # type: ignore[arg-type]

    monkeypatch.setattr(Poster, "post", post)
    asyncio.run(write(tmp_path, 1, 2, 3))
    duck, told = Duck(None), list[Posted]()
    Keeper(tmp_path, duck, book(), told.extend).drain()
    assert [one.call_id for one in told] == [1, 3]
    duck.close()


def test_nobody_told_nothing_kept(tmp_path: Path) -> None:
    asyncio.run(write(tmp_path, 1))
    duck = Duck(None)
    keeper = Keeper(tmp_path, duck, book())
    assert keeper.drain() == 1
    assert keeper._recorder.posted is None
    duck.close()
