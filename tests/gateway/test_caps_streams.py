"""No stream costs more than was held for it: how it is counted, and many at once against a limit.

The provider of these tests bills what it has sent when it hears that it was cut off, so whatever is
on its way by then is on the invoice, though nobody has seen it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bursar.gateway.purse.patience import has_room
from bursar.gateway.purse.reserved import Reserved
from bursar.gateway.purse.said import BYTES_PER_TOKEN, Said, Scale
from bursar.ledger.counting import CALLS
from bursar.simulator.asking import Asked
from bursar.simulator.saying import Said as Spoken
from bursar.simulator.server import Simulator
from bursar.state.holds import Hold, HoldRule, ahead_of, more_of, must_cut
from tests.gateway.rig import KEY, Rig, running, settings_for, until

openai = pytest.importorskip("openai", reason="openai is not installed")
LIMIT_NANO = 4_000_000
STOPS_MS = 200
"""From a token to the stop of a provider that was cut off at it, as docs and `check` say."""

# -- how it is counted

texts = st.lists(st.text(st.characters(codec="utf-8"), max_size=60), max_size=12)
cuts = st.lists(st.integers(0, 3_000), max_size=12)
FRAMES = ('data: {"choices":[{"delta":{"content":%s}}]}\n\n', '{"contentBlockDelta":{"text" : %s}}')


def said_of(raw: bytes, cut_at: Sequence[int]) -> int:
    said, before = Said(Scale()), 0
    for place in (*sorted(cut_at), len(raw)):
        said.feed(raw[before:place], 0)
        before = max(before, place)
    return said.counted


@given(texts, cuts, st.sampled_from(FRAMES))
@example(['a"\\' * 9], [30, 31, 32, 33, 34, 35, 36], FRAMES[0])
@example(["abcdefghi"], [20, 30, 33], FRAMES[1])
def test_however_a_stream_is_cut_into_pieces_no_text_is_missed(
    spoken: list[str], cut_at: list[int], frame: str
) -> None:
    words = [msgspec.json.encode(one) for one in spoken]
    raw = "".join(frame % one.decode() for one in words).encode()
    said = said_of(raw, cut_at)
    assert said >= sum(1 for one in words if len(one) > 2)
    assert said >= sum(len(one) - 2 for one in words) / BYTES_PER_TOKEN


@settings(deadline=None)
@given(
    st.integers(100, 6_000),
    st.lists(st.integers(5, 150), min_size=1, max_size=40),
    st.integers(0, 30),
    st.integers(0, 4_000),
)
@example(5_500, [5] * 40, 0, 500)
@example(4_000, [150] * 3, 0, 500)
def test_a_stream_is_cut_while_its_hold_pays_for_the_next_moment(
    per_s: int, gaps_ms: list[int], grants: int, held: int
) -> None:
    """Of even speed, known from an answer before; we look at it after such gaps, in turn."""
    rule, scale = HoldRule(), Scale()
    scale.clock(per_s)
    hold = Hold(
        nano=None,
        tokens=0,
        max_tokens=None,
        basis="lengths",
        answer_tokens=max(held, rule.check_tokens + rule.tail_tokens, per_s * rule.lag_ms // 1_000),
        most_tokens=4_000,
    )
    said, at_ms, seen, turn = Said(scale), 0, 0, 0
    while seen < 4_000:
        gap_ms, turn = gaps_ms[turn % len(gaps_ms)], turn + 1
        at_ms += gap_ms
        fresh = per_s * at_ms // 1_000 - seen
        seen += fresh
        tokens = said.feed(b'{"text":"abc"}' * fresh, at_ms)
        assert tokens == seen
        ahead = said.ahead(rule.lag_ms)
        more = more_of(hold, seen, None, rule, ahead)
        for want in () if more is None else (more.want_tokens, more.least_tokens):
            grants -= 1
            if grants >= 0 and want > hold.answer_tokens:
                hold = hold.grown(want)
        if must_cut(hold, seen, rule, ahead):
            break
        stops = seen + max(per_s * (STOPS_MS - gap_ms) // 1_000, 0)
        assert hold.answer_tokens >= hold.most_tokens or stops <= hold.answer_tokens
    assert ahead_of(rule, 0) == rule.check_tokens + rule.tail_tokens


def test_what_earlier_answers_came_to_corrects_the_count_by_the_longest() -> None:
    scale = Scale()
    for _ in range(40):
        scale.learn(1_000, 500)
    assert scale.percent == 51
    scale.learn(1_000, 900)
    assert scale.percent == 91


class Held:
    """A reservation, as far as patience looks at it."""

    def __init__(self, *, grants: bool) -> None:
        self.is_watched = True
        self.grants = grants
        self.asked = 0

    async def look_away(self) -> bool:
        self.asked += 1
        return self.grants


@pytest.mark.parametrize(("grants", "slow"), [(True, True), (False, True), (False, False)])
def test_a_slow_client_is_waited_for_only_while_all_of_its_stream_is_held(
    grants: bool, slow: bool
) -> None:
    held = Held(grants=grants)

    async def run() -> bool:
        read = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3 if slow else 0, read.set)

        async def room() -> None:
            await read.wait()

        return await has_room(room, cast("Reserved", held))

    assert asyncio.run(run()) is (grants or not slow)
    assert held.asked == slow


# -- many at once


def speaks(asked: Asked) -> Spoken | None:
    """Dense texts on demand: each second character of the wire is a token, or so."""
    if b"dense" not in asked.raw:
        return None
    text = f"{asked.digest:x}9f8a7b6c5d4e3f2a1b0c" * 160
    return Spoken(text=text)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    budget = {"limit": "$0.004", "every": "day", "each": "user"}

    def capped(sim: Simulator) -> dict[str, Any]:
        sim.desk.script = speaks
        exact = {"where": {"tags": {"team": "limited"}}, "streams": "limit"}
        return settings_for(sim, budgets={"each": budget, "exact": {**budget, **exact}})

    home: Path = tmp_path_factory.mktemp("streams")
    with running(home, capped, when_gone="generated") as one:
        for n in range(32):
            short = {"x-simulate": "none; output_tokens=60; event_ms=1", "x-bursar-user": f"w{n}"}
            one.chat(f"short {n}", short, max_tokens=8_000, stream=True)
        yield one


def stream(rig: Rig, text: str, headers: dict[str, str], ends: Counter[str]) -> None:
    client = openai.OpenAI(base_url=rig.openai_url, api_key=KEY, max_retries=0)
    try:
        for chunk in client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": text}],
            max_tokens=8_000,
            stream=True,
            extra_headers=headers,
        ):
            if chunk.choices and chunk.choices[0].finish_reason:
                ends[chunk.choices[0].finish_reason] += 1
    except openai.APIStatusError as bad:
        ends[str(bad.status_code)] += 1
    except openai.APIError as bad:
        ends[f"cut: {bad.code}"] += 1


@pytest.mark.parametrize(
    ("name", "many", "asked", "team"),
    [
        ("few", 3, "output_tokens=5000; event_ms=1", "any"),
        ("more", 6, "output_tokens=3000; event_ms=3", "any"),
        ("many", 10, "output_tokens=1500; event_ms=1", "any"),
        ("dense", 4, "event_ms=2", "any"),
        ("limited", 5, "output_tokens=3000; event_ms=1", "limited"),
    ],
)
def test_streams_at_once_never_cost_more_than_the_limit(
    rig: Rig, name: str, many: int, asked: str, team: str
) -> None:
    before = len(rig.paid())
    headers = {"x-bursar-user": name, "x-bursar-team": team, "x-simulate": f"none; {asked}"}
    ends: Counter[str] = Counter()
    threads = [
        threading.Thread(target=stream, args=(rig, f"{name} {n}", headers, ends))
        for n in range(many)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sum(ends.values()) == many, ends
    cut = ends["cut: budget_exceeded"]
    assert cut + ends["402"] + ends["length"] >= 1, ends
    assert team == "any" or not cut, ends
    sent = many - ends["402"]
    until(lambda: len(rig.paid()) - before == sent, rig.log)
    lines = rig.paid()[before:]
    billed = sum(line.cost_nano or 0 for line in lines)
    assert 0 < billed <= LIMIT_NANO
    counted = f"{CALLS} SELECT sum(counts_nano) AS nano, count(*) AS n FROM calls"
    counted += f" WHERE user_id = '{name}'"
    (row,) = until(lambda: [r for r in rig.rows(counted) if r["n"] == sent], rig.log)
    assert billed <= row["nano"] <= LIMIT_NANO
