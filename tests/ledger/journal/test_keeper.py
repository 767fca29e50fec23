"""From journals into the ledger: every acked call exactly once, whatever stops in between."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.ledger.engines.duck import Duck
from bursar.ledger.journal import keeper as keeper_module
from bursar.ledger.journal.frames import frame
from bursar.ledger.journal.keeper import Keeper, has_journals, journal_lock, take_in
from bursar.ledger.journal.reader import HEAVY_BLOCKS, LEFT, Journal, journal_folders
from bursar.ledger.journal.records import Ended, encode
from bursar.ledger.journal.writer import Rules, Writer
from bursar.ledger.shares import Charge
from bursar.ledger.shelf import BLOCKS_A_SESSION, Shelf
from bursar.model.entry import Entry
from ledger.journal.writing import ANSWER, ATTEMPT, NANO, block, call, taken_in
from trials import book

STEPS = st.lists(
    st.one_of(
        st.just("begin"),
        st.just("write"),
        st.just("end"),
        st.just("take in"),
        st.just("new keeper"),
        st.tuples(st.just("crash"), st.floats(0, 1)),
    ),
    max_size=30,
)
SMALL = Rules(segment_bytes=1_500)


class Trial:
    """A worker that crashes, a keeper that restarts, and what was promised."""

    def __init__(self, home: Path, duck: Duck) -> None:
        self.home = home
        self.duck = duck
        self.acked: set[int] = set()
        self.open: list[int] = []
        self.begun = 0
        self.writer = Writer(home, "n", SMALL)
        self.keeper = Keeper(home, duck, book())

    async def take(self, step: str | tuple[str, float]) -> None:
        match step:
            case "begin":
                self.begun += 1
                self.open.append(self.begun)
                self.writer.begin(call(self.begun, "system", f"task {self.begun % 3}"))
            case "write":
                await self.writer.written()
            case "end" if self.open:
                number = self.open.pop(0)
                await self.writer.end(f"id:{number}", (ATTEMPT,), ANSWER)
                self.acked.add(number)
            case "take in":
                self.keeper.turn()
            case "new keeper":
                self.keeper = Keeper(self.home, self.duck, book())
            case (_, part):
                self.crash(float(part))

    def crash(self, part: float) -> None:
        """The process is gone in the middle of a write."""
        writer = self.writer
        rest = b"".join(writer._framer.frames)
        files = sorted(self.home.glob("journal/n-*/*.wal"))
        mine = [
            one for one in files if one.parent.name == getattr(writer._framer._folder, "name", "")
        ]
        if (
            rest
            and mine
            and writer._framer._segment is not None
            and writer._framer._segment.number == len(mine)
        ):
            with mine[-1].open("ab") as stream:
                stream.write(rest[: int(part * len(rest))])
        writer.forget()
        self.open.clear()
        self.writer = Writer(self.home, "n", SMALL)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_every_acked_call_is_in_the_ledger_exactly_once(
    steps: list[str | tuple[str, float]],
) -> None:
    async def run(trial: Trial) -> None:
        for step in steps:
            await trial.take(step)
        await trial.writer.close()

    with TemporaryDirectory() as folder:
        duck = Duck(None)
        trial = Trial(Path(folder), duck)
        asyncio.run(run(trial))
        taken_in(trial.home, duck)
        rows = duck.rows("SELECT call_id, cost_nano, unpriced, outcome FROM attempts")
        ids = [row[0] for row in rows]
        assert len(ids) == len(set(ids))
        assert {row[0] for row in rows if row[1] == NANO} == trial.acked
        assert {row[2:] for row in rows if row[0] not in trial.acked} <= {(LEFT, "left")}
        assert set(ids) <= set(range(1, trial.begun + 1))
        assert not has_journals(trial.home), "what is taken in is removed"
        assert duck.rows("SELECT * FROM flags") == []
        duck.close()


async def worker(home: Path, *numbers: int, node: str = "n", open_calls: int = 0) -> None:
    writer = Writer(home, node)
    for number in numbers:
        writer.begin(call(number))
        await writer.end(f"id:{number}", (ATTEMPT,), ANSWER)
    for number in range(open_calls):
        writer.begin(call(1_000 + number))
    await writer.close()


def test_a_call_that_never_ended_is_shown_unpriced(tmp_path: Path) -> None:
    asyncio.run(worker(tmp_path, 1, open_calls=2))
    rows = taken_in(tmp_path).rows(
        "SELECT call_id, cost_nano, input_tokens, unpriced, status, outcome, provider, tenant"
        " FROM attempts WHERE call_id >= 1000 ORDER BY call_id"
    )
    expected = (None, None, LEFT, None, "left", "openai", "acme")
    assert rows == [(1_000, *expected), (1_001, *expected)]


def test_calls_that_a_living_worker_has_open_wait(tmp_path: Path) -> None:
    duck = Duck(None)
    keeper = Keeper(tmp_path, duck, book())

    async def run() -> None:
        writer = Writer(tmp_path, "n")
        writer.begin(call(1))
        writer.begin(call(2))
        await writer.end("id:2", (ATTEMPT,), ANSWER)
        keeper.drain()
        assert duck.rows("SELECT call_id FROM attempts") == [(2,)]
        await writer.end("id:1", (ATTEMPT,), ANSWER)
        keeper.drain()
        assert duck.rows("SELECT sum(cost_nano) FROM attempts") == [(2 * NANO,)]
        await writer.close()

    asyncio.run(run())


def test_two_workers_at_once_and_their_calls_in_order(tmp_path: Path) -> None:
    async def run() -> None:
        await asyncio.gather(
            worker(tmp_path, *range(0, 80, 2), node="a"),
            worker(tmp_path, *range(1, 80, 2), node="b"),
        )

    asyncio.run(run())
    duck = taken_in(tmp_path)
    assert duck.rows("SELECT count(*), sum(cost_nano) FROM attempts") == [(80, 80 * NANO)]
    assert duck.rows("SELECT file, entries, added FROM sources") == [("journal", 80, 80)]


def test_a_keeper_that_is_stopped_before_its_commit_leaves_all_as_it_was(tmp_path: Path) -> None:
    """Rows and places go together: with neither, the next keeper takes the same calls in."""
    asyncio.run(worker(tmp_path, 1, 2, 3))
    duck = Duck(tmp_path / "l.duckdb")
    keeper = Keeper(tmp_path, duck, book())

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    keeper._note = stop  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        keeper.turn()
    assert duck.rows("SELECT count(*) FROM attempts") == [(0,)]
    assert taken_in(tmp_path, duck).rows("SELECT count(*) FROM attempts") == [(3,)]
    duck.close()


def test_a_keeper_that_is_stopped_before_it_removes_repeats_nothing(tmp_path: Path) -> None:
    asyncio.run(worker(tmp_path, 1, 2, 3, open_calls=1))
    duck = Duck(None)
    keeper = Keeper(tmp_path, duck, book())
    keeper._clear = lambda _journal: None  # type: ignore[method-assign]
    keeper.turn()
    assert has_journals(tmp_path)
    taken_in(tmp_path, duck)
    assert not has_journals(tmp_path)
    assert duck.rows("SELECT count(*) FROM attempts") == [(4,)]
    assert duck.rows("SELECT * FROM flags") == []
    asyncio.run(worker(tmp_path, 9))
    taken_in(tmp_path, duck)
    assert len(duck.rows("SELECT * FROM journals")) == 1, "rows of removed journals go too"


def test_small_turns_take_in_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "MOST_ENTRIES", 7)
    asyncio.run(worker(tmp_path, *range(100)))
    duck = Duck(None)
    keeper = Keeper(tmp_path, duck, book())
    keeper.turn()
    assert (keeper.behind, duck.rows("SELECT count(*) FROM attempts")) == (True, [(7,)])
    again = Keeper(tmp_path, duck, book())
    assert again.drain() == 93
    assert duck.rows("SELECT count(DISTINCT call_id) FROM attempts") == [(100,)]


def test_long_prompts_make_small_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "MOST_ENTRIES", 6)
    long = [f"text {place}" for place in range(2 * HEAVY_BLOCKS)]

    async def run() -> None:
        writer = Writer(tmp_path, "n")
        for number in range(10):
            writer.begin(call(number, *long, f"ask {number}"))
            await writer.end(f"id:{number}", (ATTEMPT,), ANSWER)
        await writer.close()

    asyncio.run(run())
    duck = Duck(None)
    keeper = Keeper(tmp_path, duck, book())
    keeper.turn()
    assert (keeper.behind, keeper.taken) == (True, 2), "each counts as three"
    assert keeper.drain() == 8


def test_long_sessions_are_kept_in_smaller_number() -> None:
    shelf = Shelf(Duck(None))
    names = {f"s{number}": None for number in range(4)}
    shelf.fetch(names)
    for name in names:
        session = shelf.session(name)
        prompt = [block(f"{name}/{place}") for place in range(BLOCKS_A_SESSION)]
        session.blocks.send(prompt, None, Charge(), 0)
    shelf.give_up(4)
    assert len(shelf) == 4
    more = [block(f"more {place}") for place in range(BLOCKS_A_SESSION + 1)]
    shelf.session("s3").blocks.send(more, None, Charge(), 1)
    shelf.give_up(4)
    assert len(shelf) == 2, "s3 has the blocks of two sessions and one more"


# -- damage


def test_damage_costs_what_it_hits_and_is_listed_once(tmp_path: Path) -> None:
    asyncio.run(worker(tmp_path, *range(10)))
    (path,) = tmp_path.glob("journal/*/*.wal")
    raw = bytearray(path.read_bytes())
    place = raw.index(b"id:4")
    raw[place] ^= 1
    path.write_bytes(raw)
    duck = taken_in(tmp_path)
    rows = duck.rows(
        'SELECT call_id, cost_nano, "at" IS NULL, tenant FROM attempts ORDER BY call_id'
    )
    assert [row[0] for row in rows] == list(range(10)), "the end without its beginning is kept"
    assert rows[4] == (4, NANO, False, None)
    ((file, reason),) = duck.rows("SELECT file, reason FROM skips")
    assert file == f"journal/{path.parent.name}/00000001.wal"
    assert "bytes at offset" in reason


def test_a_lost_definition_leaves_the_other_blocks(tmp_path: Path) -> None:
    async def run() -> None:
        writer = Writer(tmp_path, "n")
        writer.begin(call(1, "a", "b"))
        await writer.end("id:1", (ATTEMPT,), ANSWER)
        await writer.close()

    asyncio.run(run())
    (path,) = tmp_path.glob("journal/*/*.wal")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"\xa1D") + 3] ^= 1
    path.write_bytes(raw)
    (folder,) = journal_folders(tmp_path)
    found = [one for one in Journal(folder).read(99) if isinstance(one, Entry)]
    blocks = found[0].call.blocks
    assert blocks is not None
    assert [one.kind.value for one in blocks] == ["unseen", "user"]


def test_a_header_that_is_damaged_costs_nothing_but_a_line(tmp_path: Path) -> None:
    asyncio.run(worker(tmp_path, 1, 2))
    (path,) = tmp_path.glob("journal/*/*.wal")
    path.write_bytes(b"\0" * 8 + path.read_bytes()[8:])
    duck = taken_in(tmp_path)
    assert duck.rows("SELECT count(*) FROM attempts") == [(2,)]
    assert duck.rows("SELECT count(*) FROM skips") == [(1,)]


def test_records_of_a_newer_bursar_are_listed(tmp_path: Path) -> None:
    asyncio.run(worker(tmp_path, 1))
    (path,) = tmp_path.glob("journal/*/*.wal")
    (folder,) = journal_folders(tmp_path)
    trail = Journal(folder)
    list(trail.read(9))
    seed = next(iter(trail.consumed())).seed
    odd = encode(Ended("id:5", (ATTEMPT,), ANSWER)).replace(b"\xa1E", b"\xa1Z", 1)
    with path.open("ab") as stream:
        stream.write(frame(odd, seed) + frame(encode(Ended("id:6", (ATTEMPT,), ANSWER)), seed))
    duck = taken_in(tmp_path)
    assert duck.rows("SELECT call_id FROM attempts ORDER BY 1") == [(1,), (6,)]
    assert "cannot be read" in duck.rows("SELECT reason FROM skips")[0][0]


def test_folders_that_are_no_journals_are_left_alone(tmp_path: Path) -> None:
    odd = tmp_path / "journal" / "somebody-elses"
    odd.mkdir(parents=True)
    (odd / "file").write_text("keep")
    (tmp_path / "journal" / ".new-1-1").mkdir()
    taken_in(tmp_path)
    assert (odd / "file").read_text() == "keep"
    assert not (tmp_path / "journal" / ".new-1-1").exists(), "a writer that never started"


# -- one keeper


def test_only_one_takes_journals_in(tmp_path: Path) -> None:
    asyncio.run(worker(tmp_path, 1))
    duck = Duck(None)
    with journal_lock(tmp_path) as mine:
        assert mine
        assert take_in(tmp_path, duck, book()) == 0
    assert take_in(tmp_path, duck, book()) == 1


def test_a_journal_of_a_million_bytes_is_read_in_pieces(tmp_path: Path) -> None:
    """Frames that straddle the pieces, and one that is larger than a piece."""

    async def run() -> None:
        writer = Writer(tmp_path, "n", Rules(segment_bytes=1 << 30, buffer_bytes=1 << 28))
        for number in range(12):
            tags = call(number).tags
            made = call(number, tags=type(tags)(tenant="a", other={"x": os.urandom(400_000).hex()}))
            writer.begin(made)
            await writer.end(made.key, (ATTEMPT,), ANSWER)
        big = call(99, tags=type(tags)(tenant="a", other={"x": "y" * 9_000_000}))
        writer.begin(big)
        await writer.end(big.key, (ATTEMPT,), ANSWER)
        await writer.close()

    asyncio.run(run())
    (folder,) = journal_folders(tmp_path)
    found = list(Journal(folder).read(1_000))
    assert [one.call.key for one in found if isinstance(one, Entry)] == [
        *(f"id:{n}" for n in range(12)),
        "id:99",
    ]
