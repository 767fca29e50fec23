"""Follows the prompt of one session and prices every block in every call that carries it.

A provider bills a prompt as ranges: first what it read from its cache, then what it wrote there,
then the plain rest. Laid over the blocks in their order, that gives each block its share. A
session of n calls holds O(n) blocks and O(n^2) block-sends, so a send is never visited block by
block: kinds come from running sums, and a block's life comes from difference arrays that are
folded when a part of the path ends. Shares of a call are exact integers that add up to its cost;
a session's blocks add up to its calls, kind by kind and bucket by bucket.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from bursar.model.block import Block, Kind
from bursar.model.money import apportion

KINDS = tuple(Kind)
KIND_NUMBER = {kind: number for number, kind in enumerate(KINDS)}
OUTPUT = KIND_NUMBER[Kind.OUTPUT]
UNSEEN = KIND_NUMBER[Kind.UNSEEN]
BUCKETS = ("fresh", "written", "read", "carried")
"""A block's dollars: sent first at the plain rate, written to the cache, read from it, sent again
at the plain rate."""
FRESH, WRITTEN, READ, CARRIED = range(4)
MASK = 2**63 - 1


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt's prompt was billed as. Token counts, and their cost in pico."""

    read_tokens: int = 0
    written_tokens: int = 0
    plain_tokens: int = 0
    read_pico: int = 0
    written_pico: int = 0
    plain_pico: int = 0
    answer_tokens: int = 0
    answer_pico: int = 0
    """Output, reasoning and every further unit."""
    cost_nano: int | None = None
    """The attempt's cost. None: unpriced; then only tokens are shared out."""

    @property
    def prompt_tokens(self) -> int:
        return self.read_tokens + self.written_tokens + self.plain_tokens


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The share of one kind in one attempt."""

    kind: Kind
    tokens: int
    carried_tokens: int
    fresh_nano: int | None
    """Of blocks that this session sends for the first time."""
    carried_nano: int | None
    """Of blocks that an earlier call of the session had sent."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What following one call gives."""

    parts: tuple[Part, ...]
    prompt_digest: int
    repeated_tokens: int
    """Prompt tokens that the session's previous call had sent in the same order."""
    place: int
    """Position in the order in which the session's calls were followed, from 0."""
    kept: int
    """How many blocks of the previous prompt start this one..."""
    added: tuple[int, ...]
    """... and the numbers of the session's blocks that come after them."""


class Life(msgspec.Struct, kw_only=True):
    """One block of the session, and what it has cost so far."""

    block: Block
    nth: int
    tokens: int
    first_step: int
    carries: int = 0
    weight: list[float] = msgspec.field(default_factory=lambda: [0.0] * 4)
    nano: list[int] = msgspec.field(default_factory=lambda: [0] * 4)
    kind: int = -1  # its number, since an enum is slow to hash

    def __post_init__(self) -> None:
        self.kind = KIND_NUMBER[self.block.kind]


class SessionBlocks:
    """The blocks of one session, in the order in which its latest call sent them."""

    def __init__(self) -> None:
        self.lives: list[Life] = []
        self.path: list[int] = []
        """Block numbers of the latest prompt."""
        self.asked = 0
        """Calls of the session; the step of the next one."""
        self.sends = 0
        """Attempts followed; a retried call is sent more than once."""
        self._digests: list[int] = []
        self._chain: list[int] = [0]
        self._sum: list[int] = [0]
        self._kind_sums: dict[int, list[int]] = {}  # of the kinds that the session has
        self._number: dict[tuple[int, int], int] = {}
        self._sent: set[int] = set()
        self._times: dict[int, int] = {}
        self._slopes: list[list[float]] = [[0.0] for _ in BUCKETS]
        self._carried: list[int] = [0]
        self._unfolded: list[list[int]] = [[0] * 4 for _ in KINDS]

    def restore(self, lives: Sequence[Life], path: Sequence[int], sends: int, asked: int) -> None:
        """Take up a session where the ledger left it."""
        self.lives = list(lives)
        self.sends, self.asked = sends, asked
        self._number = {(one.block.digest, one.nth): n for n, one in enumerate(self.lives)}
        self._sent = set(range(len(self.lives)))
        for number in path:
            self._push(number)

    def reset(self, lives: Sequence[Life]) -> None:
        """The same blocks, before any call was sent: for following all calls again."""
        self.lives = [
            Life(block=one.block, nth=one.nth, tokens=one.tokens, first_step=one.first_step)
            for one in lives
        ]

    def send(self, blocks: Sequence[Block], kept: int | None, charge: Charge, step: int) -> Sent:
        """Follow one call: its prompt, and what each kind of it cost.

        `blocks`, `kept`: as in `Call`. The call's own share of every block is booked at once,
        and folded into the blocks when `fold` is called.
        """
        same = self._same(blocks, kept)
        self._cut(same)
        self._extend(blocks[same:] if kept is None else blocks, charge, step)
        return self._book(same, charge)

    def resend(self, kept: int, added: Sequence[int], charge: Charge) -> Sent:
        """Follow a call again, from what an earlier `send` gave: the same parts at other prices."""
        self._cut(kept)
        for number in added:
            self._push(number)
        return self._book(kept, charge)

    def _book(self, same: int, charge: Charge) -> Sent:
        repeated, whole, billed = self._sum[same], self._sum[-1], charge.prompt_tokens
        added = self.path[same:]
        known = [number in self._sent for number in added]
        self._sent.update(added)
        self.sends += 1
        return Sent(
            parts=self._share(self._runs(same, known), charge),
            prompt_digest=self._chain[-1],
            repeated_tokens=repeated * billed // whole if whole and billed else repeated,
            place=self.sends - 1,
            kept=same,
            added=tuple(added),
        )

    def pass_by(self, blocks: Sequence[Block], kept: int | None) -> None:
        """Follow a call that the ledger holds already: the path moves, nothing is booked."""
        same = self._same(blocks, kept)
        self._cut(same)
        self._extend(blocks[same:] if kept is None else blocks, Charge(), self.asked)
        self._sent.update(self.path[same:])

    def kept_tokens(self, kept: int | None) -> int:
        """Tokens of the first `kept` blocks of the latest prompt."""
        return 0 if kept is None else self._sum[min(kept, len(self.path))]

    def fold(self) -> list[Life]:
        """Book everything that is still open into the blocks, and give all of them."""
        self._settle(0)
        self._slopes = [[0.0] * (len(self.path) + 1) for _ in BUCKETS]
        self._carried = [0] * (len(self.path) + 1)
        self._spread()
        return self.lives

    # -- the path

    def _same(self, blocks: Sequence[Block], kept: int | None) -> int:
        """How many blocks of the previous prompt start this one."""
        if kept is not None:
            return min(kept, len(self.path))
        digests = [block.digest for block in blocks]
        longest = min(len(digests), len(self._digests))
        if digests[:longest] == self._digests[:longest]:
            return longest
        for place in range(longest):
            if digests[place] != self._digests[place]:
                return place
        return longest

    def _push(self, number: int) -> None:
        one = self.lives[number]
        digest = one.block.digest
        self.path.append(number)
        self._digests.append(digest)
        self._times[digest] = self._times.get(digest, 0) + 1
        self._chain.append(((self._chain[-1] ^ digest) * 0x9E3779B97F4A7C15 + 1) & MASK)
        self._sum.append(self._sum[-1] + one.tokens)
        place = one.kind
        if place not in self._kind_sums:
            self._kind_sums[place] = [0] * (len(self._sum) - 1)
        for kind, sums in self._kind_sums.items():
            sums.append(sums[-1] + one.tokens if kind == place else sums[-1])
        for slope in self._slopes:
            slope.append(0.0)
        self._carried.append(0)

    def _cut(self, length: int) -> None:
        """Forget the path beyond `length`, after booking what it has cost."""
        if length >= len(self.path):
            return
        self._settle(length)
        for number in self.path[length:]:
            self._times[self.lives[number].block.digest] -= 1
        del self.path[length:]
        del self._digests[length:]
        del self._chain[length + 1 :]
        del self._sum[length + 1 :]
        for sums in self._kind_sums.values():
            del sums[length + 1 :]
        for slope in self._slopes:
            del slope[length:]
            slope.append(-sum(slope))
        del self._carried[length:]
        self._carried.append(-sum(self._carried))

    def _extend(self, blocks: Sequence[Block], charge: Charge, step: int) -> None:
        """Put blocks on the path; those that the session never sent become new ones."""
        for place, block in enumerate(blocks):
            nth = self._times.get(block.digest, 0)
            number = self._number.get((block.digest, nth))
            if number is None:
                tokens = block.tokens
                if tokens is None:
                    rest = sum(later.tokens or 0 for later in blocks[place + 1 :])
                    tokens = max(0, charge.prompt_tokens - self._sum[-1] - rest)
                number = len(self.lives)
                self.lives.append(Life(block=block, nth=nth, tokens=tokens, first_step=step))
                self._number[block.digest, nth] = number
            self._push(number)

    def _runs(self, same: int, known: list[bool]) -> list[tuple[int, int, bool]]:
        """(start, end, sent before) of the path, as few runs as there are."""
        runs: list[tuple[int, int, bool]] = [(0, same, True)] if same else []
        for place, before in enumerate(known, start=same):
            if runs and runs[-1][2] == before:
                runs[-1] = (runs[-1][0], place + 1, before)
            else:
                runs.append((place, place + 1, before))
        return runs

    # -- the money

    def _share(self, runs: list[tuple[int, int, bool]], charge: Charge) -> tuple[Part, ...]:
        whole = self._sum[-1]
        weights: dict[tuple[int, int, bool], float] = {}
        tokens: dict[tuple[int, bool], float] = {}
        billed = charge.prompt_tokens
        for start, end, before in runs:
            self._carried[start] += before
            self._carried[end] -= before
        for low, high, pico, bucket in _ranges(charge, whole):
            density = pico / (high - low)
            for start, end, before in runs:
                a, b = max(low, self._sum[start]), min(high, self._sum[end])
                if a >= b:
                    continue
                spot = CARRIED if before and bucket == FRESH else bucket
                self._slope(a, b, density, spot)
                for kind, amount in self._kinds_between(a, b):
                    key = (kind, spot, before)
                    weights[key] = weights.get(key, 0.0) + amount * density
                    tokens[kind, before] = tokens.get((kind, before), 0.0) + amount
        if billed and not tokens:
            tokens[UNSEEN, False] = 1.0
            weights[UNSEEN, FRESH, False] = float(
                charge.read_pico + charge.written_pico + charge.plain_pico
            )
        weights[OUTPUT, FRESH, False] = float(charge.answer_pico)
        return self._parts(weights, tokens, billed or whole, charge)

    def _parts(
        self,
        weights: dict[tuple[int, int, bool], float],
        tokens: dict[tuple[int, bool], float],
        billed: int,
        charge: Charge,
    ) -> tuple[Part, ...]:
        """Exact integers: tokens add up to the prompt, nanos to the cost."""
        counts = dict(zip(tokens, apportion(billed, list(tokens.values())), strict=True))
        costs: dict[tuple[int, bool], int] = {}
        if charge.cost_nano is not None:
            shares = apportion(charge.cost_nano, list(weights.values()))
            for (kind, bucket, before), nano in zip(weights, shares, strict=True):
                costs[kind, before] = costs.get((kind, before), 0) + nano
                if kind != OUTPUT and self.path:
                    self._unfolded[kind][bucket] += nano
        counts[OUTPUT, False] = charge.answer_tokens
        found: list[Part] = []
        for kind in sorted({kind for kind, _ in counts} | {kind for kind, _ in costs}):
            fresh, carried = counts.get((kind, False), 0), counts.get((kind, True), 0)
            priced = charge.cost_nano is not None
            found.append(
                Part(
                    kind=KINDS[kind],
                    tokens=fresh + carried,
                    carried_tokens=carried,
                    fresh_nano=costs.get((kind, False), 0) if priced else None,
                    carried_nano=costs.get((kind, True), 0) if priced else None,
                )
            )
        return tuple(found)

    def _kinds_between(self, low: float, high: float) -> list[tuple[int, float]]:
        """Tokens of each kind between two places of the prompt."""
        sums = self._sum
        first = min(bisect_right(sums, low), len(sums) - 1) - 1
        last = min(bisect_right(sums, high), len(sums) - 1) - 1
        head, tail = low - sums[first], high - sums[last]
        head_kind = self.lives[self.path[first]].kind
        tail_kind = self.lives[self.path[last]].kind
        found: list[tuple[int, float]] = []
        for kind, kind_sums in self._kind_sums.items():
            amount: float = kind_sums[last] - kind_sums[first]
            if kind == head_kind:
                amount -= head
            if kind == tail_kind:
                amount += tail
            if amount > 0:
                found.append((kind, amount))
        return found

    def _slope(self, low: float, high: float, density: float, bucket: int) -> None:
        """Book `density` pico per token on the blocks between two places."""
        sums, slope = self._sum, self._slopes[bucket]
        first = min(bisect_right(sums, low), len(sums) - 1) - 1
        last = min(bisect_right(sums, high), len(sums) - 1) - 1
        slope[first] += density
        slope[last] -= density
        self.lives[self.path[first]].weight[bucket] -= density * (low - sums[first])
        self.lives[self.path[last]].weight[bucket] += density * (high - sums[last])

    def _settle(self, length: int) -> None:
        """Move what the path beyond `length` has collected into its blocks."""
        for bucket, slope in enumerate(self._slopes):
            density = sum(slope[:length])
            for place in range(length, len(self.path)):
                density += slope[place]
                one = self.lives[self.path[place]]
                one.weight[bucket] += density * one.tokens
        sends = sum(self._carried[:length])
        for place in range(length, len(self.path)):
            sends += self._carried[place]
            self.lives[self.path[place]].carries += sends

    def _spread(self) -> None:
        """Turn collected weights into exact nanos, kind by kind and bucket by bucket."""
        for kind, buckets in enumerate(self._unfolded):
            mine = [one for one in self.lives if one.kind == kind]
            for bucket, nano in enumerate(buckets):
                if nano and mine:
                    weights = [max(0.0, one.weight[bucket]) for one in mine]
                    for one, share in zip(mine, apportion(nano, weights), strict=True):
                        one.nano[bucket] += share
        for one in self.lives:
            one.weight = [0.0] * 4
        self._unfolded = [[0] * 4 for _ in KINDS]


def _ranges(charge: Charge, whole: int) -> list[tuple[float, float, int, int]]:
    """(low, high, cost in pico, bucket) of the billed ranges, on the scale of the blocks."""
    billed = charge.prompt_tokens
    if not whole:
        return []
    if not billed:
        return [(0.0, float(whole), 0, FRESH)]
    scale = whole / billed
    found: list[tuple[float, float, int, int]] = []
    low, counted = 0.0, 0
    for tokens, pico, bucket in (
        (charge.read_tokens, charge.read_pico, READ),
        (charge.written_tokens, charge.written_pico, WRITTEN),
        (charge.plain_tokens, charge.plain_pico, FRESH),
    ):
        if tokens:
            counted += tokens
            high = float(whole) if counted == billed else counted * scale
            if high > low:
                found.append((low, high, pico, bucket))
            low = high
    return found
