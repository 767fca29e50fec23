"""The coarse clock: late after a stall it asks nobody once, and never twice in a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bursar.gateway.http.ticking import Ticker

TICK_S = 0.25


class Loop:
    """A loop whose time is told by the test: what is due comes as late as `stalls` say."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.due: tuple[float, Callable[[], None]] | None = None

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Any:
        self.due = (self.now_s + delay_s, call)

    def go_on(self, late_s: float) -> None:
        assert self.due is not None
        at_s, call = self.due
        self.now_s = at_s + late_s
        call()


class Member:
    def __init__(self) -> None:
        self.asked: list[float] = []

    def tick(self, now: float) -> None:
        self.asked.append(now)


@given(st.lists(st.one_of(st.just(0.0), st.floats(0, 0.9 * TICK_S), st.floats(0.3, 30.0))))
def test_a_late_tick_asks_nobody_and_the_next_one_does(stalls: list[float]) -> None:
    loop, member = Loop(), Member()
    ticker = Ticker(loop, TICK_S)  # type: ignore[arg-type]
    ticker.members.add(member)
    passed = False
    for late_s in stalls:
        before = len(member.asked)
        loop.go_on(late_s)
        assert ticker.now == loop.now_s
        passed = late_s > TICK_S and not passed
        assert len(member.asked) == before + (not passed)
