"""What goes to the scripts and what comes back, as MessagePack.

An operation is a tuple that begins with the name of its step in `lua/`; an answer is what that
step returns. Names of accounts, rates, nodes and owners come from tenants, sessions and whoever
else calls, so only a hash of them is sent: as long as it is, of harmless letters, and readable by
nobody who can read the server. Numbers are whole and below 2^53, where Lua still counts exactly;
beyond it they are refused here.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Literal, cast

from bursar.model.errors import BadInput
from bursar.state.terms import (
    Ask,
    Carried,
    Claim,
    Denial,
    Rate,
    Settled,
    Standing,
    StoreLost,
    Suspect,
)

MOST = 2**53 - 1
"""The greatest amount or limit: 9,007,199 dollars in nanodollars."""
MOST_MS = 10**13 - 1
"""The last moment (in 2286): slots are part of field names, and rates count microseconds."""
CLAIMS = 64
"""Most claims of one ask, and most rates."""
NOTE = 1_024
"""Most characters of a note. It is kept as it is, so it names no caller."""
PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")

Operation = tuple[Any, ...]
Row = tuple[str, int, int | Literal[False], int, int, int, int, int | Literal[False], int]


@lru_cache(maxsize=65_536)
def hashed(name: str) -> str:
    """A name as the server knows it: 20 letters, digits, `-` and `_`."""
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=15).digest()
    return urlsafe_b64encode(digest).decode()


def attempt(key: str) -> str:
    """An attempt's key, as it is where it is short and plain, so that one can look it up."""
    return key if PLAIN.match(key) else "~" + hashed(key)


def asking(step: Literal["reserve", "restore"], ask: Ask, mark: str) -> Operation:
    """`mark`: before its key."""
    if len(ask.claims) > CLAIMS or len(ask.rates) > CLAIMS:
        raise BadInput(f"a call takes from {CLAIMS} accounts and {CLAIMS} rates at most")
    _check(ask.at_ms, MOST_MS)
    _check(ask.lease_ms, MOST_MS)
    rows = [_row(claim) for claim in ask.claims]
    rates = [_rate(one) for one in ask.rates]
    owner = hashed(ask.owner) if ask.owner else ""
    if len(ask.note) > NOTE:
        raise BadInput(f"the note of an attempt has {NOTE} characters at most")
    key = attempt(mark + ask.key)
    return (step, key, ask.at_ms, ask.lease_ms, rows, rates, owner, ask.note)


def amounts_of(
    step: Literal["extend", "settle"], key: str, amounts: Sequence[int], at_ms: int
) -> Operation:
    _check(at_ms, MOST_MS)
    for amount in amounts:
        _check(abs(amount) if step == "extend" else amount, MOST)
    return (step, attempt(key), amounts, at_ms)


def standing_rows(claims: Sequence[Claim]) -> list[Row]:
    return [_row(claim) for claim in claims]


def carried_rows(carried: Sequence[Carried]) -> list[tuple[str, int, int, int | Literal[False]]]:
    rows: list[tuple[str, int, int, int | Literal[False]]] = []
    for one in carried:
        _check(one.posted, MOST)
        _check(one.slot, MOST_MS)
        born_ms = False if one.born_ms is None else one.born_ms
        rows.append((hashed(one.account), one.slot, one.posted, born_ms))
    return rows


def denial_of(answer: Any) -> Denial | None:
    """What a step says that may deny. Raises StoreLost when too few nodes have told."""
    if answer == 0:
        return None
    if answer == "L":
        raise StoreLost("the store waits for what the nodes had posted")
    _check_length(answer)
    if answer[0] == "rate":
        wait_us = answer[2]
        retry_ms = None if wait_us is False else -(-wait_us // 1000)
        return Denial("rate", answer[1], retry_ms=retry_ms)
    why, index, limit, (posted, held, suspect), oldest = answer
    return Denial(
        cast("Literal['limit', 'age']", why),
        index,
        None if limit is False else limit,
        posted=int(posted),
        held=int(held),
        suspect=int(suspect),
        oldest=None if oldest is False else oldest,
    )


def settled_of(answer: Any) -> Settled:
    if answer == 0:
        return Settled(new=False)
    _check_length(answer)
    over: list[int] = []
    levels: list[int] = []
    for limit, counts in answer[0]:
        level = sum(map(int, counts))
        levels.append(level)
        over.append(0 if limit is False else max(0, level - limit))
    return Settled(True, tuple(over), tuple(levels))


def standing_of(claim: Claim, answer: Any) -> Standing:
    posted, held, suspect, total, worst_over = map(int, answer[:5])
    born_ms = None if answer[5] is False else int(answer[5])
    return Standing(claim.account, posted, held, suspect, total, worst_over, born_ms)


def suspect_of(answer: Any, mark: str) -> Suspect:
    """`mark`: left out where its key begins with it; another node's key stays as it is."""
    key, note, amounts = answer
    return Suspect(key.removeprefix(mark), note, tuple(map(int, amounts)))


def _check_length(answer: Any) -> None:
    if answer == "N":
        raise ValueError("there are not as many amounts as the reservation has claims")


def _row(claim: Claim) -> Row:
    limit, age = claim.limit, claim.most_age_ms
    if limit is None:
        limit = False
    else:
        _check(limit, MOST)
    _check(claim.amount, MOST)
    _check(age or 0, MOST)
    _check(claim.spare, MOST)
    for at_ms in (claim.slot, abs(claim.since), claim.step, claim.until):
        _check(at_ms, MOST_MS)
    return (
        hashed(claim.account),
        claim.amount,
        limit,
        claim.slot,
        claim.since,
        claim.step,
        claim.until,
        False if age is None else age,
        claim.spare,
    )


def _rate(rate: Rate) -> tuple[str, int, int, bool]:
    """Its key, what this costs in microseconds, its period, and whether it can ever fit."""
    gap_us = -(-rate.cost * rate.period_us // max(rate.burst, 1))
    _check(rate.period_us, MOST_MS)
    fits = rate.cost <= rate.burst
    return (hashed(rate.key), gap_us if fits else 0, rate.period_us, fits)


def _check(number: int, most: int) -> None:
    if not 0 <= number <= most:
        raise BadInput(
            f"{number} cannot be counted exactly in Redis, which counts from 0 to {most}",
            mend="use a smaller limit, or one window of several limits",
        )
