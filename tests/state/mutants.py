"""Bugs planted on purpose: whoever says that the laws hold shows that they can be broken.

Each class here is the true core with one mistake that somebody could make, most of them made by a
tool of today. The machine must catch every one, and pass the true core.

Run: make mutants
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from bursar.state.accounts import Accounts
from bursar.state.memory import Memory
from bursar.state.slots import Held
from bursar.state.terms import Ask, Carried, Claim, Denial, Settled, Standing
from state.machine import Broken, Subject, machine_of

LIMITS = settings(
    max_examples=6_000,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
TRUE_EXAMPLES = 200


def with_claims(ask: Ask, **changes: Any) -> Ask:
    claims = tuple(msgspec.structs.replace(one, **changes) for one in ask.claims)
    return msgspec.structs.replace(ask, claims=claims)


class NoIdempotency(Accounts):
    """A reservation sent twice holds twice."""

    def reserve(self, ask: Ask) -> Denial | None:
        held = self._open.pop(ask.key, None)
        denial = super().reserve(ask)
        if denial and held:
            self._open[ask.key] = held
        return denial


class SettlesTwice(Accounts):
    """A settlement sent twice posts twice."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.closed: dict[str, Held] = {}

    def settle(self, key: str, amounts: Sequence[int], at_ms: int) -> Settled:
        if key in self._open:
            self.closed[key] = self._open[key]
        elif held := self.closed.get(key):
            for account, slot, amount in zip(held.accounts, held.slots, amounts, strict=True):
                slot.posted += amount
                account.total += amount
        return super().settle(key, amounts, at_ms)


class CheckThenAdd(Accounts):
    """The limit is checked, and only what was posted counts: what most tools do."""

    def reserve(self, ask: Ask) -> Denial | None:
        denial = super().reserve(ask)
        held = self._open.get(ask.key)
        if held and any(held.amounts):
            held.free()
            held.amounts = [0] * len(held.amounts)
        return denial


class ExpiryForgets(Accounts):
    """A lease that ends forgives what was held."""

    def sweep(self, at_ms: int) -> int:
        count = super().sweep(at_ms)
        for held in self._suspects.values():
            held.free()
            held.amounts = [0] * len(held.amounts)
        return count


class PartlyTaken(Accounts):
    """Not all or nothing: claims before the one that does not fit stay held."""

    def reserve(self, ask: Ask) -> Denial | None:
        denial = super().reserve(ask)
        if denial and denial.index and denial.why == "limit":
            part = msgspec.structs.replace(ask, claims=ask.claims[: denial.index])
            self._hold(part, [self._accounts.get(one.account) for one in part.claims])
        return denial


class WrongWindow(Accounts):
    """What is settled late lands in the window of the settlement."""

    def settle(self, key: str, amounts: Sequence[int], at_ms: int) -> Settled:
        held = self._open.get(key)
        for index, claim in enumerate(held.claims if held else ()):
            now = at_ms - at_ms % claim.step if claim.step else 0
            if held and now > claim.slot:
                account, slot = held.accounts[index], account_slot(held, index, now)
                held.slots[index].held -= held.amounts[index]
                slot.held += held.amounts[index]
                held.slots[index] = slot
                account.roll(account.since)
        return super().settle(key, amounts, at_ms)


def account_slot(held: Held, index: int, begin: int) -> Any:
    return held.accounts[index].slot(begin)


class FloatMoney(Accounts):
    """Amounts as floats."""

    def settle(self, key: str, amounts: Sequence[int], at_ms: int) -> Settled:
        return super().settle(key, [one * 1.0 for one in amounts], at_ms)  # type: ignore[misc]


class VoidAfterSettle(SettlesTwice):
    """A void that comes after the settlement takes back what was spent."""

    def settle(self, key: str, amounts: Sequence[int], at_ms: int) -> Settled:
        settled = super().settle(key, amounts, at_ms)
        if settled.new:
            self.closed[key].amounts = list(amounts)
        return settled

    def void(self, key: str, at_ms: int) -> bool:
        if (held := self.closed.pop(key, None)) and key not in self._open:
            for slot, amount in zip(held.slots, held.amounts, strict=True):
                slot.posted -= amount
        return super().void(key, at_ms)


class ReleasesTwice(Accounts):
    """A void sent twice frees twice."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.freed: dict[str, Held] = {}

    def void(self, key: str, at_ms: int) -> bool:
        if key in self._open:
            self.freed[key] = self._open[key]
        elif held := self.freed.get(key):
            held.free()
        return super().void(key, at_ms)


class TenantLeak(Accounts):
    """One tenant's account is found under another's name."""

    def reserve(self, ask: Ask) -> Denial | None:
        return super().reserve(self.mixed(ask))

    def restore(self, ask: Ask) -> None:
        super().restore(self.mixed(ask))

    def mixed(self, ask: Ask) -> Ask:
        claims = tuple(
            msgspec.structs.replace(one, account=one.account.replace("blue/t", "acme/t"))
            for one in ask.claims
        )
        return msgspec.structs.replace(ask, claims=claims)


class OneTooMany(Accounts):
    """The limit may be passed by one."""

    def reserve(self, ask: Ask) -> Denial | None:
        limits = {one: one.limit for one in ask.claims}
        claims = tuple(
            msgspec.structs.replace(one, limit=None if limit is None else limit + 1)
            for one, limit in limits.items()
        )
        return super().reserve(msgspec.structs.replace(ask, claims=claims))


class OneTooFew(Accounts):
    """The last unit of a limit is never given."""

    def reserve(self, ask: Ask) -> Denial | None:
        for index, claim in enumerate(ask.claims):
            account = self._accounts.get(claim.account)
            slots = account.within(claim) if account else []
            used = sum(one.posted + one.held + one.suspect for one in slots)
            if claim.limit is not None and used + claim.amount == claim.limit and claim.amount:
                return Denial("limit", index, claim.limit)
        return super().reserve(ask)


class FirstScopeOnly(Accounts):
    """Only the first budget of a call is checked."""

    def reserve(self, ask: Ask) -> Denial | None:
        rest = tuple(msgspec.structs.replace(one, limit=None) for one in ask.claims[1:])
        return super().reserve(msgspec.structs.replace(ask, claims=ask.claims[:1] + rest))


class SpareIgnored(Accounts):
    """Newcomers take the room that those under way may need."""

    def reserve(self, ask: Ask) -> Denial | None:
        return super().reserve(with_claims(ask, spare=0))


class SpareTaken(Accounts):
    """What was only to be left free is held."""

    def reserve(self, ask: Ask) -> Denial | None:
        claims = tuple(
            msgspec.structs.replace(one, amount=one.amount + one.spare, spare=0)
            for one in ask.claims
        )
        return super().reserve(msgspec.structs.replace(ask, claims=claims))


class LateSpendLost(Accounts):
    """A settlement after the lease has ended is not posted."""

    def settle(self, key: str, amounts: Sequence[int], at_ms: int) -> Settled:
        held = self._open.get(key)
        if held and held.is_suspect:
            self.void(key, at_ms)
        return super().settle(key, amounts, at_ms)


class ClampedToHold(Accounts):
    """A call that cost more than its hold is posted at its hold."""

    def settle(self, key: str, amounts: Sequence[int], at_ms: int) -> Settled:
        if held := self._open.get(key):
            amounts = [min(pair) for pair in zip(amounts, held.amounts, strict=True)]
        return super().settle(key, amounts, at_ms)


class SuspectIsFree(Accounts):
    """What is suspect does not count against the limit."""

    def reserve(self, ask: Ask) -> Denial | None:
        suspects = list(self._suspects.values())
        for held in suspects:
            held.free()
        denial = super().reserve(ask)
        for held in suspects:
            for claim, account, slot, amount in zip(
                held.claims, held.accounts, held.slots, held.amounts, strict=True
            ):
                slot.suspect += amount
                account.used += amount if claim.slot >= account.since else 0
        return denial


class ForgetsEarly(Accounts):
    """A rolling window loses its oldest slot too soon."""

    def reserve(self, ask: Ask) -> Denial | None:
        claims = tuple(
            msgspec.structs.replace(one, since=min(one.slot, one.since + 20 * one.step))
            for one in ask.claims
        )
        return super().reserve(msgspec.structs.replace(ask, claims=claims))


class WindowStays(Accounts):
    """A rolling window never moves on."""

    def reserve(self, ask: Ask) -> Denial | None:
        return super().reserve(with_claims(ask, since=0))


class OnlyForward(Accounts):
    """A window that has moved on stays there when a clock steps back."""

    def reserve(self, ask: Ask) -> Denial | None:
        claims: list[Claim] = []
        for one in ask.claims:
            account = self._accounts.get(one.account)
            ahead = account is not None and one.step and one.since < account.since < 2**62
            since = account.since if ahead and account else one.since
            claims.append(msgspec.structs.replace(one, since=since))
        return super().reserve(msgspec.structs.replace(ask, claims=tuple(claims)))


class FreeTopUp(Accounts):
    """A top-up is granted and not held."""

    def extend(self, key: str, amounts: Sequence[int], at_ms: int) -> Denial | None:
        held = self._open.get(key)
        before = list(held.amounts) if held else []
        denial = super().extend(key, amounts, at_ms)
        if held and denial is None:
            for claim, account, slot, amount in zip(
                held.claims, held.accounts, held.slots, amounts, strict=True
            ):
                slot.held -= amount
                account.used -= amount if claim.step and claim.slot >= account.since else 0
            held.amounts = before
        return denial


class BlindTopUp(Accounts):
    """A top-up is held whatever the limit says."""

    def extend(self, key: str, amounts: Sequence[int], at_ms: int) -> Denial | None:
        if held := self._open.get(key):
            for account, slot in zip(held.accounts, held.slots, strict=True):
                account.limit = slot.limit = None
        return super().extend(key, amounts, at_ms)


class DenialCosts(Accounts):
    """A call that a budget denies uses up its rate all the same."""

    def reserve(self, ask: Ask) -> Denial | None:
        denial = super().reserve(ask)
        if denial and denial.why == "limit" and ask.rates:
            kept = self._rates.judge(ask.rates, ask.at_ms)
            if isinstance(kept, dict):
                self._rates.keep(kept)
        return denial


class ToldTwice(Accounts):
    """A ledger told again counts again."""

    def rebuild(
        self, node: str, carried: Iterable[Carried], done: Iterable[str], at_ms: int
    ) -> None:
        self._told.discard(node)
        super().rebuild(node, carried, done, at_ms)


class CarriesAgain(Accounts):
    """A teller that corrects itself is added up."""

    def carry(self, teller: str, carried: Iterable[Carried], at_ms: int) -> None:
        self._tellers.clear()
        super().carry(teller, carried, at_ms)


class NotWaiting(Accounts):
    """Admits before every ledger has told what it knows."""

    def reserve(self, ask: Ask) -> Denial | None:
        self._awaited.clear()
        return super().reserve(ask)


class ForgetsDone(Accounts):
    """After a wipe it does not know which attempts were settled."""

    def rebuild(
        self, node: str, carried: Iterable[Carried], done: Iterable[str], at_ms: int
    ) -> None:
        super().rebuild(node, carried, (), at_ms)


class DeafToRenewal(Accounts):
    """A lease ends on its day however often it was renewed."""

    def renew(self, keys: Iterable[str], at_ms: int) -> None:
        return


class FirstLimitStays(Accounts):
    """The limit is that of the first call: a raise does not act."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.limits: dict[str, int | None] = {}

    def reserve(self, ask: Ask) -> Denial | None:
        claims = tuple(
            msgspec.structs.replace(one, limit=self.limits.setdefault(one.account, one.limit))
            for one in ask.claims
        )
        return super().reserve(msgspec.structs.replace(ask, claims=claims))


class AgeOfLastUse(Accounts):
    """A task is as old as its last call."""

    def reserve(self, ask: Ask) -> Denial | None:
        denial = super().reserve(ask)
        if denial is None:
            for claim in ask.claims:
                if account := self._accounts.get(claim.account):
                    account.born_ms = ask.at_ms
        return denial


class LazyVoid(Accounts):
    """What was voided is free only when somebody looks: no replay of the steps tells that."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.waiting: list[Held] = []

    def void(self, key: str, at_ms: int) -> bool:
        held = self._close(key)
        if held:
            self.waiting.append(held)
        self._remember(key)
        return held is not None

    def standings(self, claims: Iterable[Claim]) -> list[Standing]:
        for held in self.waiting:
            held.free()
        self.waiting.clear()
        return super().standings(claims)


MUTANTS: tuple[type[Accounts], ...] = (
    NoIdempotency,
    SettlesTwice,
    CheckThenAdd,
    ExpiryForgets,
    PartlyTaken,
    WrongWindow,
    FloatMoney,
    VoidAfterSettle,
    ReleasesTwice,
    TenantLeak,
    OneTooMany,
    OneTooFew,
    FirstScopeOnly,
    SpareIgnored,
    SpareTaken,
    LateSpendLost,
    ClampedToHold,
    SuspectIsFree,
    ForgetsEarly,
    WindowStays,
    OnlyForward,
    FreeTopUp,
    BlindTopUp,
    DenialCosts,
    ToldTwice,
    CarriesAgain,
    NotWaiting,
    ForgetsDone,
    DeafToRenewal,
    FirstLimitStays,
    AgeOfLastUse,
    LazyVoid,
)


def store_of(core: type[Accounts]) -> Subject:
    """The store in memory, with another core."""

    def make(nodes: Sequence[str]) -> Memory:
        store = Memory(nodes)
        store._accounts = core(nodes)
        return store

    return Subject(make)


def caught_by(core: type[Accounts], limits: settings = LIMITS) -> str:
    """The law that a core breaks; "" where it passes."""
    try:
        run_state_machine_as_test(machine_of(store_of(core)), settings=limits)
    except Broken as broken:
        return broken.law
    return ""


def main() -> int:
    true = settings(LIMITS, max_examples=TRUE_EXAMPLES)
    law = caught_by(Accounts, true)
    print(f"the true core: {f'breaks {law}' if law else f'passes {TRUE_EXAMPLES} runs'}")
    missed = int(bool(law))
    for core in MUTANTS:
        start = time.perf_counter()
        law = caught_by(core)
        missed += not law
        took_s = time.perf_counter() - start
        idea = (core.__doc__ or "").splitlines()[0]
        print(f"{law or 'NOT CAUGHT':10} {core.__name__:16} {took_s:5.1f} s  {idea}", flush=True)
    print(f"{len(MUTANTS)} planted, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
