"""What a lever is, and the world that it sees.

A lever stands around the next one: it gets the call, may change it, hands it on with `next` (once,
never or several times) and gives back the answer. The innermost `next` sends. Most levers are a
plain function, lifted by `rewrite` (call in, call out) or `gate` (raises Refused, or lets it pass);
they are tested without any world. Time, attempts and notes come through `Ports`, so that a lever
runs the same live and in replay. A lever that fails passes the call on as it was, and says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from bursar.dialects.showing import Shown
from bursar.model.block import Block
from bursar.model.call import Call
from bursar.model.entry import Answer, Attempt, Decision
from bursar.model.errors import BursarError

PASS, REWROTE, REFUSED, ANSWERED, AGAIN = "pass", "rewrote", "refused", "answered", "again"
"""The verdicts of decisions."""


class Ports(Protocol):
    """The world of one call."""

    @property
    def now_ms(self) -> int:
        """Since 1970; in replay, the recorded time."""
        ...

    @property
    def attempts(self) -> Sequence[Attempt]:
        """What was sent for this call so far, with what it cost."""
        ...

    def note(self, decision: Decision) -> None:
        """Keep the decision with the call."""
        ...

    async def send(self, call: Call) -> Answer:
        """Ask a provider. The attempt is recorded, whatever becomes of it."""
        ...


@runtime_checkable
class Showing(Protocol):
    """A world that can also show what blocks say: one that holds the body. Not every world can."""

    def shown(self, block: Block) -> Shown | None:
        """The text and form of a block of the call as it was asked. None: not to be found."""
        ...


def shown(ports: Ports, block: Block) -> Shown | None:
    """What a block says, where the block or the world knows."""
    if block.body is not None:
        return Shown(block.body)
    return ports.shown(block) if isinstance(ports, Showing) else None


Next = Callable[[Call], Awaitable[Answer]]
Lever = Callable[[Call, Ports, Next], Awaitable[Answer]]
Rewrite = Callable[[Call, Ports], Call]
Gate = Callable[[Call, Ports], None]


def rewrite(name: str, change: Rewrite) -> Lever:
    """A lever that changes calls. `change` gives the same object where it changes nothing."""

    async def lever(call: Call, ports: Ports, then: Next) -> Answer:
        return await then(_unharmed(name, change, call, ports))

    return lever


def gate(name: str, check: Gate) -> Lever:
    """A lever that refuses calls. `check` raises Refused."""

    def checked(call: Call, ports: Ports) -> Call:
        check(call, ports)
        return call

    return rewrite(name, checked)


def _unharmed(name: str, change: Rewrite, call: Call, ports: Ports) -> Call:
    try:
        return change(call, ports)
    except BursarError:
        raise
    except Exception as fault:  # noqa: BLE001 - a lever that fails must not fail the call
        why = f"a fault in the lever ({type(fault).__name__}); the call went on unchanged"
        ports.note(Decision(lever=name, verdict=PASS, why=why))
        return call
