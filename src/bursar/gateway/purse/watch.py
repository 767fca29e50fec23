"""Keeps an eye on the accounts that a worker uses: their levels, refusals, cuts, and events.

While calls go on it only notes which accounts they touched. Once a second it asks the store how
those stand, in one question, and some of the others in turn. So figures are exact, the same for
all workers, and cost a call next to nothing. Accounts that were used longest ago are forgotten,
first those of the cap that has the most of them: a cap by session does not push out the tenants.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Protocol

from bursar.gateway.purse.events import Event, Found, said
from bursar.gateway.purse.judging import Judge, Ripe
from bursar.gateway.purse.limits import limit_for
from bursar.gateway.purse.thresholds import (
    Others,
    begin_of,
    large_of,
    nobody_else,
    refusal_of,
    warnings_of,
)
from bursar.gateway.purse.views import View
from bursar.state.budgets import Limit, Rule, Speed
from bursar.state.claims import Caps, Drawn, Mark, account_of, window_name
from bursar.state.terms import Claim, Denial, Standing, Store
from bursar.state.windows import Place, Window, placing

MOST = 1_000
"""Accounts that a worker keeps an eye on."""
ROUND = 500
"""Accounts of which one look asks the store."""
TURN = 50
"""Of them, so many that no call has touched since."""
MOST_TOUCHED = 10_000
"""Accounts that wait to be looked at; further ones are seen when they are next used."""
SPENT = frozenset({"usd", "tokens"})
EVENTFUL = frozenset({"budgets", "tasks"})
AWAY = "away"
"""Stands for the cap where a stream was cut since the store was away."""


class Counter(Protocol):
    """Where the worker counts."""

    def add(self, name: str, labels: tuple[str, ...], more: int = 1) -> None: ...
    def took(self, name: str, labels: tuple[str, ...], spent_ms: int) -> None: ...


class Log(Protocol):
    """Where events go."""

    def is_news(self, key: str, since_ms: int) -> bool: ...
    def tell(self, found: Iterable[Found]) -> list[Event]: ...


class Holding(Protocol):
    """A reservation under way."""

    @property
    def drawn(self) -> Drawn: ...
    @property
    def begun_ms(self) -> int: ...


class _Account:
    """One account, with what is known of it."""

    __slots__ = ("denial", "judge", "limit", "place", "rule", "view")

    def __init__(self, view: View, rule: Rule, limit: Limit) -> None:
        self.view = view
        self.rule = rule
        self.limit = limit
        self.place = Place(0, 0, 0, 0)
        self.judge = Judge()
        self.denial: Denial | None = None
        """Of the last refusal that no event was raised for yet."""


class Watch:
    """What one worker sees of its caps."""

    def __init__(
        self, now_ms: Callable[[], int], count: Counter | None = None, node: str = ""
    ) -> None:
        self.log: Log | None = None
        """Where events go; None: nowhere."""
        self.others: Others = nobody_else
        self.changes = 0
        """Grows with each look that saw anything."""
        self._now_ms = now_ms
        self._count = count
        self._node = node
        self._accounts: dict[str, OrderedDict[str, _Account]] = {}
        """Title of the cap -> its accounts, the last used last."""
        self._size = 0
        self._touched: dict[str, _Account] = {}
        self._turn: list[_Account] = []
        self._large: list[Found] = []
        self._looked_ms = 0

    # -- while calls go on

    def settled(self, drawn: Drawn) -> None:
        """A call has ended that had drawn these."""
        for claim, mark in zip(drawn.claims, drawn.marks, strict=True):
            self._touch(claim.account, mark).view.calls += 1

    def refused(self, drawn: Drawn, denial: Denial) -> None:
        """A call was refused, and is not tried again."""
        if denial.why == "rate":
            self._add("cap_refusals", (drawn.paces[denial.index].rule.title, "rate"))
            return
        claim, mark = drawn.claims[denial.index], drawn.marks[denial.index]
        self._add("cap_refusals", (mark.rule.title, mark.limit.unit))
        account = self._touch(claim.account, mark)
        account.view.refusals += 1
        if mark.limit.unit in SPENT:
            account.judge.refused(claim, self._now_ms())
        if mark.rule.kind in EVENTFUL:
            account.denial = denial
        if mark.rule.kind == "tasks":
            for other, its in zip(drawn.claims, drawn.marks, strict=True):
                if its.rule is mark.rule:
                    self._touch(other.account, its)

    def cut(self, drawn: Drawn, index: int | None) -> None:
        """A stream was cut, since this claim had no room. None: since the store was away."""
        mark = None if index is None else drawn.marks[index]
        self._add("cap_cuts", (AWAY if mark is None else mark.rule.title,))
        if index is not None and mark is not None:
            self._touch(drawn.claims[index].account, mark).view.cuts += 1

    def waited(self, mark: Mark, waited_ms: int) -> None:
        """A call waited for room, and was let in."""
        if self._count is not None:
            self._count.took("cap_wait_ms", (mark.rule.title,), waited_ms)

    def large(self, route: str, tenant: str | None, tokens: int, limit: int) -> None:
        """A request was larger than somebody wants not to know of."""
        found = large_of(route, tenant, (tokens, limit), self._now_ms(), self._node)
        if len(self._large) < ROUND and (
            self.log is None or self.log.is_news(found.event.key, found.since_ms)
        ):
            self._large.append(found)

    def _add(self, name: str, labels: tuple[str, ...], more: int = 1) -> None:
        if self._count is not None:
            self._count.add(name, labels, more)

    # -- which accounts

    def _of(self, title: str) -> OrderedDict[str, _Account]:
        """The accounts of a cap."""
        return self._accounts.get(title) or OrderedDict()

    def _touch(self, name: str, mark: Mark) -> _Account:
        title = mark.rule.title
        held = self._accounts.get(title)
        account = None if held is None else held.get(name)
        assert not isinstance(mark.limit, Speed)
        if account is None:
            account = self._keep(name, mark.rule, mark.limit, mark.scope)
        else:
            account.rule, account.limit = mark.rule, mark.limit
        if len(self._touched) < MOST_TOUCHED:
            self._touched[name] = account
        return account

    def _keep(
        self, name: str, rule: Rule, limit: Limit, scope: tuple[tuple[str, str | None], ...]
    ) -> _Account:
        now_ms = self._now_ms()
        view = View(
            account=name,
            cap=rule.title,
            scope=scope,
            unit=limit.unit,
            window=str(window_name(limit.window)),
            since_ms=now_ms,
        )
        account = _Account(view, rule, limit)
        self._put(account, now_ms)
        return account

    def _put(self, account: _Account, now_ms: int) -> None:
        _settle_window(account, now_ms)
        if self._size >= MOST:
            most = max(self._accounts.values(), key=len)
            most.popitem(last=False)
            self._size -= 1
        held = self._accounts.setdefault(account.view.cap, OrderedDict())
        held[account.view.account] = account
        self._size += 1

    def take_caps(self, caps: Caps) -> None:
        """Other settings are in force: caps that are gone are forgotten, and those with one account
        for all are looked at from now on, used or not."""
        rules = {rule.title: rule for rule in caps.rules}
        before = [one for held in self._accounts.values() for one in held.values()]
        self._accounts, self._size, self._turn = {}, 0, []
        now_ms = self._now_ms()
        for account in before:
            rule = rules.get(account.view.cap)
            limit = None if rule is None else _limit_of(caps, rule, account.view)
            if rule is not None and limit is not None:
                account.rule, account.limit = rule, limit
                self._put(account, now_ms)
        for rule in caps.rules:
            for limit in rule.limits if not rule.each and not rule.tiers else ():
                name = account_of(rule, limit, ())
                if name not in self._of(rule.title):
                    self._keep(name, rule, limit, ())
        self._touched = {
            name: one for held in self._accounts.values() for name, one in held.items()
        }

    def restore(self, views: Iterable[View], caps: Caps) -> None:
        """Go on from what an earlier worker has left."""
        rules = {rule.title: rule for rule in caps.rules}
        now_ms = self._now_ms()
        for view in reversed(list(views)):
            rule = rules.get(view.cap)
            limit = None if rule is None else _limit_of(caps, rule, view)
            if rule is None or limit is None or self._size >= MOST:
                continue
            self._of(view.cap).pop(view.account, None)
            self._put(_Account(view, rule, limit), now_ms)
        self._size = sum(map(len, self._accounts.values()))

    def views(self) -> tuple[View, ...]:
        """The accounts, those used last first, as they were last seen."""
        return tuple(
            one.view
            for held in self._accounts.values()
            for one in reversed(held.values())
            if one.view.at_ms
        )

    # -- once a second

    async def look(self, store: Store, under_way: Mapping[str, Holding]) -> list[Event]:
        """See how things stand; the events that were raised. Raises StoreLost."""
        now_ms = self._now_ms()
        self._begun(under_way)
        accounts = self._due(now_ms)
        ripe = self._ripe(under_way)
        found: list[Found] = []
        if accounts or ripe:
            claims = [_claim(one) for one in accounts] + [batch.claim for _, batch in ripe]
            told = await store.standings(tuple(claims))
            for account, standing in zip(accounts, told, strict=False):
                _take(account, standing, now_ms)
                self._touched.pop(account.view.account, None)
            for (account, batch), standing in zip(ripe, told[len(accounts) :], strict=True):
                self._judge(account, batch, standing)
            for account in accounts:
                found += self._found(account)
            self.changes += 1
        self._looked_ms = now_ms
        found += self._large
        self._large = []
        events = self.log.tell(found) if self.log is not None else []
        for event in events:
            self._add("cap_events", (event.cap, event.kind))
        return events

    def _begun(self, under_way: Mapping[str, Holding]) -> None:
        """See the accounts of calls that began since the last look."""
        for one in reversed(list(under_way.values())):
            if one.begun_ms < self._looked_ms:
                break
            for claim, mark in zip(one.drawn.claims, one.drawn.marks, strict=True):
                self._touch(claim.account, mark)

    def _due(self, now_ms: int) -> list[_Account]:
        """Those that were touched, and some others in turn; their windows as they are now."""
        for name, account in islice(self._touched.items(), ROUND):
            held = self._accounts.get(account.view.cap)
            if held is not None and name in held:
                held.move_to_end(name)
        due = dict(islice(self._touched.items(), ROUND - TURN))
        if not self._turn:
            self._turn = [one for held in self._accounts.values() for one in held.values()]
        for account in self._turn[-TURN:]:
            due.setdefault(account.view.account, account)
        del self._turn[-TURN:]
        found = list(due.values())
        for account in found:
            _settle_window(account, now_ms)
        return found

    def _ripe(self, under_way: Mapping[str, Holding]) -> list[tuple[_Account, Ripe]]:
        """Refusals that can be judged."""
        waiting = {
            name: one for held in self._accounts.values() for name, one in held.items() if one.judge
        }
        if not waiting:
            return []
        oldest: dict[str, int] = {}
        for one in under_way.values():
            begun_ms = one.begun_ms
            for claim in one.drawn.claims:
                name = claim.account
                if name in waiting and begun_ms < oldest.get(name, begun_ms + 1):
                    oldest[name] = begun_ms
        found = (
            (account, batch)
            for name, account in waiting.items()
            for batch in account.judge.ripe(oldest.get(name))
        )
        return list(islice(found, ROUND))

    def _judge(self, account: _Account, batch: Ripe, standing: Standing) -> None:
        view = account.view
        false = account.judge.false(batch, standing)
        view.judged += len(batch.needs)
        view.false_refusals += false
        self._add("judged_refusals", (view.cap,), len(batch.needs))
        if false:
            self._add("false_refusals", (view.cap,), false)

    def _found(self, account: _Account) -> list[Found]:
        """What is worth an event, and not known to have been told."""
        if self.log is None:
            return []
        view, rule, denial = account.view, account.rule, account.denial
        found: list[Found] = []
        if rule.kind in EVENTFUL:
            place, node = account.place, self._node
            found += warnings_of(view, rule, account.limit, place, node, self.others)
        if denial is not None:
            account.denial = None
            since_ms = begin_of(account.limit, account.place, view.at_ms)
            spent = self._spent(account) if rule.kind == "tasks" else None
            found.append(refusal_of(view, denial, since_ms, self._node, spent))
        return [one for one in found if self.log.is_news(one.event.key, one.since_ms)]

    def _spent(self, account: _Account) -> str:
        """What a task has spent, by each of its ceilings."""
        alike = (
            one.view
            for one in self._of(account.view.cap).values()
            if one.view.scope == account.view.scope
        )
        return ", ".join(said(view.unit, view.posted) for view in alike)


def _limit_of(caps: Caps, rule: Rule, view: View) -> Limit | None:
    return limit_for(caps, rule, (view.unit, view.window), view.scope)


@lru_cache(maxsize=1_000)
def _placing(window: Window) -> Callable[[int], Place]:
    return placing(window)


def _settle_window(account: _Account, now_ms: int) -> None:
    """Where it is in its window now; counts begin anew with a calendar window."""
    view, limit = account.view, account.limit
    here = _placing(limit.window)(now_ms)
    account.place = here
    ends = bool(here.until) and not here.step
    if ends and view.begin_ms and view.begin_ms != here.slot:
        view.posted = view.held = view.suspect = 0
        view.calls = view.refusals = view.judged = view.false_refusals = view.cuts = 0
        view.since_ms = here.slot
    view.begin_ms = here.since if here.step else here.slot
    view.resets_ms = here.until if ends else None
    view.limit = limit.at(now_ms, [value for _, value in view.scope])
    view.hard = account.rule.hard


def _claim(account: _Account) -> Claim:
    """A question for the account as it stands now."""
    view, here = account.view, account.place
    return Claim(view.account, 0, view.limit, here.slot, here.since, here.step, here.until)


def _take(account: _Account, standing: Standing, now_ms: int) -> None:
    view = account.view
    view.at_ms = now_ms
    view.posted, view.held, view.suspect = standing.posted, standing.held, standing.suspect
    view.worst_over = standing.worst_over
    if view.unit == "wall" and standing.born_ms is not None:
        view.posted = max(0, now_ms - standing.born_ms)
