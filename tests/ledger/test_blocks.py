"""The block ledger against a slow and obvious one, on random sessions."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.ledger.blocks import Charge, SessionBlocks
from bursar.ledger.shares import BUCKETS
from bursar.model.block import Block, Kind, Role

KINDS = (Kind.SYSTEM, Kind.TOOLS, Kind.USER, Kind.HISTORY, Kind.TOOL_RESULT)
BLOCKS = [
    Block(role=Role.USER, kind=KINDS[n % len(KINDS)], digest=1000 + n, tokens=1 + (n * 37) % 90)
    for n in range(14)
]

prompts = st.lists(
    st.lists(st.sampled_from(BLOCKS), min_size=0, max_size=9), min_size=1, max_size=9
)
rates = st.tuples(*[st.integers(0, 20_000_000)] * 4)


@st.composite
def sessions(draw: st.DrawFn) -> list[tuple[list[Block], Charge]]:
    """Prompts that grow, branch and repeat, each with a bill in three ranges."""
    calls: list[tuple[list[Block], Charge]] = []
    prompt: list[Block] = []
    for more in draw(prompts):
        keep = draw(st.integers(0, len(prompt)))
        prompt = prompt[: keep if draw(st.booleans()) else len(prompt)] + more
        read, written, plain, answer = draw(st.tuples(*[st.integers(0, 4000)] * 4))
        if prompt and not read + written + plain:
            plain = 1
        r, w, p, o = draw(rates)
        pico = read * r + written * w + plain * p + answer * o
        calls.append(
            (
                list(prompt),
                Charge(
                    read_tokens=read,
                    written_tokens=written,
                    plain_tokens=plain,
                    answer_tokens=answer,
                    read_pico=read * r,
                    written_pico=written * w,
                    plain_pico=plain * p,
                    answer_pico=answer * o,
                    cost_nano=round(Fraction(pico, 1000)),
                ),
            )
        )
    return calls


def slow(calls: list[tuple[list[Block], Charge]]) -> dict[tuple[int, int], list[Fraction]]:
    """Each block's life in nanodollars by bucket, visiting every block of every call."""
    lives: dict[tuple[int, int], list[Fraction]] = {}
    for prompt, charge in calls:
        whole = sum(block.tokens or 0 for block in prompt)
        billed = charge.prompt_tokens
        low = Fraction(0)
        ranges: list[tuple[Fraction, Fraction, Fraction, str]] = []
        for tokens, pico, bucket in (
            (charge.read_tokens, charge.read_pico, "read"),
            (charge.written_tokens, charge.written_pico, "written"),
            (charge.plain_tokens, charge.plain_pico, "fresh"),
        ):
            high = low + Fraction(tokens * whole, billed or 1)
            if tokens:
                ranges.append((low, high, Fraction(pico, 1000) / (high - low or 1), bucket))
            low = high
        start = Fraction(0)
        times: dict[int, int] = {}
        known = set(lives)
        for block in prompt:
            nth = times.get(block.digest, 0)
            times[block.digest] = nth + 1
            key = (block.digest, nth)
            end = start + (block.tokens or 0)
            life = lives.setdefault(key, [Fraction(0)] * 4)
            for a, b, density, bucket in ranges:
                overlap = min(b, end) - max(a, start)
                if overlap > 0:
                    if bucket == "fresh" and key in known:
                        bucket = "carried"
                    life[BUCKETS.index(bucket)] += overlap * density
            start = end
    return lives


@settings(max_examples=300, deadline=None)
@given(sessions())
def test_parts_add_up_to_each_call_exactly(calls: list[tuple[list[Block], Charge]]) -> None:
    session = SessionBlocks()
    for step, (prompt, charge) in enumerate(calls):
        parts = session.send(prompt, None, charge, step).parts
        assert sum((p.fresh_nano or 0) + (p.carried_nano or 0) for p in parts) == charge.cost_nano
        prompt_tokens = sum(p.tokens for p in parts if p.kind != Kind.OUTPUT)
        assert prompt_tokens == charge.prompt_tokens


@settings(max_examples=300, deadline=None)
@given(sessions())
def test_blocks_add_up_to_the_session_kind_by_kind(
    calls: list[tuple[list[Block], Charge]],
) -> None:
    session = SessionBlocks()
    by_kind: dict[Kind, int] = {}
    for step, (prompt, charge) in enumerate(calls):
        for part in session.send(prompt, None, charge, step).parts:
            if part.kind not in (Kind.OUTPUT, Kind.UNSEEN):
                nano = (part.fresh_nano or 0) + (part.carried_nano or 0)
                by_kind[part.kind] = by_kind.get(part.kind, 0) + nano
    lives: dict[Kind, int] = {}
    for one in session.fold():
        lives[one.block.kind] = lives.get(one.block.kind, 0) + sum(one.nano)
    assert {k: v for k, v in lives.items() if v} == {k: v for k, v in by_kind.items() if v}


@settings(max_examples=300, deadline=None)
@given(sessions())
def test_each_block_costs_what_the_slow_way_says(
    calls: list[tuple[list[Block], Charge]],
) -> None:
    session = SessionBlocks()
    for step, (prompt, charge) in enumerate(calls):
        session.send(prompt, None, charge, step)
    expected = slow(calls)
    tolerance = 2 + 2 * len(calls)
    found = {(one.block.digest, one.nth): one for one in session.fold()}
    assert found.keys() == expected.keys()
    for key, life in expected.items():
        for bucket, nano in enumerate(life):
            assert abs(found[key].nano[bucket] - nano) <= tolerance + float(nano) * 1e-9


@settings(max_examples=200, deadline=None)
@given(sessions())
def test_carries_count_the_later_sends(calls: list[tuple[list[Block], Charge]]) -> None:
    session = SessionBlocks()
    sends: dict[tuple[int, int], int] = {}
    for step, (prompt, charge) in enumerate(calls):
        session.send(prompt, None, charge, step)
        times: dict[int, int] = {}
        for block in prompt:
            nth = times.get(block.digest, 0)
            times[block.digest] = nth + 1
            sends[block.digest, nth] = sends.get((block.digest, nth), -1) + 1
    assert {(o.block.digest, o.nth): o.carries for o in session.fold()} == sends


@settings(max_examples=200, deadline=None)
@given(sessions(), st.integers(0, 5))
def test_folding_and_taking_up_again_changes_nothing(
    calls: list[tuple[list[Block], Charge]], cut: int
) -> None:
    whole, halves = SessionBlocks(), SessionBlocks()
    for step, (prompt, charge) in enumerate(calls):
        whole.send(prompt, None, charge, step)
        if step == cut:
            taken = SessionBlocks()
            taken.restore(halves.fold(), halves.path, halves.sends, halves.asked)
            halves = taken
        halves.send(prompt, None, charge, step)
    for left, right in zip(whole.fold(), halves.fold(), strict=True):
        assert (left.carries, left.tokens, left.first_step) == (
            right.carries,
            right.tokens,
            right.first_step,
        )
        assert abs(sum(left.nano) - sum(right.nano)) <= 8


@settings(max_examples=200, deadline=None)
@given(sessions())
def test_following_again_gives_the_same(calls: list[tuple[list[Block], Charge]]) -> None:
    first, again = SessionBlocks(), SessionBlocks()
    sent = [first.send(p, None, c, step) for step, (p, c) in enumerate(calls)]
    lives = first.fold()
    again.reset(lives)
    for one, (_, charge) in zip(sent, calls, strict=True):
        assert again.resend(one.kept, one.added, charge) == one
    assert [o.nano for o in again.fold()] == [o.nano for o in lives]


def test_a_block_of_unknown_size_takes_what_the_provider_counted_beyond_the_rest() -> None:
    session = SessionBlocks()
    hidden = Block(role=Role.SYSTEM, kind=Kind.UNSEEN, digest=1)
    seen = Block(role=Role.USER, kind=Kind.USER, digest=2, tokens=40)
    session.send([hidden, seen], None, Charge(plain_tokens=1000), 0)
    assert [one.tokens for one in session.fold()] == [960, 40]


def test_repeated_tokens_are_those_the_previous_call_had_sent() -> None:
    session = SessionBlocks()
    charge = Charge(plain_tokens=100)
    session.send(BLOCKS[:4], None, charge, 0)
    whole = sum(block.tokens or 0 for block in BLOCKS[:6])
    same = sum(block.tokens or 0 for block in BLOCKS[:4])
    sent = session.send(BLOCKS[:6], None, Charge(plain_tokens=whole), 1)
    assert sent.repeated_tokens == same
    changed = [BLOCKS[9], *BLOCKS[1:6]]
    assert session.send(changed, None, charge, 2).repeated_tokens == 0
