"""What of a conversation may go, and what must stay whatever is saved.

A conversation is a head (tools, system prompt, everything up to the first answer) and turns: what
the model said, with all that was said to it then. Whole turns go, so that roles still alternate and
no tool use is left without its result. These never go: system prompts, the head with the first
instruction, turns whose tool uses and results do not match, the turn of the last tool result, the
turn of the plan (the last text of the model before its newest tool calls), and everything from the
turn on to which the last instruction was given.

Shapes are turns again: so many dropped, so many thinned. A shape says the same of every longer
conversation, which is what keeps the provider's cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple, Protocol

from bursar.model.block import Block, Kind, Role

GONE = -1
"""Stands for the tokens of a block that goes."""
FULL, SHORT, BARE, DROPPED = range(4)
"""Levels of a turn: whole; results short; images and reasoning gone too; nothing left."""


class Thin(Protocol):
    """What becomes of blocks of old turns."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is ever thinned."""
        ...

    def tokens(self, block: Block) -> int | None:
        """Of the block once it is thinned; None: it stays as it is; GONE: it goes."""
        ...

    def is_thought(self, block: Block) -> bool:
        """Whether a text of the model is reasoning; False also where nobody knows."""
        ...

    def short(self, block: Block) -> Block:
        """A tool result cut short."""
        ...


class Shape(NamedTuple):
    """What is left out of a conversation."""

    drop: int = 0
    """Turns before this one are dropped..."""
    pinned: tuple[int, ...] = ()
    """...but for these."""
    thin: int = 0
    """Results in turns before this one are cut short."""
    strip: int = 0
    """Images and reasoning go from turns before this one."""
    spared: int = -1
    """This turn is whole if it is not dropped: the one of the last tool result."""
    tools: frozenset[str] = frozenset()
    """Names of specifications that are left out."""

    def level(self, turn: int) -> int:
        if turn < self.drop and turn not in self.pinned:
            return DROPPED
        if turn == self.spared:
            return FULL
        return BARE if turn < self.strip else SHORT if turn < self.thin else FULL


WHOLE = Shape()


class Script:
    """One prompt as a head and turns, with sums that make every shape cheap to weigh."""

    def __init__(self, blocks: Sequence[Block], starts: list[int], thin: Thin) -> None:
        self.blocks = blocks
        self._thin = thin
        self.starts = starts
        """Where each turn begins. The head ends at the first of them."""
        self.count = len(self.starts)
        self._facts()

    def _facts(self) -> None:
        sums: list[list[int]] = [[], [], [], []]
        self.held: list[bool] = []
        """Turns that may never be dropped."""
        self.used: list[frozenset[str]] = []
        """Names of the tools that were used up to each turn."""
        self._said: list[int] = []
        self._asked: list[int] = []
        self._plans: dict[int, int] = {}
        self._result: list[int] = []
        said, asked, result = -1, -1, -1
        used = frozenset[str]()
        for turn in range(self.count):
            begin, end = self._span(turn)
            part = self.blocks[begin:end]
            uses = [one for one in part if _is_use(one)]
            results = [one for one in part if one.role is Role.TOOL]
            if uses:
                asked = turn
            if results:
                result = turn
            if any(one.role is Role.USER for one in part):
                said = turn
            self._said.append(said)
            self._asked.append(asked)
            self._result.append(result)
            used = used.union(one.name or "" for one in uses) if uses else used
            self.used.append(used)
            self.held.append(len(uses) != len(results) or _has_gap(self.blocks, begin, end))
            for level, total in enumerate(_sizes(part, self._thin)):
                sums[level].append(total)
        self._sums = [[0, *accumulate(one)] for one in sums]
        self._head = self.starts[0] if self.starts else len(self.blocks)
        self.head_tokens = sum(one.tokens or 0 for one in self.blocks[: self._head])
        self.tools = {
            one.name or "": one.tokens or 0
            for one in self.blocks[: self._head]
            if one.role is Role.TOOL_SPEC
        }
        self.opening_tokens = self._opening()

    def _span(self, turn: int) -> tuple[int, int]:
        """Where the turn begins and ends."""
        following = turn + 1
        end = self.starts[following] if following < self.count else len(self.blocks)
        return self.starts[turn], end

    def _opening(self) -> int:
        found = 0
        for one in self.blocks:
            if one.role not in (Role.TOOL_SPEC, Role.SYSTEM):
                break
            found += one.tokens or 0
        return found

    def droppable(self, turns: int, keep: int) -> int:
        """Of a prompt of so many turns: before which one turns may be dropped."""
        if not turns:
            return 0
        return max(0, min(turns - keep, self._said[turns - 1]))

    def pinned(self, turns: int, drop: int) -> tuple[int, ...]:
        """Turns before `drop` that stay."""
        if not drop:
            return ()
        kept = {self._plan(self._asked[turns - 1]), self._result[turns - 1]}
        return tuple(turn for turn in range(drop) if self.held[turn] or turn in kept)

    def _plan(self, asked: int) -> int:
        """The last turn with a text of the model, up to its newest tool calls; -1: there is none.

        Of earlier calls that had to look further back, the answer is known.
        """
        turn = asked
        while turn >= 0 and turn not in self._plans:
            begin, end = self._span(turn)
            if any(
                one.role is Role.ASSISTANT and not one.name and not self._thin.is_thought(one)
                for one in self.blocks[begin:end]
            ):
                self._plans[turn] = turn
                break
            turn -= 1
        found = self._plans.get(turn, -1)
        for one in range(max(0, turn), asked + 1):
            self._plans[one] = found
        return found

    def used_by(self, turns: int) -> frozenset[str]:
        """Tools that were used in the first so many turns."""
        return self.used[turns - 1] if turns else frozenset()

    def last_result(self, turns: int) -> int:
        """The turn of the last tool result; -1: there is none."""
        return self._result[turns - 1] if turns else -1

    def told(self, turns: int) -> int:
        """The turn to which the last instruction was given; -1: only the head has one."""
        return self._said[turns - 1] if turns else -1

    def tokens(self, shape: Shape, turns: int) -> int:
        """Of the prompt of so many turns, in that shape."""
        whole, short, bare, gone = self._sums
        strip, thin = min(shape.strip, turns), min(shape.thin, turns)
        drop = min(shape.drop, turns)
        strip, thin = max(strip, drop), max(thin, strip, drop)
        found = self.head_tokens - sum(self.tools.get(name, 0) for name in shape.tools)
        found += gone[drop] + bare[strip] - bare[drop]
        found += short[thin] - short[strip] + whole[turns] - whole[thin]
        for turn in shape.pinned:
            if turn >= turns:
                break
            left = self._sums[shape.level(turn)]
            found += left[turn + 1] - left[turn] - gone[turn + 1] + gone[turn]
        if drop <= shape.spared < thin:
            turn = shape.spared
            left = bare if turn < strip else short
            found += whole[turn + 1] - whole[turn] - left[turn + 1] + left[turn]
        return found

    def common(self, one: Shape, other: Shape, turns: int) -> tuple[int, int]:
        """Tokens at the beginning that are alike in both shapes, and the first turn that is not."""
        if one.tools != other.tools:
            return 0, 0
        for turn in range(turns):
            was, now = one.level(turn), other.level(turn)
            if was != now and self._size(turn, was) != self._size(turn, now):
                return self.tokens(one, turn), turn
        return self.tokens(one, turns), turns

    def blocks_from(self, first: int, shape: Shape, turns: int) -> int:
        """How many blocks the prompt has, in that shape, from a turn on. At most, that is."""
        left = (turn for turn in range(first, turns) if shape.level(turn) != DROPPED)
        return sum(end - begin for begin, end in map(self._span, left))

    def kept(self, shape: Shape, thin: Thin) -> tuple[Block, ...]:
        """The blocks of the prompt in that shape."""
        blocks = self.blocks
        found = [
            one
            for one in blocks[: self._head]
            if one.role is not Role.TOOL_SPEC or one.name not in shape.tools
        ]
        last = max(shape.drop, shape.thin, shape.strip)
        for turn in range(min(last, self.count)):
            begin, end = self._span(turn)
            part = blocks[begin:end]
            level = shape.level(turn)
            if level == DROPPED:
                found += [one for one in part if one.role is Role.SYSTEM]
                continue
            cut = shortened(part, thin) if level >= SHORT else {}
            lost = stripped(part, thin) if level >= BARE else frozenset[int]()
            found += [
                thin.short(one) if n in cut else one for n, one in enumerate(part) if n not in lost
            ]
        rest = self.starts[last] if last < self.count else len(blocks)
        return (*found, *blocks[rest:])

    def _size(self, turn: int, level: int) -> int:
        sums = self._sums[level]
        return sums[turn + 1] - sums[turn]


def _is_use(block: Block) -> bool:
    return block.role is Role.ASSISTANT and block.name is not None


def turn_starts(blocks: Sequence[Block]) -> list[int]:
    """Turns begin where the model begins to speak, once somebody has told it something."""
    found: list[int] = []
    is_told = False
    before: Role | None = None
    for place, block in enumerate(blocks):
        if block.role is Role.ASSISTANT and before is not Role.ASSISTANT:
            is_new = not place or block.path is None or block.path != blocks[place - 1].path
            if is_told and is_new:
                found.append(place)
        is_told = is_told or block.role is Role.USER
        before = block.role
    return found


def _has_gap(blocks: Sequence[Block], begin: int, end: int) -> bool:
    """Whether a message without any block stands before or in the turn: nobody could drop it."""
    places = [_place(one) for one in blocks[max(0, begin - 1) : end]]
    return any(
        was is not None and now is not None and was[0] == now[0] and now[1] - was[1] > 1
        for was, now in pairwise(places)
    )


def _place(block: Block) -> tuple[str, int] | None:
    """List and place in it, of a block's message."""
    name, _, place = (block.path or "").rpartition("/")
    return (name, int(place)) if place.isdecimal() else None


def _sizes(part: Sequence[Block], thin: Thin) -> tuple[int, int, int, int]:
    """Tokens of a turn by level."""
    whole = sum(one.tokens or 0 for one in part)
    gone = sum(one.tokens or 0 for one in part if one.role is Role.SYSTEM)
    if thin.is_idle:
        return whole, whole, whole, gone
    cut = sum((part[at].tokens or 0) - left for at, left in shortened(part, thin).items())
    lost = sum(part[at].tokens or 0 for at in stripped(part, thin))
    return whole, whole - cut, whole - cut - lost, gone


def shortened(part: Sequence[Block], thin: Thin) -> dict[int, int]:
    """Places of tool results in a turn that can be cut short -> tokens that are left.

    Results of tools that the provider ran itself stand in the model's own message: they stay.
    """
    found: dict[int, int] = {}
    own = {one.path for one in part if one.role is Role.ASSISTANT and one.path is not None}
    for place, one in enumerate(part):
        if one.role is Role.TOOL and one.kind is Kind.TOOL_RESULT and one.path not in own:
            left = thin.tokens(one)
            if left is not None and 0 <= left < (one.tokens or 0):
                found[place] = left
    return found


def stripped(part: Sequence[Block], thin: Thin) -> frozenset[int]:
    """Places of images and reasoning that can go: each of their messages keeps another block, and
    has no result that is cut short, for a message is either made shorter or changed."""
    speaking = (Role.USER, Role.ASSISTANT)
    found = [n for n, one in enumerate(part) if one.role in speaking and thin.tokens(one) == GONE]
    if not found:
        return frozenset()
    kept = {one.path for n, one in enumerate(part) if n not in found}
    kept -= {part[n].path for n in shortened(part, thin)}
    return frozenset(n for n in found if part[n].path in kept)
