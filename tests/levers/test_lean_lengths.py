"""How long sessions go on: learned from others, bounded, and steady between two publications."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bursar.levers.lean_lengths import LONGEST, MOST_ROUTES, OVER_MS, Lengths


def learned(lengths: list[int], route: str = "r") -> Lengths:
    found = Lengths()
    at_ms = 0
    for n, turns in enumerate(lengths):
        for turn in range(turns + 1):
            found.came(n, route, turn, at_ms)
        at_ms += OVER_MS + 1
    found.came("last", "other", 0, at_ms)
    return found


def test_nothing_known_is_as_long_again() -> None:
    assert Lengths().more("r", 30) == 30.0
    assert Lengths().more("r", 0) > 0


def test_sessions_of_one_length() -> None:
    found = learned([20] * 60)
    assert 17 <= found.more("r", 2) <= 19
    assert 1 <= found.more("r", 19) <= 2
    assert found.more("other", 19) == 19.0


def test_long_ones_go_on() -> None:
    """Most sessions are short; one that is long already is one of the long ones."""
    found = learned(([3] * 5 + [100]) * 15)
    assert found.more("r", 1) < 25
    assert found.more("r", 10) > 60


@given(lengths=st.lists(st.integers(0, 2 * LONGEST), max_size=40), turns=st.integers(0, 1_000))
def test_never_below_nothing(lengths: list[int], turns: int) -> None:
    assert learned(lengths).more("r", turns) >= 0


def test_steady_between_publications() -> None:
    """Answers change seldom: about once each time the number of sessions has grown by half."""
    found, answers, at_ms = Lengths(), list[float](), 0
    for n in range(400):
        found.came(n, "r", n % 37, at_ms)
        at_ms += OVER_MS + 1
        answers.append(found.more("r", 10))
    changes = sum(was != now for was, now in pairwise(answers))
    assert 3 <= changes <= 16


def test_a_route_that_changes_its_ways_is_believed_again() -> None:
    found = learned([5] * 2_000 + [50] * 2_000)
    assert found.more("r", 5) > 30


def test_bounded() -> None:
    found = Lengths(most=50)
    for n in range(5_000):
        found.came(n, n, 1, n)
    assert len(found._open) <= 50
    found = Lengths()
    for n in range(MOST_ROUTES + 50):
        found.came(n, n, 1, n * (OVER_MS + 1))
    assert len(found._routes) <= MOST_ROUTES
