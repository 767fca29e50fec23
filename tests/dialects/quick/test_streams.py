"""The stream on its way: the usage chunk, the patch that asks for it, and the copy that is kept."""

from __future__ import annotations

import json
import tracemalloc
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.dialects.quick import Fold, UsageTap, ask_for_usage, hide_usage, settled
from bursar.model.errors import BadInput
from tests.dialects.quick import answers, bodies

USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({place % (len(raw) + 1) for place in places} | {0, len(raw)})
    return [raw[start:end] for start, end in pairwise(marks)]


@given(
    st.lists(bodies.words, max_size=4),
    ends,
    st.lists(st.integers(0, 10_000), max_size=40),
    st.booleans(),
)
@settings(max_examples=300)
def test_a_client_that_did_not_ask_for_usage_sees_the_stream_of_one_who_did_not(
    texts: list[str], end: bytes, places: list[int], null_usage: bool
) -> None:
    """The usage chunk is not there, and no other chunk says `"usage":null`."""
    done = b"data: [DONE]" + end + end
    events = answers.chat_events(texts, USAGE, null_usage=null_usage)
    raw = b": ping" + end + end + answers.sse(events, end) + done
    direct = answers.chat_events(texts, None, null_usage=False)
    expected = b": ping" + end + end + answers.sse(direct, end) + done
    assert b"".join(hide_usage(cut(raw, places))) == expected
    tap = UsageTap(hide=False)
    assert b"".join([tap.feed(chunk) for chunk in cut(raw, places)] + [tap.finish()]) == raw


@given(st.binary(max_size=200) | st.text("\r\ndata: {}", max_size=80).map(str.encode), st.data())
@settings(max_examples=300)
def test_any_bytes_pass_whole_however_they_are_cut(raw: bytes, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, 200), max_size=20))
    assert b"".join(hide_usage(cut(raw, places))) == raw


@pytest.mark.parametrize(
    "event",
    [
        {"choices": [], "prompt_filter_results": []},
        {"choices": [], "x": {"usage": None}, "y": '"usage":null,'},
        {"choices": [{"index": 0, "delta": {}}], "usage": USAGE},
        {"usage": USAGE},
        {"choices": None, "usage": USAGE},
        {"choices": [], "usage": "none"},
    ],
)
def test_what_is_not_the_usage_chunk_passes(event: Any) -> None:
    raw = answers.sse([event])
    assert UsageTap(hide=True).feed(raw) == raw


inner = st.recursive(
    st.sampled_from([None, 1, "x", '"usage":null,', "usage"]),
    lambda deeper: (
        st.lists(deeper, max_size=2)
        | st.dictionaries(st.sampled_from(["usage", "choices", "a"]), deeper, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.lists(st.tuples(st.sampled_from(["a", "choices", "b", "usage ", "c"]), inner), max_size=5),
    st.integers(0, 5),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,  ", " : ")]),
)
@settings(max_examples=400)
def test_only_the_outermost_null_goes(
    fields: list[tuple[str, Any]], place: int, spelling: tuple[str, str]
) -> None:
    """Whatever else is called usage, wherever it stands, and however the JSON is spelled."""
    kept = dict(fields) | {"choices": [{"delta": dict(fields)}]}
    pairs = list(kept.items())
    pairs.insert(place, ("usage", None))
    raw, direct = (
        b"data: " + json.dumps(one, separators=spelling).encode() + b"\n\n"
        for one in (dict(pairs), kept)
    )
    assert UsageTap(hide=True).feed(raw) == direct


def test_events_pass_as_soon_as_they_are_whole() -> None:
    tap = UsageTap(hide=True)
    raw = answers.sse(answers.chat_events(["a"], USAGE))
    first = raw.index(b"\n\n") + 2
    direct = answers.sse(answers.chat_events(["a"], None, null_usage=False))
    shown = direct.index(b"\n\n") + 2
    assert tap.feed(raw[: first - 1]) == b""
    assert tap.feed(raw[first - 1 : first]) == direct[:shown]
    assert tap.feed(raw[first:]) == direct[shown:]
    assert tap.hidden == 1


def test_a_usage_chunk_without_its_blank_line_is_left_out() -> None:
    tap = UsageTap(hide=True)
    raw = answers.sse([{"choices": [], "usage": USAGE}])[:-2]
    assert tap.feed(raw) + tap.finish() == b""


@pytest.mark.parametrize("hide", [True, False])
@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_an_event_without_end_is_cut(hide: bool, size: int) -> None:
    tap = UsageTap(hide=hide, event_bytes=10_000)
    for _ in range(3):
        for chunk in cut(b"data: 1\n\n" * 2_000, list(range(0, 18_000, size))):
            tap.feed(chunk)
    for _ in range(10_000 // size):
        tap.feed(b"x" * size)
    with pytest.raises(BadInput):
        tap.feed(b"x" * 4_000)
    with pytest.raises(BadInput):
        UsageTap(hide=hide, event_bytes=10_000).feed(b"y" * 10_001)


@given(bodies.chat, st.integers(0, 30), st.sampled_from([{}, None, {"include_usage": None}]))
@settings(max_examples=300)
def test_asking_for_usage_changes_nothing_else(body: Any, style: int, options: Any) -> None:
    if style % 2:
        body = body | {"stream_options": options}
    raw = bodies.spelled(body, style)
    asked = ask_for_usage(raw)
    wanted = (body.get("stream_options") or {}) | {"include_usage": True}
    assert json.loads(asked) == body | {"stream_options": wanted}
    if "stream_options" not in body:
        added = b'"stream_options":{"include_usage":true},'
        assert asked.replace(added, b"", 1) == raw
    assert ask_for_usage(asked) == asked


def test_asking_for_usage_knows_a_field_from_a_text() -> None:
    raw = b'{"messages":[{"role":"user","content":"\\"stream_options\\": null"}]}'
    assert ask_for_usage(raw) == b'{"stream_options":{"include_usage":true},' + raw[1:]
    assert ask_for_usage(b" { } ") == b' {"stream_options":{"include_usage":true} } '
    escaped = b'{"stream\\u005foptions":{"include_usage":false , "b":1}}'
    assert ask_for_usage(escaped) == escaped.replace(b"false", b"true")


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"x{", b'{"stream_options":[]}', b'{"stream_options"', b'{"a":"\\u00']
)
def test_asking_for_usage_of_what_is_no_body(raw: bytes) -> None:
    with pytest.raises(BadInput):
        ask_for_usage(raw)


@given(st.lists(st.binary(max_size=300), max_size=30), st.integers(1, 400))
@settings(max_examples=200)
def test_the_copy_is_bounded(chunks: list[bytes], most: int) -> None:
    fold = Fold(most)
    for chunk in chunks:
        fold.add(chunk)
    raw = b"".join(chunks)
    assert (fold.left_out_bytes == 0) or len(raw) > most // 2
    if not fold.left_out_bytes:
        assert fold.whole() == raw
        assert fold.note is None
    else:
        assert fold.note
        assert len(fold.whole()) <= most + 100
    if len(raw) <= max(1, most // 2):
        assert fold.whole() == raw


def test_a_copy_of_many_small_chunks_is_no_larger() -> None:
    tracemalloc.start()
    fold = Fold(200_000)
    for _ in range(300_000):
        fold.add(b"x")
    held_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held_bytes < 600_000
    assert len(fold.whole()) <= 200_000
    assert fold.left_out_bytes >= 100_000


def kept(raw: bytes, chunk_bytes: int, most: int) -> Fold:
    fold = Fold(most)
    for start in range(0, len(raw), chunk_bytes):
        fold.add(raw[start : start + chunk_bytes])
    assert fold.left_out_bytes
    return fold


@pytest.mark.parametrize("chunk_bytes", [1_000, 613, 100_000])
def test_long_streams_keep_their_usage(chunk_bytes: int) -> None:
    texts = ["word " * 10] * 3_000
    chat = answers.sse(answers.chat_events(texts, USAGE)) + b"data: [DONE]\n\n"
    found = settled("openai_chat", kept(chat, chunk_bytes, 40_000).whole(), {}, None)
    assert found.usage is not None
    assert (found.usage.prompt, found.usage.answer) == (5, 3)
    assert found.reading is not None
    assert found.reading.model == "gpt-4o"
    raw = answers.sse(answers.anthropic_events(texts, 70), named=True)
    found = settled("anthropic_messages", kept(raw, chunk_bytes, 40_000).whole(), {}, None)
    assert found.usage is not None
    assert (found.usage.prompt, found.usage.answer) == (70, 71)


@pytest.mark.parametrize("chunk_bytes", [1_000, 613])
def test_long_aws_streams_keep_their_usage(chunk_bytes: int) -> None:
    usage = {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8}
    delta = {"contentBlockIndex": 0, "delta": {"text": "word " * 10}}
    raw = answers.frames(
        [
            ("messageStart", {"role": "assistant"}),
            *[("contentBlockDelta", delta)] * 2_000,
            ("messageStop", {"stopReason": "end_turn"}),
            ("metadata", {"usage": usage}),
        ]
    )
    found = settled("bedrock_converse", kept(raw, chunk_bytes, 40_000).whole(), {}, "nova")
    assert found.usage is not None
    assert (found.usage.prompt, found.usage.answer) == (5, 3)


def test_long_bodies_keep_their_usage() -> None:
    vector = {"object": "embedding", "embedding": [0.123456] * 20_000}
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    body = {"object": "list", "data": [vector], "model": "text-embedding-3-small", "usage": usage}
    whole = kept(json.dumps(body).encode(), 1_000, 20_000).whole()
    found = settled("openai_embeddings", whole, {}, None)
    assert found.usage is not None
    assert found.usage.prompt == 8
