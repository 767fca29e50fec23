"""Turns records into frames of the segment that is open, and says when the next one is due.

A block is defined before the first call that names it, and once in a segment: so frames go to the
file in the order in which they were made.
"""

from __future__ import annotations

import time
from pathlib import Path

from msgspec.structs import replace

from bursar.ledger.journal.frames import frame
from bursar.ledger.journal.records import Begun, Record, alike, defined, encode
from bursar.ledger.journal.rules import Rules, Tally
from bursar.ledger.journal.segment import Folder, Segment
from bursar.model.block import Block
from bursar.model.call import Call

MOST_DEFINED = 20_000
"""Definitions in a segment; the next one starts with none."""


class Framer:
    """The frames of one journal that wait to be written."""

    def __init__(self, home: Path, node: str, rules: Rules, tally: Tally) -> None:
        self.frames: list[bytes] = []
        self.made = 0
        """Frames so far, written or not."""
        self.waiting_bytes = 0
        """Bytes that are framed and not yet written; whoever writes them takes them off."""
        self._home = home
        self._node = node
        self._rules = rules
        self._tally = tally
        self._folder: Folder | None = None
        self._segment: Segment | None = None
        self._numbers = 0
        self._before_bytes: int | None = None

    def add_begun(self, call: Call) -> None:
        """The beginning of a call, and the blocks of its prompt that are new."""
        segment = self._segment or self._next_segment()
        numbers = None
        if call.blocks is not None and not self._sheds():
            known, places = segment.known, list[int]()
            for block in call.blocks:
                held = known.get(block.digest)
                if held is not None and (held[0] is block or alike(held[0], block)):
                    places.append(held[1])
                else:
                    places.append(self._define(segment, block))
            numbers = tuple(places)
        self.add(Begun(replace(call, blocks=None), numbers))

    def add(self, record: Record) -> None:
        segment = self._segment or self._next_segment()
        framed = frame(encode(record), segment.seed)
        self.frames.append(framed)
        self.made += 1
        self.waiting_bytes += len(framed)

    def take(self) -> tuple[Segment, bytes]:
        """What waits, and where it belongs."""
        segment = self._segment or self._next_segment()
        raw = b"".join(self.frames)
        self.frames = []
        segment.size_bytes += len(raw)
        return segment, raw

    def put_back(self, raw: bytes, written_bytes: int) -> None:
        """Of what was taken last only the beginning could be written."""
        assert self._segment is not None
        self.frames.insert(0, raw[written_bytes:])
        self._segment.size_bytes -= len(raw) - written_bytes
        self.waiting_bytes -= written_bytes

    def turns_over(self, now_s: float) -> bool:
        """Whether what was taken last ends its segment; the next frame then begins another."""
        segment, rules = self._segment, self._rules
        if segment is None:
            return False
        if not (
            segment.size_bytes >= rules.segment_bytes
            or segment.defined >= MOST_DEFINED
            or now_s - segment.born_s >= rules.segment_s
        ):
            return False
        self._before_bytes, self._segment = segment.size_bytes, None
        return True

    def begin_again(self) -> None:
        """Nobody knows what the disk has of the open segment: the next frame begins another."""
        self.frames = []
        self.waiting_bytes = 0
        if self._segment is not None:
            self._segment.close()
        self._segment = self._before_bytes = None

    def close(self) -> None:
        """Leave the journal to its readers."""
        if self._segment is not None:
            self._segment.close()
        if self._folder is not None:
            self._folder.leave()
        self._segment = self._folder = None

    def _sheds(self) -> bool:
        if self._rules.full != "shed_blocks" or self.waiting_bytes <= self._rules.buffer_bytes:
            return False
        self._tally.shed_calls += 1
        return True

    def _define(self, segment: Segment, block: Block) -> int:
        number = segment.defined
        segment.defined += 1
        segment.known[block.digest] = (block, number)
        self.add(defined(number, block))
        return number

    def _next_segment(self) -> Segment:
        if self._folder is None:
            self._folder = Folder(self._home, self._node)
        self._numbers += 1
        born_s = time.monotonic()
        self._segment = Segment(self._folder, self._numbers, self._before_bytes, born_s)
        self.frames.append(self._segment.head)
        self.waiting_bytes += len(self._segment.head)
        return self._segment
