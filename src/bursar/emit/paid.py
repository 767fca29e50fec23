"""One paid attempt as the ledger has it: what is told of it, and nothing of its prompt.

Made while the keeper waits, so it copies a handful of references; it keeps none of the blocks,
since a collector that is down must not keep prompts' shapes in memory.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from bursar.ledger.rows import Posted, cost_basis
from bursar.model.call import Call
from bursar.model.entry import Attempt


class Paid(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt, priced and committed."""

    call_id: int
    call: Call
    """Without its blocks."""
    attempt: Attempt
    cost_basis: str | None
    """What the cost rests on: `measured`, `modelled`, `assumed`. None: no cost is known."""
    step: int
    stop: str | None
    outcome: str
    """`ok`, `left`, `failed` and so on, as the client met it."""


def paid_of(posted: Iterable[Posted]) -> list[Paid]:
    """Every attempt of these entries."""
    found: list[Paid] = []
    for one in posted:
        call = one.entry.call
        if call.blocks is not None:
            call = replace(call, blocks=None)
        answer = one.entry.answer
        for attempt, rates, _ in one.attempts:
            found.append(
                Paid(
                    call_id=one.call_id,
                    call=call,
                    attempt=attempt,
                    cost_basis=cost_basis(attempt, rates),
                    step=one.step,
                    stop=None if answer is None else answer.stop,
                    outcome="ok" if answer is None else answer.status,
                )
            )
    return found
