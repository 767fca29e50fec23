"""Lengths of answers: what has not ended counts, a drift is seen, and nothing is ever lost."""

from __future__ import annotations

import random
from statistics import fmean, quantiles

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.state.lengths import (
    EVERY,
    LARGEST_TOKENS,
    LEAST,
    RECENT,
    WINDOW,
    Curve,
    Lengths,
    bucket_of,
)

MOST = 16_000


def drawn(rng: random.Random, count: int, times: int = 1) -> list[int]:
    return [min(MOST, times * int(rng.lognormvariate(6.3, 0.9)) + 1) for _ in range(count)]


@given(st.integers(0, LARGEST_TOKENS - 1))
def test_buckets_rise_with_lengths(tokens: int) -> None:
    assert bucket_of(tokens) <= bucket_of(tokens + 1) <= bucket_of(tokens) + 1


@given(st.lists(st.integers(0, 20_000), min_size=LEAST, max_size=300))
def test_without_any_under_way_it_is_the_plain_quantile(answers: list[int]) -> None:
    lengths = Lengths()
    lengths.load(answers)
    rank = sorted(answers)[-(-len(answers) * 9 // 10) - 1]
    assert rank <= lengths.quantile(0.9, 1 << 20) <= rank * 17 // 16 + 1


@given(st.lists(st.integers(1, 20_000), min_size=LEAST, max_size=300), st.integers(0, 30_000))
def test_the_mean_is_that_of_the_longer_ones(answers: list[int], said: int) -> None:
    lengths = Lengths()
    lengths.load(answers)
    found = lengths.expected(said, 1 << 20)
    assert found > said
    longer = [one for one in answers if one > said * 17 / 16 + 1]
    if longer and len(longer) == sum(one > said * 15 / 16 - 1 for one in answers):
        assert fmean(longer) * 15 / 16 - 2 <= found <= fmean(longer) * 17 / 16 + 2
    assert found <= max(2 * said, 17 * max(answers) // 16 + 2)


def test_nothing_is_claimed_before_enough_is_known() -> None:
    lengths = Lengths()
    lengths.load([100] * (LEAST - 1))
    assert not lengths.known
    assert lengths.quantile(0.5, MOST) == lengths.expected(0, MOST) == MOST
    assert lengths.spread(MOST) == 0
    lengths.load([100])
    assert lengths.known
    assert 100 <= lengths.quantile(0.5, MOST) <= 107


def at_work(seconds: int, *, told: bool) -> tuple[Lengths, list[int]]:
    """Twenty calls a second begin, and say sixty tokens a second: what is known after a while."""
    rng, lengths = random.Random(4), Lengths()
    answers = drawn(rng, 20 * seconds)
    for number, length in enumerate(answers):
        said = 60 * (seconds - number // 20)
        ticket = lengths.begin()
        if length <= said:
            lengths.observe(ticket, length)
        elif told:
            lengths.advance(ticket, said)
        else:
            lengths.drop(ticket)
    return lengths, answers


def test_answers_under_way_take_the_bias_out() -> None:
    told, answers = at_work(25, told=True)
    untold, _ = at_work(25, told=False)
    truth = fmean(answers)
    assert untold.expected(0, MOST) < 0.75 * truth
    assert 0.9 * truth < told.expected(0, MOST) < 1.15 * truth
    assert told.quantile(0.9, MOST) >= 0.9 * quantiles(answers, n=10)[-1]
    assert untold.quantile(0.9, MOST) < 0.8 * quantiles(answers, n=10)[-1]


def test_a_cut_answer_is_longer_than_it_was() -> None:
    cut, short = Lengths(), Lengths()
    for number in range(200):
        cut.observe(cut.begin(), 500, whole=number % 2 == 0)
        short.observe(short.begin(), 500)
    for lengths in (cut, short):
        for _ in range(100):
            lengths.observe(lengths.begin(), 4_000)
    assert cut.expected(0, MOST) > 1.3 * short.expected(0, MOST)


@pytest.mark.parametrize("times", [3, 5])
def test_a_drift_is_believed_and_chance_is_not(times: int) -> None:
    rng, lengths = random.Random(1), Lengths()
    lengths.load(drawn(rng, 3_000))
    before = lengths.expected(0, MOST)
    lengths.load(drawn(rng, RECENT))
    assert abs(lengths.expected(0, MOST) - before) < 0.1 * before
    lengths.load(drawn(rng, RECENT, times))
    assert lengths.expected(0, 1 << 20) > 0.8 * times * before
    lengths.load(drawn(rng, RECENT))
    assert lengths.expected(0, MOST) < 1.35 * before


def test_after_a_drift_what_none_has_reached_yet_is_stretched() -> None:
    rng, lengths = random.Random(2), Lengths()
    lengths.load(drawn(rng, 3_000))
    for length in drawn(rng, RECENT, 3):
        ticket = lengths.begin()
        if length < 1_500:
            lengths.observe(ticket, length)
        else:
            lengths.advance(ticket, 1_500)
    assert 1_900 < lengths.expected(0, MOST) < 3_300


steps = st.lists(
    st.tuples(
        st.sampled_from(["begin", "advance", "whole", "cut", "drop"]), st.integers(0, 30_000)
    ),
    max_size=200,
)


@settings(max_examples=60, deadline=None)
@given(steps, st.integers(0, WINDOW + 50))
def test_the_counts_are_those_of_the_last_calls(done: list[tuple[str, int]], before: int) -> None:
    lengths = Lengths()
    lengths.load([7] * before)
    stands: dict[int, tuple[str, int]] = dict.fromkeys(range(before), ("whole", 7))
    for act, number in done:
        ticket = number % max(1, len(stands))
        if act == "begin" or not stands:
            stands[lengths.begin()] = ("open", 0)
        elif act == "advance":
            lengths.advance(ticket, number)
            stands[ticket] = ("open", number)
        elif act == "drop":
            lengths.drop(ticket)
            stands[ticket] = ("drop", 0)
        else:
            lengths.observe(ticket, number, whole=act == "whole")
            stands[ticket] = (act, number)
    for count, (ended, longer) in (
        (WINDOW, (lengths._ended, lengths._longer)),  # pyright: ignore[reportPrivateUsage]
        (RECENT, lengths._late),  # pyright: ignore[reportPrivateUsage]
    ):
        last = [stands[ticket] for ticket in sorted(stands)[-count:]]
        assert sum(ended) == sum(how == "whole" for how, _ in last)
        assert sum(longer) == sum(how in ("open", "cut") for how, _ in last)
        assert min(ended) >= 0
        assert min(longer) >= 0
        for how, tokens in last:
            if how == "whole":
                assert ended[bucket_of(tokens)]


@given(st.lists(st.integers(1, 20_000), min_size=40, max_size=200), st.integers(1, 16_000))
def test_shares_fall_and_moments_stay_in_bounds(answers: list[int], most: int) -> None:
    ended = [0] * (bucket_of(LARGEST_TOKENS) + 1)
    longer = list(ended)
    for number, tokens in enumerate(answers):
        (longer if number % 3 == 0 else ended)[bucket_of(tokens)] += 1
    curve = Curve(ended, longer)
    assert curve.shares == sorted(curve.shares, reverse=True)
    mean, variance = curve.moments(most)
    assert 0 <= mean <= most
    assert 0 <= variance <= most * most / 4 + 1


def test_a_change_is_seen_after_some_answers() -> None:
    lengths = Lengths()
    lengths.load([100] * 200)
    assert lengths.quantile(0.99, MOST) <= 107
    lengths.load([1_000] * EVERY)
    assert lengths.quantile(0.99, MOST) >= 1_000


def test_a_ticket_of_long_ago_does_nothing() -> None:
    lengths = Lengths()
    old = lengths.begin()
    lengths.load([100] * WINDOW)
    lengths.observe(old, 9_000)
    lengths.load([100] * EVERY)
    assert lengths.quantile(1.0, MOST) <= 107
