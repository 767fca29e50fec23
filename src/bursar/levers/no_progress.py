"""An agent that asks the same again and gets the same answer is stopped, loudly.

The prompt itself tells: its last tool calls and what came back. Steps that repeat with the same
tool, the same arguments and the same result, one by one or in a round of several, are no progress,
and every further one costs the whole prompt again. Nothing is remembered between calls, so it holds
on every worker, and whatever the session is called.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from bursar.levers.ports import PASS, REFUSED, Lever, Ports, gate
from bursar.levers.ranges import at_least
from bursar.model.block import Block, Role
from bursar.model.call import Call
from bursar.model.entry import Decision
from bursar.model.errors import Refused

NAME = "no_progress"
STATUS = 422
NO_RETRY = ((b"x-should-retry", b"false"),)
Step = tuple[int, int]
"""Digest of a tool call with its arguments, digest of its result."""


class NoProgress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stops agents that go round in circles."""

    repeats: int = 3
    """So many equal steps (same tool, same arguments, same result) in a row are no progress."""
    longest_round: int = 4
    """Rounds of up to so many different steps count as well, each of them `repeats` times."""
    action: Literal["refuse", "note"] = "refuse"
    """`refuse` answers 422 no_progress, which clients do not retry; `note` lets the call pass and
    records what it saw."""

    def __post_init__(self) -> None:
        at_least(self, repeats=2, longest_round=1)


def steps_of(blocks: tuple[Block, ...]) -> list[Step]:
    """Tool calls with their results, in the order of the results.

    Calls of one turn and their results stand in the same order in every dialect.
    """
    asked: list[int] = []
    steps: list[Step] = []
    for block in blocks:
        if block.role is Role.ASSISTANT and block.name is not None:
            asked.append(block.digest)
        elif block.role is Role.TOOL and asked:
            steps.append((asked.pop(0), block.digest))
        elif block.role is Role.USER:
            asked.clear()
    return steps


def circle_of(steps: list[Step], repeats: int, longest_round: int) -> int:
    """How many steps the round has that the last ones repeat so often; 0: they do not."""
    for size in range(1, longest_round + 1):
        whole = size * repeats
        if len(steps) < whole:
            return 0
        last = steps[-whole:]
        if last == last[:size] * repeats:
            return size
    return 0


def no_progress(wish: NoProgress) -> Lever:
    """The lever, as the chain takes it."""

    def check(call: Call, ports: Ports) -> None:
        steps = steps_of(call.blocks or ())
        size = circle_of(steps, wish.repeats, wish.longest_round)
        if not size:
            return
        round_of = "the same step" if size == 1 else f"the same round of {size} steps"
        why = f"{round_of} {wish.repeats} times: same tool, same arguments, same result"
        if wish.action == "note":
            ports.note(Decision(lever=NAME, verdict=PASS, why=why))
            return
        ports.note(Decision(lever=NAME, verdict=REFUSED, why=why))
        raise Refused(
            STATUS,
            NAME,
            f"the agent makes no progress: {why}",
            mend="end the task, or change what the tool is asked; "
            "levers.no_progress of bursar.yaml says how many are too many",
            headers=NO_RETRY,
        )

    return gate(NAME, check)
