"""Streams: event by event they say what the whole answer says, however the bytes are cut."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.dialects.fold import FOLDERS
from bursar.dialects.frames import frames_of
from bursar.dialects.lens import read_response
from bursar.dialects.refusals import stream_error
from bursar.dialects.translate import telling_responses, wires
from bursar.dialects.translate.crossing import SOURCES, TARGETS, StreamBack, answer_back
from bursar.dialects.translate.hearing import READERS
from bursar.dialects.translate.neutral import (
    Begin,
    Broken,
    Close,
    Delta,
    Done,
    Halt,
    More,
    NeutralAnswer,
    Open,
    Part,
    Seal,
    Text,
    Thinking,
    ToolUse,
)
from bursar.dialects.translate.saying import WRITERS
from bursar.dialects.translate.telling import write_answer
from tests.dialects.translate.made import ANTHROPIC, CHAT, CONVERSE, RESPONSES, answers
from tests.dialects.translate.test_answers import BACK as PLAIN

BACK = type(PLAIN)(
    model="asked", answer_id="ours", at_s=1_700_000_000, elapsed_ms=12, wants_usage=True
)
EACH = settings(max_examples=40, deadline=None, database=None)


def _cut(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _part(place: int, part: Part, size: int) -> Iterator[Delta]:
    kind = {Text: "text", ToolUse: "tool_use", Thinking: "thinking"}[type(part)]
    if isinstance(part, ToolUse):
        yield Open(place, kind, part.id, part.name)
        pieces = part.arguments
    else:
        yield Open(place, kind)
        assert isinstance(part, Text | Thinking)
        pieces = part.text
    for piece in _cut(pieces, size):
        yield More(place, piece)
    if isinstance(part, Thinking):
        yield Seal(place, part.signature, part.redacted)
    yield Close(place)


def deltas(answer: NeutralAnswer, size: int) -> Iterator[Delta]:
    yield Begin(answer.id, answer.model)
    for place, part in enumerate(answer.parts):
        yield from _part(place, part, size)
    yield Halt(answer.stop, answer.stop_text)
    yield Done(answer.usage, answer.tier)


def streamed(answer: NeutralAnswer, dialect: str, size: int = 5) -> bytes:
    """A provider's stream of the answer."""
    writer = WRITERS[dialect](BACK)
    return b"".join(writer.write(delta) for delta in deltas(answer, size))


def back(raw: bytes, target: str, source: str, cuts: list[int]) -> tuple[bytes, StreamBack]:
    stream = StreamBack(target, source, BACK)
    out: list[bytes] = []
    places = sorted({min(cut, len(raw)) for cut in cuts} | {0, len(raw)})
    for start, end in pairwise(places):
        out.append(stream.feed(raw[start:end]))
    out.append(stream.finish())
    return b"".join(out), stream


def folded(raw: bytes, dialect: str) -> dict[str, Any]:
    return FOLDERS[dialect](frames_of(raw).events).body


cuts = st.lists(st.integers(0, 6000), max_size=12)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("target", TARGETS)
def test_a_stream_says_what_the_whole_answer_says(target: str, source: str) -> None:
    @EACH
    @given(answers(), st.integers(1, 9), cuts)
    def law(answer: NeutralAnswer, size: int, places: list[int]) -> None:
        raw = streamed(answer, target, size)
        sent, stream = back(raw, target, source, places)
        assert stream.done
        assert stream.broken is None
        found = read_response(sent, source)
        whole = write_answer(answer, target, PLAIN)
        asked = read_response(answer_back(whole, target, source, PLAIN), source)
        assert not found.truncated
        assert found.usage == asked.usage
        assert found.price_class == asked.price_class
        assert found.stop == asked.stop
        assert found.tool_uses == asked.tool_uses
        assert [b.digest for b in found.answer_blocks] == [b.digest for b in asked.answer_blocks]
        if source != CONVERSE:
            assert (found.response_id, found.model) == (asked.response_id, asked.model)

    law()


@pytest.mark.parametrize("target", TARGETS)
def test_parts_are_numbered_and_each_one_ends_before_the_next(target: str) -> None:
    @EACH
    @given(answers())
    def law(answer: NeutralAnswer) -> None:
        reader = READERS[target]()
        found: list[Delta] = []
        for event in frames_of(streamed(answer, target)).events:
            found += reader.read(event)
        found += reader.end()
        assert isinstance(found[0], Begin)
        assert isinstance(found[-2], Halt)
        assert isinstance(found[-1], Done)
        opened: int | None = None
        count = 0
        for delta in found[1:-2]:
            if isinstance(delta, Open):
                assert opened is None
                assert delta.place == count
                opened, count = count, count + 1
            elif isinstance(delta, Close):
                assert delta.place == opened
                opened = None
            else:
                assert isinstance(delta, More | Seal)
                assert delta.place == opened
        assert opened is None

    law()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("target", TARGETS)
def test_any_cut_of_the_bytes_gives_the_same_bytes(target: str, source: str) -> None:
    @EACH
    @given(answers(), cuts)
    def law(answer: NeutralAnswer, places: list[int]) -> None:
        raw = streamed(answer, target)
        assert back(raw, target, source, places)[0] == back(raw, target, source, [])[0]

    law()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("target", TARGETS)
def test_byte_by_byte(target: str, source: str) -> None:
    answer = NeutralAnswer(id="a", model="m", parts=(Text("é€😀\n"), ToolUse("t", "f", "{}")))
    raw = streamed(answer, target)
    assert back(raw, target, source, list(range(len(raw))))[0] == back(raw, target, source, [])[0]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_held_back(target: str, source: str) -> None:
    """Each piece of text goes out with the bytes that complete its event."""
    writer = WRITERS[target](BACK)
    stream = StreamBack(target, source, BACK)
    stream.feed(writer.write(Begin("a", "m")) + writer.write(Open(0, "text")))
    for word in ("alpha", "beta", "gamma"):
        assert word.encode() in stream.feed(writer.write(More(0, word)))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("target", TARGETS)
def test_a_stream_that_breaks_ends_with_an_error(target: str, source: str) -> None:
    answer = NeutralAnswer(id="a", model="m", parts=(Text("some words that take a while"),))
    raw = streamed(answer, target)
    for end in range(1, len(raw) // 2, 7):
        sent, stream = back(raw[:end], target, source, [])
        assert stream.broken is not None
        assert stream.broken.kind == "upstream_cut"
        assert sent.endswith(stream_error(source, stream.broken.kind, stream.broken.message))
        assert not stream.feed(raw[end:])
        assert not stream.finish()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("target", TARGETS)
def test_the_providers_own_error_is_told(target: str, source: str) -> None:
    begun = WRITERS[target](BACK).write(Begin("a", "m"))
    raw = begun + stream_error(target, "rate_limited", "too fast")
    sent, stream = back(raw, target, source, [])
    assert stream.broken is not None
    assert b"too fast" in sent
    assert any(
        "error" in event or "throttlingException" in event for event in frames_of(sent).events
    )


def test_a_wrong_checksum_is_not_believed() -> None:
    answer = NeutralAnswer(parts=(Text("hello"),))
    raw = bytearray(streamed(answer, CONVERSE))
    raw[raw.index(b"hello")] ^= 1
    sent, stream = back(bytes(raw), CONVERSE, CHAT, [])
    assert stream.broken == Broken(
        "upstream_protocol", "a frame of the stream has a wrong checksum"
    )
    assert b"iello" not in sent


def test_an_event_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "LARGEST_EVENT_BYTES", 1000)
    stream = StreamBack(CHAT, ANTHROPIC, BACK)
    assert not stream.feed(b"data: " + b"x" * 900)
    assert b"1,000" in stream.feed(b"x" * 200)
    assert stream.done


def test_what_responses_repeats_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling_responses, "LARGEST_KEPT_CHARS", 10)
    answer = NeutralAnswer(parts=(Text("far more than ten characters"),))
    sent, _ = back(streamed(answer, CHAT), CHAT, RESPONSES, [])
    assert sent.endswith(
        stream_error(
            RESPONSES, "answer_too_large", "the answer is too large to be repeated at its end"
        )
    )


def test_the_usage_chunk_only_for_those_who_asked() -> None:
    answer = NeutralAnswer(parts=(Text("hi"),), usage=None)
    for wants in (True, False):
        stream = StreamBack(ANTHROPIC, CHAT, type(BACK)(wants_usage=wants))
        sent = stream.feed(streamed(answer, ANTHROPIC)) + stream.finish()
        chunks = [json.loads(line[6:]) for line in sent.split(b"\n") if line.startswith(b"data: {")]
        assert all(("usage" in chunk) == wants for chunk in chunks)
        assert bool(chunks[-1]["choices"]) != wants
        assert sent.endswith(b"data: [DONE]\n\n")


def test_blocks_of_the_providers_own_leave_no_gap() -> None:
    """Anthropic's clients keep blocks by their number."""
    events: list[tuple[str, dict[str, Any]]] = [
        ("message_start", {"message": {"id": "a", "model": "m", "usage": {"input_tokens": 3}}}),
        ("content_block_start", {"index": 0, "content_block": {"type": "server_tool_use"}}),
        ("content_block_stop", {"index": 0}),
        ("content_block_start", {"index": 1, "content_block": {"type": "text", "text": ""}}),
        ("content_block_delta", {"index": 1, "delta": {"type": "text_delta", "text": "hi"}}),
        ("content_block_stop", {"index": 1}),
        ("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
        ("message_stop", {}),
    ]
    raw = b"".join(wires.sse({"type": kind} | body, kind) for kind, body in events)
    sent, _ = back(raw, ANTHROPIC, CONVERSE, [])
    places = {
        fields["contentBlockIndex"]
        for event in frames_of(sent).events
        for fields in event.values()
        if "contentBlockIndex" in fields
    }
    assert places == {0}


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
def test_line_ends_comments_and_pings(ends: bytes) -> None:
    answer = NeutralAnswer(id="a", model="m", parts=(Text("hi"),))
    raw = b': keep-alive\n\nevent: ping\ndata: {"type": "ping"}\n\n' + streamed(answer, ANTHROPIC)
    sent, stream = back(raw.replace(b"\n", ends), ANTHROPIC, CHAT, [3, 50, 51, 52, 200])
    assert stream.broken is None
    assert folded(sent, CHAT)["choices"][0]["message"]["content"] == "hi"
