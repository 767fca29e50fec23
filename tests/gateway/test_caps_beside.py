"""The benchmark that compares caps counts rightly, and its parts run.

What it says of tools rests on a few definitions. Each is tested where it can fail, on bills that
are made up: a sum that leaves out a line, or forgives a shortened answer, would be seen here.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.simulator.server import Simulator

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import _caps_sums as sums
import _caps_worlds as worlds
from _caps_client import Fleet, request
from _caps_sums import Paid, Wanted

CENT = 10_000_000


def _paid(*numbers: int, cost: int = CENT, tokens: int = 100) -> list[Paid]:
    return [Paid(number, cost, tokens) for number in numbers]


def _wanted(calls: int) -> list[Wanted]:
    return [Wanted(CENT, 100)] * calls


# -- laws


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(0, 400))
def test_what_fits_is_within_the_budget_and_nothing_more_does(
    costs: list[int], budget: int
) -> None:
    fits = sums.fitting(costs, budget)
    assert sum(costs[n] for n in fits) <= budget
    for number, cost in enumerate(costs):
        if number not in fits:
            assert cost + sum(costs[n] for n in fits if n < number) > budget


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 400))
def test_whoever_admits_what_fits_has_no_fault(costs: list[int], budget: int) -> None:
    fits = sums.fitting(costs, budget)
    wanted = [Wanted(cost, 1) for cost in costs]
    found = sums.summed(wanted, [Paid(n, costs[n], 1) for n in fits], budget)
    assert (found.false, found.cut, found.over_nano) == (0, 0, 0)
    assert found.fitting == found.admitted == len(fits)


@given(st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 50)), max_size=40))
def test_over_and_what_is_left_make_up_the_budget(lines: list[tuple[int, int]]) -> None:
    paid = [Paid(number, cost, 0) for number, cost in lines]
    spent = sum(cost for _, cost in lines)
    assert sums.spent_nano(paid) == spent
    assert sums.over_nano(paid, 300) == (spent - 300 if spent > 300 else 0)


# -- examples


def test_a_small_call_fits_after_a_large_one_did_not() -> None:
    assert sums.fitting([6, 5, 4, 1], 10) == {0, 2}


def test_false_refusals_are_a_share_of_the_fitting_calls() -> None:
    """Ten calls, five fit; a tool that took the last five refused all that fitted."""
    found = sums.summed(_wanted(10), _paid(5, 6, 7, 8, 9), 5 * CENT)
    assert (found.fitting, found.false, found.admitted) == (5, 5, 5)
    assert found.false_share == 1.0
    assert sums.summed(_wanted(10), _paid(0, 1, 2, 3), 5 * CENT).false_share == 0.2
    assert sums.summed(_wanted(10), _paid(*range(10)), 5 * CENT).false_share == 0.0


def test_over_is_what_was_billed_beyond_the_budget() -> None:
    found = sums.summed(_wanted(10), _paid(*range(10)), 5 * CENT)
    assert (found.spent_nano, found.over_nano) == (10 * CENT, 5 * CENT)
    assert sums.summed(_wanted(10), _paid(*range(5)), 5 * CENT).over_nano == 0


def test_a_call_that_is_billed_twice_is_spent_twice_and_admitted_once() -> None:
    found = sums.summed(_wanted(3), _paid(0, 0, 1), 2 * CENT)
    assert (found.admitted, found.spent_nano, found.over_nano) == (2, 3 * CENT, CENT)


def test_an_answer_is_cut_if_less_was_billed_than_the_model_would_say() -> None:
    found = sums.summed(_wanted(4), [*_paid(0, 1, 2), Paid(3, CENT // 2, 99)], 4 * CENT)
    assert (found.cut, found.cut_share) == (1, 0.25)


@pytest.mark.parametrize("stray", [None, -1, 4])
def test_a_bill_of_no_call_is_not_passed_over(stray: int | None) -> None:
    with pytest.raises(ValueError, match="belong to no call"):
        sums.summed(_wanted(4), [Paid(stray, CENT, 100)], CENT)


def test_how_many_were_under_way_at_once() -> None:
    assert sums.at_once([], 10) == 0
    assert sums.at_once([0, 1, 2, 30], 10) == 3
    assert sums.at_once([0, 10, 20], 10) == 1


def test_a_burst_says_how_many_cost_something_else() -> None:
    found = sums.of_a_burst([*_paid(0, 1), Paid(2, CENT - 1, 50)], CENT, 2 * CENT, 10)
    assert (found["billed"], found["odd"]) == (3, 1)
    assert found["over_nano"] == CENT - 1
    assert found["times"] == pytest.approx(1.5)


def test_statuses_are_refusals_or_failures() -> None:
    statuses = {200: 5, 402: 3, 429: 2, 500: 1, 0: 4}
    assert (sums.refused(statuses), sums.broken(statuses)) == (5, 5)


# -- its parts


def test_the_same_seed_makes_the_same_world() -> None:
    pace = worlds.Pace(60.0, 240.0, 8_000)
    one, two = (worlds.world(1, 50, pace, stream=True) for _ in range(2))
    assert one == two != worlds.world(2, 50, pace, stream=True)
    assert all(call.cost_nano == 2_000_000 + 8_000 * call.output_tokens for call in one.wanted)
    assert one.moments_s == sorted(one.moments_s)


def test_a_cent_is_a_cent() -> None:
    assert worlds.cost_nano(worlds.ANSWER_TOKENS, worlds.SHORT_TOKENS) == worlds.CENT_NANO == CENT


@pytest.fixture(name="provider")
def provider_fixture() -> Iterator[Simulator]:
    with Simulator().running() as found:
        yield found


def _ask(number: int) -> bytes:
    body = b'{"model":"gpt-4.1","messages":[{"role":"user","content":"hi"}]}'
    fault = "none; latency_ms=100" if number % 3 else "error=503"
    return request(body, [("x-client-request-id", str(number)), ("x-simulate", fault)])


def test_the_client_sends_all_at_once_and_counts_what_came(provider: Simulator) -> None:
    fleet = Fleet([provider.port], 10.0)
    asyncio.run(fleet.burst(_ask, 30, 20, 10.0))
    assert fleet.statuses == {200: 20, 503: 10}
    assert (fleet.sent, fleet.most_at_once) == (30, 20)
    assert {line.client_request_id for line in provider.invoice.lines} == set(map(str, range(30)))


def test_arrivals_do_not_wait_for_each_other(provider: Simulator) -> None:
    fleet = Fleet([provider.port], 10.0)
    asyncio.run(fleet.arrivals(_ask, [0.001 * n for n in range(12)], 20))
    assert fleet.statuses == {200: 8, 503: 4}
    assert fleet.most_at_once > 4


def test_calls_that_reach_nobody_are_broken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        fleet = Fleet([taken.getsockname()[1]], 1.0)
        asyncio.run(fleet.burst(_ask, 3, 2, 5.0))
    assert (fleet.sent, sums.broken(fleet.statuses)) == (0, 3)
