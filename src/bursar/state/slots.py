"""What an account is made of: slots of time, a window that rolls over them, a reservation in them.

An account's counts lie in slots by their beginning. A calendar window is one slot and needs no
more. A rolling one keeps the running total of its slots and a place among them in order of time,
so that each slot is added once and taken away once as the window moves on, or back with a clock.
"""

from __future__ import annotations

from bisect import insort
from typing import Literal

from bursar.state.terms import Ask, Claim, Denial

SLOTS_KEPT = 128
"""Of one account; beyond it the oldest that are out of the window and hold nothing are dropped."""
NEVER = 2**63
"""A `since` after every slot: the account has not been asked for a rolling window yet."""


class Slot:
    """What lies in one slot of one account."""

    __slots__ = ("begin", "held", "limit", "posted", "suspect")

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self.posted = 0
        self.held = 0
        self.suspect = 0
        self.limit: int | None = None
        """That an Ask was last granted under, where the slot is the window."""


class Account:
    """The slots of one account, by their beginning, and the running total of its window."""

    __slots__ = (
        "aged", "born_ms", "first", "limit", "open", "order", "seen_ms", "since",
        "slots", "total", "until", "used", "worst_over",
    )  # fmt: skip

    def __init__(self) -> None:
        self.slots: dict[int, Slot] = {}
        self.order: list[int] = []
        self.since = NEVER
        self.first = 0
        """Place in `order` of the first slot that begins at `since` or later."""
        self.used = 0
        """Posted + held + suspect of the slots from there on."""
        self.limit: int | None = None
        """That an Ask was last granted under, where the window rolls."""
        self.total = 0
        self.worst_over = 0
        self.open = 0
        """Reservations in it, under way or suspect."""
        self.born_ms: int | None = None
        self.seen_ms = 0
        self.until = 0
        """When nothing in it counts any more; 0: never."""
        self.aged = False
        """Whether a claim asked how long ago it was born."""

    def slot(self, begin: int) -> Slot:
        """The slot that begins there, made where there is none."""
        slot = self.slots.get(begin)
        if slot is None:
            if len(self.order) >= SLOTS_KEPT:
                self._drop()
            slot = self.slots[begin] = Slot(begin)
            if not self.order or begin > self.order[-1]:
                self.order.append(begin)
            else:
                insort(self.order, begin)
            if begin < self.since:
                self.first += 1
        return slot

    def roll(self, since: int) -> None:
        """Move the window, on or back; each slot that it passes is added or taken away once."""
        order, slots, first = self.order, self.slots, self.first
        while first < len(order) and order[first] < since:
            slot = slots[order[first]]
            self.used -= slot.posted + slot.held + slot.suspect
            first += 1
        while first and order[first - 1] >= since:
            first -= 1
            slot = slots[order[first]]
            self.used += slot.posted + slot.held + slot.suspect
        self.first = first
        self.since = since

    def level(self, begin: int, since: int, step: int) -> int:
        """Posted + held + suspect of the window of a claim."""
        if step:
            if since != self.since:
                self.roll(since)
            return self.used
        slot = self.slots.get(begin)
        return slot.posted + slot.held + slot.suspect if slot else 0

    def within(self, claim: Claim) -> list[Slot]:
        """The slots of the window of a claim, oldest first; moves nothing."""
        if not claim.step:
            slot = self.slots.get(claim.slot)
            return [slot] if slot else []
        return [self.slots[begin] for begin in self.order if begin >= claim.since]

    def born(self, at_ms: int) -> None:
        """It was in use then."""
        if self.born_ms is None or at_ms < self.born_ms:
            self.born_ms = at_ms

    def _drop(self) -> None:
        """Forget slots that are out of the window and hold nothing, oldest first."""
        # Of calendar windows `first` is past all of them: the newest few stay.
        ends = min(self.first, len(self.order) - SLOTS_KEPT // 2)
        kept: list[int] = []
        for begin in self.order[:ends]:
            slot = self.slots[begin]
            if slot.held or slot.suspect:
                kept.append(begin)
            else:
                del self.slots[begin]
        self.first -= ends - len(kept)
        self.order[:ends] = kept


class Held:
    """A reservation that is under way or suspect."""

    __slots__ = (
        "accounts", "amounts", "claims", "ends_ms", "is_less", "is_open", "is_suspect", "key",
        "lease_ms", "note", "owner", "slots",
    )  # fmt: skip

    def __init__(self, ask: Ask, accounts: list[Account], slots: list[Slot]) -> None:
        self.key = ask.key
        self.owner = ask.owner
        self.note = ask.note
        self.claims = ask.claims
        self.accounts = accounts
        self.slots = slots
        self.amounts = [claim.amount for claim in ask.claims]
        self.lease_ms = ask.lease_ms
        self.ends_ms = ask.at_ms + ask.lease_ms
        self.is_suspect = False
        self.is_open = True
        self.is_less = False
        """It was made smaller, which counts once: the same step may come a second time."""

    def suspect(self) -> None:
        """Nothing was heard of it in time."""
        self.is_suspect = True
        for slot, amount in zip(self.slots, self.amounts, strict=True):
            slot.held -= amount
            slot.suspect += amount

    def revive(self) -> None:
        """It was heard of after all."""
        self.is_suspect = False
        for slot, amount in zip(self.slots, self.amounts, strict=True):
            slot.suspect -= amount
            slot.held += amount

    def free(self) -> None:
        """Take what it holds out of its slots."""
        for claim, account, slot, amount in zip(
            self.claims, self.accounts, self.slots, self.amounts, strict=True
        ):
            if self.is_suspect:
                slot.suspect -= amount
            else:
                slot.held -= amount
            if claim.slot >= account.since:
                account.used -= amount


class Told:
    """What one teller has said last, by account and slot."""

    __slots__ = ("at_ms", "posted")

    def __init__(self) -> None:
        self.at_ms = 0
        self.posted: dict[tuple[str, int], int] = {}


def since_at(claim: Claim, at_ms: int) -> int:
    """Where the window of a rolling claim begins later on."""
    if not claim.step:
        return claim.since
    return claim.since + max(0, at_ms - at_ms % claim.step - claim.slot)


def denied(
    why: Literal["limit", "age"], index: int, account: Account | None, claim: Claim
) -> Denial:
    slots = account.within(claim) if account else []
    filled = [one.begin for one in slots if one.posted or one.held or one.suspect]
    return Denial(
        why,
        index,
        claim.limit,
        posted=sum(slot.posted for slot in slots),
        held=sum(slot.held for slot in slots),
        suspect=sum(slot.suspect for slot in slots),
        oldest=filled[0] if filled and claim.step else None,
    )
