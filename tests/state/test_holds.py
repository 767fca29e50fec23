"""Holds: what is billed is held, whatever happens; nothing is held beyond the worst case."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bursar.dialects.lens import read_request, read_response
from bursar.model.block import Mark
from bursar.model.errors import BursarError
from bursar.model.usage import Usage
from bursar.price import load_book
from bursar.price.billing import Way
from bursar.price.rates import Rates, Tier, price_with
from bursar.state.holds import (
    Hold,
    HoldRule,
    Left,
    Short,
    hold_of,
    more_of,
    must_cut,
    worst_over,
)
from bursar.state.lengths import Lengths
from bursar.state.sizes import Assumed, Size, Top, Tops, dearest, size_of
from tests.dialects.cassettes import exchanges

RULE = HoldRule()
TOP = Top(prompt_pico=2_000_000, answer_pico=8_000_000)
MOST = 16_000
SIZE = Size(prompt_tokens=1_000, cap_tokens=MOST, asked_tokens=MOST)
AT = datetime(2026, 11, 1, 12)


def known(seed: int = 1) -> Lengths:
    rng, lengths = random.Random(seed), Lengths()
    lengths.load(min(MOST, int(rng.lognormvariate(6.3, 0.9)) + 1) for _ in range(2_000))
    return lengths


def room(left: int, unposted: int | None = None, others: int = 0) -> Left:
    whole = left if unposted is None else unposted
    return Left(room=(left, None), unposted=(whole, None), others=others)


KNOWN = known()
sizes = st.builds(
    Size,
    prompt_tokens=st.integers(1, 500_000),
    answers=st.integers(0, 5),
    cap_tokens=st.integers(1, 64_000),
    asked_tokens=st.none() | st.integers(64_000, 128_000),
    least_tokens=st.integers(0, 3_000),
    uses=st.integers(0, 3),
)
tops = st.builds(
    Top,
    prompt_pico=st.integers(0, 10**8),
    answer_pico=st.integers(0, 10**9),
    use_pico=st.integers(0, 10**10),
    call_pico=st.integers(0, 10**9),
)
amounts = st.none() | st.integers(0, 10**11)
lefts = st.builds(
    lambda nano, tokens, posted, others: Left(
        room=(nano, tokens),
        unposted=(
            None if nano is None else nano + posted,
            None if tokens is None else tokens + posted,
        ),
        others=others,
    ),
    amounts,
    st.none() | st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 500),
)
kinds = st.sampled_from(["stream", "whole", "soft"])
learned = st.sampled_from([None, Lengths(), KNOWN])


@given(sizes, tops, lefts, learned, kinds)
def test_a_hold_fits_and_is_no_more_than_the_worst(size, top, left, lengths, mode) -> None:
    found = hold_of(size, top, left, lengths, RULE, mode)
    if isinstance(found, Short):
        return
    assert found.nano is not None
    assert found.nano <= top.nano(size, size.answers * size.cap_tokens)
    assert found.answer_tokens <= found.most_tokens <= size.answers * size.cap_tokens
    nano, tokens = left.room
    assert nano is None or found.nano + found.margin_nano <= nano + 1
    assert tokens is None or found.tokens + found.margin_tokens <= tokens


@given(sizes, tops, lefts, learned)
def test_an_answer_that_is_not_watched_can_cost_no_more_than_it_holds(
    size, top, left, lengths
) -> None:
    found = hold_of(size, top, left, lengths, RULE, "whole")
    if isinstance(found, Short):
        return
    limit = size.asked_tokens if found.max_tokens is None else found.max_tokens
    longest = min(size.cap_tokens, limit) if limit is not None and size.answers else 0
    assert limit is not None or not size.answers
    assert found.nano == top.nano(size, size.answers * longest)
    least = min(size.cap_tokens, max(RULE.floor_tokens, size.least_tokens))
    assert (
        found.max_tokens is None
        or found.max_tokens >= min(least, size.cap_tokens)
        or (lengths is KNOWN and found.max_tokens >= least)
    )


@settings(max_examples=200)
@given(
    st.integers(1, 20_000),
    st.integers(0, 40),
    st.integers(7_999_001, 8_000_000),
    st.integers(300_000, 200_000_000),
    st.integers(0, 200),
    learned,
)
@example(5_000, 0, 8_000_000, 10**9, 5, KNOWN)
@example(5_000, 3, 7_999_001, 10**9, 5, KNOWN)
def test_a_stream_is_cut_before_it_costs_more_than_it_holds(
    length, grants, rate_pico, left, others, lengths
) -> None:
    top = Top(prompt_pico=2_000_001, answer_pico=rate_pico)
    found = hold_of(SIZE, top, room(left, others=others), lengths, RULE, "stream")
    if isinstance(found, Short):
        return
    length = min(length, found.max_tokens or MOST)
    said, hold = 0, found
    while said < length:
        said = min(length, said + RULE.check_tokens)
        if said == length:
            break
        more = more_of(hold, said, lengths, RULE)
        for tokens in () if more is None else (more.want_tokens, more.least_tokens):
            assert hold.answer_tokens <= tokens <= hold.most_tokens
            grants -= 1
            if grants >= 0:
                hold = hold.grown(tokens)
                break
        if must_cut(hold, said, RULE):
            said += RULE.tail_tokens
            break
    assert hold.nano is not None
    assert 0 <= hold.nano - top.nano(SIZE, hold.answer_tokens) <= 400
    assert top.nano(SIZE, said) <= hold.nano


def test_without_lengths_the_worst_case_is_held() -> None:
    found = hold_of(SIZE, TOP, room(10**9), Lengths(), RULE, "stream")
    assert isinstance(found, Hold)
    assert (found.nano, found.basis, found.max_tokens) == (130_000_000, "worst", None)
    assumed = HoldRule(first_tokens=2_000)
    found = hold_of(SIZE, TOP, room(10**9, others=100), Lengths(), assumed, "stream")
    assert isinstance(found, Hold)
    assert found.nano == 18_000_000
    assert found.margin_nano == 8_000 * 2_000 * 10 // 2


def test_a_stream_holds_its_mean_and_leaves_room_for_the_others() -> None:
    alone = hold_of(SIZE, TOP, room(10**9), KNOWN, RULE, "stream")
    among = hold_of(SIZE, TOP, room(10**9, others=100), KNOWN, RULE, "stream")
    assert isinstance(alone, Hold)
    assert isinstance(among, Hold)
    assert 780 < alone.answer_tokens < 920
    assert (alone.margin_nano, alone.answer_tokens) == (0, among.answer_tokens)
    assert 4_000 < among.margin_tokens < 5_000
    assert among.margin_nano == 8_000 * among.margin_tokens
    needs = (among.nano or 0) + among.margin_nano
    assert hold_of(SIZE, TOP, room(needs, 10**9, 100), KNOWN, RULE, "stream") == among
    assert isinstance(hold_of(SIZE, TOP, room(needs - 1, 10**9, 100), KNOWN, RULE, "stream"), Short)


def test_who_is_alone_takes_what_is_left_and_is_limited_to_it() -> None:
    found = hold_of(SIZE, TOP, room(2_000_000 + 300 * 8_000), KNOWN, RULE, "stream")
    assert isinstance(found, Hold)
    assert (found.max_tokens, found.answer_tokens, found.basis) == (300, 300, "left")
    below = room(2_000_000 + 255 * 8_000)
    assert isinstance(hold_of(SIZE, TOP, below, KNOWN, RULE, "stream"), Short)
    others = room(2_000_000 + 300 * 8_000, unposted=10**9, others=9)
    assert isinstance(hold_of(SIZE, TOP, others, KNOWN, RULE, "stream"), Short)


def test_a_stream_is_limited_to_what_it_could_ever_get() -> None:
    left = room(30_000_000, unposted=66_000_000, others=2)
    found = hold_of(SIZE, TOP, left, KNOWN, RULE, "stream")
    assert isinstance(found, Hold)
    assert found.max_tokens == found.most_tokens == 8_000


def test_a_limit_below_what_the_model_may_think_is_never_written() -> None:
    thinking = Size(prompt_tokens=1_000, cap_tokens=MOST, asked_tokens=MOST, least_tokens=4_097)
    for mode in ("stream", "whole"):
        left = room(2_000_000 + 4_000 * 8_000)
        assert isinstance(hold_of(thinking, TOP, left, None, RULE, mode), Short)
        left = room(2_000_000 + 4_097 * 8_000)
        found = hold_of(thinking, TOP, left, None, RULE, mode)
        assert isinstance(found, Hold)
        assert found.max_tokens == 4_097


def test_a_limit_is_written_where_the_client_names_none() -> None:
    bare = Size(prompt_tokens=1_000, cap_tokens=32_000)
    for mode in ("stream", "whole", "soft"):
        found = hold_of(bare, TOP, Left(), None, RULE, mode)
        assert isinstance(found, Hold)
        assert found.max_tokens == 32_000


def test_embeddings_hold_their_prompt() -> None:
    size = Size(prompt_tokens=1_000, answers=0)
    for mode in ("stream", "whole", "soft"):
        found = hold_of(size, TOP, room(2_000_000), KNOWN, RULE, mode)
        assert isinstance(found, Hold)
        assert (found.nano, found.tokens, found.max_tokens) == (2_000_000, 1_000, None)
        assert isinstance(hold_of(size, TOP, room(1_999_999), KNOWN, RULE, mode), Short)


def test_what_has_no_price_is_held_in_tokens_alone() -> None:
    left = Left(room=(0, 50_000), unposted=(0, 50_000))
    found = hold_of(SIZE, None, left, None, RULE, "whole")
    assert isinstance(found, Hold)
    assert (found.nano, found.tokens, found.basis) == (None, 17_000, "unpriced")
    assert found.grown(found.answer_tokens).nano is None


def test_a_prompt_that_was_told_frees_the_rest() -> None:
    found = hold_of(SIZE, TOP, room(10**9), KNOWN, RULE, "stream")
    assert isinstance(found, Hold)
    told = found.billed(400_000, 200)
    assert told.nano == 400_001 + 8_000 * found.answer_tokens
    assert told.tokens == 200 + found.answer_tokens
    assert told.grown(5_000).nano == 400_001 + 8_000 * 5_000


def test_bounds_say_why() -> None:
    assert worst_over("whole", None, 100, 10).nano == 0
    assert worst_over("stream", None, 100, 10).nano == 0
    assert worst_over("stream", 20, 100, 10, 3).nano == 60
    assert worst_over("soft", 20, 100, 10).nano == 1_800
    assert worst_over("soft", None, 100, 10).nano is None
    assert worst_over("soft", None, 10, 10).nano == 0
    assert "20 calls at once" in worst_over("soft", 20, 100, 10).because


RATES = Rates(
    version="test",
    provider="p",
    model="m",
    input=3,
    cache_read=1,
    cache_write_5m=4,
    cache_write_1h=6,
    output=15,
    reasoning=16,
    other={"web_searches": 10_000_000, "output_audio_tokens": 99},
    tiers=(
        Tier(
            above_tokens=200,
            input=6,
            cache_read=2,
            cache_write_5m=8,
            cache_write_1h=12,
            output=30,
            reasoning=30,
            other={"web_searches": 10_000_000},
        ),
    ),
)


@pytest.mark.parametrize(
    ("size", "way", "rates"),
    [
        (Size(prompt_tokens=200), Way.MARKS, (3, 16)),
        (Size(prompt_tokens=200), Way.ENDS, (4, 16)),
        (Size(prompt_tokens=200), None, (4, 16)),
        (Size(prompt_tokens=200), Way.STEPS, (3, 16)),
        (Size(prompt_tokens=200, mark=Mark.M5), Way.MARKS, (4, 16)),
        (Size(prompt_tokens=200, mark=Mark.H1), Way.MARKS, (6, 16)),
        (Size(prompt_tokens=201, mark=Mark.H1), Way.MARKS, (12, 30)),
        (Size(prompt_tokens=200, mixed=True), Way.MARKS, (3, 99)),
    ],
)
def test_the_dearest_rate_that_may_apply(size: Size, way: Way | None, rates: tuple) -> None:
    top = dearest([RATES], size, way)
    assert top is not None
    assert (top.prompt_pico, top.answer_pico) == rates


counts = st.integers(0, 400)


@given(counts, counts, counts, counts, counts, counts, st.integers(0, 2))
def test_no_usage_costs_more_than_its_size(a, b, c, d, e, f, uses) -> None:
    usage = Usage(
        input=a, cache_read=b, cache_write_5m=c, cache_write_1h=d, output=e, reasoning=f,
        other={"web_searches": uses},
    )  # fmt: skip
    size = Size(prompt_tokens=a + b + c + d + 7, mark=Mark.H1, uses=uses)
    top = dearest([RATES], size, None)
    cost = price_with(RATES, usage).cost_nano
    assert top is not None
    assert cost is not None
    assert cost <= top.nano(size, e + f)


def test_the_real_book_knows_classes_and_ceilings(tmp_path: Path) -> None:
    tops = Tops(load_book(home=tmp_path, now=AT))
    plain = tops.top(("openai", "gpt-5.6-sol"), SIZE, AT)
    fast = tops.top(("openai", "gpt-5.6-sol"), SIZE, AT, ("standard", "priority", "batch"))
    assert plain is not None
    assert fast is not None
    assert fast.answer_pico > plain.answer_pico
    assert tops.top(("anthropic", "no-such-model"), SIZE, AT) is None
    ceiling, widest = tops.ceiling("openai"), tops.ceiling("nobody")
    assert ceiling.is_ceiling
    assert plain.answer_pico <= ceiling.answer_pico <= widest.answer_pico
    assert widest == tops.ceiling(None)


ANTHROPIC = (
    b'{"model":"m","max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":4096},'
    b'"messages":[{"role":"user","content":"Hello there"}]}'
)


def sized(body: bytes, assumed: Assumed | None = None) -> Size:
    read = read_request(json.loads(body))
    return size_of(body, read.blocks, read.limits.max_tokens, assumed=assumed or Assumed())


def test_a_size_is_read_from_the_body() -> None:
    size = sized(ANTHROPIC)
    assert size.prompt_tokens == len(ANTHROPIC)
    assert (size.cap_tokens, size.asked_tokens, size.least_tokens) == (9_000, 9_000, 4_097)
    assert size.assumed == ()


def test_what_a_body_does_not_hold_is_assumed_and_said() -> None:
    body = b'{"input":"Hi","previous_response_id":"resp_1","tools":[{"type":"web_search"}]}'
    size, assumed = sized(body), Assumed()
    rest = assumed.elsewhere_tokens + assumed.uses * assumed.use_tokens
    assert size.prompt_tokens >= len(body) + rest
    assert size.cap_tokens == assumed.answer_tokens
    assert {"use_tokens", "elsewhere_tokens", "answer_tokens"} <= set(size.assumed)
    said = json.dumps({"messages": [{"role": "user", "content": body.decode()}]}).encode()
    assert sized(said).uses == 0


def test_a_picture_counts_by_its_estimate() -> None:
    url = "data:image/png;base64," + "A" * 400_000
    part = {"type": "image_url", "image_url": {"url": url}}
    body = json.dumps({"messages": [{"role": "user", "content": [part]}]}).encode()
    assert 765 < sized(body).prompt_tokens < 10_000


def test_an_estimate_is_believed_only_where_asked() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "Hello there, " * 500}]}).encode()
    assert sized(body).prompt_tokens == len(body)
    found = sized(body, Assumed(text_percent=200))
    assert found.prompt_tokens < len(body) * 0.7
    assert found.assumed[0] == "text_percent"


SHORTENED = ("prompt_cach", "test_invoke_model_cache_tokens")
"""Recordings whose prompt was cut down by hand: 312 bytes, and 18,135 tokens."""
ELSEWHERE = "/threads/"
"""An endpoint whose prompt is kept by the provider; it is not served."""


@pytest.mark.parametrize("percent", [0, 200])
def test_no_recorded_prompt_exceeds_its_bound(
    shared_data: Callable[[str], Path], percent: int
) -> None:
    seen, over = 0, []
    for folder in ("cassettes_openllmetry", "cassettes_otel_genai"):
        for one in exchanges(shared_data(folder)):
            try:
                body = json.loads(one.request)
                read = read_request(body)
                usage = read_response(one.body, None, headers=one.headers).usage
            except (BursarError, ValueError):
                continue
            if usage is None or not usage.prompt or ELSEWHERE in one.uri:
                continue
            if len(one.request) == 312 and any(name in one.place for name in SHORTENED):
                continue
            assumed = Assumed(text_percent=percent)
            bound = size_of(one.request, read.blocks, None, assumed=assumed).prompt_tokens
            seen += 1
            if usage.prompt > bound:
                over.append((one.place, usage.prompt, bound))
    assert seen > 900
    assert not over
