"""Texts and forms of blocks, read from the body when they are asked for."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.dialects.quick import QuickReader
from bursar.dialects.showing import IMAGE, REASONING, TEXT, Showing
from bursar.levers.ports import shown
from bursar.model.block import Block, Role
from levers.lean_talk import DIALECTS, Talk, body_of, pieces, talks
from levers.world import World

SALT = b"tenant"


@given(talk=talks(), dialect=st.sampled_from(DIALECTS))
@settings(deadline=None)
def test_every_block_of_a_message_is_shown(talk: Talk, dialect: str) -> None:
    """Law: the texts that are shown are those of the body, in its order, with their forms."""
    body = body_of(talk, dialect, len(talk.steps))
    raw = json.dumps(body).encode()
    showing = Showing(raw, SALT)
    wanted = {"text": TEXT, "use": TEXT, "result": TEXT, "thought": REASONING, "image": IMAGE}
    said = [one for one in pieces(body) if not one.key.startswith("rs_") and one.role != "system"]
    blocks = [
        one
        for one in QuickReader().asking(dialect, raw, SALT).blocks
        if one.role not in (Role.SYSTEM, Role.TOOL_SPEC)
    ]
    for block, piece in zip(blocks, said, strict=True):
        found = showing.shown(block)
        assert found is not None
        assert found.form == wanted[piece.what]
        if piece.what in ("text", "result"):
            assert found.text == (piece.text or piece.key)


def test_what_is_not_there_is_not_shown() -> None:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
    raw = json.dumps(body).encode()
    block = QuickReader().asking("openai_chat", raw).blocks[0]
    showing = Showing(raw)
    assert showing.shown(block) == ("hello", TEXT)
    other = Block(role=block.role, kind=block.kind, digest=7, path=block.path)
    assert showing.shown(other) is None
    assert showing.shown(Block(role=block.role, kind=block.kind, digest=block.digest)) is None


def test_a_world_that_shows_nothing() -> None:
    block = QuickReader().asking("openai_chat", b'{"messages":[{"role":"user","content":"x"}]}')
    assert shown(World(), block.blocks[0]) is None
