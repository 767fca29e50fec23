"""Before anything is admitted, the store is told what the ledger knows.

A store that is new, or has lost its counts, gets the sums of all windows that now run, and then
what this worker has under way. A cap that is added while calls go on gets its sums beside the other
counts: all workers agree, in the store itself, on the moment from which the cap counts calls, and
what began before it is told from the ledger, again and again until the last such call has ended.
A worker that hears of it after that moment tells its own calls from between in the same way. Until
the ledger has been asked the gate is shut. While a cap is away, its account is not kept: one that
comes back goes on with its old count until the store is told anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

import msgspec

from bursar.gateway.purse.accounting import Span, carried_of, groups_of, parts_of, titles_of
from bursar.gateway.purse.books import Books, Question
from bursar.gateway.purse.clearing import Clearing
from bursar.gateway.purse.force import InForce
from bursar.gateway.purse.inheriting import Estate, inherit
from bursar.gateway.purse.opening import Gate
from bursar.gateway.purse.purse import Purse
from bursar.ledger.counting import done_sql, lengths_sql
from bursar.model.errors import LedgerError
from bursar.state.budgets import Rules
from bursar.state.claims import Caps
from bursar.state.terms import Ask, Carried, Claim, StoreLost

AHEAD_MS = 500
"""How far ahead a new cap begins: every worker has read the settings by then, as a rule."""
MOST_AHEAD_MS = 10_000
"""The same where the ledger takes long to tell what was spent before."""
FRESH_MS = 15_000
"""A cap that began longer ago has been told by whoever was there."""
AGREE_MS = 10_000
"""So long the old caps go on while the store cannot be asked."""
SOON_MS, LATER_MS = 500, 10_000
"""Between two times that calls from before a cap are told: as long as it acts, within these."""
SETTLED_MS = 2_500
"""For so long they are told in any case: other workers have calls from before it as well."""
LEASE_MS = 60_000
TICK_S = 0.1
LOUD_MS = 3_000
MOST_WAIT_MS = 30_000
LENGTHS = 2_000
SINCE_EVER = 1
LOOKING_UP = "what was spent before is being looked up"
OTHERS = "not as many machines have told the store what they spent as state.nodes says"


class Late(msgspec.Struct):
    """Caps that were added: what is told of the calls that were not counted by them."""

    groups: frozenset[str]
    span: Span
    """Which calls. They are all known once those have ended that were under way at its end."""
    teller: str
    older: set[object] | None = None
    """Calls that were under way at the span's end, and still are."""
    is_told: bool = False
    next_ms: int = 0

    @property
    def from_ms(self) -> int:
        """From when calls are counted as they are reserved."""
        return self.span.before_ms


class Rebuilding:
    """Keeps the store of one worker true to the ledger."""

    def __init__(
        self,
        purse: Purse,
        gate: Gate,
        books: Books,
        node: str,
        say: Callable[[str], None],
        force: InForce,
    ) -> None:
        self._force = force
        self.live: Callable[[], Collection[object]] = tuple
        """Calls under way."""
        self.before = ""
        """The worker whose place this one has taken, until what it owed is told."""
        self.clearing: Clearing | None = None
        """Of the one worker that looks after suspects."""
        self._purse = purse
        self._gate = gate
        self._books = books
        self._node = node
        self._say = say
        self._caps: Caps = _NO_CAPS
        self._next: Caps | None = None
        """Of the next look."""
        self._wanted_ms: int | None = None
        """Since when `_caps` wait for their beginning to be agreed on."""
        self._late: list[Late] = []
        self._told: set[str] = set()
        self._lacks_ms: int | None = None
        """Since when the ledger was asked in vain."""
        self._loud = False
        self._is_half = False
        """A store was told, and perhaps not yet all that is under way."""
        self._waits_ms = 0
        self._again_ms = 0

    async def begin(self, caps: Caps, patience_s: float) -> None:
        """At the start of a worker: the gate opens here, if the ledger answers in time; else as
        soon as it does."""
        self._force.take(caps)
        if not caps.rules:
            return
        self._gate.shut = LOOKING_UP
        self._caps = caps
        self._wanted_ms = began_ms = self._purse.now_ms()
        while True:
            await self.look()
            waited_ms = self._purse.now_ms() - began_ms
            if not self._gate.shut or waited_ms >= patience_s * 1_000:
                break
            await asyncio.sleep(TICK_S)
        await self._know_lengths()

    def take(self, caps: Caps) -> None:
        """Other caps, from a reload. Those that count nothing new are in force at once."""
        if self._wanted_ms is None and groups_of(caps).keys() <= self._told:
            self._caps = caps
            self._force.follow(caps)
        else:
            self._next = caps

    @property
    def hurries(self) -> bool:
        """Whether a cap waits to act, or what was spent before it to be told."""
        if self._next is not None or self._wanted_ms is not None:
            return True
        now_ms = self._purse.now_ms()
        return any(not one.is_told or one.next_ms <= now_ms for one in self._late)

    async def look(self) -> None:
        """Once a second, and more often while it `hurries`."""
        now_ms = self._purse.now_ms()
        if self._next is not None:
            self._caps, self._next = self._next, None
            self._wanted_ms = self._wanted_ms or now_ms
        if not self._caps.rules:
            self._wanted_ms = None
            self._force.take(self._caps)
            self._found()
            return
        try:
            if self._is_half or not await self._gate.inner.is_whole():
                await self._rebuild(now_ms)
                if not await self._gate.inner.is_whole():
                    self._gate.shut = OTHERS
                    self._complain(now_ms, OTHERS)
                    return
            self._found()
            self._waits_ms = self._again_ms = 0
            if self._wanted_ms is not None:
                await self._agree(now_ms)
            await self._tell_late(now_ms)
            self._open_gate()
            if self.before and not self._gate.shut:
                await self._inherit(now_ms)
            if self.clearing is not None and not self._gate.shut:
                await self.clearing.look(self._gate, self._is_mine, now_ms)
        except StoreLost as lost:
            self._gate.lost = lost.message
            self._purse.away.away()
            self._wait_no_longer(now_ms)
        except LedgerError as bad:
            self._complain(now_ms, f"the ledger has not told what was spent: {bad.message}")

    def _complain(self, now_ms: int, why: str) -> None:
        """Once, when it takes longer than the start of a keeper, or of another machine, does."""
        if self._lacks_ms is None:
            self._lacks_ms = now_ms
        if now_ms - self._lacks_ms >= LOUD_MS and not self._loud:
            self._loud = True
            self._say(f"bursar: calls are let through as `fail` of each cap says, since {why}")

    def _found(self) -> None:
        """The store can be asked."""
        self._gate.lost = ""
        if not self._gate.shut:
            self._purse.away.back()

    def _open(self) -> None:
        self._gate.shut = ""
        self._loud, self._lacks_ms = False, None

    # -- a store without counts

    async def _rebuild(self, now_ms: int) -> None:
        """Tell all that is in force, then what is under way. Until that is done nothing else is."""
        if now_ms < self._again_ms:
            return
        self._gate.shut = LOOKING_UP
        self._is_half = True
        store, caps = self._gate.inner, self._force.now()
        self._force.take(caps)
        groups = groups_of(caps)
        parts = parts_of(caps, groups, now_ms)
        questions: list[Question] = [part.question for part in parts]
        answers = await self._books.ask(*questions, done_sql(now_ms))
        carried = carried_of(caps, groups, parts, answers[:-1])
        marks = tuple(Carried(self._mark(one), 0, SINCE_EVER) for one in groups)
        done = tuple(f"{call_id}.{n}" for call_id, n in answers[-1])
        await store.rebuild(self._node, (*carried, *marks), done, now_ms)
        held = [one.as_ask() for one in self._purse.open.values()]
        await asyncio.gather(*(store.restore(ask) for ask in held))
        self._is_half = False
        self._told.clear()
        self._late.clear()
        self._wanted_ms = now_ms
        # Other machines may not have told theirs yet; ours need not be looked up each second.
        self._waits_ms = min(MOST_WAIT_MS, max(1_000, 2 * self._waits_ms))
        self._again_ms = now_ms + self._waits_ms

    def _is_mine(self, key: str) -> bool:
        return key in self._purse.open or self._purse.away.owes(key)

    # -- caps that are added

    async def _agree(self, now_ms: int) -> None:
        """From when the new caps count, as the store has it from whoever asked first."""
        store = self._gate.inner
        new = [one for one in groups_of(self._caps) if one not in self._told]
        counted = groups_of(self._force.now()).keys()
        begins = await self._begins(new)
        if missing := [one for one in new if not begins[one]]:
            # Where calls already wait for them nobody counts without them.
            from_ms = now_ms
            if not counted >= set(missing):
                from_ms = await self._tell_before(missing, now_ms)
            for group in missing:
                mark = self._mark(group)
                claim = Claim(mark, from_ms, None)
                await store.reserve(Ask(mark, now_ms, LEASE_MS, (claim,)))
                await store.settle(mark, (from_ms,), now_ms)
            begins = await self._begins(new)
        self._told.update(new)
        self._wanted_ms = None
        fresh = [one for one in new if begins[one] > now_ms - FRESH_MS]
        from_ms = max((begins[one] for one in fresh), default=0)
        if counted >= set(fresh):
            self._force.take(self._caps)
        else:
            from_ms = max(from_ms, self._purse.now_ms(), self._force.latest_ms)
            self._force.take(self._caps, from_ms)
        for begin_ms in sorted({begins[one] for one in fresh}):
            groups = frozenset(one for one in fresh if begins[one] == begin_ms)
            self._late.append(Late(groups, Span(before_ms=begin_ms), self._node))
            missed = groups - counted
            if missed and begin_ms < from_ms:
                span = Span(from_ms, begin_ms, int(self._purse.owner.rpartition("/")[2]))
                self._late.append(Late(missed, span, f"{self._purse.owner}/{begin_ms}"))

    async def _tell_before(self, groups: Sequence[str], now_ms: int) -> int:
        """Tell most of what was spent before new caps, and agree on when they begin: as soon as the
        rest can be told as well."""
        await self._tell(Late(frozenset(groups), Span(before_ms=now_ms), self._node), now_ms)
        told_ms = self._purse.now_ms()
        ahead_ms = min(MOST_AHEAD_MS, AHEAD_MS + 2 * max(0, told_ms - now_ms))
        names = titles_of(self._caps, groups)
        self._say(f"bursar: {names}: acts in {ahead_ms / 1_000:.1f} s, with what was spent before")
        return told_ms + ahead_ms

    async def _begins(self, groups: list[str]) -> dict[str, int]:
        claims = tuple(Claim(self._mark(one), 0, None) for one in groups)
        found = await self._gate.inner.standings(claims)
        return {group: one.posted for group, one in zip(groups, found, strict=True)}

    def _mark(self, group: str) -> str:
        """The account whose count is the moment from which a group is counted."""
        return f"from/{self._node}/{group}"

    async def _tell_late(self, now_ms: int) -> None:
        for late in list(self._late):
            if now_ms < late.next_ms:
                continue
            is_over = False
            if now_ms >= late.from_ms:
                under_way = set(self.live())
                late.older = under_way if late.older is None else late.older & under_way
                is_over = not late.older and now_ms >= late.from_ms + SETTLED_MS
            await self._tell(late, now_ms)
            late.is_told = True
            late.next_ms = now_ms + min(LATER_MS, max(SOON_MS, now_ms - late.from_ms))
            if is_over:
                self._late.remove(late)

    async def _tell(self, late: Late, now_ms: int) -> None:
        parts = parts_of(self._caps, late.groups, now_ms, late.span)
        answers = await self._books.ask(*(part.question for part in parts))
        carried = carried_of(self._caps, late.groups, parts, answers)
        for group in late.groups:
            # One teller for each, so that workers which tell several together agree.
            mine = tuple(one for one in carried if _head(one.account) == _head(group))
            await self._gate.inner.carry(f"{late.teller}/{group}", mine, now_ms)

    def _open_gate(self) -> None:
        """Calls may come as soon as all is told that counts them."""
        in_force = groups_of(self._force.now()).keys()
        now_ms = self._purse.now_ms()
        if in_force <= self._told and all(
            one.is_told and now_ms >= one.from_ms
            for one in self._late
            if not in_force.isdisjoint(one.groups)
        ):
            self._open()
        else:
            self._gate.shut = LOOKING_UP

    def _wait_no_longer(self, now_ms: int) -> None:
        """The store is away, and with it the moment from which new caps count: they do now."""
        if self._wanted_ms is not None and now_ms - self._wanted_ms > AGREE_MS:
            self._gate.shut = LOOKING_UP
            self._force.take(self._caps)

    async def _inherit(self, now_ms: int) -> None:
        begins = await self._begins(list(groups_of(self._caps)))
        estate = Estate(owner=self.before, caps=self._caps, begins=begins)
        await inherit(self._gate.inner, self._books, estate, now_ms)
        self.before = ""

    # -- lengths of answers

    async def _know_lengths(self) -> None:
        try:
            (rows,) = await self._books.ask(lengths_sql(LENGTHS))
        except LedgerError:
            return
        kinds: dict[tuple[str, str | None, bool], list[int]] = {}
        for route, model, has_tools, tokens, _ in rows:
            kinds.setdefault((route, model, bool(has_tools)), []).append(tokens)
        for kind, lengths in kinds.items():
            self._purse.know_lengths(kind, lengths)


def _head(name: str) -> str:
    """What a group and its accounts have in common."""
    return name.partition("|")[0]


_NO_CAPS = Caps(Rules())
