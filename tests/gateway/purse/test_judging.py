"""Refusals that turn out to have been false: never more than would have fitted."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.gateway.purse.judging import MOST_WAITING, Judge
from bursar.state.terms import Claim, Denial, Standing
from tests.gateway.purse.watched import NANO, Held, World

LIMIT = 100
BUDGET = "budgets: {all: {limit: $1/day, warn: [100%], forecast: false}}"
steps = st.lists(
    st.tuples(st.sampled_from(["hold", "hold", "settle", "look"]), st.integers(1, 60)), max_size=40
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_what_was_refused_falsely_would_have_fitted_together(done: list[tuple[str, int]]) -> None:
    """A hold is in hundredths of the limit; a settlement costs that share of its hold at most."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), BUDGET)
        cent = NANO // LIMIT
        held: list[tuple[Held, int]] = []
        refused: list[int] = []
        before = 0
        for what, size in [*done, ("look", 0), *[("settle", 30)] * len(done), ("look", 0)]:
            world.now_ms += 10
            if what == "hold":
                found = world.hold(size * cent)
                if isinstance(found, Denial):
                    refused.append(size * cent)
                else:
                    held.append((found, size * cent))
            elif what == "settle" and held:
                one, most = held.pop(0)
                world.settle(one, most * size // 60)
            elif what == "look":
                world.look()
                (view,) = world.watches[0].views()
                if view.false_refusals > before:
                    before = view.false_refusals
                    least = sum(sorted(refused)[:before])
                    assert view.posted + view.held + least <= NANO, "there was no room for them"
        (view,) = world.watches[0].views()
        assert view.refusals == view.judged == len(refused)


@pytest.fixture(name="world")
def world_fixture(tmp_path: Path) -> World:
    return World(tmp_path, BUDGET)


def _held(world: World, nano: int) -> Held:
    found = world.hold(nano)
    assert isinstance(found, Held)
    return found


def test_a_refusal_is_false_where_the_others_cost_less_than_they_held(world: World) -> None:
    first, second = _held(world, NANO // 2), _held(world, NANO // 2)
    world.now_ms += 1
    assert isinstance(world.hold(NANO // 2), Denial)
    assert isinstance(world.hold(NANO // 2), Denial)
    world.settle(first, NANO // 10)
    world.look()
    assert world.watches[0].views()[0].judged == 0, "one is still under way"
    world.settle(second, NANO // 10)
    world.look()
    view = world.watches[0].views()[0]
    assert (view.refusals, view.judged, view.false_refusals) == (2, 2, 1), "both had no room"


def test_a_refusal_is_right_where_they_cost_what_they_held(world: World) -> None:
    first = _held(world, NANO)
    world.now_ms += 1
    assert isinstance(world.hold(1), Denial)
    world.settle(first, NANO)
    world.look()
    view = world.watches[0].views()[0]
    assert (view.judged, view.false_refusals) == (1, 0)


def test_room_that_others_took_since_is_not_counted_twice(world: World) -> None:
    first = _held(world, NANO)
    world.now_ms += 1
    assert isinstance(world.hold(NANO // 2), Denial)
    world.settle(first, NANO // 4)
    world.now_ms += 1
    later = _held(world, NANO * 3 // 4)
    world.look()
    assert world.watches[0].views()[0].false_refusals == 0
    world.settle(later, 0)


def test_what_waits_to_be_judged_is_bounded() -> None:
    judge = Judge()
    claim = Claim("a", 1, 10)
    for at_ms in range(MOST_WAITING + 50):
        judge.refused(claim, at_ms)
    (ripe,) = judge.ripe(None)
    assert len(ripe.needs) == MOST_WAITING
    assert judge.false(ripe, Standing("a")) == 10
    assert judge.false(ripe, Standing("a")) == 0, "that room is given away"
