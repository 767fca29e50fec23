"""Asks the store before an attempt is sent: how much it holds, whether that fits, who waits.

A call's claims come from the caps of the settings (`state/claims`), its hold from its size, the
prices and the lengths of earlier answers (`state/holds`). What is left of each account is known
from what the store said last; that only guides the hold: the store decides.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from bursar.dialects.patching import limited
from bursar.dialects.visible import has_answer, shows_all
from bursar.gateway.order import Order
from bursar.gateway.purse.clearing import note_of
from bursar.gateway.purse.drawing import spared, spending, who_of
from bursar.gateway.purse.local import LocalShare, least
from bursar.gateway.purse.refusing import away, refused
from bursar.gateway.purse.reserved import Kind, Reserved
from bursar.gateway.purse.said import Scale
from bursar.gateway.purse.watch import Watch
from bursar.price.billing_rules import Rules, load_rules
from bursar.price.book import Book
from bursar.state.claims import Caps, Drawn, Mark, claims_of
from bursar.state.holds import Hold, HoldRule, Left, Mode, Short, hold_of
from bursar.state.lengths import Lengths
from bursar.state.prompts import Prompts
from bursar.state.sizes import Size, Tops, size_of
from bursar.state.terms import Ask, Claim, Denial, Settled, Standing, Store, StoreLost

EPOCH = datetime(1970, 1, 1)
LEASE_MS = 60_000
"""How long a hold lasts without a word. Workers renew theirs three times in it."""
MOST_SEEN = 50_000
"""Accounts whose levels are remembered."""
LengthKind = tuple[str, str | None, bool]
"""Route of the settings, model as the provider is asked for it, and whether there are tools."""
MOST_LENGTHS = 2_000
"""Kinds of calls whose answers' lengths are followed; 10 KB each at most."""
TRIES = 3
"""How often a hold is chosen anew when the store knows better than we did."""
POLL_S = 0.05
"""Between two tries of a call that waits for room."""


class Seen(msgspec.Struct, gc=False):
    """An account, as the store told of it last."""

    slot: int
    posted: int
    others: int
    """Held and suspect."""


class Purse:
    """The spending of one worker. Not for use from several threads."""

    def __init__(
        self,
        store: Store,
        book: Book,
        owner: str,
        clock_ms: Callable[[], int] | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.store = store
        self.owner = owner
        self.now_ms = clock_ms or now_ms
        self.away = LocalShare(self.now_ms)
        """What is spent while the store is away."""
        self.open: dict[str, Reserved] = {}
        self.watch = watch or Watch(self.now_ms)
        self.note: Callable[[str, int, int], None] = _unnoted
        """Told what an attempt holds from now on: key, nanodollars, tokens."""
        self.prompts = Prompts()
        self._tops = Tops(book)
        self._billing: Rules = load_rules()
        self._lengths: dict[LengthKind, tuple[Lengths, Scale]] = {}
        self._seen: dict[str, Seen] = {}
        self._under_way: dict[str, int] = {}
        self._news: asyncio.Event | None = None

    def take_book(self, book: Book) -> None:
        """From now on these prices."""
        self._tops = Tops(book)

    async def reserve(self, order: Order, caps: Caps) -> tuple[Order, Reserved | None]:
        """Hold what the order may cost. Raises Refused: 400, 402, 429, 503.

        The order comes back with the moment of its reservation, so that the ledger counts it in
        the same windows, and with its answer limited to what the hold pays, where it has to be.
        """
        if not caps.rules:
            return order, None
        who = who_of(order)
        at_ms = self.now_ms()
        bare = claims_of(caps, who, 0, 0, at_ms)
        if not bare.claims and not bare.rates:
            return order, None
        kind = self._kind(order, bare)
        began_s, mark = time.monotonic(), None
        while True:
            held = await self._try(order, caps, kind, bare)
            if isinstance(held, Reserved):
                break
            drawn, denial = held
            if not await self._may_wait(drawn, denial, began_s):
                self.watch.refused(drawn, denial)
                raise refused(drawn, denial, self.now_ms())
            mark = (drawn.paces if denial.why == "rate" else drawn.marks)[denial.index]
        if mark is not None:
            self.watch.waited(mark, round((time.monotonic() - began_s) * 1_000))
        self._begin(held)
        at = EPOCH + timedelta(milliseconds=held.begun_ms)
        order = msgspec.structs.replace(order, call=msgspec.structs.replace(order.call, at=at))
        most = held.hold.max_tokens if held.hold is not None else None
        if most is not None:
            asked = order.asking.limits.max_tokens
            body = limited(order.body, order.plan.dialect, most, asked)
            order = msgspec.structs.replace(order, body=body)
        return order, held

    async def tend(self) -> None:
        """Every few seconds: leases go on, forgotten holds become suspect, debts are paid."""
        at_ms = self.now_ms()
        try:
            await self.away.pay(self.store)
            if self.open:
                await self.store.renew(tuple(self.open), at_ms)
            await self.store.sweep(at_ms)
            await self.watch.look(self.store, self.open)
        except StoreLost:
            return

    # -- one try

    async def _try(
        self, order: Order, caps: Caps, kind: Kind | None, bare: Drawn
    ) -> Reserved | tuple[Drawn, Denial]:
        at_ms, key = self.now_ms(), f"{order.call_id}.0"
        drawn, hold, denial = bare, None, None
        for turn in range(TRIES):
            try:
                if kind is not None:
                    found = await self._hold(kind, bare, fresh=turn > 0)
                    if not isinstance(found, Hold):
                        denial, least = found
                        drawn = claims_of(caps, who_of(order), least.nano, least.tokens, at_ms)
                        continue
                    hold = found
                    full = claims_of(caps, who_of(order), hold.nano or 0, hold.tokens, at_ms)
                    drawn = spared(full, hold)
                ask = self._ask(key, at_ms, drawn)
                denial = await self.store.reserve(ask)
            except StoreLost:
                if kind is not None and hold is None:  # nobody has said how its accounts stand
                    left = self.away.left(bare)
                    size, top = kind.size, kind.top
                    held = hold_of(size, top, left, kind.lengths, kind.rule, kind.mode)
                    hold = held if isinstance(held, Hold) else None
                    drawn = claims_of(caps, who_of(order), held.nano or 0, held.tokens, at_ms)
                return self._without_store(key, drawn, hold, kind, at_ms)
            if denial is None:
                return Reserved(self, ask, drawn, hold, kind)
            if denial.why != "limit" or kind is None:
                break
            self._learn(drawn.claims[denial.index], denial.posted, denial.held + denial.suspect)
        assert denial is not None
        return drawn, denial

    def _ask(self, key: str, at_ms: int, drawn: Drawn) -> Ask:
        note = note_of(drawn.marks, self.owner)
        return Ask(key, at_ms, LEASE_MS, drawn.claims, drawn.rates, self.owner, note)

    async def _hold(self, kind: Kind, bare: Drawn, *, fresh: bool) -> Hold | tuple[Denial, Short]:
        """What to hold, or the claim that has no room even for the least."""
        await self._look(bare, fresh=fresh)
        found = hold_of(kind.size, kind.top, self._left(bare), kind.lengths, kind.rule, kind.mode)
        if not isinstance(found, Short):
            return found
        least = {"usd": found.nano, "tokens": found.tokens}
        tightest: tuple[int, int] | None = None
        for index, (claim, mark) in enumerate(spending(bare)):
            seen = self._seen[claim.account]
            room = (claim.limit or 0) - seen.posted - seen.others - least[mark.limit.unit]
            if tightest is None or room < tightest[0]:
                tightest = (room, index)
        assert tightest is not None
        claim, _ = list(spending(bare))[tightest[1]]
        seen = self._seen[claim.account]
        denial = Denial(
            why="limit",
            index=bare.claims.index(claim),
            limit=claim.limit,
            posted=seen.posted,
            held=seen.others,
        )
        return denial, found

    async def _look(self, bare: Drawn, *, fresh: bool) -> None:
        """Know all accounts that limit the call; `fresh`: as they are now."""
        unknown = [
            claim
            for claim, _ in spending(bare)
            if fresh or (seen := self._seen.get(claim.account)) is None or seen.slot < claim.since
        ]
        if unknown:
            for claim, told in zip(
                unknown, await self.store.standings(tuple(unknown)), strict=True
            ):
                self._learn(claim, told.posted, told.held + told.suspect)

    def _left(self, bare: Drawn) -> Left:
        room: dict[str, int | None] = {"usd": None, "tokens": None}
        unposted = dict(room)
        others = 0
        for claim, mark in spending(bare):
            seen, unit = self._seen[claim.account], mark.limit.unit
            free = max(0, (claim.limit or 0) - seen.posted)
            room[unit] = least(room[unit], max(0, free - seen.others))
            unposted[unit] = least(unposted[unit], free)
            others = max(others, self._under_way.get(claim.account, 0))
        return Left(
            room=(room["usd"], room["tokens"]),
            unposted=(unposted["usd"], unposted["tokens"]),
            others=others,
        )

    def _kind(self, order: Order, bare: Drawn) -> Kind | None:
        """None: nothing that a call costs is limited."""
        marks = [mark for _, mark in spending(bare)]
        if not marks:
            return None
        plan, asking = order.plan, order.asking
        limits = (plan.route.max_output_tokens, plan.route.default_output_tokens)
        size = size_of(
            order.body,
            asking.blocks,
            asking.limits.max_tokens,
            answers=asking.n if has_answer(plan.dialect) else 0,
            caps=(limits[0], limits[1] if asking.limits.max_tokens is None else None),
        )
        estimate = sum(block.tokens or 0 for block in asking.blocks)
        alike = (plan.provider.name, plan.model, order.path, order.holder.tenant)
        size, asked = self.prompts.bounded(alike, order.body, size, estimate)
        provider = plan.provider.prices
        billed = self._billing.rule(provider, plan.model or "")
        assert order.call.at is not None
        way = None if billed is None else billed.way
        top = self._tops.top((provider, plan.model), size, order.call.at, way=way)
        if top is None and plan.route.unpriced == "assume_ceiling":
            top = self._tops.ceiling(provider)
        rule = HoldRule(floor_tokens=plan.route.least_output_tokens)
        (lengths, scale), mode = self._follow(order), self._mode(order, marks, size)
        if not all(mark.rule.clamps for mark in marks) and mode == "whole":
            return Kind(size, top, None, rule, "soft", scale, asked)
        return Kind(size, top, lengths, rule, mode, scale, asked)

    def _mode(self, order: Order, marks: list[Mark], size: Size) -> Mode:
        if not order.call.stream:
            return "whole"
        if not all(mark.rule.cuts for mark in marks):
            return "soft"
        if any(mark.rule.limits_streams for mark in marks):
            return "whole"
        thinks = size.least_tokens > 0 or order.asking.limits.effort is not None
        seen = shows_all(order.plan.dialect, order.plan.model, thinks=thinks)
        return "stream" if seen else "whole"

    def know_lengths(self, kind: LengthKind, lengths: Sequence[int]) -> None:
        """Whole answers of this kind of call from before, oldest first."""
        self._lengths_of(kind)[0].load(lengths)

    def _follow(self, order: Order) -> tuple[Lengths, Scale]:
        tools = any(block.role == "tool_spec" for block in order.asking.blocks[:1])
        return self._lengths_of((order.plan.route.name, order.plan.model, tools))

    def _lengths_of(self, key: LengthKind) -> tuple[Lengths, Scale]:
        found = self._lengths.get(key)
        if found is None:
            if len(self._lengths) >= MOST_LENGTHS:
                self._lengths.clear()
            found = self._lengths[key] = (Lengths(), Scale())
        return found

    def _without_store(
        self, key: str, drawn: Drawn, hold: Hold | None, kind: Kind | None, at_ms: int
    ) -> Reserved | tuple[Drawn, Denial]:
        """The store is away: as each cap says."""
        modes = {mark.rule.fail for mark in (*drawn.marks, *drawn.paces)}
        if "closed" in modes:
            raise away()
        ask = self._ask(key, at_ms, drawn)
        if "local" in modes:
            denial = self.away.reserve(ask, drawn)
            if denial is not None:
                raise away()
        else:
            self.away.admit(ask)
        return Reserved(self, ask, drawn, hold, kind)

    async def _may_wait(self, drawn: Drawn, denial: Denial, began_s: float) -> bool:
        marks = drawn.paces if denial.why == "rate" else drawn.marks
        wait_ms = marks[denial.index].rule.wait_ms
        left_s = began_s + wait_ms / 1_000 - time.monotonic()
        if left_s <= 0 or denial.why == "age":
            return False
        if self._news is None:
            self._news = asyncio.Event()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), min(POLL_S, left_s))
        return True

    # -- what is known

    def _begin(self, held: Reserved) -> None:
        self.open[held.key] = held
        for claim in held.drawn.claims:
            seen = self._seen.get(claim.account)
            if seen is not None:
                seen.others += claim.amount
            self._under_way[claim.account] = self._under_way.get(claim.account, 0) + 1

    def ended(self, held: Reserved, settled: Settled | None) -> None:
        """A reservation is over; what the store said of its accounts."""
        if self.open.pop(held.key, None) is None:
            return
        if settled is not None:
            self.watch.settled(held.drawn)
        for index, claim in enumerate(held.drawn.claims):
            left = self._under_way.get(claim.account, 1) - 1
            if left > 0:
                self._under_way[claim.account] = left
            else:
                self._under_way.pop(claim.account, None)
            seen = self._seen.get(claim.account)
            if seen is None:
                continue
            amount = held.held[index]
            seen.others = max(0, seen.others - amount)
            if settled is not None and settled.new and settled.levels:
                seen.posted = max(0, settled.levels[index] - seen.others)
        self._wake()

    def grew(self, held: Reserved, amounts: tuple[int, ...]) -> None:
        """A reservation holds so much more than before, of each claim, or less."""
        for claim, amount in zip(held.drawn.claims, amounts, strict=True):
            seen = self._seen.get(claim.account)
            if seen is not None:
                seen.others = max(0, seen.others + amount)
        if min(amounts, default=0) < 0:
            self._wake()

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()
            self._news = None

    def _learn(self, claim: Claim, posted: int, others: int) -> None:
        if len(self._seen) >= MOST_SEEN:
            self._seen.clear()
        self._seen[claim.account] = Seen(claim.slot, posted, others)

    async def standings(self, claims: tuple[Claim, ...]) -> list[Standing]:
        return await self.store.standings(claims)


def _unnoted(key: str, nano: int, tokens: int) -> None:
    """Nobody wants to know."""


def now_ms() -> int:
    """The clock's time."""
    return time.time_ns() // 1_000_000
