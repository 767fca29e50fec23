"""What is not changed keeps its bytes; what is changed reads back as it was asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bursar.dialects.quick import QuickReader
from bursar.dialects.rewriting import MARKED, rewritten
from bursar.model.block import Block, Mark, digest_of
from bursar.model.errors import BadInput

WORDS = st.text('abcdefg äöü"\\\n', min_size=1, max_size=30)


def text_part(dialect: str, text: str) -> dict[str, Any]:
    return {"text": text} if dialect == "bedrock_converse" else {"type": "text", "text": text}


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    dialect = draw(st.sampled_from(("openai_chat", "anthropic_messages", "bedrock_converse")))
    turns: list[dict[str, Any]] = []
    for n in range(draw(st.integers(1, 6))):
        role = ("user", "assistant")[n % 2]
        texts = draw(st.lists(WORDS, min_size=1, max_size=3))
        content: Any = [text_part(dialect, one) for one in texts]
        if dialect != "bedrock_converse" and draw(st.booleans()):
            content = texts[0]
        turns.append({"role": role, "content": content})
    body: dict[str, Any] = {"model": "m", "unknown": [1, {"a": None}], "messages": turns}
    if draw(st.booleans()) and dialect != "openai_chat":
        text = draw(WORDS)
        plain = dialect == "anthropic_messages" and draw(st.booleans())
        body["system"] = text if plain else [text_part(dialect, text)]
    if draw(st.booleans()) and dialect == "anthropic_messages":
        body["tools"] = [{"name": f"t{n}", "input_schema": {}} for n in range(3)]
    if draw(st.booleans()) and dialect == "bedrock_converse":
        specs = [{"toolSpec": {"name": f"t{n}", "inputSchema": {"json": {}}}} for n in range(3)]
        body["toolConfig"] = {"tools": specs, "toolChoice": {"auto": {}}}
    body["max_tokens"] = 7
    indent = draw(st.sampled_from((None, 1)))
    return dialect, json.dumps(body, indent=indent, ensure_ascii=draw(st.booleans())).encode()


def blocks_of(dialect: str, body: bytes) -> tuple[Block, ...]:
    return QuickReader().asking(dialect, body).blocks


def seen(blocks: tuple[Block, ...]) -> list[tuple[Any, ...]]:
    return [(one.role, one.digest, one.mark) for one in blocks]


@given(made=bodies())
def test_nothing_to_change_is_the_same_object(made: tuple[str, bytes]) -> None:
    dialect, body = made
    blocks = blocks_of(dialect, body)
    assert rewritten(body, dialect, blocks, blocks) is body
    assert rewritten(body, dialect, blocks, tuple(replace(one) for one in blocks)) is body


@given(made=bodies(), choose=st.randoms(use_true_random=False))
def test_marks_read_back(made: tuple[str, bytes], choose: Any) -> None:
    dialect, body = made
    if dialect not in MARKED:
        return
    blocks = blocks_of(dialect, body)
    picks = set(choose.sample(range(len(blocks)), min(4, len(blocks))))
    after = tuple(
        replace(one, mark=choose.choice((Mark.M5, Mark.H1))) if n in picks else one
        for n, one in enumerate(blocks)
    )
    written = rewritten(body, dialect, blocks, after)
    assert seen(blocks_of(dialect, written)) == seen(after)
    was, now = json.loads(body), json.loads(written)
    assert list(was) == list(now)
    assert was["unknown"] == now["unknown"]


@given(made=bodies(), choose=st.randoms(use_true_random=False))
def test_what_is_gone_is_gone(made: tuple[str, bytes], choose: Any) -> None:
    dialect, body = made
    blocks = blocks_of(dialect, body)
    gone = {n for n in range(len(blocks)) if choose.random() < 0.4}
    first = next(n for n, one in enumerate(blocks) if (one.path or "").startswith("/messages"))
    gone.discard(first)
    after = tuple(one for n, one in enumerate(blocks) if n not in gone)
    written = rewritten(body, dialect, blocks, after)
    assert seen(blocks_of(dialect, written)) == seen(after)


@given(made=bodies(), text=WORDS, choose=st.randoms(use_true_random=False))
def test_another_text_stands_where_the_old_one_stood(
    made: tuple[str, bytes], text: str, choose: Any
) -> None:
    dialect, body = made
    blocks = blocks_of(dialect, body)
    texts = [n for n, one in enumerate(blocks) if (one.path or "").startswith("/messages")]
    at = choose.choice(texts)
    new = replace(blocks[at], body=text, digest=digest_of(text))
    after = (*blocks[:at], new, *blocks[at + 1 :])
    written = rewritten(body, dialect, blocks, after)
    assert seen(blocks_of(dialect, written)) == seen(after)


def test_other_messages_keep_their_bytes() -> None:
    first = b'{"role" : "user",\n "content":"a\\u0062c", "x":1.50}'
    second = b'{"role":"user","content":"end"}'
    body = b'{"system":"s" , "messages":[' + first + b" , " + second + b'], "model":"m"}'
    blocks = blocks_of("anthropic_messages", body)
    after = (*blocks[:-1], replace(blocks[-1], mark=Mark.M5))
    written = rewritten(body, "anthropic_messages", blocks, after)
    assert first in written
    assert second not in written
    assert b'"cache_control":{"type":"ephemeral"}' in written


def test_no_mark_on_thinking() -> None:
    parts = [
        {"type": "text", "text": "so"},
        {"type": "thinking", "thinking": "hm", "signature": "s"},
    ]
    body = json.dumps({"messages": [{"role": "assistant", "content": parts}]}).encode()
    blocks = blocks_of("anthropic_messages", body)
    after = (*blocks[:-1], replace(blocks[-1], mark=Mark.H1))
    told = json.loads(rewritten(body, "anthropic_messages", blocks, after))
    content = told["messages"][0]["content"]
    assert content[0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert content[1] == parts[1]


def test_tool_results_shrink_in_every_dialect() -> None:
    chat = {"messages": [{"role": "tool", "tool_call_id": "1", "content": "long long"}]}
    spoken = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "l"}]}
    claude = {"messages": [{"role": "user", "content": [spoken]}]}
    result = {"toolResult": {"toolUseId": "1", "content": [{"text": "long"}], "status": "success"}}
    converse = {"messages": [{"role": "user", "content": [result]}]}
    for dialect, told in (
        ("openai_chat", chat),
        ("anthropic_messages", claude),
        ("bedrock_converse", converse),
    ):
        body = json.dumps(told).encode()
        blocks = blocks_of(dialect, body)
        after = (replace(blocks[0], body="short", digest=digest_of("short")),)
        written = rewritten(body, dialect, blocks, after)
        assert seen(blocks_of(dialect, written)) == seen(after), dialect


def test_a_new_block_is_refused() -> None:
    body = b'{"messages":[{"role":"user","content":"a"}]}'
    blocks = blocks_of("openai_chat", body)
    with pytest.raises(BadInput, match="was not there"):
        rewritten(body, "openai_chat", blocks, (*blocks, replace(blocks[0], digest=5)))
