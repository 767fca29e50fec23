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


class Claim(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What one call takes from one account. An Ask names an account once.

    The window of a claim: its own slot where `step` is 0, else every slot that begins at `since`
    or later, those after its own as well (a clock that was ahead must not hide what was spent).
    Later, at a settlement or an extension, a rolling window has moved on with the clock: its
    `since` is then `since + max(0, at_ms - at_ms % step - slot)`.
    """

    account: str
    """Budget, window and scope value, such as `budgets.tenants/usd/month|tenant=acme`."""
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
    until: int = 0
    """When this slot is out of every window, in ms since 1970, so that it may be forgotten from a
    day later on; 0: never."""
    most_age_ms: int | None = None
    """Deny when the account was first used longer ago than this: the wall time of a task. First
    used is the `at_ms` of the first granted Ask that named it. Looked at before the limit."""
    spare: int = 0
    """To be free beside `amount` when it is reserved, and not taken: room for the calls under way
    to grow."""


class Rate(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A limit on speed, by GCRA: one number per key, no refilling.

    With `used` = min(max(stored, now), now + period_us) (so a clock that steps back waits for one
    period at most) and `next` = used + ceil(cost * period_us / burst): denied when next > now +
    period_us, else `next` is stored. Nothing gives it back.
    """

    key: str
    cost: int
    """Requests or tokens."""
    burst: int
    """Most of them at once."""
    period_us: int
    """In which `burst` of them become free again, one by one."""


class Ask(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A reservation: of all claims, or of none."""

    key: str
    """Of the attempt: `<call id>.<n>`. A key that was granted is granted again and holds nothing
    more, also when it has been settled or voided since (remembered for a day); one that was denied
    left nothing behind and is judged anew."""
    at_ms: int
    lease_ms: int
    """Held so long without a word; then it is suspect."""
    claims: tuple[Claim, ...] = ()
    rates: tuple[Rate, ...] = ()
    owner: str = ""
    """The worker that holds it; all that it held becomes suspect when it is gone."""
    note: str = ""
    """Given back by `suspects` as it is."""


class Denial(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Why not, by the first claim, then the first rate, that does not fit. Nothing was taken."""

    why: Literal["limit", "rate", "age"]
    index: int
    """Which one of `claims`, or of `rates`."""
    limit: int | None = None
    posted: int = 0
    held: int = 0
    suspect: int = 0
    retry_ms: int | None = None
    """In how many ms a rate has room again, rounded up. None: never, the cost is over the burst."""
    oldest: int | None = None
    """Of a rolling window: its first slot that counts anything, which tells when it resets."""


class Settled(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a settlement did."""

    new: bool
    """False: it had been settled before, and nothing changed."""
    over: tuple[int, ...] = ()
    """For each claim, by how much its window now exceeds the limit that an Ask was last granted
    under in that window (the one slot, or the account where it rolls), so that a raise does not
    look like an overshoot of the calls before it. 0 where that was None. The greatest is kept as
    `Standing.worst_over`."""
    levels: tuple[int, ...] = ()
    """For each claim, posted + held + suspect of its window after it. Empty unless new."""


class Standing(msgspec.Struct, frozen=True, gc=False, array_like=True):
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


class Carried(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What an account has posted in one slot, told from a ledger."""

    account: str
    slot: int
    posted: int
    born_ms: int | None = None


class Suspect(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A reservation that nobody speaks for any more."""

    key: str
    note: str
    """Of its Ask."""
    amounts: tuple[int, ...]
    """What it holds, of each claim."""


class StoreLost(BursarError):
    """The store cannot be reached or has lost its counts; each budget's `fail` says what then."""


class Store(Protocol):
    """Keeps the counts. Every method is one atomic step, and may raise StoreLost."""

    async def is_whole(self) -> bool:
        """Whether every node has told what it had posted since the store began, or was wiped.
        Until then every reservation and every extension raises StoreLost."""
        ...

    async def rebuild(
        self, node: str, carried: tuple[Carried, ...], done: tuple[str, ...], at_ms: int
    ) -> None:
        """What a node's ledger knows, once per node and life of the store; told again it changes
        nothing. `done` are the attempts of the last day that are in it: their settlements, when
        they come, are `new=False`; what one of them holds is freed. May come before, after
        or between other steps; only reservations and extensions wait for it.

        What was under way when a node told this is restored before it is settled, also where the
        answer was lost and the node tells again: the first time may have counted."""
        ...

    async def carry(self, teller: str, carried: tuple[Carried, ...], at_ms: int) -> None:
        """What a ledger knows beside what was reserved here, such as that of accounts which only a
        new rule counts. What a teller says of an account and slot replaces what it said of them
        before (remembered until it has said nothing for a day); so it may tell again and again
        until nothing more comes."""
        ...

    async def restore(self, ask: Ask) -> None:
        """A reservation from before a wipe that is still under way: held again, whatever the
        limits say, unless its attempt is among the `done`."""
        ...

    async def reserve(self, ask: Ask) -> Denial | None:
        """Hold all claims, or say which one does not fit."""
        ...

    async def extend(self, key: str, amounts: tuple[int, ...], at_ms: int) -> Denial | None:
        """Hold so much more for each claim, in its slot, or nothing; below 0, so much less, and
        never less than nothing in all. Renews the lease either way.
        A key that is not under way is denied with `why="age"`. The limit is the one of
        `Settled.over`."""
        ...

    async def settle(self, key: str, amounts: tuple[int, ...], at_ms: int) -> Settled:
        """Post what each claim really took and free the rest. At most once, at any time: after the
        lease has run out it still posts, and clears what was suspect. More than was held is posted
        too. A key that nobody has heard of is `new=False`."""
        ...

    async def void(self, key: str, at_ms: int) -> bool:
        """Free it: nothing was sent. True when this freed something. A void that overtakes its
        reservation wins: the key counts as done."""
        ...

    async def renew(self, keys: tuple[str, ...], at_ms: int) -> None:
        """These are under way: their leases begin again at `at_ms`, for as long as before, and
        what of them was suspect is held. A lease never gets shorter by a message that came late."""
        ...

    async def sweep(self, at_ms: int) -> int:
        """Turn what is held beyond its lease (since `at_ms` + `lease_ms` or earlier) into suspect;
        how many reservations that were. Also forgets what can no longer count."""
        ...

    async def abandon(self, owner: str, at_ms: int) -> int:
        """That worker is gone: what it held is suspect at once. How many reservations."""
        ...

    async def suspects(self, most: int) -> list[Suspect]:
        """Some that are suspect, so that whoever finds out what became of them can settle or void
        them. Not more than `most`."""
        ...

    async def standings(self, claims: tuple[Claim, ...]) -> list[Standing]:
        """The accounts as they stand, in the windows that the claims tell."""
        ...
