"""What a worker does while the store is away, and what it then owes the store.

A cap that says `local` is counted here, within a share of its limit; one that says `open` is not
counted at all. Whatever was admitted or has ended meanwhile is told to the store when it is back:
held and settled there, once. Of a rate this worker has its even part of the speed, and no burst:
the store has granted one before, and may have lost its counts and grant another.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from msgspec.structs import replace

from bursar.state.accounts import Accounts
from bursar.state.claims import Caps, Drawn
from bursar.state.holds import Left
from bursar.state.rates import Rates
from bursar.state.terms import Ask, Denial, Rate, Settled, Store, StoreLost

MOST_OWED = 100_000
"""Settlements that wait for the store; of those beyond, the oldest are left to the ledger."""
MOST_RATES = 100_000
"""Keys of rates that are counted here; beyond, nothing that a rate is for is admitted."""


def modes_of(caps: Caps, percent: int) -> dict[str, int]:
    """How many caps do what while the store is away: `closed`, `local`, `open`. `percent`: the
    share of this machine; without any, `local` is `closed`."""
    found = Counter(rule.fail for rule in caps.rules)
    if not percent:
        found["closed"] += found.pop("local", 0)
    return {mode: count for mode, count in sorted(found.items()) if count}


def least(one: int | None, other: int) -> int:
    """The lesser one; None is no bound."""
    return other if one is None else min(one, other)


class LocalShare:
    """Counts of this worker alone."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.percent = 0
        """Of each limit, for all workers of this machine. 0: `local` admits nothing."""
        self.workers = 1
        """Among whom that is split evenly."""
        self.nodes = 1
        """Machines among which the speed of a rate is split evenly."""
        self._now_ms = now_ms
        self._rates: Rates | None = None
        """Of this time without the store; None: it is there."""
        self._accounts = Accounts(())
        self._admitted: set[str] = set()
        """Keys that the store has never heard of."""
        self._owed: deque[tuple[Ask, tuple[int, ...] | None]] = deque(maxlen=MOST_OWED)

    def away(self) -> None:
        """The store cannot be asked, from now on or already."""
        if self._rates is None:
            self._rates = Rates(empty_ms=self._now_ms())

    def back(self) -> None:
        """The store is there."""
        self._rates = None

    def reserve(self, ask: Ask, drawn: Drawn) -> Denial | None:
        """Within the share."""
        self.away()
        assert self._rates is not None
        slower = tuple(
            self._slower(rate)
            for rate, pace in zip(ask.rates, drawn.paces, strict=True)
            if pace.rule.fail != "open"
        )
        rates = self._rates.judge(slower, ask.at_ms)
        if isinstance(rates, Denial):
            return rates
        if len(self._rates) + self._rates.new(rates) > MOST_RATES:
            return Denial("rate", 0)
        claims = tuple(
            replace(claim, limit=self._share(claim.limit, mark.rule.fail))
            for claim, mark in zip(ask.claims, drawn.marks, strict=True)
        )
        denial = self._accounts.reserve(replace(ask, claims=claims, rates=()))
        if denial is None:
            self._rates.keep(rates)
            self._admitted.add(ask.key)
        return denial

    def left(self, drawn: Drawn) -> Left:
        """What the share of a call's accounts has left, by this worker's own counts."""
        room: dict[str, int | None] = {"usd": None, "tokens": None}
        unposted = dict(room)
        standings = self._accounts.standings(drawn.claims)
        for claim, mark, seen in zip(drawn.claims, drawn.marks, standings, strict=True):
            share, unit = self._share(claim.limit, mark.rule.fail), mark.limit.unit
            if share is None or unit not in room:
                continue
            free = max(0, share - seen.posted)
            others = seen.held + seen.suspect
            room[unit] = least(room[unit], max(0, free - others))
            unposted[unit] = least(unposted[unit], free)
        return Left(
            room=(room["usd"], room["tokens"]), unposted=(unposted["usd"], unposted["tokens"])
        )

    def admit(self, ask: Ask) -> None:
        """Whatever it costs."""
        claims = tuple(replace(claim, limit=None) for claim in ask.claims)
        self._accounts.reserve(replace(ask, claims=claims, rates=()))
        self._admitted.add(ask.key)

    def _share(self, limit: int | None, fail: str) -> int | None:
        return (
            None
            if limit is None or fail == "open"
            else limit * self.percent // (100 * self.workers)
        )

    def _slower(self, rate: Rate) -> Rate:
        """This worker's part of a rate; none where it has no share of anything."""
        parts = self.nodes * self.workers
        return replace(rate, burst=rate.burst // parts if self.percent else 0)

    async def settle(self, store: Store, ask: Ask, amounts: tuple[int, ...]) -> Settled | None:
        """Settle what was reserved, here or there. None: the store does not know yet."""
        at_ms = self._now_ms()
        if ask.key in self._admitted:
            self._accounts.settle(ask.key, amounts, at_ms)
        else:
            try:
                return await store.settle(ask.key, amounts, at_ms)
            except StoreLost:
                pass
        self._owe(ask, amounts)
        return None

    async def void(self, store: Store, ask: Ask) -> None:
        """Free what was reserved, here or there."""
        at_ms = self._now_ms()
        if ask.key in self._admitted:
            self._accounts.void(ask.key, at_ms)
            self._admitted.discard(ask.key)
            return
        try:
            await store.void(ask.key, at_ms)
        except StoreLost:
            self._owe(ask, None)

    def owes(self, key: str) -> bool:
        """Whether the store is still to hear how an attempt ended."""
        return any(ask.key == key for ask, _ in self._owed)

    def _owe(self, ask: Ask, amounts: tuple[int, ...] | None) -> None:
        self._admitted.discard(ask.key)
        self._owed.append((ask, amounts))

    async def pay(self, store: Store) -> None:
        """Tell the store what it has missed. Raises StoreLost while it is still away."""
        while self._owed:
            owed = self._owed[0]
            ask, amounts = owed
            # Also what it had heard of: it may have lost its counts since.
            await store.restore(ask)
            if amounts is None:
                await store.void(ask.key, self._now_ms())
            else:
                await store.settle(ask.key, amounts, self._now_ms())
            if self._owed and self._owed[0] is owed:  # not dropped at the bound meanwhile
                self._owed.popleft()
