"""How much passes a rate at most, also where its numbers are lost on the way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bursar.state.rates import Rates
from bursar.state.terms import Denial, Rate

asks = st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 30)), min_size=1, max_size=60)
bursts, periods_ms = st.integers(1, 50), st.integers(1, 60_000)


def _passed(rates: Rates, rate: Rate, at_ms: int) -> bool:
    found = rates.judge((rate,), at_ms)
    if isinstance(found, Denial):
        return False
    rates.keep(found)
    return True


def _most(burst: int, period_ms: int, passed_ms: int, bursts: int) -> int:
    """So many bursts, and what becomes free in the time."""
    return bursts * burst + burst * passed_ms // period_ms


@given(asks, bursts, periods_ms, st.sets(st.integers(0, 59), max_size=4))
def test_a_loss_lets_one_burst_more_pass(
    asks: list[tuple[int, int]], burst: int, period_ms: int, losses: set[int]
) -> None:
    rates, at_ms, passed, lost = Rates(), 5_000, 0, 0
    for number, (pause_ms, cost) in enumerate(asks):
        at_ms += pause_ms
        if number in losses:
            rates, lost = Rates(), lost + 1
        rate = Rate("any", cost, burst, period_ms * 1000)
        passed += cost * _passed(rates, rate, at_ms)
        assert passed <= _most(burst, period_ms, at_ms - 5_000, 1 + lost)


@given(asks, bursts, periods_ms)
def test_what_begins_empty_grants_no_burst(
    asks: list[tuple[int, int]], burst: int, period_ms: int
) -> None:
    rates, at_ms, passed = Rates(empty_ms=5_000), 5_000, 0
    for pause_ms, cost in asks:
        at_ms += pause_ms
        rate = Rate("any", cost, burst, period_ms * 1000)
        passed += cost * _passed(rates, rate, at_ms)
        assert passed <= _most(burst, period_ms, at_ms - 5_000, 0)


@given(st.integers(1, 50), periods_ms)
def test_what_begins_empty_is_full_after_a_period(burst: int, period_ms: int) -> None:
    rates = Rates(empty_ms=5_000)
    assert not _passed(rates, Rate("any", burst, burst, period_ms * 1000), 5_000 + period_ms - 1)
    assert _passed(rates, Rate("any", burst, burst, period_ms * 1000), 5_000 + period_ms)
