"""Levers around one another: the first is outermost, the innermost asks the world to send.

`chained` is done once for each policy, `run` once for each call. Levers without `await` of their
own need no event loop: `at_once` drives them for callers that have none.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from bursar.levers.ports import Lever, Next, Ports
from bursar.model.call import Call
from bursar.model.entry import Answer

Given = TypeVar("Given")


async def run(levers: Sequence[Lever], call: Call, ports: Ports) -> Answer:
    """Let the call go through the levers. `levers`: in the order of `levers/order`."""
    step: Next = ports.send
    for lever in reversed(levers):
        step = _before(lever, ports, step)
    return await step(call)


def _before(lever: Lever, ports: Ports, step: Next) -> Next:
    return lambda call: lever(call, ports, step)


def at_once(steps: Coroutine[Any, Any, Given]) -> Given:
    """Drive a coroutine that waits for nothing. Raises RuntimeError where it waits after all."""
    try:
        steps.send(None)
    except StopIteration as done:
        return done.value
    steps.close()
    raise RuntimeError("it waits for something; drive it with an event loop")
