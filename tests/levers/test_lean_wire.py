"""What a trimmed prompt still holds, read from the bytes that would be sent, in every dialect."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.dialects.quick import QuickReader
from bursar.dialects.rewriting import rewritten
from bursar.dialects.showing import Showing, Shown
from bursar.engine.chain import at_once, run
from bursar.levers.lean_context import LeanContext, lean_context
from bursar.levers.ports import Lever
from bursar.model.block import Block
from bursar.model.call import Call, Tags
from levers.lean_talk import DIALECTS, SECRET, Piece, Talk, body_of, pieces, talks
from levers.world import BOOK, RULES, World

READER = QuickReader()
ALTERNATING = ("anthropic_messages", "bedrock_converse")


class WireWorld(World):
    """A world that holds the body."""

    def __init__(self) -> None:
        super().__init__()
        self.showing = Showing(b"{}")

    def shown(self, block: Block) -> Shown | None:
        return self.showing.shown(block)


def sent_of(world: WireWorld, lever: Lever, dialect: str, body: bytes) -> dict[str, Any]:
    """What would be sent instead of the body."""
    blocks = READER.asking(dialect, body).blocks
    call = Call(key="k", provider="openai", model="gpt-4.1", blocks=blocks, tags=Tags(session="s"))
    world.showing = Showing(body)
    at_once(run([lever], call, world))
    return json.loads(rewritten(body, dialect, blocks, world.sent[-1].blocks or ()))


@st.composite
def wishes(draw: st.DrawFn) -> LeanContext:
    return LeanContext(
        keep_turns=draw(st.sampled_from((None, 1, 2, 5))),
        result_tokens=draw(st.sampled_from((None, 1, 20, 200))),
        drop_images=draw(st.booleans()),
        drop_reasoning=draw(st.booleans()),
        recent_turns=draw(st.integers(0, 3)),
        optional_tools=draw(st.sampled_from(((), ("look", "sh*"), ("*",)))),
        idle_turns=draw(st.integers(0, 4)),
        pace=draw(st.sampled_from(("pays", "every_turn", "every_turn"))),
    )


@given(talk=talks(), wish=wishes(), dialect=st.sampled_from(DIALECTS))
@settings(deadline=None)
def test_what_must_stay_stays(talk: Talk, wish: LeanContext, dialect: str) -> None:
    """Law, at every call of a conversation."""
    world, lever = WireWorld(), lean_context(wish, BOOK, RULES)
    for steps in range(len(talk.steps) + 1):
        body = body_of(talk, dialect, steps)
        sent = sent_of(world, lever, dialect, json.dumps(body).encode())
        was, now = pieces(body), pieces(sent)
        assert sent.get("system") == body.get("system")
        assert sent.get("instructions") == body.get("instructions")
        _in_order(was, now)
        _whole(was, now)
        _paired(body, sent)
        used = {use.tool for step in talk.steps[:steps] for use in step.uses}
        _tools(body, sent, wish, used)
        if dialect in ALTERNATING:
            roles = [one["role"] for one in sent["messages"]]
            assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
            assert all(one["content"] for one in sent["messages"])
    assert SECRET not in json.dumps([one.why for one in world.decisions])


def _key(piece: Piece) -> tuple[str, str, str]:
    return piece.role, piece.what, piece.key


def _in_order(was: list[Piece], now: list[Piece]) -> None:
    """Nothing is new, and the order is the old one; only results may be shorter."""
    rest = iter(was)
    for piece in now:
        old = next(one for one in rest if _key(one) == _key(piece))
        assert piece.text == old.text or len(piece.text) < len(old.text)


def _whole(was: list[Piece], now: list[Piece]) -> None:
    keys = [_key(one) for one in now]
    told = [n for n, one in enumerate(was) if one.role == "user" and one.what == "text"]
    assert _key(was[told[0]]) in keys
    assert keys[-len(was[told[-1] :]) :] == [_key(one) for one in was[told[-1] :]]
    assert all(_key(one) in keys for one in was if one.role == "system")
    results = [one for one in was if one.what == "result"]
    assert not results or results[-1] in [one._replace(message=results[-1].message) for one in now]
    uses = [n for n, one in enumerate(was) if one.what == "use"]
    if uses:
        message = was[uses[-1]].message
        plans = [
            one
            for one in was
            if one.role == "assistant" and one.what == "text" and one.message <= message
        ]
        assert not plans or _key(plans[-1]) in keys


def _paired(body: dict[str, Any], sent: dict[str, Any]) -> None:
    """Each use with its result, as near to one another as before."""
    was, now = pieces(body), pieces(sent)
    for found in (was, now):
        uses = [one.key for one in found if one.what == "use"]
        assert uses == [one.key for one in found if one.what == "result"]
        for use in (one for one in found if one.what == "use"):
            result = next(one for one in found if one.what == "result" and one.key == use.key)
            between = [one for one in found if use.message < one.message < result.message]
            assert all(one.what in ("use", "result") for one in between)
    _still_thought(was, now)


def _still_thought(was: list[Piece], now: list[Piece]) -> None:
    """Reasoning that is an item of its own stands before what was reasoned."""
    after = {one.key: _key(following) for one, following in pairwise(was) if one.what == "thought"}
    for one, following in pairwise(now):
        if one.key.startswith("rs_"):
            assert _key(following) == after[one.key]


def _tools(body: dict[str, Any], sent: dict[str, Any], wish: LeanContext, used: set[str]) -> None:
    """Tools that were used stay, and those that are not named as optional; never none at all."""
    was, now = _names(body), _names(sent)
    assert now
    assert [name for name in was if name in now] == now
    gone = set(was) - set(now)
    assert not gone & used
    assert all(any(fnmatchcase(name, one) for one in wish.optional_tools) for name in gone)


def _names(body: dict[str, Any]) -> list[str]:
    tools = body.get("tools") or body["toolConfig"]["tools"]
    return [
        one.get("name") or one.get("function", one.get("toolSpec", {})).get("name") for one in tools
    ]
