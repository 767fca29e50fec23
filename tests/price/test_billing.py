"""How providers bill a prompt: laws first, then the documented examples."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.model.block import Block, Kind, Mark, Role
from bursar.model.errors import BadInput, BadPrices
from bursar.model.usage import Basis
from bursar.price.billing import Cache, Piece, Rule, Way, Wish, bill, pieces_of
from bursar.price.billing_rules import Rules, load_rules, parse_rules

MARKS = Rule(way=Way.MARKS, minimum_tokens=1_024, source="test")
STEPS = Rule(
    way=Way.STEPS, minimum_tokens=1_024, step_tokens=128, lives={"in_memory": 300}, source="test"
)
ENDS = Rule(
    way=Way.ENDS, minimum_tokens=1_024, lookback_blocks=80, lives={"30m": 1_800}, source="test"
)
RULES = (MARKS, STEPS, ENDS)
LONGEST_LIFE_MS = 3_600_000


def prompt(*tokens: int, marks: dict[int, Mark] | None = None, start: int = 1) -> tuple[Piece, ...]:
    """Blocks of these sizes; two prompts made here share what they begin with."""
    places = marks or {}
    return tuple(
        Piece(start * 10_000 + n, size, places.get(n, Mark.NONE)) for n, size in enumerate(tokens)
    )


@st.composite
def prompts(draw: st.DrawFn) -> tuple[Piece, ...]:
    sizes = draw(st.lists(st.integers(0, 3_000), min_size=1, max_size=60))
    places = sorted(draw(st.sets(st.integers(0, len(sizes) - 1), max_size=3)))
    long = draw(st.integers(0, len(places)))
    marks = {place: Mark.H1 if n < long else Mark.M5 for n, place in enumerate(places)}
    return prompt(*sizes, marks=marks)


@st.composite
def warm(draw: st.DrawFn) -> tuple[Cache, Rule, int]:
    """A cache after some prompts, and the time of the last."""
    rule = draw(st.sampled_from(RULES))
    cache, at_ms = Cache(), 0
    for one in draw(st.lists(prompts(), max_size=4)):
        at_ms += draw(st.integers(0, 400_000))
        cache.take(bill(cache, one, rule, at_ms))
    return cache, rule, at_ms


@given(warm(), prompts())
def test_usage_adds_up_to_the_prompt(
    state: tuple[Cache, Rule, int], one: tuple[Piece, ...]
) -> None:
    cache, rule, at_ms = state
    usage = bill(cache, one, rule, at_ms).usage
    assert usage.prompt == sum(piece.tokens for piece in one)
    counts = (usage.input, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h)
    assert min(counts) >= 0


@given(warm(), prompts(), st.lists(st.integers(0, 3_000), max_size=30))
def test_a_longer_prompt_never_reads_less(
    state: tuple[Cache, Rule, int], one: tuple[Piece, ...], more: list[int]
) -> None:
    cache, rule, at_ms = state
    longer = one + tuple(Piece(90_000 + n, size) for n, size in enumerate(more))
    # A mark of the provider's own moves to the end, as a client's would not.
    wish = Wish(own_marks_only=rule.way is Way.ENDS)
    short = bill(cache, one, rule, at_ms, wish).usage
    assert bill(cache, longer, rule, at_ms, wish).usage.cache_read >= short.cache_read


@given(warm(), prompts())
def test_nothing_is_read_after_the_longest_life(
    state: tuple[Cache, Rule, int], one: tuple[Piece, ...]
) -> None:
    cache, rule, at_ms = state
    assert bill(cache, one, rule, at_ms + LONGEST_LIFE_MS).usage.cache_read == 0


@given(warm(), prompts())
def test_billing_changes_nothing_until_it_is_taken(
    state: tuple[Cache, Rule, int], one: tuple[Piece, ...]
) -> None:
    cache, rule, at_ms = state
    before = dict(cache.kept)
    billing = bill(cache, one, rule, at_ms)
    assert cache.kept == before
    assert bill(cache, one, rule, at_ms) == billing


@given(prompts())
def test_the_same_prompt_again_reads_what_was_cached(one: tuple[Piece, ...]) -> None:
    for rule in RULES:
        cache = Cache()
        first = bill(cache, one, rule, 0)
        cache.take(first)
        again = bill(cache, one, rule, 1_000).usage
        written = first.usage.cache_write_5m + first.usage.cache_write_1h
        if rule.way is Way.STEPS:
            total = first.usage.prompt
            assert again.cache_read == (total // 128 * 128 if total >= 1_024 else 0)
        else:
            assert again.cache_read == written
            assert again.cache_write_5m + again.cache_write_1h == 0


@given(st.integers(5, 12))
def test_marks_beyond_four_are_refused(count: int) -> None:
    with pytest.raises(BadInput, match="at most 4"):
        bill(Cache(), prompt(*[500] * count, marks=dict.fromkeys(range(count), Mark.M5)), MARKS, 0)


def test_the_providers_own_mark_is_one_of_the_four() -> None:
    marks = dict.fromkeys(range(4), Mark.M5)
    with pytest.raises(BadInput):
        bill(Cache(), prompt(*[500] * 6, marks=marks), ENDS, 0)
    own = bill(Cache(), prompt(*[500] * 6, marks=marks), ENDS, 0, Wish(own_marks_only=True))
    assert own.usage.cache_write_5m == 2_000


def test_a_long_life_stands_before_a_short_one() -> None:
    with pytest.raises(BadInput, match="long life"):
        bill(Cache(), prompt(2_000, 2_000, marks={0: Mark.M5, 1: Mark.H1}), MARKS, 0)


def test_below_the_minimum_nothing_is_cached() -> None:
    cache = Cache()
    for tokens, written in ((1_023, 0), (1_024, 1_024)):
        billing = bill(cache, prompt(tokens, 50, marks={0: Mark.M5}), MARKS, 0)
        assert billing.usage.cache_write_5m == written
        assert billing.usage.input == tokens + 50 - written


def test_a_growing_conversation_with_a_moving_mark() -> None:
    cache = Cache()
    seen = []
    for turns in range(4, 10, 2):
        billing = bill(cache, prompt(*[600] * turns, marks={turns - 1: Mark.M5}), MARKS, turns)
        cache.take(billing)
        seen.append((billing.usage.cache_read, billing.usage.cache_write_5m, billing.usage.input))
    assert seen == [(0, 2_400, 0), (2_400, 1_200, 0), (3_600, 1_200, 0)]


def test_the_lookback_is_twenty_blocks_the_marked_one_counted() -> None:
    for more, read in ((19, 2_000), (20, 0)):
        cache = Cache()
        cache.take(bill(cache, prompt(2_000, marks={0: Mark.M5}), MARKS, 0))
        longer = prompt(2_000, *[10] * more, marks={more: Mark.M5})
        assert bill(cache, longer, MARKS, 1).usage.cache_read == read


def test_a_read_keeps_a_prefix_for_its_life_again() -> None:
    cache, one = Cache(), prompt(2_000, 10, marks={0: Mark.M5})
    for at_s in (0, 299, 598, 897):
        billing = bill(cache, one, MARKS, at_s * 1_000)
        assert billing.usage.cache_read == (2_000 if at_s else 0)
        cache.take(billing)
    assert bill(cache, one, MARKS, (897 + 300) * 1_000).usage.cache_read == 0


def test_both_lives_in_one_prompt() -> None:
    one = prompt(2_000, 1_500, 700, marks={0: Mark.H1, 1: Mark.M5})
    cache = Cache()
    first = bill(cache, one, MARKS, 0)
    assert (first.usage.cache_write_1h, first.usage.cache_write_5m, first.usage.input) == (
        *(2_000, 1_500),
        700,
    )
    cache.take(first)
    later = bill(cache, one, MARKS, 600_000).usage
    assert (later.cache_read, later.cache_write_5m, later.input) == (2_000, 1_500, 700)


def test_steps_of_128_from_1024() -> None:
    for tokens, read in ((1_023, 0), (1_024, 1_024), (1_151, 1_024), (1_152, 1_152)):
        cache = Cache()
        cache.take(bill(cache, prompt(tokens), STEPS, 0))
        usage = bill(cache, prompt(tokens, 300), STEPS, 1).usage
        assert (usage.cache_read, usage.cache_write_5m) == (read, 0)


def test_own_marks_only_without_marks_caches_nothing() -> None:
    cache = Cache()
    for at_ms in (0, 1):
        billing = bill(cache, prompt(5_000), ENDS, at_ms, Wish(own_marks_only=True))
        cache.take(billing)
        assert billing.usage.input == 5_000


def test_a_wished_life_holds_where_the_rule_has_it() -> None:
    rule = load_rules().rule("openai", "gpt-5.4")
    assert rule is not None
    cache = Cache()
    cache.take(bill(cache, prompt(2_048), rule, 0, Wish(life="24h")))
    assert bill(cache, prompt(2_048), rule, 3_600_000).usage.cache_read == 2_048


def test_a_full_cache_forgets_what_has_expired_then_the_oldest() -> None:
    cache = Cache(largest_count=8)
    for n in range(20):
        cache.take(bill(cache, prompt(2_000, marks={0: Mark.M5}, start=n + 1), MARKS, n))
        assert len(cache.kept) <= 8
    last = prompt(2_000, marks={0: Mark.M5}, start=20)
    assert bill(cache, last, MARKS, 20).usage.cache_read == 2_000


def test_pieces_follow_the_blocks_and_keep_roots_apart() -> None:
    blocks = [
        Block(role=Role.USER, kind=Kind.USER, digest=digest, tokens=100, mark=Mark.M5)
        for digest in (5, 6, 7)
    ]
    one, other = pieces_of(blocks, root=1, share=1.15), pieces_of(blocks, root=2)
    assert [piece.tokens for piece in one] == [115, 115, 115]
    assert not {piece.prefix for piece in one} & {piece.prefix for piece in other}
    assert pieces_of(blocks[:2], root=1, share=1.15) == one[:2]


CASES = (
    ("anthropic", "claude-opus-5", Way.MARKS, 512, Basis.MEASURED),
    ("anthropic", "claude-opus-5-5", Way.MARKS, 512, Basis.ASSUMED),
    ("anthropic", "claude-opus-4-8", Way.MARKS, 1_024, Basis.MEASURED),
    ("anthropic", "claude-opus-4-1-20250805", Way.MARKS, 1_024, Basis.MEASURED),
    ("anthropic", "claude-haiku-4-5-20251001", Way.MARKS, 4_096, Basis.MEASURED),
    ("anthropic", "claude-3-5-haiku-20241022", Way.MARKS, 2_048, Basis.MEASURED),
    ("aws", "us.anthropic.claude-sonnet-4-6", Way.MARKS, 1_024, Basis.MEASURED),
    ("aws", "anthropic.claude-3-haiku-20240307-v1:0", Way.NONE, 0, Basis.MEASURED),
    ("aws", "us.amazon.nova-pro-v1:0", Way.MARKS, 1_000, Basis.MEASURED),
    ("openai", "gpt-4o-mini", Way.STEPS, 1_024, Basis.MEASURED),
    ("openai", "gpt-5.5", Way.STEPS, 1_024, Basis.MEASURED),
    ("openai", "gpt-5.6-sol", Way.ENDS, 1_024, Basis.MEASURED),
    ("openai", "gpt-6.1-terra", Way.ENDS, 1_024, Basis.MEASURED),
    ("openai", "text-embedding-3-small", Way.NONE, 0, Basis.MEASURED),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}/{case[1]}")
def test_rules_by_model(case: tuple[str, str, Way, int, Basis]) -> None:
    rule = load_rules().rule(case[0], case[1])
    assert rule is not None
    assert (rule.way, rule.minimum_tokens, rule.basis) == case[2:]


def test_every_rule_names_its_source_and_disputes_are_kept() -> None:
    rules = load_rules()
    assert all(rule.source for _, rule in rules.listed())
    disputed = rules.rule("anthropic", "claude-sonnet-4-6")
    assert disputed is not None
    assert [one.minimum_tokens for one in disputed.disputed] == [2_048]
    assert rules.rule("openai", "llama-3") is None
    assert rules.rule("nobody", "gpt-4o") is None


def test_price_classes_are_asked_for_by_the_providers_words() -> None:
    rules = load_rules()
    assert rules.price_class("openai", "fast") == "priority"
    assert rules.price_class("openai", "auto") == "standard"
    assert rules.price_class("aws", "reserved") == "standard"
    assert rules.price_class("nobody", "flex") == "standard"


def test_a_users_rule_comes_first() -> None:
    text = (
        b'provider = "anthropic"\n[[rule]]\nmatch = ["claude-sonnet-4-6"]\nway = "marks"\n'
        b'minimum_tokens = 2048\nsource = "seen"\n'
    )
    rules = Rules([parse_rules(text, Path("ours.toml"))])
    rule = rules.rule("anthropic", "claude-sonnet-4-6")
    assert rule is not None
    assert rule.minimum_tokens == 2_048


@pytest.mark.parametrize(
    "text",
    [
        "provider = ",
        'provider = "x"\n[[rule]]\nway = "marks"\nsource = "s"',
        'provider = "x"\n[[rule]]\nmatch = ["a"]\nway = "magic"\nsource = "s"',
        'provider = "x"\n[[rule]]\nmatch = ["a"]\nway = "marks"\nsource = "s"\nlives = {}',
        'provider = "x"\n[[rule]]\nmatch = ["a"]\nway = "steps"\nsource = "s"\nstep_tokens = 0',
        'provider = "x"\n[[rule]]\nmatch = []\nway = "marks"\nsource = "s"',
        'provider = "x"\nodd = 1',
    ],
)
def test_a_file_that_does_not_hold_together_is_refused(text: str) -> None:
    with pytest.raises(BadPrices, match=r"ours\.toml") as refused:
        parse_rules(text.encode(), Path("ours.toml"))
    assert refused.value.mend
