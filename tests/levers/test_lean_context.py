"""Trims that pay: on real conversations against the two plain ways, and as laws on any."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bursar.levers.lean_context import NAME, LeanContext, Trimmer, lean_context
from bursar.levers.ports import Lever, Next, Ports
from bursar.levers.prompt_cache import PromptCache, prompt_cache
from bursar.model.block import Block, Kind, Mark, Role
from bursar.model.call import Call, Tags
from bursar.model.entry import Answer
from bursar.model.money import usd
from levers.lean_best import least_pico
from levers.real import Asked, airline_turns, miniswe_turns, swe_turns
from levers.world import BOOK, RULES, Turn, World

CLAUDE = Asked("anthropic_messages", "anthropic", "claude-sonnet-5")
GPT = Asked("openai_chat", "openai", "gpt-4.1")
GPT_FREE_WRITES = Asked("openai_chat", "openai", "gpt-5")
GPT_COUNTED_WRITES = Asked("openai_chat", "openai", "gpt-5.6")
MODELS = (CLAUDE, GPT, GPT_FREE_WRITES, GPT_COUNTED_WRITES)
WINDOW = 4
PAYS = LeanContext(keep_turns=WINDOW)
EVERY_TURN = LeanContext(keep_turns=WINDOW, pace="every_turn")


def real(name: str, asked: Asked, shared_data: Callable[[str], Path]) -> list[list[Turn]]:
    if name == "airline":
        path = shared_data("taubench_gpt4o_airline") / "gpt-4o-airline.json"
        return list(airline_turns(path, asked))
    if name == "miniswe":
        return list(miniswe_turns(shared_data("lmcache_agent_trace") / "miniswe", asked))
    return list(swe_turns(shared_data("sweagent_demos") / "trajectories", asked))


def played(turns: list[Turn], wish: LeanContext | None) -> tuple[int, World]:
    """With the marks of the prompt_cache lever, where the provider wants marks."""
    world, levers = World(), list[Lever]()
    marks = turns[0].call.provider == CLAUDE.provider
    if wish is not None:
        levers.append(lean_context(wish, BOOK, RULES, marks=marks))
    if marks:
        levers.append(prompt_cache(PromptCache(), BOOK, RULES))
    return world.play(turns, levers), world


def trims(world: World) -> set[str]:
    assert not any("fault" in one.why for one in world.decisions)
    return {one.why for one in world.decisions if one.lever == NAME and one.verdict == "rewrote"}


@pytest.mark.parametrize("asked", MODELS, ids=lambda asked: asked.model)
@pytest.mark.parametrize("name", ["airline", "miniswe", "demos"])
def test_cheaper_than_never_and_than_every_turn(
    name: str, asked: Asked, shared_data: Callable[[str], Path]
) -> None:
    sessions = real(name, asked, shared_data)
    turns = [turn for session in sessions for turn in session]
    never, _ = played(turns, None)
    every, _ = played(turns, EVERY_TURN)
    ours, world = played(turns, PAYS)
    print(f"{name} {asked.model}: never ${usd(never)}, every ${usd(every)}, pays ${usd(ours)}")
    assert trims(world)
    assert ours < never
    assert ours < every


@pytest.mark.parametrize("asked", [CLAUDE, GPT], ids=lambda asked: asked.model)
@pytest.mark.parametrize(("name", "share"), [("airline", 0.65), ("miniswe", 0.85)])
def test_most_of_what_could_be_saved(
    name: str, share: float, asked: Asked, shared_data: Callable[[str], Path]
) -> None:
    """Against the best moments to trim, chosen when all is over. Each conversation is alone."""
    sessions = [
        [turn._replace(call=of_tenant(turn.call, str(n))) for turn in session]
        for n, session in enumerate(real(name, asked, shared_data))
    ]
    mark = Mark.M5 if asked is CLAUDE else Mark.NONE
    never = sum(least_pico(session, 1_000, mark) for session in sessions) // 1_000
    best = sum(least_pico(session, WINDOW, mark) for session in sessions) // 1_000
    ours, _ = played([turn for session in sessions for turn in session], PAYS)
    assert never - ours >= share * (never - best)


def of_tenant(call: Call, tenant: str) -> Call:
    return replace(call, tags=replace(call.tags, tenant=tenant))


# -- any conversation


def block(role: Role, digest: int, tokens: int, name: str | None = None) -> Block:
    kinds = {Role.SYSTEM: Kind.SYSTEM, Role.TOOL: Kind.TOOL_RESULT, Role.ASSISTANT: Kind.HISTORY}
    kind = Kind.TOOLS if role is Role.TOOL_SPEC else kinds.get(role, Kind.USER)
    return Block(role=role, kind=kind, digest=digest, tokens=tokens, name=name)


TOKENS = st.sampled_from((5, 60, 400, 2_500))
GAPS_MS = st.sampled_from((1_000, 60_000, 299_000, 301_000, 3_000_000, 9_000_000))


@st.composite
def sessions(draw: st.DrawFn, *, most_calls: int = 25) -> list[Turn]:
    """Growing conversations beside one another, begun anywhere, asked again, begun anew."""
    asked = draw(st.sampled_from(MODELS))
    turns: list[Turn] = []
    digest = 100
    for session in range(draw(st.integers(1, 3))):
        at_ms = draw(st.integers(0, 7_200_000))
        head = (
            block(Role.TOOL_SPEC, 1, 300, "look"),
            block(Role.SYSTEM, 2, draw(st.sampled_from((50, 1_500, 6_000)))),
        )
        blocks: tuple[Block, ...] = ()
        silent = draw(st.integers(0, 8))
        for n in range(draw(st.integers(1, most_calls))):
            if not blocks or draw(st.integers(0, 19)) == 0:
                digest += 1
                blocks = (*head, block(Role.USER, digest, draw(TOKENS)))
            if n >= silent:
                for _ in range(draw(st.sampled_from((1, 1, 1, 2)))):
                    turns.append(Turn(at_ms, call_of(asked, blocks, str(session))))
                    at_ms += draw(GAPS_MS)
            blocks += step(draw, digest)
            digest += 10
    return sorted(turns, key=lambda turn: turn.at_ms)


def step(draw: st.DrawFn, digest: int) -> tuple[Block, ...]:
    if draw(st.booleans()):
        said = block(Role.ASSISTANT, digest + 1, draw(TOKENS))
        return (said, block(Role.USER, digest + 2, draw(TOKENS)))
    uses = draw(st.integers(1, 2))
    return (
        *(block(Role.ASSISTANT, digest + 3 + n, 20, "look") for n in range(uses)),
        *(block(Role.TOOL, digest + 5 + n, draw(TOKENS), "look") for n in range(uses)),
    )


def call_of(asked: Asked, blocks: tuple[Block, ...], session: str = "s") -> Call:
    tags = Tags(session=session, route="r")
    return Call(key="k", provider=asked.provider, model=asked.model, blocks=blocks, tags=tags)


WISHES = st.builds(
    LeanContext,
    keep_turns=st.sampled_from((None, 1, 3)),
    result_tokens=st.sampled_from((None, 30)),
    recent_turns=st.integers(1, 4),
    most_lost_tokens=st.sampled_from((0, 500, 5_000, 50_000)),
)


async def ends_marked(call: Call, ports: Ports, then: Next) -> Answer:
    """Marks at the end of the system prompt and of the prompt, as many a client sets them."""
    blocks = list(call.blocks or ())
    for at in (1, -1):
        blocks[at] = replace(blocks[at], mark=Mark.M5)
    return await then(replace(call, blocks=tuple(blocks)))


def bills(turns: list[Turn], wish: LeanContext | None) -> dict[str | None, int]:
    """What each session costs."""
    world, levers = World(), list[Lever]()
    marks = turns[0].call.provider == CLAUDE.provider
    if wish is not None:
        levers.append(lean_context(wish, BOOK, RULES, marks=marks))
    if marks:
        levers.append(ends_marked)
    world.play(turns, levers)
    found: dict[str | None, int] = defaultdict(int)
    for sent, attempt in zip(world.sent, world.attempts, strict=True):
        found[sent.tags.session] += attempt.cost_nano or 0
    return found


@given(turns=sessions(), wish=WISHES)
@settings(deadline=None)
def test_a_loss_is_bounded(turns: list[Turn], wish: LeanContext) -> None:
    """Law: no session costs more than without the lever by more than was said."""
    if not turns:
        return
    call = turns[0].call
    plain = BOOK.rates(call.provider, call.model).input or 0
    without, ours = bills(turns, None), bills(turns, wish)
    for session, cost in ours.items():
        assert cost - without[session] <= wish.most_lost_tokens * plain // 1_000 + len(turns)


@given(turns=sessions(), wish=WISHES, pace=st.sampled_from(("pays", "every_turn")))
@settings(deadline=None)
def test_a_shape_holds_until_the_next_trim(turns: list[Turn], wish: LeanContext, pace: str) -> None:
    """Law: unless the decision names another trim, what is sent begins with what was sent."""
    if not turns:
        return
    wish = replace(wish, pace="pays" if pace == "pays" else "every_turn")
    _, world = played_plain(turns, wish)
    before: dict[str | None, tuple[Call, Call, str]] = {}
    for turn, sent, decision in zip(turns, world.sent, world.decisions, strict=True):
        asked, session = turn.call, turn.call.tags.session
        if session in before:
            old_asked, old_sent, old_why = before[session]
            was, now = old_sent.blocks or (), sent.blocks or ()
            size = len(old_asked.blocks or ())
            if (asked.blocks or ())[:size] == old_asked.blocks and decision.why == old_why:
                assert now[: len(was)] == was
        before[session] = asked, sent, decision.why


def played_plain(turns: list[Turn], wish: LeanContext) -> tuple[int, World]:
    world = World()
    return world.play(turns, [lean_context(wish, BOOK, RULES, marks=True)]), world


@given(turns=sessions(), wish=WISHES, at=st.randoms(use_true_random=False))
@settings(deadline=None)
def test_what_was_forgotten_is_found_again(
    turns: list[Turn], wish: LeanContext, at: st.randoms
) -> None:
    """Law: a lever that has never seen the conversation gives it the same shape."""
    if not turns:
        return
    turns = [turn for turn in turns if turn.at_ms < turns[0].at_ms + 3_600_000]
    _, world = played_plain(turns, wish)
    for _ in range(3):
        n = at.randrange(len(turns))
        _, fresh = played_plain([turns[n]], wish)
        assert fresh.sent[0].blocks == world.sent[n].blocks


def growing(asked: Asked, sizes: list[int], *, opening: int = 2_000) -> Iterator[Turn]:
    blocks: tuple[Block, ...] = (
        block(Role.SYSTEM, 1, opening),
        block(Role.USER, 2, 100),
    )
    for n, size in enumerate(sizes):
        yield Turn(n * 5_000, call_of(asked, blocks))
        blocks += (block(Role.ASSISTANT, 10 + 2 * n, 50), block(Role.USER, 11 + 2 * n, size))


@given(
    sizes=st.lists(st.sampled_from((1, 30, 300, 3_000)), min_size=2, max_size=30),
    asked=st.sampled_from((CLAUDE, GPT_COUNTED_WRITES)),
    keep=st.integers(1, 6),
)
@settings(deadline=None)
def test_no_trim_before_the_old_turns_have_cost_as_much(
    sizes: list[int], asked: Asked, keep: int
) -> None:
    """Law: too short a conversation is left alone, and a trim never comes too early."""
    call = next(growing(asked, [1])).call
    rates = BOOK.rates(call.provider, call.model)
    read, write = rates.cache_read or 0, rates.cache_write_5m or 0
    spoken = [size + 50 for size in sizes]
    carried, first = 0, len(sizes)
    for n in range(keep + 1, len(sizes)):
        carried += read * sum(spoken[: n - keep])
        saved = read * sum(spoken[: n - keep])
        if carried >= (write - read) * sum(spoken[n - keep : n - 1]) - saved:
            first = n
            break
    _, world = played_plain(list(growing(asked, sizes)), LeanContext(keep_turns=keep))
    assert all(one.verdict == "pass" for one in world.decisions[:first])


@given(
    sizes=st.lists(st.integers(1, 3_000), max_size=30),
    asked=st.sampled_from(MODELS),
    keep=st.integers(1, 31),
)
@settings(deadline=None)
def test_a_window_that_holds_it_all(sizes: list[int], asked: Asked, keep: int) -> None:
    turns = list(growing(asked, sizes[: keep + 1]))
    if turns:
        _, world = played_plain(turns, LeanContext(keep_turns=keep))
        assert not trims(world)


def test_short_tasks_are_left_alone(shared_data: Callable[[str], Path]) -> None:
    """Coding tasks of at most ten small turns: nothing could be earned."""
    name = "eval-anthropic-claude-sonnet-4-6-2026-02-28-211120.json"
    told = json.loads((shared_data("bashkit_eval") / "results" / name).read_bytes())
    assert all(one["trace"]["turns"] <= 10 for one in told["results"])
    for n, one in enumerate(told["results"]):
        sizes = [len(json.dumps(m)) // 4 for m in one["trace"]["messages"] if m["role"] != "user"]
        turns = list(growing(CLAUDE, sizes[1::2], opening=1_000 + n))
        _, world = played(turns, LeanContext(keep_turns=5))
        assert not trims(world)


def test_long_conversations_are_trimmed_in_steps() -> None:
    turns = list(growing(CLAUDE, [300] * 100))
    _, world = played(turns, PAYS)
    steps = {one.partition("; ")[2] for one in trims(world)}
    assert 3 <= len(steps) <= 20


def test_where_nothing_is_cached_every_turn_is_trimmed() -> None:
    asked = Asked("openai_chat", "openai", "gpt-4")
    turns = list(growing(asked, [300] * 30))
    pays, _ = played(turns, PAYS)
    every, _ = played(turns, EVERY_TURN)
    assert pays == every


def test_nothing_is_done_unasked() -> None:
    turns = list(growing(GPT, [900] * 40))
    _, world = played(turns, LeanContext())
    assert not trims(world)
    assert [one.blocks for one in world.sent] == [turn.call.blocks for turn in turns]
    assert {one.why for one in world.decisions} == {"nothing is old enough"}


def test_a_model_without_a_price_is_passed() -> None:
    turns = list(growing(Asked("openai_chat", "openai", "nobody-knows"), [900] * 9))
    world = World()
    trimmer = Trimmer(PAYS, BOOK, RULES)
    assert trimmer.change(turns[-1].call, world) is turns[-1].call
    assert "no price" in world.decisions[0].why


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bursar.levers.lean_context.MOST_STATES", 10)
    turns = list(growing(GPT, [900] * 40))
    trimmer, world = Trimmer(PAYS, BOOK, RULES), World()
    kept = [trimmer.change(turn.call, world).blocks for turn in turns]
    assert len(trimmer._states) <= 10
    alone = Trimmer(PAYS, BOOK, RULES)
    assert kept[-1] == alone.change(turns[-1].call, world).blocks
