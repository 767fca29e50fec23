"""Reads a journal behind its writer: calls that have ended, and what cannot be read.

A call that has begun waits for its end. When the writer's process is gone, what still waits has
left: its attempt may have been paid, and nobody knows what it used. Damage is listed with file and
offset, and costs only the records that it hits: an end without its beginning is kept with what it
says itself, and a block whose definition is lost stands in its prompt as unseen.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from bursar.ledger.holding import counted_as_held
from bursar.ledger.journal.frames import HEADER, LONGEST_BYTES, Found, frames, seed_of
from bursar.ledger.journal.ids import id_of, time_of
from bursar.ledger.journal.records import Begun, Define, Ended, Held, Lost, Opened, decode
from bursar.ledger.journal.segment import ALIVE, FOLDER, SUFFIX, segment_name
from bursar.model.block import Block, Kind, Role, digest_of
from bursar.model.call import Call
from bursar.model.entry import Answer, Attempt, Entry, Skip

LEFT = "the gateway stopped before the answer ended"
MOST_OPEN = 100_000
"""Calls of one journal that have begun and not ended; the oldest beyond are given up."""
MOST_RECENT = 5_000
"""At least so many ended calls are remembered, since a failed disk makes the writer repeat some."""
READ_BYTES = 1024 * 1024
HEAVY_BLOCKS = 25
"""So many blocks of a prompt count as one more entry: what a turn takes is bounded by its size."""
Item = Entry | Skip


def journal_folders(home: Path) -> list[Path]:
    """The journals under a home, oldest name first."""
    folder = home / FOLDER
    if not folder.is_dir():
        return []
    return sorted(one for one in folder.iterdir() if one.name[0] != "." and (one / ALIVE).exists())


def has_writer(folder: Path) -> bool:
    """Whether the process that writes it still lives."""
    try:
        fd = os.open(folder / ALIVE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


class Trail:
    """One segment, as far as it has been read."""

    def __init__(self, journal: str, number: int, path: Path) -> None:
        self.number = number
        self.path = path
        self.label = f"{FOLDER}/{journal}/{segment_name(number)}"
        self.seed = seed_of(journal, number)
        self.offset_bytes = 0
        self.blocks: dict[int, Block] = {}
        self.open = 0
        """Calls that have begun in it and not ended."""
        self.whole = False
        """Read to its end, and nothing more can come."""

    def read(self, *, final: bool) -> Iterator[Found]:
        """What is new. `offset_bytes` follows what was taken."""
        size = READ_BYTES
        with self.path.open("rb") as stream:
            while not self.whole:
                base = stream.seek(self.offset_bytes)
                raw = stream.read(size)
                rest = len(raw) < size
                if base == 0:
                    if len(raw) < len(HEADER) and not final:
                        return
                    if raw[: len(HEADER)] != HEADER:
                        yield Found(0, min(len(HEADER), len(raw)), None)
                    base = self.offset_bytes = min(len(HEADER), len(raw))
                    raw = raw[base:]
                for found in frames(raw, self.seed, final=final and rest):
                    self.offset_bytes = base + found.end
                    yield Found(base + found.start, self.offset_bytes, found.content)
                self.whole = final and rest
                if rest:
                    return
                if self.offset_bytes > base:
                    continue
                if size <= LONGEST_BYTES:
                    size *= 2
                    continue
                self.offset_bytes = base + LONGEST_BYTES
                yield Found(base, self.offset_bytes, None)


class Journal:
    """One writer's journal. `offsets`: by segment, how far the ledger has it already."""

    def __init__(self, path: Path, offsets: dict[int, int] | None = None) -> None:
        self.name = path.name
        self.path = path
        self.finished = False
        """Its writer is gone, and everything is read."""
        self.behind = False
        """The last reading ended at its bound."""
        self.places: dict[str, str] = {}
        """Where the entries of the last reading stand, by their keys."""
        self._held = dict(offsets or {})
        self._trails: dict[int, Trail] = {}
        self._open: dict[str, tuple[Call, Trail]] = {}
        self._holding: dict[str, Held] = {}
        """What the open calls hold of their caps."""
        self._recent: set[str] = set()
        """Calls that ended last; when they are `MOST_RECENT`, they become `_earlier`."""
        self._earlier: set[str] = set()

    @property
    def offsets(self) -> dict[int, int]:
        """How far each segment was read."""
        return {
            number: max(trail.offset_bytes, self._held.get(number, 0))
            for number, trail in self._trails.items()
        }

    def read(self, most: int) -> Iterator[Item]:
        """What has come since, at most about `most` entries, fewer of long prompts."""
        self.behind = False
        self.places.clear()
        dead = not has_writer(self.path)
        numbers = self._numbers()
        for number in numbers:
            trail = self._trails.get(number)
            if trail is None:
                path = self.path / segment_name(number)
                trail = self._trails[number] = Trail(self.name, number, path)
            if trail.whole:
                continue
            for found in trail.read(final=dead or number < numbers[-1]):
                for item in self._taken(found, trail):
                    yield item
                    most -= _weight(item)
                if most <= 0:
                    self.behind = True
                    return
        if dead and all(trail.whole for trail in self._trails.values()):
            self.finished = True
            for call, trail in self._open.values():
                self.places[call.key] = trail.label
                yield _left(call, self._holding.get(call.key))
            self._open.clear()
            self._holding.clear()

    def consumed(self) -> list[Trail]:
        """Segments that no reader needs any more, once the ledger has what they gave."""
        if self.finished:
            return list(self._trails.values())
        return [one for one in self._trails.values() if one.whole and not one.open]

    def drop(self, trail: Trail) -> None:
        """Remove a consumed segment."""
        trail.path.unlink(missing_ok=True)
        del self._trails[trail.number]

    def _numbers(self) -> list[int]:
        names = [one.name for one in self.path.iterdir() if one.suffix == SUFFIX]
        return sorted(int(name[: -len(SUFFIX)]) for name in names if name[0].isdecimal())

    def _taken(self, found: Found, trail: Trail) -> Iterator[Item]:
        """What one stretch gives. Before the ledger's offset only what later records need."""
        held = found.end <= self._held.get(trail.number, 0)
        if found.content is None:
            if not held:
                yield _damage(trail, found)
            return
        try:
            record = decode(found.content)
        except (msgspec.DecodeError, ValueError) as bad:
            if not held:
                why = f"a record at offset {found.start} cannot be read: {bad}"
                yield Skip(file=trail.label, reason=why)
            return
        match record:
            case Define():
                trail.blocks[record.number] = record.block()
            case Begun():
                self._begin(record, trail)
            case Held() if record.key in self._open:
                self._holding[record.key] = record
            case Ended():
                self.places[record.key] = f"{trail.label}, offset {found.start}"
                yield from self._end(record, held=held)
            case Lost() if not held:
                why = f"{record.calls} calls were not recorded: {record.why}"
                yield Skip(file=trail.label, reason=why)
            case Opened() if not held:
                yield from self._check(record, trail)
            case _:
                pass

    def _check(self, opened: Opened, trail: Trail) -> Iterator[Item]:
        before = self._trails.get(trail.number - 1)
        if before is None or opened.before_bytes is None:
            return
        missing = opened.before_bytes - before.path.stat().st_size
        if missing > 0:
            yield Skip(file=before.label, reason=f"{missing} bytes are missing at its end")

    def _begin(self, begun: Begun, trail: Trail) -> None:
        key = begun.call.key
        if key in self._recent or key in self._earlier or key in self._open:
            return
        blocks = None
        if begun.blocks is not None:
            blocks = tuple(
                trail.blocks.get(number) or _unseen(trail, number) for number in begun.blocks
            )
        self._open[key] = (replace(begun.call, blocks=blocks), trail)
        trail.open += 1
        if len(self._open) > MOST_OPEN:
            call, oldest = self._open.pop(next(iter(self._open)))
            self._holding.pop(call.key, None)
            oldest.open -= 1

    def _end(self, ended: Ended, *, held: bool) -> Iterator[Item]:
        if ended.key in self._recent or ended.key in self._earlier:
            return
        if len(self._recent) >= MOST_RECENT:
            self._earlier, self._recent = self._recent, set()
        self._recent.add(ended.key)
        call, trail = self._open.pop(ended.key, (None, None))
        self._holding.pop(ended.key, None)
        if trail is not None:
            trail.open -= 1
        if held:
            return
        if call is None:
            number = id_of(ended.key)
            call = Call(key=ended.key, at=None if number is None else time_of(number))
        yield Entry(
            call=call,
            attempts=ended.attempts,
            answer=ended.answer,
            tool_outcomes=ended.tool_outcomes,
            decisions=ended.decisions,
        )


def _weight(item: Item) -> int:
    """As how many entries it counts."""
    blocks = item.call.blocks if isinstance(item, Entry) else None
    return 1 if blocks is None else 1 + len(blocks) // HEAVY_BLOCKS


def _left(call: Call, held: Held | None) -> Entry:
    """A call that never ended: it may have been paid, so it is shown."""
    attempt = Attempt(provider=call.provider, model=call.model, unpriced_reason=LEFT)
    counts = () if held is None else (counted_as_held(held.nano, held.tokens),)
    return Entry(call=call, attempts=(attempt,), answer=Answer(status="left"), decisions=counts)


def _unseen(trail: Trail, number: int) -> Block:
    """A block whose definition is lost."""
    digest = digest_of(f"{trail.label}/{number}")
    return Block(role=Role.USER, kind=Kind.UNSEEN, digest=digest, tokens=0)


def _damage(trail: Trail, found: Found) -> Skip:
    size = found.end - found.start
    return Skip(
        file=trail.label,
        reason=f"{size} bytes at offset {found.start} are damaged, or not written to their end",
    )


def remove(folder: Path, trails: Iterable[Trail]) -> None:
    """Remove a finished journal."""
    for trail in trails:
        trail.path.unlink(missing_ok=True)
    for one in folder.iterdir():
        one.unlink()
    folder.rmdir()
