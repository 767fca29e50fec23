"""Pieces of a prompt that were read before, known by their hash.

Agents resend their whole history with every call, so nearly every message was seen a moment ago. A
piece is found by a hash of its raw bytes together with where it stands and for whom; what is kept
are its blocks (digests and sizes), never its text. The hash is Python's own, keyed per process: do
not fix PYTHONHASHSEED where callers are not trusted.

What depends on other pieces is kept with what it was read under: a tool's result takes its tool's
name from an earlier call, so a piece is used again only while those names are the same.
"""

from __future__ import annotations

import msgspec

from bursar.model.block import Block
from bursar.model.entry import ToolOutcome

Key = tuple[int, int, int, int]
"""Whose and which field, the place in it, hash and size of the raw piece."""


LETTERS = 256
"""Letters of names and ids that count as much as one block."""


class Piece(msgspec.Struct, frozen=True, gc=False):
    """What one piece of a body gives."""

    blocks: tuple[Block, ...]
    outcomes: tuple[ToolOutcome, ...] = ()
    adds: dict[str, str] | None = None
    """Tool names by the ids of the tool uses in it."""
    wants: tuple[str, ...] = ()
    """Ids whose names it took from earlier pieces..."""
    given: tuple[str | None, ...] = ()
    """...and the names that it got."""


class Pieces:
    """A bounded cache in two generations.

    When the young one is full it becomes the old one, and what the old one held that nobody asked
    for meanwhile is forgotten. Size is counted in blocks and pieces.
    """

    __slots__ = ("_half", "_old", "_size", "_young")

    def __init__(self, most: int) -> None:
        self._half = max(1, most // 2)
        self._young: dict[Key, Piece] = {}
        self._old: dict[Key, Piece] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    @property
    def young(self) -> dict[Key, Piece]:
        """Where to look first. A miss goes on with `again`."""
        return self._young

    def again(self, key: Key) -> Piece | None:
        """A piece of the old generation, made young, or None."""
        found = self._old.get(key)
        if found is not None:
            self.keep(key, found)
        return found

    def keep(self, key: Key, piece: Piece) -> None:
        """Remember a piece, unless it is as large as all that may be remembered."""
        size = _size(piece)
        if size > self._half:
            return
        if self._size + size > self._half:
            self._old, self._young, self._size = self._young, {}, 0
        self._young[key] = piece
        self._size += size


def _size(piece: Piece) -> int:
    """In pieces and blocks; names and ids, which callers choose, count by their length."""
    blocks = piece.blocks
    letters = sum([len(block.name) for block in blocks if block.name is not None])
    letters += sum(map(len, piece.wants))
    for one in piece.outcomes:
        letters += len(one.id or "") + len(one.tool or "")
    if piece.adds is not None:
        letters += sum([len(use) + len(name) for use, name in piece.adds.items()])
    return 1 + len(blocks) + letters // LETTERS


class Heard(dict[str, str]):
    """Tool names as one piece meets them: its own, and those it takes from earlier pieces."""

    __slots__ = ("before", "wants")

    def __init__(self, before: dict[str, str]) -> None:
        self.before = before
        self.wants: dict[str, str | None] | None = None

    def get(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, key: str, default: str | None = None
    ) -> str | None:
        if key in self:
            return self[key]
        if self.wants is None:
            self.wants = {}
        found = self.wants[key] = self.before.get(key)
        return default if found is None else found
