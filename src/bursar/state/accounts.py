"""The counts themselves: steps go in, answers come out; no clock, no input or output.

Every step is what `terms.Store` says of it, and the same steps in the same order give the same
counts, so a crash is mended by replaying them. What is held and posted lies in slots; a rolling
window keeps a running total and a place in its slots, so that moving on costs each slot once.
What it forgets, and what happens when it is full, stands in `bounds`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import islice

import msgspec

from bursar.state.bounds import DAY_MS, Bounds, Turn, is_past
from bursar.state.rates import Rates
from bursar.state.slots import Account, Held, Slot, Told, denied, since_at
from bursar.state.terms import (
    Ask,
    Carried,
    Claim,
    Denial,
    Settled,
    Standing,
    StoreLost,
    Suspect,
)

OLD = Settled(new=False)


class Accounts:
    """All accounts of one store. `nodes` are those whose ledgers it waits for."""

    def __init__(self, nodes: Iterable[str] = (), bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._awaited = set(nodes)
        self._told: set[str] = set()
        self._tellers: dict[str, Told] = {}
        self._accounts: dict[str, Account] = {}
        self._rates = Rates()
        self._open: dict[str, Held] = {}
        self._suspects: dict[str, Held] = {}
        self._leases: list[tuple[int, int, Held]] = []
        self._count = 0
        self._done: set[str] = set()
        self._done_before: set[str] = set()
        self._done_since_ms: int | None = None
        self._accounts_turn = Turn()
        self._rates_turn = Turn()
        self._suspects_turn = Turn()

    def is_whole(self) -> bool:
        return not self._awaited

    def reserve(self, ask: Ask) -> Denial | None:
        self._check_whole()
        key = ask.key
        if key in self._open or key in self._done or key in self._done_before:
            return None
        at_ms, known = ask.at_ms, self._accounts
        accounts: list[Account | None] = []
        missing = False
        for claim in ask.claims:
            account = known.get(claim.account)
            accounts.append(account)
            limit = claim.limit
            if account is None:
                missing = True
                if limit is not None and claim.amount + claim.spare > limit:
                    return denied("limit", len(accounts) - 1, None, claim)
                continue
            if (most_ms := claim.most_age_ms) is not None:
                born_ms = account.born_ms
                if born_ms is not None and at_ms - born_ms > most_ms:
                    return denied("age", len(accounts) - 1, account, claim)
            if limit is None:
                continue
            # What follows is `Account.level`, without the call.
            if claim.step:
                if claim.since != account.since:
                    account.roll(claim.since)
                level = account.used
            else:
                slot = account.slots.get(claim.slot)
                level = slot.posted + slot.held + slot.suspect if slot is not None else 0
            if level + claim.amount + claim.spare > limit:
                return denied("limit", len(accounts) - 1, account, claim)
        rates: dict[str, int] | Denial = self._rates.judge(ask.rates, at_ms) if ask.rates else {}
        if isinstance(rates, Denial):
            return rates
        if missing or rates or len(self._open) >= self._bounds.open:
            self._check_room(accounts, rates)
            self._rates.keep(rates)
        self._hold(ask, accounts)
        return None

    def extend(self, key: str, amounts: Sequence[int], at_ms: int) -> Denial | None:
        self._check_whole()
        held = self._open.get(key)
        if held is None:
            return Denial("age", 0)
        _check_length(held, amounts)
        self._renew(held, at_ms)
        is_less = min(amounts, default=0) < 0
        if is_less:
            if held.is_less:
                return None
            amounts = [max(more, -was) for more, was in zip(amounts, held.amounts, strict=True)]
        for index, claim in enumerate(held.claims):
            if amounts[index] < 0:
                continue
            account, slot = held.accounts[index], held.slots[index]
            level = account.level(claim.slot, since_at(claim, at_ms), claim.step)
            limit = account.limit if claim.step else slot.limit
            if limit is not None and level + amounts[index] > limit:
                since = since_at(claim, at_ms)
                moved = msgspec.structs.replace(claim, since=since, limit=limit)
                return denied("limit", index, account, moved)
        held.is_less = held.is_less or is_less
        for index, claim in enumerate(held.claims):
            amount = amounts[index]
            held.amounts[index] += amount
            held.slots[index].held += amount
            account = held.accounts[index]
            if claim.step and claim.slot >= account.since:
                account.used += amount
        return None

    def settle(self, key: str, amounts: Sequence[int], at_ms: int) -> Settled:
        held = self._open.get(key)
        if held is None:
            return OLD
        _check_length(held, amounts)
        self._close(key)
        suspect = held.is_suspect
        over: list[int] = []
        levels: list[int] = []
        for claim, account, slot, was, amount in zip(
            held.claims, held.accounts, held.slots, held.amounts, amounts, strict=False
        ):
            if suspect:
                slot.suspect -= was
            else:
                slot.held -= was
            slot.posted += amount
            account.total += amount
            step = claim.step
            if step:
                if claim.slot >= account.since:
                    account.used += amount - was
                passed = at_ms - at_ms % step - claim.slot
                since = claim.since + passed if passed > 0 else claim.since
                if since != account.since:
                    account.roll(since)
                level, limit = account.used, account.limit
            else:
                level, limit = slot.posted + slot.held + slot.suspect, slot.limit
            levels.append(level)
            if limit is None or level <= limit:
                over.append(0)
            else:
                over.append(level - limit)
                if level - limit > account.worst_over:
                    account.worst_over = level - limit
        return Settled(True, tuple(over), tuple(levels))

    def void(self, key: str, at_ms: int) -> bool:
        held = self._close(key)
        if held is None:
            self._remember(key)
            return False
        held.free()
        return True

    def renew(self, keys: Iterable[str], at_ms: int) -> None:
        for key in keys:
            held = self._open.get(key)
            if held is not None:
                self._renew(held, at_ms)

    def sweep(self, at_ms: int) -> int:
        count = 0
        leases = self._leases
        while leases and leases[0][0] <= at_ms:
            held = heappop(leases)[2]
            if not held.is_open or held.is_suspect:
                continue
            if held.ends_ms > at_ms:
                self._lease(held)
            else:
                held.suspect()
                self._suspects[held.key] = held
                count += 1
        self._forget(at_ms)
        return count

    def abandon(self, owner: str, at_ms: int) -> int:
        """Whoever held this is gone: all of it is suspect now. How many reservations."""
        gone = [one for one in self._open.values() if one.owner == owner and not one.is_suspect]
        for held in gone:
            held.suspect()
            self._suspects[held.key] = held
        return len(gone)

    def rebuild(
        self, node: str, carried: Iterable[Carried], done: Iterable[str], at_ms: int
    ) -> None:
        if node in self._told:
            return
        self._told.add(node)
        self._awaited.discard(node)
        for one in carried:
            self._carry(one, one.posted, at_ms)
        for key in done:
            held = self._close(key)
            if held is None:
                self._remember(key)
            else:
                held.free()

    def carry(self, teller: str, carried: Iterable[Carried], at_ms: int) -> None:
        told = self._tellers.setdefault(teller, Told())
        told.at_ms = max(told.at_ms, at_ms)
        for one in carried:
            place = one.account, one.slot
            more = one.posted - told.posted.get(place, 0)
            told.posted[place] = one.posted
            self._carry(one, more, at_ms)

    def restore(self, ask: Ask) -> None:
        key = ask.key
        if key in self._open or key in self._done or key in self._done_before:
            return
        self._hold(ask, [self._accounts.get(claim.account) for claim in ask.claims])

    def standings(self, claims: Iterable[Claim]) -> list[Standing]:
        found: list[Standing] = []
        for claim in claims:
            account = self._accounts.get(claim.account)
            if account is None:
                found.append(Standing(claim.account))
                continue
            slots = account.within(claim)
            found.append(
                Standing(
                    claim.account,
                    posted=sum(slot.posted for slot in slots),
                    held=sum(slot.held for slot in slots),
                    suspect=sum(slot.suspect for slot in slots),
                    total=account.total,
                    worst_over=account.worst_over,
                    born_ms=account.born_ms,
                )
            )
        return found

    def suspects(self, most: int) -> list[Suspect]:
        return [
            Suspect(held.key, held.note, tuple(held.amounts))
            for held in islice(self._suspects.values(), most)
        ]

    def _carry(self, one: Carried, more: int, at_ms: int) -> None:
        account = self._account(one.account)
        slot = account.slot(one.slot)
        slot.posted += more
        account.total += more
        account.seen_ms = max(account.seen_ms, at_ms)
        if one.slot >= account.since:
            account.used += more
        if one.born_ms is not None:
            account.born(one.born_ms)

    def _check_whole(self) -> None:
        if self._awaited:
            raise StoreLost(f"waits for what {', '.join(sorted(self._awaited))} had posted")

    def _account(self, name: str) -> Account:
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = Account()
        return account

    def _check_room(self, accounts: Sequence[Account | None], rates: dict[str, int]) -> None:
        bounds = self._bounds
        for what, count, most in (
            ("reservations", len(self._open) + 1, bounds.open),
            ("accounts", len(self._accounts) + accounts.count(None), bounds.accounts),
            ("rates", len(self._rates) + self._rates.new(rates), bounds.rates),
        ):
            if count > most:
                raise StoreLost(f"the store is full: it keeps {most} {what}")

    def _hold(self, ask: Ask, accounts: Sequence[Account | None]) -> None:
        at_ms = ask.at_ms
        taken: list[Account] = []
        slots: list[Slot] = []
        for claim, known in zip(ask.claims, accounts, strict=True):
            account = self._account(claim.account) if known is None else known
            slot = account.slots.get(claim.slot)
            if slot is None:
                slot = account.slot(claim.slot)
            amount = claim.amount
            slot.held += amount
            if claim.slot >= account.since:
                account.used += amount
            if claim.step:
                account.limit = claim.limit
            else:
                slot.limit = claim.limit
            account.open += 1
            if account.born_ms is None:
                account.born_ms = at_ms
            if claim.until > account.until:
                account.until = claim.until
            if claim.most_age_ms is not None:
                account.aged = True
            if at_ms > account.seen_ms:
                account.seen_ms = at_ms
            taken.append(account)
            slots.append(slot)
        held = self._open[ask.key] = Held(ask, taken, slots)
        self._lease(held)

    def _lease(self, held: Held) -> None:
        """Look at it again when its lease ends."""
        self._count += 1
        leases = self._leases
        if len(leases) > 2 * len(self._open) + 1_000:
            leases[:] = [one for one in leases if one[2].is_open]
            heapify(leases)
        heappush(leases, (held.ends_ms, self._count, held))

    def _renew(self, held: Held, at_ms: int) -> None:
        held.ends_ms = max(held.ends_ms, at_ms + held.lease_ms)
        if held.is_suspect:
            held.revive()
            del self._suspects[held.key]
            self._lease(held)

    def _close(self, key: str) -> Held | None:
        """Take a reservation out of those under way; its amounts still lie in its slots."""
        held = self._open.pop(key, None)
        if held is not None:
            held.is_open = False
            if held.is_suspect:
                del self._suspects[key]
            for account in held.accounts:
                account.open -= 1
            self._remember(key)
        return held

    def _remember(self, key: str) -> None:
        self._done.add(key)
        if 2 * len(self._done) > self._bounds.done:
            self._done_before, self._done = self._done, set()

    def _forget(self, at_ms: int) -> None:
        """What can no longer count; see the bounds above."""
        if self._done_since_ms is None:
            self._done_since_ms = at_ms
        elif at_ms - self._done_since_ms >= DAY_MS:
            self._done_before, self._done = self._done, set()
            self._done_since_ms = at_ms
        too_many = max(0, len(self._suspects) - self._bounds.suspects)
        for held in list(islice(self._suspects.values(), too_many)):
            self.settle(held.key, held.amounts, at_ms)
        for key in self._suspects_turn.keys(self._suspects.keys):
            held = self._suspects.get(key)
            if held is not None and all(is_past(one.until, at_ms) for one in held.claims):
                self.void(key, at_ms)
        for name in self._accounts_turn.keys(self._accounts.keys):
            account = self._accounts.get(name)
            if account is None or account.open:
                continue
            is_empty = not (account.total or account.aged)
            if is_past(account.until or account.seen_ms * is_empty, at_ms):
                del self._accounts[name]
        for teller, told in list(self._tellers.items()):
            if is_past(told.at_ms, at_ms):
                del self._tellers[teller]
        self._rates.forget(self._rates_turn.keys(self._rates.keys), at_ms - DAY_MS)


def _check_length(held: Held, amounts: Sequence[int]) -> None:
    if len(amounts) != len(held.amounts):
        raise ValueError(f"{held.key}: {len(amounts)} amounts for {len(held.amounts)} claims")
