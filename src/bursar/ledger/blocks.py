"""Follows the prompt of one session and prices every block in every call that carries it.

A provider bills a prompt as ranges: first what it read from its cache, then what it wrote there,
then the plain rest. Laid over the blocks in their order, that gives each block its share. A
session of n calls holds O(n) blocks and O(n^2) block-sends, so a send is never visited block by
block: kinds come from running sums, and a block's life comes from difference arrays that are
folded when a part of the path ends. Shares of a call are exact integers that add up to its cost;
a session's blocks add up to its calls, kind by kind and bucket by bucket.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

import msgspec

from bursar.ledger.shares import (
    CARRIED,
    FRESH,
    KIND_NUMBER,
    Charge,
    Part,
    parts_of,
    ranges,
)
from bursar.model.block import Block
from bursar.model.money import apportion

GOLDEN = 0x9E3779B97F4A7C15
MASK = 2**63 - 1
Run = tuple[int, int, bool]
"""(start, end, sent before) of a stretch of the path."""


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


class Life(msgspec.Struct, kw_only=True, gc=False):
    """One block of the session, and what it has cost so far."""

    block: Block
    nth: int
    tokens: int
    first_step: int
    carries: int = 0
    nano: tuple[int, ...] = (0, 0, 0, 0)
    """By bucket."""


class SessionBlocks:
    """The blocks of one session, in the order in which its latest call sent them."""

    __slots__ = (
        *("lives", "path", "asked", "sends", "_digests", "_chain", "_sum", "_of_kind", "_number"),
        *("_times", "_sent", "_slopes", "_weights", "_carried", "_unfolded"),
    )

    def __init__(self) -> None:
        self.lives: list[Life] = []
        self.path: list[int] = []
        """Block numbers of the latest prompt."""
        self.asked = 0
        """Calls of the session; the step of the next one."""
        self.sends = 0
        """Attempts followed; a retried call is sent more than once."""
        self._digests: list[int] = []
        self._chain = array("q", (0,))
        self._sum: list[int] = [0]
        self._of_kind: dict[int, tuple[list[int], list[int]]] = {}
        """Of each kind that the session has: where its blocks stand, and their running sum."""
        self._number: dict[int | tuple[int, int], int] = {}
        """By digest; where a prompt has a block several times, by digest and which of them."""
        self._times: dict[int, int] = {}
        self._sent = 0  # blocks with a number below were sent before
        self._slopes: dict[int, list[float]] = {}  # of the buckets that were billed
        self._weights: dict[int, list[float]] = {}
        self._carried: list[int] = [0]
        self._unfolded: dict[int, int] = {}

    def restore(self, lives: Sequence[Life], path: Sequence[int], sends: int, asked: int) -> None:
        """Take up a session where the ledger left it."""
        self.lives = list(lives)
        self.sends, self.asked = sends, asked
        self._number = {_key(one.block.digest, one.nth): n for n, one in enumerate(self.lives)}
        self._sent = len(self.lives)
        self._return(path)

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
        self._return(added)
        return self._book(kept, charge)

    def pass_by(self, blocks: Sequence[Block], kept: int | None) -> None:
        """Follow a call that the ledger holds already: the path moves, nothing is booked."""
        same = self._same(blocks, kept)
        self._cut(same)
        self._extend(blocks[same:] if kept is None else blocks, Charge(), self.asked)
        self._sent = len(self.lives)

    def kept_tokens(self, kept: int | None) -> int:
        """Tokens of the first `kept` blocks of the latest prompt."""
        return 0 if kept is None else self._sum[min(kept, len(self.path))]

    def fold(self) -> list[Life]:
        """Book everything that is still open into the blocks, and give all of them."""
        self._settle(0)
        self._slopes.clear()
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
        for places, sums in self._of_kind.values():
            left = bisect_left(places, length)
            del places[left:], sums[left + 1 :]
        for slope in self._slopes.values():
            del slope[length:]
            slope.append(-sum(slope))
        del self._carried[length:]
        self._carried.append(-sum(self._carried))

    def _extend(self, blocks: Sequence[Block], charge: Charge, step: int) -> None:
        """Put blocks on the path; those that the session never sent become new ones."""
        lives, times, numbers = self.lives, self._times, self._number
        added: list[int] = []
        for place, block in enumerate(blocks):
            digest = block.digest
            nth = times.get(digest, 0)
            times[digest] = nth + 1
            key = (digest, nth) if nth else digest
            number = numbers.get(key)
            if number is None:
                tokens = block.tokens
                if tokens is None:
                    seen = self._sum[-1] + sum(lives[one].tokens for one in added)
                    rest = sum(later.tokens or 0 for later in blocks[place + 1 :])
                    tokens = max(0, charge.prompt_tokens - seen - rest)
                number = numbers[key] = len(lives)
                lives.append(Life(block=block, nth=nth, tokens=tokens, first_step=step))
            added.append(number)
        self._push(added)

    def _return(self, numbers: Sequence[int]) -> None:
        """Put blocks of the session on the path."""
        for number in numbers:
            digest = self.lives[number].block.digest
            self._times[digest] = self._times.get(digest, 0) + 1
        self._push(numbers)

    def _push(self, numbers: Sequence[int]) -> None:
        lives, of_kind = self.lives, self._of_kind
        digests, chain, sums = self._digests, self._chain, self._sum
        link, total = chain[-1], sums[-1]
        for place, number in enumerate(numbers, len(self.path)):
            one = lives[number]
            block, tokens = one.block, one.tokens
            digest, kind = block.digest, KIND_NUMBER[block.kind]
            link = ((link ^ digest) * GOLDEN + 1) & MASK
            total += tokens
            digests.append(digest)
            chain.append(link)
            sums.append(total)
            held = of_kind.get(kind)
            if held is None:
                held = of_kind[kind] = ([], [0])
            held[0].append(place)
            held[1].append(held[1][-1] + tokens)
        self.path.extend(numbers)
        self._carried.extend([0] * len(numbers))
        for slope in self._slopes.values():
            slope.extend([0.0] * len(numbers))
        for weights in self._weights.values():
            weights.extend([0.0] * (len(self.lives) - len(weights)))

    def _runs(self, same: int) -> list[Run]:
        """The path in as few runs as there are."""
        path = self.path
        runs: list[Run] = [(0, same, True)] if same else []
        for place in range(same, len(path)):
            before = path[place] < self._sent
            if runs and runs[-1][2] == before:
                runs[-1] = (runs[-1][0], place + 1, before)
            else:
                runs.append((place, place + 1, before))
        return runs

    # -- the money

    def _book(self, same: int, charge: Charge) -> Sent:
        repeated, whole, billed = self._sum[same], self._sum[-1], charge.prompt_tokens
        added = tuple(self.path[same:])
        parts, nanos = self._share(self._runs(same), charge)
        if self.path:
            for slot, nano in nanos.items():
                self._unfolded[slot] = self._unfolded.get(slot, 0) + nano
        self._sent = max(self._sent, max(added, default=-1) + 1)
        self.sends += 1
        return Sent(
            parts=parts,
            prompt_digest=self._chain[-1],
            repeated_tokens=repeated * billed // whole if whole and billed else repeated,
            place=self.sends - 1,
            kept=same,
            added=added,
        )

    def _share(
        self, runs: Sequence[Run], charge: Charge
    ) -> tuple[tuple[Part, ...], dict[int, int]]:
        """As `parts_of` gives it, of the billed ranges laid over the runs."""
        sums = self._sum
        weights: dict[int, float] = {}
        tokens: dict[int, float] = {}
        for start, end, before in runs:
            if before:
                self._carried[start] += 1
                self._carried[end] -= 1
        for low, high, pico, bucket in ranges(charge, sums[-1]):
            density = pico / (high - low)
            for start, end, before in runs:
                a, b = max(low, sums[start]), min(high, sums[end])
                if a >= b:
                    continue
                spot = CARRIED if before and bucket == FRESH else bucket
                first, last = self._lay(a, b, density, spot)
                head, tail = a - sums[first], b - sums[last]
                head_kind, tail_kind = self._kind_at(first), self._kind_at(last)
                for kind, (places, of_kind) in self._of_kind.items():
                    amount = of_kind[bisect_left(places, last)]
                    amount -= of_kind[bisect_left(places, first)]
                    if kind == head_kind:
                        amount -= head
                    if kind == tail_kind:
                        amount += tail
                    if amount > 0:
                        side = kind * 2 + before
                        slot = side * 4 + spot
                        weights[slot] = weights.get(slot, 0.0) + amount * density
                        tokens[side] = tokens.get(side, 0.0) + amount
        return parts_of(weights, tokens, sums[-1], charge)

    def _kind_at(self, place: int) -> int:
        return KIND_NUMBER[self.lives[self.path[place]].block.kind]

    def _lay(self, low: float, high: float, density: float, bucket: int) -> tuple[int, int]:
        """Book `density` pico per token between two places of the prompt; their blocks."""
        sums, path = self._sum, self.path
        if bucket not in self._slopes:
            self._slopes[bucket] = [0.0] * len(sums)
            self._weights[bucket] = [0.0] * len(self.lives)
        slope, weights = self._slopes[bucket], self._weights[bucket]
        first = min(bisect_right(sums, low), len(path)) - 1
        last = min(bisect_right(sums, high), len(path)) - 1
        slope[first] += density
        slope[last] -= density
        weights[path[first]] -= density * (low - sums[first])
        weights[path[last]] += density * (high - sums[last])
        return first, last

    def _settle(self, length: int) -> None:
        """Move what the path beyond `length` has collected into its blocks."""
        path, lives = self.path[length:], self.lives
        for bucket, slope in self._slopes.items():
            weights = self._weights[bucket]
            densities = accumulate(slope[length + 1 :], initial=sum(slope[: length + 1]))
            for number, density in zip(path, densities, strict=False):
                weights[number] += density * lives[number].tokens
        sends = accumulate(self._carried[length + 1 :], initial=sum(self._carried[: length + 1]))
        for number, more in zip(path, sends, strict=False):
            lives[number].carries += more

    def _spread(self) -> None:
        """Turn collected weights into exact nanos, kind by kind and bucket by bucket."""
        owed: dict[int, int] = {}
        for slot, nano in self._unfolded.items():
            if nano:
                place = slot // 8 * 4 + slot % 4
                owed[place] = owed.get(place, 0) + nano
        if owed:
            self._pay(owed)
        self._weights.clear()
        self._unfolded.clear()

    def _pay(self, owed: dict[int, int]) -> None:
        """`owed`: nanos by kind * 4 + bucket."""
        lives = self.lives
        owners: dict[int, list[int]] = {place // 4: [] for place in owed}
        for number, one in enumerate(lives):
            mine = owners.get(KIND_NUMBER[one.block.kind])
            if mine is not None:
                mine.append(number)
        booked: dict[int, list[int]] = {}
        for place, nano in owed.items():
            mine, bucket = owners[place // 4], place % 4
            if bucket not in booked:
                booked[bucket] = [0] * len(lives)
            shares, weights = booked[bucket], self._weights.get(bucket)
            if weights is None:
                weights = [0.0] * len(lives)
            owed_by = [weights[number] for number in mine]
            parts = apportion(nano, [one if one > 0.0 else 0.0 for one in owed_by])
            for number, share in zip(mine, parts, strict=True):
                shares[number] = share
        for bucket, shares in booked.items():
            for one, more in zip(lives, shares, strict=True):
                if more:
                    nano = list(one.nano)
                    nano[bucket] += more
                    one.nano = tuple(nano)


def _key(digest: int, nth: int) -> int | tuple[int, int]:
    """Nearly every block stands once in its prompt, so that its digest is enough."""
    return (digest, nth) if nth else digest
