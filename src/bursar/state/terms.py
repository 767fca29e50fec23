"""The words between whoever spends and the store that keeps the counts.

A call's claims on all its budgets go to the store in one `Ask`, which is granted whole or denied
whole, and leave nothing behind when denied. A claim is an amount (nanodollars, tokens, steps or
calls: the store adds integers and does not care) against one account. An account's window is cut
into slots by their beginning; what is held and posted belongs to the slot of the reservation, so
that a late settlement lands in the window that admitted it.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from bursar.model.errors import BursarError


class Claim(msgspec.Struct, frozen=True, gc=False):
    """What one call takes from one account."""

    account: str
    """Budget, window and scope value, such as `tenants/0|acme`."""
    amount: int
    """Held until it is settled; at least 0."""
    limit: int | None
    """Most that posted, held and suspect of the window may come to. None: only counted."""
    slot: int = 0
    """Beginning of the slot that this claim falls into, in ms since 1970; 0 where it never ends."""
    since: int = 0
    """Slots that begin before this are out of the window."""
    step: int = 0
    """Length of a slot in ms. 0: the window is one slot, the one of this claim."""
    most_age_ms: int | None = None
    """Deny when the account was first used longer ago: the wall time of a task."""


class Rate(msgspec.Struct, frozen=True, gc=False):
    """A limit on speed, by GCRA: one number per key, no refilling."""

    key: str
    cost: int
    """Requests or tokens."""
    burst: int
    """Most of them at once."""
    period_us: int
    """In which `burst` of them become free again, one by one."""


class Ask(msgspec.Struct, frozen=True, gc=False):
    """A reservation: of all claims, or of none."""

    key: str
    """Of the attempt: `<call id>.<n>`. The same key twice gets the same answer."""
    at_ms: int
    lease_ms: int
    """Held so long without a word; then it is suspect."""
    claims: tuple[Claim, ...] = ()
    rates: tuple[Rate, ...] = ()
    owner: str = ""
    """The worker that holds it; all that it held becomes suspect when it is gone."""


class Denial(msgspec.Struct, frozen=True, gc=False):
    """Why not, by the first claim or rate that does not fit. Nothing was taken."""

    why: Literal["limit", "rate", "age"]
    index: int
    """Which one of `claims`, or of `rates`."""
    limit: int | None = None
    posted: int = 0
    held: int = 0
    suspect: int = 0
    retry_ms: int | None = None
    """When a rate has room again."""


class Settled(msgspec.Struct, frozen=True, gc=False):
    """What a settlement did."""

    new: bool
    """False: it had been settled before, and nothing changed."""
    over: tuple[int, ...] = ()
    """For each claim, by how much its account now exceeds its limit."""
    levels: tuple[int, ...] = ()
    """For each claim, posted + held + suspect of its window after it."""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """An account as it stands."""

    account: str
    posted: int = 0
    """Settled, in the window."""
    held: int = 0
    """Reserved, by calls that are under way."""
    suspect: int = 0
    """Reserved, by calls that were never heard of again; counts until it is settled."""
    total: int = 0
    """Settled, ever."""
    worst_over: int = 0
    """The most by which it exceeded its limit."""
    born_ms: int | None = None
    """When it was first used."""


class Carried(msgspec.Struct, frozen=True, gc=False):
    """What an account has posted in one slot, told from a ledger."""

    account: str
    slot: int
    posted: int
    born_ms: int | None = None


class StoreLost(BursarError):
    """The store cannot be reached or has lost its counts; each budget's `fail` says what then."""


class Store(Protocol):
    """Keeps the counts. Every method is one atomic step, and may raise StoreLost."""

    async def is_whole(self) -> bool:
        """Whether every node has told what it had posted since the store began, or was wiped.
        Until then every reservation raises StoreLost."""
        ...

    async def rebuild(
        self, node: str, carried: tuple[Carried, ...], done: tuple[str, ...], at_ms: int
    ) -> None:
        """What a node's ledger knows, once per node and life of the store; told again it changes
        nothing. `done` are the attempts of the last day that are in it: their settlements, when
        they come, are `new=False`."""
        ...

    async def restore(self, ask: Ask) -> None:
        """A reservation from before a wipe that is still under way: held again, whatever the
        limits say, unless its attempt is among the `done`."""
        ...

    async def reserve(self, ask: Ask) -> Denial | None:
        """Hold all claims, or say which one does not fit."""
        ...

    async def extend(self, key: str, amounts: tuple[int, ...], at_ms: int) -> Denial | None:
        """Hold so much more for each claim, or nothing. Renews the lease either way. A key that
        is not under way is denied with `why="age"`."""
        ...

    async def settle(self, key: str, amounts: tuple[int, ...], at_ms: int) -> Settled:
        """Post what each claim really took and free the rest. At most once, at any time: after the
        lease has run out it still posts, and clears what was suspect. More than was held is posted
        too. A key that nobody has heard of is `new=False`."""
        ...

    async def void(self, key: str, at_ms: int) -> bool:
        """Free it: nothing was sent. Idempotent."""
        ...

    async def renew(self, keys: tuple[str, ...], at_ms: int) -> None:
        """These are under way: their leases begin again."""
        ...

    async def sweep(self, at_ms: int) -> int:
        """Turn what is held beyond its lease into suspect; how many reservations that were."""
        ...

    async def standings(self, claims: tuple[Claim, ...]) -> list[Standing]:
        """The accounts as they stand, in the windows that the claims tell."""
        ...
