"""Requests that are refused: each with its place and its mend, and with little work."""

from __future__ import annotations

import contextlib
import json
import sys
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.dialects.quick import Bounds, QuickReader
from bursar.model.errors import BadInput, BursarError
from tests.dialects.quick import bodies

HELLO = {"role": "user", "content": "hello"}


def refused(raw: bytes, dialect: str = "openai_chat", bounds: Bounds | None = None) -> str:
    with pytest.raises(BadInput) as bad:
        QuickReader(bounds).asking(dialect, raw, b"")
    assert bad.value.mend
    return bad.value.message


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [HELLO], **fields}).encode()


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return opening * depth + closing * depth


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b'{"messages":[{"role":"user","content":"a"}],"a":1,"a":2}', "/a stands twice"),
        (b'{"messages":[{"role":"user","content":"a","role":"system"}]}', "/messages/0/role"),
        (
            b'{"messages":[{"role":"user","content":[{"type":"text","text":"a","text":"b"}]}]}',
            "/messages/0/content/0/text stands twice",
        ),
        (b'{"messages":[{"role":"user","content":"a"}],"t":{"b":{"c":1,"\\u0063":2}}}', "/t/b/c"),
        (b'{"messages":[],"messages":[{"role":"user","content":"a"}]}', "/messages stands twice"),
        (b'{"messages":[{"role":"user","content":"\\ud800"}]}', "/messages/0/content"),
        (b'{"messages":[{"role":"user","content":"\\ud800"}]}', "half of a surrogate"),
        (b'{"messages":[{"role":"user","content":"a"}],"user":"\\udc00"}', "/user"),
        (b'{"messages":[{"role":"user","content":"a"}],"t":NaN}', "/t"),
        (b'{"messages":[{"role":"user","content":"a"}],"t":-Infinity}', "/t"),
        (b'{"messages":[{"role":"user","content":"a"}],"t":1e400}', "/t"),
        (b'{"messages":[{"role":"user","content":[1e400]}]}', "/messages/0/content/0"),
        (b'{"messages":[{"role":"user","content":"\xff"}]}', "/messages/0 is not UTF-8"),
        (b'\xef\xbb\xbf{"messages":[]}', "byte order mark"),
        ('{"messages":[]}'.encode("utf-16"), "UTF-8"),
        ('{"messages":[]}'.encode("utf-16-le"), "UTF-8"),
        (b"", "is not JSON"),
        (b"[]", "request body"),
        (b'"text"', "request body"),
        (b'{"messages":[{"role":"user"', "is not JSON"),
        (b'{"messages":[{"role":"user","content":"a"}]}x', "is not JSON"),
    ],
)
def test_json_that_parsers_disagree_on(raw: bytes, place: str) -> None:
    assert place in refused(raw)


@pytest.mark.parametrize(
    "value", [-1, 0, 1.5, 256.0, "100", True, 10**12, 2**70, 2**53 + 1, [1], {"a": 1}]
)
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n"])
def test_limits_that_are_no_limits(name: str, value: Any) -> None:
    assert refused(body(**{name: value})).startswith(f"/{name} is ")


def test_limits_of_other_dialects() -> None:
    raw = json.dumps({"messages": [HELLO], "inferenceConfig": {"maxTokens": -1}}).encode()
    assert "/inferenceConfig/maxTokens" in refused(raw, "bedrock_converse")
    config = {"candidateCount": 1_000}
    raw = json.dumps({"contents": [{"parts": []}], "generationConfig": config}).encode()
    assert "/generationConfig/candidateCount" in refused(raw, "gemini_generate")
    assert "/n is 1000" in refused(body(n=1000))
    assert "/best_of is 129" in refused(body(best_of=129))


def test_limits_that_pass() -> None:
    reader = QuickReader()
    assert reader.asking("openai_chat", body(max_tokens=None)).limits.max_tokens is None
    assert reader.asking("anthropic_messages", body(max_tokens=0)).limits.max_tokens == 0
    assert reader.asking("openai_chat", body(n=None)).n == 1
    assert reader.asking("openai_chat", body(n=128)).n == 128
    assert reader.asking("openai_chat", body(max_tokens=5, best_of=3)).n == 3
    assert QuickReader(Bounds(max_tokens=10)).asking("openai_chat", body(max_tokens=10))
    assert "from 1 to 10" in str(_caught(body(max_tokens=11), Bounds(max_tokens=10)))


def _caught(raw: bytes, bounds: Bounds) -> BadInput:
    with pytest.raises(BadInput) as bad:
        QuickReader(bounds).asking("openai_chat", raw)
    return bad.value


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"messages": []}, "/messages is empty"),
        ({"messages": "hi"}, "/messages"),
        ({"messages": {"role": "user"}}, "/messages"),
        ({"messages": None}, "/messages"),
        ({"messages": [1]}, "/messages"),
        ({"messages": [HELLO, 1]}, "/messages/1 has no role"),
        ({"messages": [HELLO, None]}, "/messages/1"),
        ({"messages": ["hi"]}, "/messages/0"),
        ({"messages": [{"content": "a"}]}, "/messages/0 has no role"),
        ({"messages": [HELLO, {"role": "boss", "content": "a"}]}, "/messages/1/role"),
        ({"messages": [{"role": 1, "content": "a"}]}, "/messages/0/role"),
        ({"api_base": "http://x"}, "/api_base"),
        ({"base_url": "http://x"}, "/base_url"),
        ({"api_key": None}, "/api_key"),
        ({"stream": "true"}, "/stream"),
        ({"stream_options": {"include_usage": 1}}, "/stream_options/include_usage"),
        ({"model": 1}, "/model"),
    ],
)
def test_fields_that_do_not_pass(fields: dict[str, Any], place: str) -> None:
    assert place in refused(body(**fields))


BOSS = {"role": "boss", "content": "a"}


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"input": [HELLO, BOSS]}, "/input/1/role"),
        ({"input": BOSS}, "/input/role"),
        ({"input": "a", "messages": []}, "/messages is empty"),
        ({"input": "a", "messages": "hi"}, "/messages is not a list"),
        ({"input": "a", "messages": [1]}, "/messages/0 has no role"),
        ({"input": [HELLO] * 11}, "11 items"),
    ],
)
def test_an_input_beside_a_prompt_hides_nothing(fields: dict[str, Any], place: str) -> None:
    """Each of them is refused with or without the other field."""
    bounds = Bounds(messages=10)
    for beside in ({}, {"prompt": {"id": "p"}}):
        assert place in refused(json.dumps(fields | beside).encode(), "openai_responses", bounds)


@pytest.mark.parametrize(
    ("dialect", "fields", "place"),
    [
        ("gemini_generate", {"contents": [1]}, "/contents/0 is no object"),
        ("gemini_generate", {"contents": [1, BOSS]}, "/contents/0 is no object"),
        ("gemini_generate", {"contents": [{"parts": []}, None]}, "/contents/1 is no object"),
        ("gemini_generate", {"contents": [["a"]]}, "/contents/0 is no object"),
        ("openai_chat", {"messages": [1, BOSS]}, "/messages/0 has no role"),
        ("openai_responses", {"input": [1, BOSS]}, "/input/1/role"),
        ("openai_embeddings", {"input": [None, BOSS]}, "/input/1/role"),
    ],
)
def test_a_number_at_the_head_of_a_list_hides_nothing(
    dialect: str, fields: dict[str, Any], place: str
) -> None:
    assert place in refused(json.dumps(fields).encode(), dialect)


def test_token_ids_are_no_messages() -> None:
    reader = QuickReader()
    for ids, blocks in (([1, 2, 3], 1), ([[1, 2], [3]], 2), ([1] * 5, 1)):
        raw = json.dumps({"model": "m", "input": ids}).encode()
        assert len(reader.asking("openai_embeddings", raw).blocks) == blocks


@pytest.mark.parametrize(
    ("dialect", "place"),
    [
        ("openai_chat", "/messages is not there"),
        ("anthropic_messages", "/messages is not there"),
        ("bedrock_converse", "/messages is not there"),
        ("openai_responses", "/input is not there"),
        ("openai_embeddings", "/input is not there"),
        ("gemini_generate", "/contents is not there"),
        ("bedrock_invoke", "request body is an empty object"),
    ],
)
def test_an_empty_object_is_told_what_it_lacks(dialect: str, place: str) -> None:
    assert refused(b"{}", dialect) == place


def test_no_messages_and_too_many() -> None:
    assert "/messages" in refused(b'{"model": "m"}')
    assert "/messages" in refused(b"{}", "anthropic_messages")
    raw = json.dumps({"messages": [HELLO] * 11}).encode()
    assert "11 items" in refused(raw, bounds=Bounds(messages=10))


def test_depth() -> None:
    reader = QuickReader()
    for depth, opening, closing in ((62, b"[", b"]"), (31, b'{"a":[', b"]}")):
        inner = opening * depth + b"1" + closing * depth
        raw = b'{"messages":[{"role":"user","content":"a"}],"deep":' + inner + b"}"
        assert reader.asking("openai_chat", raw)
    assert "/deep" in refused(
        b'{"messages":[{"role":"user","content":"a"}],"deep":' + nested(64) + b"}"
    )
    raw = b'{"messages":[{"role":"user","content":' + nested(61) + b"}]}"
    assert reader.asking("openai_chat", raw)
    raw = b'{"messages":[{"role":"user","content":' + nested(62) + b"}]}"
    assert "/messages/0" in refused(raw)


def _calls(raw: bytes) -> int:
    """Calls of functions, C's included, that a refusal takes: work without a clock."""
    count = 0

    def called(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        refused(raw)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_bottomless_bodies_are_refused_at_once(opening: bytes) -> None:
    inner = opening * 100_000
    heads = (b"", b'{"messages":', b'{"messages":[{"role":"user","content":', b'{"x":')
    for head in heads:
        for tail in (b"", b"1" + (b"]" if opening == b"[" else b"}") * 100_000 + b"}]}"):
            assert _calls(head + inner + tail) < 2_000


def test_the_search_for_a_fault_is_bounded() -> None:
    keys = "".join(f'{{"{"k" * 50}":' for _ in range(50))
    items = ",".join(["1"] * 300_000)
    raw = f'{{"x":{keys}[{items},NaN]{"}" * 50}}}'.encode()
    tracemalloc.start()
    said = refused(raw)
    most_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "not a JSON object that all parsers read" in said
    assert most_bytes < 30 * len(raw)


@given(bodies.requests, st.data())
@settings(max_examples=200)
def test_damaged_bodies_give_no_other_error(drawn: tuple[str, Any], data: st.DataObject) -> None:
    dialect, fields = drawn
    raw = bytearray(bodies.spelled(fields, 0))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
        if not raw:
            return
    with contextlib.suppress(BursarError):
        QuickReader().asking(dialect, bytes(raw), b"")
