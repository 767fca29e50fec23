"""What goes over the purse's socket: a worker's steps as messages, and their answers.

An answer is a list of its kind of ending and its value, so that an error of a step comes back as
that error where it was asked.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from bursar.state.accounts import Accounts
from bursar.state.terms import Ask, Carried, Claim, Denial, Settled, Standing, StoreLost, Suspect

DONE, LOST, WRONG = 0, 1, 2
"""How a step ended: with a value; the store is not whole, or full; it makes no sense."""


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of them all."""


class Hello(Message, frozen=True, tag=0):
    """The first word of a worker."""

    version: int
    owner: str


class Here(Message, frozen=True):
    """The answer: which life of the store this is."""

    version: int
    life: bytes


class Look(Message, frozen=True, tag=1):
    """Is it whole?"""


class Rebuild(Message, frozen=True, tag=2):
    node: str
    carried: tuple[Carried, ...]
    done: tuple[str, ...]
    at_ms: int


class Carry(Message, frozen=True, tag=3):
    teller: str
    carried: tuple[Carried, ...]
    at_ms: int


class Restore(Message, frozen=True, tag=4):
    ask: Ask


class Reserve(Message, frozen=True, tag=5):
    ask: Ask


class Extend(Message, frozen=True, tag=6):
    key: str
    amounts: tuple[int, ...]
    at_ms: int


class Settle(Message, frozen=True, tag=7):
    key: str
    amounts: tuple[int, ...]
    at_ms: int


class Void(Message, frozen=True, tag=8):
    key: str
    at_ms: int


class Renew(Message, frozen=True, tag=9):
    keys: tuple[str, ...]
    at_ms: int


class Sweep(Message, frozen=True, tag=10):
    at_ms: int


class Abandon(Message, frozen=True, tag=11):
    owner: str
    at_ms: int


class Suspects(Message, frozen=True, tag=12):
    most: int


class Standings(Message, frozen=True, tag=13):
    claims: tuple[Claim, ...]


Step = (
    Look | Rebuild | Carry | Restore | Reserve | Extend | Settle | Void | Renew | Sweep | Abandon
    | Suspects | Standings
)  # fmt: skip
IN_ANY_LIFE = (Look, Rebuild, Restore)
"""What may be asked of a store that has lost its counts, before ours are told."""
KINDS: dict[type, Any] = {
    Look: bool,
    Reserve: Denial | None,
    Extend: Denial | None,
    Settle: Settled,
    Void: bool,
    Sweep: int,
    Abandon: int,
    Suspects: list[Suspect],
    Standings: list[Standing],
}
"""What a step is answered with; nothing where it does not stand here."""
DECODERS = {
    kind: msgspec.msgpack.Decoder(tuple[int, KINDS.get(kind, type(None)) | str])
    for kind in (
        *(Look, Rebuild, Carry, Restore, Reserve, Extend, Settle),
        *(Void, Renew, Sweep, Abandon, Suspects, Standings),
    )
}
greeting = msgspec.msgpack.Decoder(Hello).decode
asked = msgspec.msgpack.Decoder(list[Step]).decode
Kind = TypeVar("Kind")

TAKEN: dict[type, Callable[[Accounts, Any], Any]] = {
    Look: lambda counts, step: counts.is_whole(),
    Rebuild: lambda counts, step: counts.rebuild(step.node, step.carried, step.done, step.at_ms),
    Carry: lambda counts, step: counts.carry(step.teller, step.carried, step.at_ms),
    Restore: lambda counts, step: counts.restore(step.ask),
    Reserve: lambda counts, step: counts.reserve(step.ask),
    Extend: lambda counts, step: counts.extend(step.key, step.amounts, step.at_ms),
    Settle: lambda counts, step: counts.settle(step.key, step.amounts, step.at_ms),
    Void: lambda counts, step: counts.void(step.key, step.at_ms),
    Renew: lambda counts, step: counts.renew(step.keys, step.at_ms),
    Sweep: lambda counts, step: counts.sweep(step.at_ms),
    Abandon: lambda counts, step: counts.abandon(step.owner, step.at_ms),
    Suspects: lambda counts, step: counts.suspects(step.most),
    Standings: lambda counts, step: counts.standings(step.claims),
}


def take(counts: Accounts, step: Step) -> tuple[int, Any]:
    """Do a step; how it ended."""
    try:
        return DONE, TAKEN[type(step)](counts, step)
    except StoreLost as lost:
        return LOST, lost.message
    except ValueError as wrong:
        return WRONG, str(wrong)


def answer(kind: type, raw: msgspec.Raw, future: Future[Any]) -> None:
    """Give an answer to who waits for it. Raises MsgspecError."""
    ending, value = DECODERS[kind].decode(raw)
    if ending == DONE:
        future.set_result(value)
    elif ending == LOST:
        future.set_exception(StoreLost(value))
    else:
        future.set_exception(ValueError(value))
