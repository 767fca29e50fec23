"""What a worker still owed the store when it was killed, told by the one in its place.

While the store is away, settlements wait in the worker's memory. If it is killed then, only the
ledger has them: every call of the worker that ended lately is held and settled once more, which
changes nothing where the store knew of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bursar.gateway.purse.accounting import group_of, words_of
from bursar.gateway.purse.books import Books
from bursar.gateway.purse.clearing import MOST
from bursar.ledger.counting import ended_sql
from bursar.model.call import Tags
from bursar.model.errors import Refused
from bursar.state.budgets import KEY, MODEL, PROVIDER, ROUTE, Limit
from bursar.state.claims import Caps, Who, claims_of, settled_amounts
from bursar.state.terms import Ask, Store

LATELY_MS = 15 * 60_000
"""A store that was away for longer lacks what was owed before, until it is told anew."""
LEASE_MS = 60_000
OWN = {KEY: "key", ROUTE: "route", MODEL: "model", PROVIDER: "provider"}
AT_ONCE = 500


class Estate(msgspec.Struct, frozen=True, kw_only=True):
    """Who was killed, and what counted its calls."""

    owner: str
    caps: Caps
    begins: Mapping[str, int]
    """Group of a cap -> the moment from which calls were reserved with it."""


async def inherit(store: Store, books: Books, estate: Estate, at_ms: int) -> None:
    """Tell what a worker owed. Raises StoreLost, LedgerError."""
    owner, caps = estate.owner, estate.caps
    await store.abandon(owner, at_ms)
    incarnation = int(owner.rpartition("/")[2])
    (rows,) = await books.ask(ended_sql(words_of(caps), incarnation, at_ms - LATELY_MS))
    # Those the store knows are cleared by what they noted themselves.
    known = {one.key for one in await store.suspects(MOST)}
    owed = [one for row in rows if (one := _owed(estate, row)) is not None]
    for first in range(0, len(owed), AT_ONCE):
        part = [one for one in owed[first : first + AT_ONCE] if one[0].key not in known]
        await asyncio.gather(*(_tell(store, ask, amounts, at_ms) for ask, amounts in part))


async def _tell(store: Store, ask: Ask, amounts: tuple[int, ...], at_ms: int) -> None:
    await store.restore(ask)
    await store.settle(ask.key, amounts, at_ms)


def _owed(estate: Estate, row: Sequence[Any]) -> tuple[Ask, tuple[int, ...]] | None:
    """A call as it was reserved, and what it came to; None where nothing counts it."""
    caps, begins = estate.caps, estate.begins
    *values, call_id, n, begun_ms, nano, tokens = row
    try:
        drawn = claims_of(caps, _who(caps, values), nano, tokens, begun_ms)
    except Refused:
        return None
    counted = [
        (claim, mark)
        for claim, mark in zip(drawn.claims, drawn.marks, strict=True)
        if isinstance(mark.limit, Limit)
        and begins.get(group_of(mark.rule, mark.limit), 0) <= begun_ms
    ]
    if not counted:
        return None
    ask = Ask(f"{call_id}.{n}", begun_ms, LEASE_MS, tuple(claim for claim, _ in counted))
    return ask, settled_amounts(tuple(mark for _, mark in counted), nano, tokens)


def _who(caps: Caps, values: Sequence[str | None]) -> Who:
    tags: dict[str, Any] = {}
    other: dict[str, str] = {}
    own: dict[str, Any] = {}
    for scope, value in zip(caps.scopes, values, strict=True):
        if scope in OWN:
            own[OWN[scope]] = value
        elif scope in Tags.__struct_fields__:
            tags[scope] = value
        elif value is not None:
            other[scope] = value
    return Who(Tags(**tags, other=other), **own)
