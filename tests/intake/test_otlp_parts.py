"""Messages made of parts, as the convention has them from 1.37 on: every part is a block."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.intake.test_otlp import attributes, chat, read_spans, span

from bursar.model.block import Block, Kind, Role
from bursar.model.entry import Entry

TEXT = "Where is parcel 7? " * 5
PICTURE = "iVBORw0KGgo=" * 5_000
DETAILS = "gen_ai.client.inference.operation.details"
SEARCH = {"type": "web_search", "query": "parcel 7"}
PARTS: dict[str, tuple[dict[str, Any], Kind, int, int]] = {
    "text": ({"type": "text", "content": TEXT}, Kind.USER, 15, 40),
    "reasoning": ({"type": "reasoning", "content": TEXT}, Kind.USER, 15, 40),
    "compaction": ({"type": "compaction", "content": TEXT}, Kind.USER, 15, 40),
    "blob": (
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": PICTURE},
        *(Kind.USER, 80, 3_000),
    ),
    "blob without a modality": (
        {"type": "blob", "mime_type": "audio/wav", "content": PICTURE},
        *(Kind.USER, 80, 3_000),
    ),
    "uri": (
        {"type": "uri", "modality": "image", "uri": "https://shop.example/7.png"},
        *(Kind.USER, 80, 3_000),
    ),
    "file": ({"type": "file", "modality": "image", "file_id": "file-7"}, Kind.USER, 80, 3_000),
    "document": (
        {"type": "file", "modality": "document", "file_id": "file-7"},
        *(Kind.RAG, 500, 5_000),
    ),
    "image-url": ({"type": "image-url", "url": "https://shop.example"}, Kind.USER, 80, 3_000),
    "response": (
        {"type": "tool_call_response", "id": "c", "response": TEXT},
        *(Kind.TOOL_RESULT, 15, 40),
    ),
    "served": (
        {"type": "server_tool_call_response", "id": "s", "server_tool_call_response": SEARCH},
        *(Kind.RAG, 5, 40),
    ),
    "generic": ({"type": "house_part", "said": TEXT}, Kind.USER, 15, 60),
}


def entry_of(tmp_path: Path, **more: Any) -> Entry:
    (entry,), flags, skips = read_spans(tmp_path, [span(1, chat(**more))])
    assert not flags
    assert not skips
    return entry


def only(entry: Entry) -> Block:
    blocks = entry.call.blocks
    assert blocks is not None
    assert len(blocks) == 1
    return blocks[0]


def said(*parts: dict[str, Any], role: str = "user") -> str:
    return json.dumps([{"role": role, "parts": list(parts)}])


@pytest.mark.parametrize("name", PARTS)
def test_a_part_counts_by_what_it_is(tmp_path: Path, name: str) -> None:
    part, kind, least, most = PARTS[name]
    entry = entry_of(tmp_path, gen_ai__input__messages=said(part))
    block = only(entry)
    assert block.kind is kind
    assert least <= (block.tokens or 0) <= most, block


def test_what_an_assistant_said_is_history_and_its_uses_are_known(tmp_path: Path) -> None:
    uses = (
        {"type": "tool_call", "id": "c", "name": "track", "arguments": {"n": 7}},
        {"type": "server_tool_call", "id": "s", "name": "search", "server_tool_call": SEARCH},
    )
    entry = entry_of(tmp_path, gen_ai__input__messages=said(*uses, role="assistant"))
    assert [block.kind for block in entry.call.blocks or ()] == [Kind.HISTORY] * 2
    entry = entry_of(
        tmp_path,
        gen_ai__input__messages=said({"type": "text", "content": TEXT}),
        gen_ai__output__messages=json.dumps(
            [{"role": "assistant", "parts": list(uses), "finish_reason": "tool_call"}]
        ),
    )
    assert entry.answer is not None
    assert [use.tool for use in entry.answer.tool_uses] == ["track", "search"]
    assert entry.answer.stop == "tool_use"


def test_instructions_stand_before_the_messages(tmp_path: Path) -> None:
    entry = entry_of(
        tmp_path,
        gen_ai__system_instructions=json.dumps([{"type": "text", "content": "Be kind."}]),
        gen_ai__input__messages=said({"type": "text", "content": TEXT}),
    )
    assert [block.role for block in entry.call.blocks or ()] == [Role.SYSTEM, Role.USER]


def test_an_event_tells_the_same_as_attributes(tmp_path: Path) -> None:
    told = {"gen_ai.input.messages": said({"type": "text", "content": TEXT})}
    plain = entry_of(tmp_path, gen_ai__input__messages=told["gen_ai.input.messages"])
    event = {"name": DETAILS, "attributes": attributes(told)}
    (entry,), _, _ = read_spans(tmp_path, [span(1, chat(), events=[event])])
    assert entry.call.blocks == plain.call.blocks


@pytest.mark.parametrize("way", ["json", "structured"])
def test_messages_may_be_a_text_or_a_structure(tmp_path: Path, way: str) -> None:
    messages: Any = [{"role": "user", "parts": [{"type": "text", "content": TEXT}]}]
    given_so = json.dumps(messages) if way == "json" else messages
    block = only(entry_of(tmp_path, gen_ai__input__messages=given_so))
    assert (block.role, block.size_bytes) == (Role.USER, len(TEXT))


def test_a_response_id_is_the_identity_and_is_kept(tmp_path: Path) -> None:
    named = entry_of(tmp_path, gen_ai__response__id="chatcmpl-abcdef")
    assert named.call.key == "otel:chatcmpl-abcdef"
    assert named.attempts[0].provider_request_id == "chatcmpl-abcdef"
    nameless = entry_of(tmp_path)
    assert nameless.call.key.startswith("otel:0af7651916cd43dd8448eb211c80319c:")
    assert nameless.attempts[0].provider_request_id is None


def test_calls_without_a_response_id_stay_apart(tmp_path: Path) -> None:
    entries, flags, _ = read_spans(tmp_path, [span(one, chat()) for one in (1, 2, 3)])
    assert len({entry.call.key for entry in entries}) == len(entries) == 3
    assert not flags


@pytest.mark.parametrize("value", [-1.0, 1e300, True, "x"])
def test_a_time_that_is_none_is_not_known(tmp_path: Path, value: Any) -> None:
    entry = entry_of(tmp_path, gen_ai__response__time_to_first_chunk=value)
    assert entry.attempts[0].first_byte_ms is None


SOME = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
TYPES = st.sampled_from([*(part["type"] for part, *_ in PARTS.values()), "server_tool_call"])
FIELDS = ("content", "modality", "mime_type", "id", "name", "arguments", "server_tool_call", "uri")


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    parts=st.lists(
        st.builds(
            lambda kind, more: {"type": kind, **more},
            TYPES,
            st.dictionaries(st.sampled_from(FIELDS), SOME, max_size=4),
        ),
        max_size=4,
    ),
    role=st.sampled_from(["user", "assistant", "tool", "system"]),
)
def test_odd_parts_cost_no_more_than_themselves(
    tmp_path: Path, parts: list[dict[str, Any]], role: str
) -> None:
    """The call is read, whatever stands in a part."""
    entries, _, skips = read_spans(
        tmp_path, [span(1, chat(gen_ai__input__messages=said(*parts, role=role)))]
    )
    assert len(entries) == 1
    assert not skips
