"""What a store should answer, worked out anew from all that has ever happened to it.

Shares no code with the store: there are no slots, no running totals and no order of leases here.
Each number is a sum over all reservations of all time, and each answer follows from such sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil

from bursar.state.terms import Ask, Carried, Claim, Denial, Rate, Settled, Standing, Suspect


class Record:
    """One reservation."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.holds = [claim.amount for claim in ask.claims]
        self.actuals: Sequence[int] = ()
        self.ends_ms = ask.at_ms + ask.lease_ms
        self.state = "held"
        self.is_less = False

    @property
    def is_open(self) -> bool:
        return self.state in ("held", "suspect")


class Truth:
    """A store, told slowly."""

    def __init__(self, nodes: Sequence[str] = ()) -> None:
        self.awaited = set(nodes)
        self.told: set[str] = set()
        self.records: dict[str, Record] = {}
        self.gone: set[str] = set()
        self.carried: list[Carried] = []
        self.beside: dict[tuple[str, str, int], int] = {}
        """What tellers last said of an account and slot."""
        self.born: dict[str, int] = {}
        self.passed: list[tuple[Rate, int]] = []
        self.worst: dict[str, int] = {}

    def parts(self, account: str, slots: Slots) -> Iterator[tuple[int, str, int]]:
        """(slot, state, amount) of all that ever lay in an account's slots."""
        for one in self.carried:
            if one.account == account and one.slot in slots:
                yield one.slot, "settled", one.posted
        for (_, name, slot), posted in self.beside.items():
            if name == account and slot in slots:
                yield slot, "settled", posted
        for record in self.records.values():
            amounts = record.actuals if record.state == "settled" else record.holds
            for claim, amount in zip(record.ask.claims, amounts, strict=True):
                if claim.account == account and claim.slot in slots:
                    yield claim.slot, record.state, amount

    def sums(self, claim: Claim, at_ms: int | None = None) -> tuple[int, int, int]:
        """Posted, held and suspect of the window of a claim, when made or later."""
        found = {"settled": 0, "held": 0, "suspect": 0, "void": 0}
        for _, state, amount in self.parts(claim.account, Slots(claim, at_ms)):
            found[state] += amount
        return found["settled"], found["held"], found["suspect"]

    def limit(self, claim: Claim) -> int | None:
        """What the window was last granted under."""
        for record in reversed(self.records.values()):
            for one in record.ask.claims:
                if one.account == claim.account and (claim.step or one.slot == claim.slot):
                    return one.limit
        raise AssertionError("nothing was granted there")

    def reserve(self, ask: Ask) -> Denial | None:
        if ask.key in self.records or ask.key in self.gone:
            return None
        denial = self._denied(ask)
        if denial is None:
            self._hold(ask)
            self.passed += [(rate, ask.at_ms) for rate in ask.rates]
        return denial

    def _denied(self, ask: Ask) -> Denial | None:
        for index, claim in enumerate(ask.claims):
            born_ms = self.born.get(claim.account, ask.at_ms)
            if claim.most_age_ms is not None and ask.at_ms - born_ms > claim.most_age_ms:
                return self._denial("age", index, claim, claim.limit, None)
            if (
                claim.limit is not None
                and sum(self.sums(claim)) + claim.amount + claim.spare > claim.limit
            ):
                return self._denial("limit", index, claim, claim.limit, None)
        for index, rate in enumerate(ask.rates):
            behind = self.debt_us(rate, ask.at_ms) + _price_us(rate) - rate.period_us
            if behind > 0:
                wait = None if rate.cost > rate.burst else ceil(Fraction(behind, 1000))
                return Denial("rate", index, retry_ms=wait)
        return None

    def _denial(
        self, why: str, index: int, claim: Claim, limit: int | None, at_ms: int | None
    ) -> Denial:
        filled = [
            slot
            for slot, state, amount in self.parts(claim.account, Slots(claim, at_ms))
            if amount and state != "void"
        ]
        oldest = min(filled) if filled and claim.step else None
        return Denial(why, index, limit, *self.sums(claim, at_ms), oldest=oldest)  # type: ignore[arg-type]

    def debt_us(self, rate: Rate, at_ms: int) -> int:
        """How much of what has passed is not yet paid for by time."""
        until = 0
        for one, then_ms in self.passed:
            if one.key == rate.key:
                now = then_ms * 1000
                until = min(max(until, now), now + one.period_us) + _price_us(one)
        now = at_ms * 1000
        return min(max(until - now, 0), rate.period_us)

    def _hold(self, ask: Ask) -> None:
        self.records[ask.key] = Record(ask)
        for claim in ask.claims:
            self.born.setdefault(claim.account, ask.at_ms)

    def extend(self, key: str, amounts: Sequence[int], at_ms: int) -> Denial | None:
        record = self.records.get(key)
        if record is None or not record.is_open:
            return Denial("age", 0)
        self.renew((key,), at_ms)
        is_less = any(amount < 0 for amount in amounts)
        if is_less and record.is_less:
            return None
        for index, claim in enumerate(record.ask.claims):
            limit = None if amounts[index] < 0 else self.limit(claim)
            if limit is not None and sum(self.sums(claim, at_ms)) + amounts[index] > limit:
                return self._denial("limit", index, claim, limit, at_ms)
        record.is_less = record.is_less or is_less
        record.holds = [max(0, a + b) for a, b in zip(record.holds, amounts, strict=True)]
        return None

    def settle(self, key: str, amounts: Sequence[int], at_ms: int) -> Settled:
        record = self.records.get(key)
        if record is None or not record.is_open:
            return Settled(new=False)
        record.state, record.actuals = "settled", amounts
        over: list[int] = []
        levels: list[int] = []
        for claim in record.ask.claims:
            limit = self.limit(claim)
            levels.append(sum(self.sums(claim, at_ms)))
            over.append(0 if limit is None else max(0, levels[-1] - limit))
            self.worst[claim.account] = max(self.worst.get(claim.account, 0), over[-1])
        return Settled(True, tuple(over), tuple(levels))

    def void(self, key: str, at_ms: int) -> bool:
        record = self.records.get(key)
        if record is None:
            self.gone.add(key)
        if record is None or not record.is_open:
            return False
        record.state = "void"
        return True

    def renew(self, keys: Sequence[str], at_ms: int) -> None:
        for key in keys:
            record = self.records.get(key)
            if record is not None and record.is_open:
                record.ends_ms = max(record.ends_ms, at_ms + record.ask.lease_ms)
                record.state = "held"

    def sweep(self, at_ms: int) -> int:
        ended = [
            one for one in self.records.values() if one.state == "held" and one.ends_ms <= at_ms
        ]
        for record in ended:
            record.state = "suspect"
        return len(ended)

    def rebuild(
        self, node: str, carried: Sequence[Carried], done: Sequence[str], at_ms: int
    ) -> None:
        if node in self.told:
            return
        self.told.add(node)
        self.awaited.discard(node)
        self.carried += carried
        self._hear(carried)
        for key in done:
            if key not in self.records:
                self.gone.add(key)
            elif self.records[key].is_open:
                self.records[key].state = "void"

    def carry(self, teller: str, carried: Sequence[Carried], at_ms: int) -> None:
        for one in carried:
            self.beside[teller, one.account, one.slot] = one.posted
        self._hear(carried)

    def _hear(self, carried: Sequence[Carried]) -> None:
        for one in carried:
            if one.born_ms is not None:
                self.born[one.account] = min(one.born_ms, self.born.get(one.account, one.born_ms))

    def abandon(self, owner: str, at_ms: int) -> int:
        gone = [r for r in self.records.values() if r.state == "held" and r.ask.owner == owner]
        for record in gone:
            record.state = "suspect"
        return len(gone)

    def suspects(self) -> set[Suspect]:
        return {
            Suspect(key, record.ask.note, tuple(record.holds))
            for key, record in self.records.items()
            if record.state == "suspect"
        }

    def restore(self, ask: Ask) -> None:
        if ask.key not in self.records and ask.key not in self.gone:
            self._hold(ask)

    def standing(self, claim: Claim) -> Standing:
        posted, held, suspect = self.sums(claim)
        total = sum(a for _, state, a in self.parts(claim.account, Slots()) if state == "settled")
        return Standing(
            claim.account,
            posted,
            held,
            suspect,
            total,
            self.worst.get(claim.account, 0),
            self.born.get(claim.account),
        )


class Slots:
    """The slots of a claim's window, when it was made or at a later moment; or all there are."""

    def __init__(self, claim: Claim | None = None, at_ms: int | None = None) -> None:
        self.claim = claim
        self.later = 0
        if claim is not None and claim.step and at_ms is not None:
            self.later = max(0, (at_ms // claim.step) * claim.step - claim.slot)

    def __contains__(self, slot: int) -> bool:
        if self.claim is None:
            return True
        if not self.claim.step:
            return slot == self.claim.slot
        return slot >= self.claim.since + self.later


def _price_us(rate: Rate) -> int:
    return ceil(Fraction(rate.cost * rate.period_us, rate.burst))
