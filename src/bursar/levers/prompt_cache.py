"""Cache marks where they pay: at prefixes that come again, for as long as they come again.

Marks stand at the end of the tools, of the system prompt, of the longest beginning that other
prompts shared, and of the prompt itself. Which of them are worth their write premium, and for which
lifetime, follows from how often such places came again (`returns`) and from the rates of the model:
no ratio is fixed. A place that is in the provider's cache already costs nothing to mark.

What the provider itself reports decides in the end: reads earn, writes cost, and no mark is set
that could bring the loss of its route and model above `most_lost_tokens`. Marks that have come so
far are withdrawn for an hour, and then tried with half of it: in all, twice that can be lost.

Calls that carry marks of their own are left as they are. So are models that cache by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from bursar.levers.ports import PASS, REWROTE, Lever, Next, Ports
from bursar.levers.ranges import at_least
from bursar.levers.returns import LATE_MS, Group, Returns
from bursar.model.block import Block, Mark, Role
from bursar.model.call import Call
from bursar.model.entry import Answer, Attempt, Decision
from bursar.model.errors import Unpriced
from bursar.price.billing import Cache, Piece, Rule, Way, bill, pieces_of
from bursar.price.billing_rules import Rules
from bursar.price.book import Book

NAME = "prompt_cache"
MOST_CACHES = 1_000
"""Routes and models whose loss is followed."""
LIVES = {Mark.M5: "5m", Mark.H1: "1h"}
REST_MS = LATE_MS
"""Marks that lost are withdrawn for so long."""
SURE = 0.99
"""No prefix comes again for ever."""
ROUGH = 1.5
"""A prefix is taken to be long enough for the cache from its estimate times this on: a mark too
many costs nothing there."""


class PromptCache(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Provider prompt caching."""

    ttl: Literal["auto", "5m", "1h"] = "auto"
    """How long marked prefixes live. `auto`: as the prices and the gaps between calls advise."""
    most_lost_tokens: int = 250_000
    """What marks may cost more than they earn before they are withdrawn for an hour, in plain input
    tokens, on each route and model. In all, twice as much can be lost there."""

    def __post_init__(self) -> None:
        at_least(self, most_lost_tokens=0)


class Worth(NamedTuple):
    """Rates of a prefix, relative to plain input."""

    write_5m: float
    write_1h: float
    read: float

    def best(self, group: Group, ttl: str) -> Mark:
        """The mark of least expected cost, from now until the prefix stays away for an hour."""
        late = min(group.within_1h, SURE)
        soon = min(group.within_5m, late)
        again = late / (1.0 - late)
        in_time = soon / late
        costs = {
            Mark.NONE: 1.0 + again,
            Mark.M5: self.write_5m
            + again * (in_time * self.read + (1.0 - in_time) * self.write_5m),
            Mark.H1: self.write_1h + again * self.read,
        }
        if ttl != "auto":
            del costs[Mark.H1 if ttl == LIVES[Mark.M5] else Mark.M5]
        return min(costs, key=lambda mark: costs[mark])

    def risk(self, marks: dict[int, Mark], pieces: Sequence[Piece]) -> float:
        """What they cost more if all is written and nothing is ever read, in plain tokens."""
        premium = {Mark.M5: self.write_5m - 1.0, Mark.H1: self.write_1h - 1.0}
        ends = sorted(marks)
        lost, begin = 0.0, 0
        for end in ends:
            tokens = sum(piece.tokens for piece in pieces[begin : end + 1])
            lost += tokens * max(0.0, premium[marks[end]])
            begin = end + 1
        return lost


class Stake(msgspec.Struct):
    """What marks may still lose on one route and model, in plain input tokens."""

    most: float
    left: float
    rests_until_ms: int = 0

    def allows(self, risk: float, at_ms: int) -> bool:
        """Whether marks may be set that cost so much more if nothing of them is ever read."""
        if self.rests_until_ms:
            if at_ms < self.rests_until_ms:
                return False
            self.rests_until_ms = 0
            self.most /= 2
            self.left = self.most
        if risk <= self.left:
            return True
        if self.left < self.most:
            self.rests_until_ms = at_ms + REST_MS
        return False

    def book(self, earned: float) -> None:
        self.left = min(self.most, self.left + earned)


class Place(NamedTuple):
    """Where a mark could stand."""

    block: int
    name: str


class Marker:
    """The lever, with what it remembers. One per worker and route."""

    def __init__(self, wish: PromptCache, book: Book, rules: Rules) -> None:
        self._wish = wish
        self._book = book
        self._rules = rules
        self._returns = Returns()
        self._held = Cache(largest_count=50_000)
        """What the provider holds, by its own rules."""
        self._trunks: dict[int, int] = {}
        """Prefix -> when it was met; two generations."""
        self._older: dict[int, int] = {}
        self._stakes: dict[tuple[str | None, str | None, str | None], Stake] = {}

    async def lever(self, call: Call, ports: Ports, then: Next) -> Answer:
        """Mark, send, and look what the provider reports."""
        worth = self._worth(call)
        marked = self._marked(call, ports, worth)
        if marked is call or worth is None:
            return await then(call)
        before = len(ports.attempts)
        answer = await then(marked)
        for attempt in ports.attempts[before:]:
            self._look(call, attempt, worth)
        return answer

    def _marked(self, call: Call, ports: Ports, worth: Worth | None) -> Call:
        blocks = call.blocks
        rule = self._rules.rule(call.provider or "", call.model or "")
        if not blocks or rule is None or rule.way is not Way.MARKS:
            return call
        if [block for block in blocks if block.mark is not Mark.NONE]:
            return self._passed(call, ports, "the call has marks of its own")
        if worth is None:
            return self._passed(call, ports, "the model has no price for its cache")
        at_ms = ports.now_ms
        root = hash((call.tags.tenant, call.provider, call.model))
        pieces = pieces_of(blocks, root)
        places = self._places(blocks, pieces, at_ms)
        groups = self._followed(call, places, pieces, at_ms)
        marks = self._chosen(places, groups, pieces, (rule, worth, at_ms))
        if not marks:
            return self._passed(call, ports, "no prefix comes again often enough")
        if not self._stake(call).allows(worth.risk(marks, pieces), at_ms):
            return self._passed(call, ports, "withdrawn: marks could lose more than they may")
        written = list(blocks)
        for at, mark in marks.items():
            written[at] = msgspec.structs.replace(blocks[at], mark=mark)
        names = {place.block: place.name for place in places}
        told = ", ".join(f"{names.get(at, 'held')} {LIVES[m]}" for at, m in sorted(marks.items()))
        ports.note(Decision(lever=NAME, verdict=REWROTE, why=f"marks: {told}"))
        marked = list(pieces)
        for at, mark in marks.items():
            marked[at] = pieces[at]._replace(mark=mark)
        self._held.take(bill(self._held, marked, rule, at_ms))
        return msgspec.structs.replace(call, blocks=tuple(written))

    def _passed(self, call: Call, ports: Ports, why: str) -> Call:
        ports.note(Decision(lever=NAME, verdict=PASS, why=why))
        return call

    # -- where, and how likely

    def _places(self, blocks: Sequence[Block], pieces: Sequence[Piece], at_ms: int) -> list[Place]:
        """Where marks could stand, in the order of the prompt."""
        tools = sum(block.role is Role.TOOL_SPEC for block in blocks)
        system = tools
        while system < len(blocks) and blocks[system].role is Role.SYSTEM:
            system += 1
        last = len(blocks) - 1
        found: dict[int, str] = {last: "end"}
        trunk = self._trunk(pieces)
        if system <= trunk < last:
            found[trunk] = "shared"
        if system:
            found[system - 1] = "system" if system > tools else "tools"
        if tools and tools < system:
            found[tools - 1] = "tools"
        self._remember(pieces, system, at_ms)
        return [Place(at, found[at]) for at in sorted(found)]

    def _trunk(self, pieces: Sequence[Piece]) -> int:
        """The last block of the longest beginning that an earlier prompt had; -1: none."""
        for at in range(len(pieces) - 1, -1, -1):
            if pieces[at].prefix in self._trunks or pieces[at].prefix in self._older:
                return at
        return -1

    def _remember(self, pieces: Sequence[Piece], begin: int, at_ms: int) -> None:
        if len(self._trunks) > self._returns.most:
            self._older, self._trunks = self._trunks, {}
        for piece in pieces[begin:]:
            self._trunks[piece.prefix] = at_ms

    def _followed(
        self, call: Call, places: list[Place], pieces: Sequence[Piece], at_ms: int
    ) -> list[Group]:
        """How likely each place comes again; from now on this prompt's are looked out for."""
        returns = self._returns
        returns.give_up(at_ms)
        returns.came([piece.prefix for piece in pieces], at_ms)
        depth = len(pieces).bit_length()
        groups: list[Group] = []
        for at, name in places:
            kind = (name, depth) if name == "end" else (name, 0)
            group = returns.group((call.tags.route, call.provider, call.model, kind))
            returns.wait_for(pieces[at].prefix, group, at_ms)
            groups.append(group)
        return groups

    def _chosen(
        self,
        places: list[Place],
        groups: list[Group],
        pieces: Sequence[Piece],
        world: tuple[Rule, Worth, int],
    ) -> dict[int, Mark]:
        """Block -> mark."""
        rule, worth, at_ms = world
        held = self._held_to(pieces, at_ms)
        marks: dict[int, Mark] = {}
        total = 0
        totals = [total := total + piece.tokens for piece in pieces]
        for place, group in zip(places, groups, strict=True):
            if totals[place.block] * ROUGH < rule.minimum_tokens:
                continue
            best = worth.best(group, self._wish.ttl)
            if best is not Mark.NONE:
                marks[place.block] = best
        reach = rule.lookback_blocks
        if held >= 0 and not any(held <= at < held + reach for at in marks):
            marks[held] = Mark.M5
        if len(marks) > rule.most_marks:
            marks = dict(sorted(marks.items())[-rule.most_marks :])
        return _falling(marks)

    def _held_to(self, pieces: Sequence[Piece], at_ms: int) -> int:
        """The last block of the longest prefix that the provider holds; -1: none."""
        for at in range(len(pieces) - 1, -1, -1):
            if self._held.life_left(pieces[at].prefix, at_ms) is not None:
                return at
        return -1

    # -- what it is worth

    def _worth(self, call: Call) -> Worth | None:
        try:
            rates = self._book.rates(call.provider, call.model)
        except Unpriced:
            return None
        plain, read, write = rates.input, rates.cache_read, rates.cache_write_5m
        if not plain or read is None or write is None:
            return None
        long = rates.cache_write_1h
        return Worth(write / plain, 9.9 if long is None else long / plain, read / plain)

    def _stake(self, call: Call) -> Stake:
        key = (call.tags.route, call.provider, call.model)
        found = self._stakes.get(key)
        if found is None:
            if len(self._stakes) >= MOST_CACHES:
                self._stakes.clear()
            most = float(self._wish.most_lost_tokens)
            found = self._stakes[key] = Stake(most, most)
        return found

    def _look(self, call: Call, attempt: Attempt, worth: Worth) -> None:
        """Book what the provider reports of reads and writes."""
        usage = attempt.usage
        if usage is None:
            return
        earned = usage.cache_read * (1.0 - worth.read)
        earned -= usage.cache_write_5m * (worth.write_5m - 1.0)
        earned -= usage.cache_write_1h * (worth.write_1h - 1.0)
        self._stake(call).book(earned)


def _falling(marks: dict[int, Mark]) -> dict[int, Mark]:
    """Long lives before short ones, as providers ask: what stands before a long one lives long."""
    found = dict(sorted(marks.items()))
    long = False
    for at in reversed(found):
        long = long or found[at] is Mark.H1
        if long:
            found[at] = Mark.H1
    return found


def prompt_cache(wish: PromptCache, book: Book, rules: Rules) -> Lever:
    """The lever, as the chain takes it."""
    return Marker(wish, book, rules).lever
