"""Answers bounded by what they need: `max_tokens` from the route's own lengths, effort by route.

A bound on the answer costs nothing while it is not reached, and ends the rare answer that never
ends. It is set a good way above the longest of the last answers that ended by themselves, and only
once there are enough of them. An answer that reaches our bound is the sign that it was too low: it
is doubled at once, and where that happens again and again it is given up.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Literal

import msgspec

from bursar.levers.ports import PASS, REWROTE, Lever, Next, Ports, rewrite
from bursar.levers.ranges import at_least
from bursar.model.block import Role
from bursar.model.call import Call
from bursar.model.entry import Answer, Decision

OUTPUT, EFFORT = "max_tokens", "effort"
CUT = "max_tokens"
"""How an answer ends that has reached its bound."""
WINDOW = 1_000
"""Answers of a group that are remembered."""
MOST_GROUPS = 1_000
GIVEN_UP = 16
"""A bound that was doubled to this many times what it was is given up."""
ORDER = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Words for effort, as all vendors use them, from little to much."""


class MaxTokens(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`max_tokens` fitted to the lengths of a route's answers."""

    times: float = 2.0
    """How far above the longest of the last answers the bound stands."""
    least_answers: int = 200
    """Whole answers that must have been seen before anything is bounded."""
    least_tokens: int = 256
    """No bound is lower than this."""

    def __post_init__(self) -> None:
        at_least(self, times=1, least_answers=1, least_tokens=1)


class Effort(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reasoning effort of a route."""

    most: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
    """Calls that ask for more get this."""
    unasked: Literal["leave", "set"] = "leave"
    """Calls that ask for none: `leave` them to the model's own default, or `set` them to `most`."""


class Lengths(msgspec.Struct):
    """How long the answers of a group were."""

    last: deque[int]
    factor: float = 1.0
    """How often the bound was doubled, because answers reached it."""

    longest: int = 0

    def add(self, tokens: int) -> None:
        gone = self.last[0] if len(self.last) == self.last.maxlen else 0
        self.last.append(tokens)
        if tokens >= self.longest:
            self.longest = tokens
        elif gone == self.longest:
            self.longest = max(self.last)


class Fitter:
    """The lever, with what it remembers. One per worker and route."""

    def __init__(self, wish: MaxTokens) -> None:
        self._wish = wish
        self._groups: OrderedDict[Hashable, Lengths] = OrderedDict()

    async def lever(self, call: Call, ports: Ports, then: Next) -> Answer:
        """Bound, send, and look how long the answer got."""
        group = self._group(call)
        bound = self._bound(group)
        asked = call.limits.max_tokens
        ours = bound is not None and (asked is None or asked > bound)
        if ours:
            why = f"no answer of the last {len(group.last)} was longer than {group.longest}"
            told = Decision(
                lever=OUTPUT, verdict=REWROTE, why=why, tokens_before=asked, tokens_after=bound
            )
            ports.note(told)
            limits = msgspec.structs.replace(call.limits, max_tokens=bound)
            call = msgspec.structs.replace(call, limits=limits)
        elif group.factor >= GIVEN_UP:
            why = "answers reached the bound again and again; it is given up"
            ports.note(Decision(lever=OUTPUT, verdict=PASS, why=why))
        answer = await then(call)
        self._look(group, answer, ports, ours=ours)
        return answer

    def _bound(self, group: Lengths) -> int | None:
        if len(group.last) < self._wish.least_answers or group.factor >= GIVEN_UP:
            return None
        return max(self._wish.least_tokens, int(group.longest * self._wish.times * group.factor))

    def _look(self, group: Lengths, answer: Answer, ports: Ports, *, ours: bool) -> None:
        usage = ports.attempts[-1].usage if ports.attempts else None
        if answer.stop == CUT:
            group.factor *= 2 if ours else 1
        elif usage is not None and answer.status == "ok":
            group.add(usage.answer)

    def _group(self, call: Call) -> Lengths:
        tools = any(block.role is Role.TOOL_SPEC for block in call.blocks or ())
        key = (call.tags.route, call.model, call.tags.task_type, tools, call.limits.effort)
        found = self._groups.get(key)
        if found is None:
            found = self._groups[key] = Lengths(deque(maxlen=WINDOW))
            if len(self._groups) > MOST_GROUPS:
                self._groups.popitem(last=False)
        return found


def max_tokens(wish: MaxTokens) -> Lever:
    """The lever, as the chain takes it."""
    return Fitter(wish).lever


def effort(wish: Effort) -> Lever:
    """The lever, as the chain takes it."""

    def change(call: Call, ports: Ports) -> Call:
        asked = call.limits.effort
        if asked is None and wish.unasked == "leave":
            return call
        if asked is not None and (
            asked not in ORDER or ORDER.index(asked) <= ORDER.index(wish.most)
        ):
            return call
        why = f"{asked or 'no effort named'} -> {wish.most}"
        ports.note(Decision(lever=EFFORT, verdict=REWROTE, why=why))
        limits = msgspec.structs.replace(call.limits, effort=wish.most)
        return msgspec.structs.replace(call, limits=limits)

    return rewrite(EFFORT, change)
