"""Whatever a line holds, a reader of transcripts or spend logs reads it or lists it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursar.intake import claude_code, codex, litellm
from bursar.intake.source import Source
from bursar.model.entry import Entry, Flag

Json = dict[str, Any]
PART = {"type": "tool_use", "id": "t1", "name": "Read", "input": {"path": "x"}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "y"}]}
BASE = {"sessionId": "s", "uuid": "u", "parentUuid": "p", "timestamp": "2026-05-01T10:00:00Z"}
USAGE = {
    "input_tokens": 3,
    "output_tokens": 5,
    "cache_creation": {"ephemeral_1h_input_tokens": 0},
    "service_tier": "standard",
    "iterations": [{"type": "compaction", "input_tokens": 1, "output_tokens": 1}],
}
MESSAGE = {"id": "m", "role": "assistant", "model": "claude-x", "content": [PART], "usage": USAGE}
COUNT = {"input_tokens": 9, "cached_input_tokens": 3, "output_tokens": 2}
SAMPLES: dict[ModuleType, list[Json]] = {
    claude_code: [
        {**BASE, "type": "user", "message": {"role": "user", "content": [RESULT]}},
        {**BASE, "type": "assistant", "requestId": "r", "costUSD": 1, "message": MESSAGE},
        {**BASE, "type": "assistant", "isApiErrorMessage": True, "apiErrorStatus": 429,
         "message": MESSAGE},
        {**BASE, "type": "system", "subtype": "api_error", "error": {"status": 529}},
        {**BASE, "type": "attachment", "attachment": {"type": "file", "content": {"a": 1}}},
    ],
    codex: [
        {"type": "session_meta", "timestamp": "2026-05-01T10:00:00Z",
         "payload": {"id": "s", "cwd": "/x", "git": {"branch": "b"}, "source": {"subagent": {}},
                     "base_instructions": {"text": "t"}}},
        {"type": "turn_context", "timestamp": 1, "payload": {"model": "m", "effort": "low"}},
        {"type": "response_item", "timestamp": 2,
         "payload": {"type": "message", "role": "user", "content": [{"type": "input_text",
                                                                      "text": "x"}]}},
        {"type": "response_item", "timestamp": 3,
         "payload": {"type": "web_search_call", "action": {"type": "search"}}},
        {"type": "compacted", "timestamp": 4, "payload": {
            "replacement_history": [{"role": "user", "content": "x"}]}},
        {"type": "event_msg", "timestamp": 5,
         "payload": {"type": "token_count", "info": {"total_token_usage": COUNT,
                                                      "last_token_usage": COUNT}}},
    ],
    litellm: [
        {"request_id": "r", "call_type": "acompletion", "spend": 0.1, "prompt_tokens": 5,
         "completion_tokens": 1, "total_tokens": 6, "api_key": "k", "request_tags": ["a:b", "c"],
         "startTime": 1, "endTime": 2, "completionStartTime": 1.5, "model": "m",
         "cache_hit": "None", "status": "failure", "messages": [{"role": "user", "content": "x"}],
         "response": {"choices": [{"message": {"content": "y"}}]},
         "model_parameters": {"max_tokens": 5},
         "metadata": {"usage_object": {"prompt_tokens": 5, "prompt_tokens_details": {
             "cache_creation_token_details": {"ephemeral_1h_input_tokens": 1}}},
             "error_information": {"error_code": "429"}, "attempted_retries": 1,
             "spend_logs_metadata": {"env": "x"}, "cost_breakdown": {"service_tier": "flex"}}},
    ],
}  # fmt: skip
ODD = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        1.5,
        10**30,
        "",
        "x",
        "\x00",
        [],
        {},
        [[]],
        [{}],
        {"a": {"b": []}},
        [None, 7],
    ]
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if path and isinstance(value, list)
        else ()
    )
    for key, one in inner:
        yield from _places(one, (*path, key))


@pytest.mark.parametrize("reader", SAMPLES, ids=lambda one: one.NAME)
@given(st.lists(st.tuples(st.integers(0, 10**6), ODD), min_size=1, max_size=3))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_at_any_place(
    reader: ModuleType, tmp_path: Path, changes: list[tuple[int, Any]]
) -> None:
    lines = json.loads(json.dumps(SAMPLES[reader]))
    for choice, odd in changes:
        line = lines[choice % len(lines)]
        path = list(_places(line))[choice // len(lines) % len(list(_places(line)))]
        inner: Any = line
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = copy.deepcopy(odd)
        if not isinstance(line, dict) or not line:
            return
    path = tmp_path / "odd.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    source = Source(path)
    reader.recognises(source.head)
    for item in reader.read(source):
        assert isinstance(item, Entry | Flag)


@pytest.mark.parametrize("reader", SAMPLES, ids=lambda one: one.NAME)
@pytest.mark.parametrize("deep", [300, 900, 5_000])
def test_deep_nesting(reader: ModuleType, tmp_path: Path, deep: int) -> None:
    line = json.dumps(SAMPLES[reader][-1 if reader is litellm else 1])
    nested = line.replace('"x"', "[" * deep + "]" * deep)
    path = tmp_path / "deep.jsonl"
    path.write_text(f"{nested}\n{line}\n", encoding="utf-8")
    source = Source(path)
    reader.recognises(source.head)
    assert all(isinstance(item, Entry | Flag) for item in reader.read(source))
