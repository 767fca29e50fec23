"""The writer: an end returns when it is durable, and nothing that it refuses goes unsaid."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, current_thread, main_thread

import msgspec
import pytest

from bursar.ledger.journal import segment as segment_module
from bursar.ledger.journal.frames import HEADER, frames, seed_of
from bursar.ledger.journal.reader import has_writer, journal_folders
from bursar.ledger.journal.records import Begun, Define, Ended, Opened, decode
from bursar.ledger.journal.writer import Rules, Writer
from bursar.model.errors import LedgerError, Refused
from ledger.journal.writing import ANSWER, ATTEMPT, call, ids_of, read_all

IMPATIENT = Rules(patience_s=0.1)


async def record(writer: Writer, *numbers: int, texts: int = 3) -> None:
    """Begin and end these calls, all at once."""

    async def one(number: int) -> None:
        made = call(number, *(f"{number} {n}" for n in range(texts)))
        writer.begin(made)
        await writer.end(made.key, (ATTEMPT,), ANSWER)

    await asyncio.gather(*(one(number) for number in numbers))


def segments(home: Path) -> list[Path]:
    return sorted(home.glob("journal/*/*.wal"))


def records(path: Path) -> list[object]:
    raw = path.read_bytes()
    assert raw.startswith(HEADER)
    seed = seed_of(path.parent.name, int(path.stem))
    found = frames(raw[len(HEADER) :], seed, final=True)
    return [decode(one.content) if one.content is not None else None for one in found]


# -- what is written


def test_calls_come_back_as_they_were(tmp_path: Path) -> None:
    made = call(1, "a", "b", "a")

    async def run() -> None:
        writer = Writer(tmp_path, "n")
        writer.begin(made)
        await writer.end(made.key, (ATTEMPT,), ANSWER)
        await writer.close()

    asyncio.run(run())
    ((entry,), skips) = read_all(tmp_path)
    assert not skips
    assert (entry.call, entry.attempts, entry.answer) == (made, (ATTEMPT,), ANSWER)


def test_a_block_is_defined_once_in_a_segment_and_never_with_its_text(tmp_path: Path) -> None:
    secret = "do not write this down"

    async def run() -> None:
        writer = Writer(tmp_path, "n")
        for number in range(5):
            made = call(number, "same", f"other {number}")
            assert made.blocks is not None
            blocks = tuple(msgspec.structs.replace(one, body=secret) for one in made.blocks)
            writer.begin(msgspec.structs.replace(made, blocks=blocks))
            answer = msgspec.structs.replace(ANSWER, blocks=blocks[:1])
            await writer.end(made.key, (ATTEMPT,), answer)
        await writer.close()

    asyncio.run(run())
    (path,) = segments(tmp_path)
    assert secret.encode() not in path.read_bytes()
    kinds = [type(one) for one in records(path)]
    assert (kinds[0], kinds.count(Define), kinds.count(Begun)) == (Opened, 6, 5)
    assert len(read_all(tmp_path)[0]) == 5


def test_segments_rotate_and_each_stands_alone(tmp_path: Path) -> None:
    async def run() -> None:
        writer = Writer(tmp_path, "n", Rules(segment_bytes=2_000))
        for number in range(0, 60, 3):
            await record(writer, number, number + 1, number + 2)
        await writer.close()

    asyncio.run(run())
    assert len(segments(tmp_path)) > 3
    entries, skips = read_all(tmp_path)
    assert not skips
    assert ids_of(entries) == sorted(f"id:{n}" for n in range(60))
    assert all(entry.call.blocks and len(entry.call.blocks) == 3 for entry in entries)


def test_a_segment_that_lost_its_end_is_told_by_the_next(tmp_path: Path) -> None:
    async def run() -> None:
        writer = Writer(tmp_path, "n", Rules(segment_bytes=1_000))
        for number in range(9):
            await record(writer, number)
        await writer.close()

    asyncio.run(run())
    first = segments(tmp_path)[0]
    kept = list(frames(first.read_bytes()[8:], seed_of(first.parent.name, 1), final=True))
    os.truncate(first, 8 + kept[-1].start)
    entries, skips = read_all(tmp_path)
    assert sum(entry.attempts == (ATTEMPT,) for entry in entries) == 8
    assert "bytes are missing at its end" in skips[0].reason


def test_a_call_that_never_ends_is_on_disk_all_the_same(tmp_path: Path) -> None:
    async def run() -> None:
        writer = Writer(tmp_path, "n")
        writer.begin(call(1))
        await asyncio.sleep(0.1)
        assert isinstance(records(segments(tmp_path)[0])[-1], Begun)
        assert has_writer(journal_folders(tmp_path)[0])
        await writer.close()
        assert not has_writer(journal_folders(tmp_path)[0])

    asyncio.run(run())


# -- durable


@pytest.mark.parametrize("in_loop", [True, False])
def test_what_is_written_leaves_a_trace_without_a_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_loop: bool
) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(segment_module, "sync_file", syncs.append)

    async def run() -> None:
        writer = Writer(tmp_path, "n", Rules(in_loop=in_loop))
        made = [call(number, "system", str(number)) for number in range(8)]

        async def one(number: int) -> None:
            writer.begin(made[number])
            await writer.written()
            found = [one for path in segments(tmp_path) for one in records(path)]
            begun = {one.call.key for one in found if isinstance(one, Begun)}
            assert made[number].key in begun

        await asyncio.gather(*(one(number) for number in range(4)))
        assert not syncs
        ending = asyncio.ensure_future(writer.end(made[0].key, (ATTEMPT,), ANSWER))
        await asyncio.sleep(0)
        await asyncio.gather(*(one(number) for number in range(4, 6)))
        await ending
        assert len(syncs) == 1
        await one(6)
        assert len(syncs) == 1
        writer.begin(made[7])
        assert writer.waiting_bytes
        writer.forget()

    asyncio.run(run())
    entries, skips = read_all(tmp_path)
    assert ids_of(entries) == [f"id:{number}" for number in range(7)]
    assert not skips


def test_an_end_returns_after_its_sync_and_one_sync_serves_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def sync(fd: int) -> None:
        os.fsync(fd)
        synced.append(os.fstat(fd).st_size)

    monkeypatch.setattr(segment_module, "sync_file", sync)

    async def run() -> None:
        writer = Writer(tmp_path, "n")
        for number in range(20):
            await record(writer, number)
            size = segments(tmp_path)[0].stat().st_size
            assert synced[-1] == size, "acked before it was synced"
        before = len(synced)
        await record(writer, *range(100, 400))
        assert len(synced) - before < 20
        await writer.close()

    asyncio.run(run())


def test_by_interval_an_end_returns_once_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(segment_module, "sync_file", synced.append)

    async def run() -> None:
        writer = Writer(tmp_path, "n", Rules(sync="interval", interval_s=60))
        for number in range(10):
            await record(writer, number)
            last = records(segments(tmp_path)[0])[-1]
            assert isinstance(last, Ended)
            assert last.key == f"id:{number}"
        assert len(synced) == 1
        await writer.close()

    asyncio.run(run())


def test_a_caller_that_is_cancelled_does_not_take_others_along(tmp_path: Path) -> None:
    async def run() -> None:
        writer = Writer(tmp_path, "n")
        tasks = [asyncio.create_task(record(writer, number)) for number in range(10)]
        for _ in range(2):
            await asyncio.sleep(0)
        tasks[3].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in found].count(type(None)) == 9
        await writer.close()

    asyncio.run(run())
    assert len(read_all(tmp_path)[0]) == 10


def test_after_a_failed_sync_everything_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second sync of the same file would say yes to pages that the system has dropped."""
    files: list[tuple[int, bool]] = []

    def sync(fd: int) -> None:
        bad = len(files) == 1
        files.append((os.fstat(fd).st_ino, bad))
        if bad:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(segment_module, "sync_file", sync)

    async def run() -> None:
        writer = Writer(tmp_path, "n")
        writer.begin(call(50))
        await record(writer, 1)
        await record(writer, 2, 3)
        assert writer.tally.failures == 1
        assert writer.trouble is None
        await writer.end("id:50", (ATTEMPT,), ANSWER)
        await writer.close()

    asyncio.run(run())
    assert len(segments(tmp_path)) == 2
    assert files[2][0] != files[1][0]
    segments(tmp_path)[0].write_bytes(b"")
    entries, _ = read_all(tmp_path)
    assert ids_of(entries) == ["id:2", "id:3", "id:50"], "what was acked later stands in the new"
    assert all(entry.call.tags.tenant == "acme" for entry in entries)


# -- a disk that refuses


def limited(run: Callable[[], object], limit_bytes: int) -> str:
    """Run in a child whose files cannot grow beyond a limit; what it found wrong, or ""."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        said = "died"
        try:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
            run()
            said = ""
        except BaseException as bad:  # noqa: BLE001 - it crosses to the parent
            said = repr(bad)
        finally:
            os.write(into, said.encode())
            os._exit(0)
    os.close(into)
    os.waitpid(child, 0)
    with os.fdopen(out, "rb") as stream:
        return stream.read().decode()


def let_grow() -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def test_closed_a_full_disk_refuses_calls_and_keeps_what_it_has(tmp_path: Path) -> None:
    async def run() -> None:
        writer = Writer(tmp_path, "n", IMPATIENT)
        done: list[int] = []

        async def fill() -> None:
            for number in range(100):
                await record(writer, number)
                done.append(number)

        with pytest.raises(LedgerError, match="cannot be written"):
            await fill()
        acked = len(done)
        assert acked > 3
        with pytest.raises(Refused) as refused:
            writer.begin(call(200))
        assert (refused.value.status, refused.value.kind) == (503, "journal_unwritable")
        with pytest.raises(Refused):
            await writer.room()
        assert writer.tally.refused_calls == 2
        let_grow()
        await asyncio.sleep(0.6)
        assert writer.trouble is None
        await writer.room()
        await record(writer, 300)
        (tmp_path / "acked").write_text(str(acked))
        await writer.close()

    assert limited(lambda: asyncio.run(run()), 4_000) == ""
    acked = int((tmp_path / "acked").read_text())
    entries, skips = read_all(tmp_path)
    assert not skips, "the file goes on where the disk stopped"
    assert ids_of(entries) == sorted(f"id:{n}" for n in [*range(acked + 1), 300])


def test_degrade_a_full_disk_lets_calls_go_on_and_counts(tmp_path: Path) -> None:
    async def run() -> None:
        rules = Rules(unwritable="degrade", buffer_bytes=20_000)
        writer = Writer(tmp_path, "n", rules)
        for number in range(200):
            await writer.room()
            await record(writer, number)
        tally = writer.tally
        assert tally.undurable_records > 10
        assert tally.lost_records > 10
        assert writer.waiting_bytes < 25_000
        let_grow()
        await asyncio.sleep(2.5)
        assert writer.trouble is None
        (tmp_path / "lost").write_text(str(tally.lost_records))
        await writer.close()

    assert limited(lambda: asyncio.run(run()), 4_000) == ""
    lost = int((tmp_path / "lost").read_text())
    entries, skips = read_all(tmp_path)
    assert len(entries) == 200 - lost
    assert [skip.reason for skip in skips] == [f"{lost} calls were not recorded: File too large"]


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where a folder belongs")

    async def run() -> None:
        writer = Writer(tmp_path, "n", IMPATIENT)
        with pytest.raises(LedgerError):
            await record(writer, 1)
        (tmp_path / "journal").unlink()
        await asyncio.sleep(0.5)
        await record(writer, 2)
        await writer.close()

    asyncio.run(run())
    assert ids_of(read_all(tmp_path)[0]) == ["id:1", "id:2"]


# -- a full buffer


def stuck(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A disk that does not answer until the list has an element."""
    released: list[bool] = []

    def sync(_fd: int) -> None:
        for _ in range(500):
            if released:
                return
            os.sched_yield()
            asyncio.run(asyncio.sleep(0.01))

    monkeypatch.setattr(segment_module, "sync_file", sync)
    return released


@pytest.mark.parametrize("full", ["wait", "refuse", "shed_blocks"])
def test_a_full_buffer_does_what_the_rules_say(
    full: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = stuck(monkeypatch)

    async def run() -> None:
        rules = Rules(full=full, buffer_bytes=4_000, patience_s=0.2, in_loop=False)  # type: ignore[arg-type]
        writer = Writer(tmp_path, "n", rules)
        calls = [asyncio.create_task(record(writer, n)) for n in range(20)]
        await asyncio.sleep(0.02)
        assert writer.waiting_bytes > 4_000
        if full == "shed_blocks":
            await writer.room()
            calls.append(asyncio.create_task(record(writer, 99)))
        else:
            with pytest.raises(Refused) as refused:
                await writer.room()
            assert refused.value.kind == "journal_full"
        waiting = asyncio.create_task(writer.room())
        released.append(True)
        if full != "refuse":
            await waiting
        ends = await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.gather(waiting, return_exceptions=True)
        await writer.room()
        await writer.close()
        refused = [end for end in ends if isinstance(end, Refused)]
        assert bool(refused) == (full == "refuse")
        entries, _ = read_all(tmp_path)
        assert len(entries) == len(calls) - len(refused)
        shed = [entry for entry in entries if entry.call.blocks is None]
        assert len(shed) == writer.tally.shed_calls
        assert bool(shed) == (full == "shed_blocks")

    asyncio.run(run())


# -- several processes


def test_a_child_after_a_fork_has_a_journal_of_its_own(tmp_path: Path) -> None:
    async def parent(writer: Writer) -> None:
        writer.begin(call(1))
        await record(writer, 2)
        child = os.fork()
        if child == 0:
            os._exit(os.fork() and 0)
        os.waitpid(child, 0)
        await writer.end("id:1", (ATTEMPT,), ANSWER)

    writer = Writer(tmp_path, "n")

    async def before() -> None:
        await parent(writer)
        await writer.close()

    asyncio.run(before())
    writer = Writer(tmp_path, "n")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(record(writer, 10))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.run(record(writer, 20, 21))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    loop.run_until_complete(record(writer, 11))
    loop.run_until_complete(writer.close())
    loop.close()
    folders = journal_folders(tmp_path)
    assert len(folders) == 3
    assert not any(has_writer(folder) for folder in folders)
    entries, skips = read_all(tmp_path)
    assert not skips
    assert ids_of(entries) == sorted(f"id:{n}" for n in (1, 2, 10, 11, 20, 21))


# -- in the loop or in the thread


def test_a_quick_disk_is_written_to_in_the_loop_and_a_slow_one_in_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[bool] = []
    pauses = iter((0.0, 0.01, 0.0, 0.0))

    def sync(_fd: int) -> None:
        where.append(current_thread() is main_thread())
        time.sleep(next(pauses))

    monkeypatch.setattr(segment_module, "sync_file", sync)

    async def run() -> None:
        writer = Writer(tmp_path, "n")
        for number in range(3):
            await record(writer, number)
        await writer.close()

    asyncio.run(run())
    assert where == [True, True, False]


@pytest.mark.parametrize("fails", [False, True])
def test_what_begins_during_a_slow_sync_does_not_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    """Nor does it come twice, or out of turn, where only a part of it could be written."""
    released = Event()
    syncs: list[bool] = []

    def sync(_fd: int) -> None:
        syncs.append(current_thread() is main_thread())
        if len(syncs) == 1:
            time.sleep(0.02)
        elif len(syncs) == 2:
            released.wait(10)

    monkeypatch.setattr(segment_module, "sync_file", sync)
    write, writes = os.write, list[int]()

    def halting(fd: int, raw: memoryview) -> int:
        writes.append(len(raw))
        if len(writes) == 2:
            raise OSError(28, "No space left on device")
        return write(fd, raw[:5])

    async def run() -> None:
        writer = Writer(tmp_path, "n")
        await record(writer, 1)
        writer.begin(call(2))
        ending = asyncio.create_task(writer.end("id:2", (ATTEMPT,), ANSWER))
        while len(syncs) < 2:
            await asyncio.sleep(0.001)
        writer.begin(call(3, "system", "x"))
        if fails:
            monkeypatch.setattr(os, "write", halting)
        written = asyncio.create_task(writer.written())
        await asyncio.sleep(0.02)
        monkeypatch.setattr(os, "write", write)
        assert not ending.done()
        assert written.done() is not fails
        released.set()
        await asyncio.gather(ending, written)
        begun = [one for one in records(segments(tmp_path)[0]) if isinstance(one, Begun)]
        assert [one.call.key for one in begun] == ["id:1", "id:2", "id:3"]
        await writer.end("id:3", (ATTEMPT,), ANSWER)
        assert not writer.waiting_bytes
        await writer.close()

    asyncio.run(run())
    assert syncs[:2] == [True, False]
    entries, skips = read_all(tmp_path)
    assert ids_of(entries) == ["id:1", "id:2", "id:3"]
    assert not skips
