"""One attempt's reservation, from its grant to its settlement.

While a stream goes on it asks for more before its hold is used up; where that is denied, the stream
must be cut. When the attempt is recorded, what the record says is settled: no other number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec.structs import replace

from bursar.dialects.early import MOST_BYTES, prompt_told
from bursar.gateway.purse.local import LocalShare
from bursar.gateway.purse.said import Said, Scale
from bursar.gateway.purse.watch import Watch
from bursar.state.claims import Drawn, more_amounts, settled_amounts
from bursar.state.holds import Hold, HoldRule, Mode, ahead_of, more_of, must_cut
from bursar.state.lengths import Lengths
from bursar.state.prompts import Asked, Prompts
from bursar.state.sizes import Size, Top
from bursar.state.terms import Ask, Settled, Store, StoreLost


class Kind(msgspec.Struct, frozen=True):
    """What a hold is made of, apart from what is left."""

    size: Size
    top: Top | None
    lengths: Lengths | None
    rule: HoldRule
    mode: Mode
    scale: Scale
    asked: Asked | None = None
    """Its prompt, where counts of others tell of it."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt took, as it was booked."""

    cost_nano: int | None
    """None: nobody knows, so all that it holds."""
    tokens: int | None
    """Of prompt and answer; None as above."""
    prompt_tokens: int | None = None
    """Of its prompt, where they were counted."""
    answer_tokens: int | None = None
    """Length of its answer, where it was counted."""
    whole: bool = False
    """The answer came to its own end."""
    partial: bool = False
    """It was given up before its end, so a provider may bill more than was seen of it."""


class Purse(Protocol):
    """Whose money it is."""

    store: Store
    away: LocalShare
    open: dict[str, Reserved]
    now_ms: Callable[[], int]
    watch: Watch
    prompts: Prompts
    note: Callable[[str, int, int], None]

    def grew(self, held: Reserved, amounts: tuple[int, ...]) -> None: ...
    def ended(self, held: Reserved, settled: Settled | None) -> None: ...


class Reserved:
    """What one attempt holds."""

    __slots__ = (
        *("_beginning", "_denied", "_kind", "_meter", "_purse", "_said", "_ticket"),
        *("ask", "drawn", "held", "hold", "key"),
    )

    def __init__(
        self, purse: Purse, ask: Ask, drawn: Drawn, hold: Hold | None, kind: Kind | None
    ) -> None:
        self.ask = ask
        self.key = ask.key
        self.drawn = drawn
        self.hold = hold
        self.held = [claim.amount for claim in drawn.claims]
        """Of each claim."""
        self._purse = purse
        self._kind = kind
        self._said = 0
        self._beginning: bytes | None = None
        """Of its stream, as long as it may still tell what its prompt came to."""
        self._denied: int | None = None
        """The claim that had no room when it last asked for more."""
        self._meter: Said | None = None
        self._ticket: int | None = None
        if kind is not None and kind.lengths is not None:
            self._ticket = kind.lengths.begin()
        if kind is not None and kind.mode == "stream" and hold is not None:
            self._meter = Said(kind.scale)
            self._beginning = b"" if kind.asked is not None else None

    @property
    def counts(self) -> tuple[int, int] | None:
        """Nanodollars and tokens that it counts while nobody knows what it took. None: nothing."""
        return None if self.hold is None else (self.hold.nano or 0, self.hold.tokens)

    def as_ask(self) -> Ask:
        """What it holds now, to be told to a store that has lost it."""
        claims = zip(self.ask.claims, self.held, strict=True)
        held = tuple(replace(claim, amount=amount) for claim, amount in claims)
        return replace(self.ask, claims=held)

    @property
    def begun_ms(self) -> int:
        """When it was reserved."""
        return self.ask.at_ms

    @property
    def is_watched(self) -> bool:
        """Its stream is to be shown to `feed`."""
        return self._meter is not None

    async def feed(self, chunk: bytes) -> bool:
        """A piece of its stream has come. False: the rest is not paid for."""
        meter, kind, hold = self._meter, self._kind, self.hold
        if meter is None or kind is None or hold is None:
            return True
        if self._beginning is not None:
            hold = await self._begins(self._beginning + chunk, kind, hold)
        said = meter.feed(chunk, self._purse.now_ms())
        if said == self._said:
            return True
        self._said = said
        ahead = meter.ahead(kind.rule.lag_ms)
        if kind.lengths is not None and self._ticket is not None:
            kind.lengths.advance(self._ticket, said)
        more = more_of(hold, said, kind.lengths, kind.rule, ahead)
        if more is None:
            return True
        for tokens in dict.fromkeys((more.want_tokens, more.least_tokens)):
            if tokens > hold.answer_tokens and await self._extend(hold.grown(tokens)):
                return True
        if not must_cut(hold, said, kind.rule, ahead):
            return True
        self._purse.watch.cut(self.drawn, self._denied)
        return False

    async def _begins(self, beginning: bytes, kind: Kind, hold: Hold) -> Hold:
        """Where a stream tells what its prompt came to, the rest of what is held for it is free."""
        told = prompt_told(beginning)
        if told is None:
            self._beginning = beginning if len(beginning) < MOST_BYTES else None
            return hold
        self._beginning = None
        if kind.asked is None or not kind.asked.believes(told):
            return hold
        prompt = replace(kind.size, prompt_tokens=told)
        prompt_nano = 0 if kind.top is None else kind.top.nano(prompt, 0)
        billed = hold.billed(prompt_nano, told)
        return billed if await self._extend(billed) else hold

    async def look_away(self) -> bool:
        """Its stream is not looked at for a while, so all that it may still say is held.

        False: that is not paid for.
        """
        hold = self.hold
        if self._meter is None or hold is None or hold.answer_tokens >= hold.most_tokens:
            return True
        if await self._extend(hold.grown(hold.most_tokens)):
            return True
        self._purse.watch.cut(self.drawn, self._denied)
        return False

    def at_least(self, spent: Spent) -> tuple[int, int] | None:
        """Nanodollars and tokens that it counts, as the provider may bill them. None: what it took
        is known.

        A stream that was given up went on until the provider heard of it.
        """
        kind, hold = self._kind, self.hold
        if None in (spent.cost_nano, spent.tokens):
            return self.counts
        if not spent.partial or kind is None or hold is None or kind.mode == "soft":
            return None
        if self._meter is None:
            return self.counts
        ahead = ahead_of(kind.rule, self._meter.ahead(kind.rule.lag_ms))
        seen = hold.grown(min(hold.answer_tokens, self._meter.tokens + ahead))
        return seen.nano or 0, seen.tokens

    async def _extend(self, grown: Hold) -> bool:
        hold = self.hold
        assert hold is not None
        nano = (grown.nano or 0) - (hold.nano or 0)
        amounts = more_amounts(self.drawn.marks, nano, grown.tokens - hold.tokens)
        purse = self._purse
        try:
            denial = await purse.store.extend(self.key, amounts, purse.now_ms())
        except StoreLost:
            self._denied = None
            return False
        if denial is not None:
            self._denied = denial.index
            return False
        self.hold = grown
        self.held = [had + more for had, more in zip(self.held, amounts, strict=True)]
        purse.grew(self, amounts)
        purse.note(self.key, grown.nano or 0, grown.tokens)
        return True

    async def settle(self, spent: Spent) -> None:
        """The attempt is recorded, and this is what it took. Only the first time counts."""
        kind, purse = self._kind, self._purse
        if self.key not in purse.open:
            return
        if kind is not None and kind.lengths is not None and self._ticket is not None:
            if spent.answer_tokens is None:
                kind.lengths.drop(self._ticket)
            else:
                kind.lengths.observe(self._ticket, spent.answer_tokens, whole=spent.whole)
        if self._meter is not None and kind is not None and spent.whole:
            kind.scale.learn(self._meter.counted, spent.answer_tokens or 0)
            kind.scale.clock(self._meter.per_s)
        if kind is not None and kind.asked is not None and spent.prompt_tokens is not None:
            purse.prompts.learn(kind.asked, spent.prompt_tokens)
        nano, held_tokens = self.at_least(spent) or (0, 0)
        cost_nano = _at_least(spent, nano, spent.cost_nano)
        tokens = _at_least(spent, held_tokens, spent.tokens)
        amounts = settled_amounts(self.drawn.marks, cost_nano, tokens)
        purse.ended(self, await purse.away.settle(purse.store, self.ask, amounts))

    async def void(self) -> None:
        """Nothing was sent."""
        purse = self._purse
        if self.key in purse.open:
            await purse.away.void(purse.store, self.ask)
            purse.ended(self, None)


def _at_least(spent: Spent, least: int, told: int | None) -> int:
    if told is None:
        return least
    return max(least, told) if spent.partial else told
