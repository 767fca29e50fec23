"""One entry per counted response, whatever is said how often."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursar.intake import codex
from bursar.intake.source import Source
from bursar.model.entry import Entry, Flag
from bursar.model.usage import Usage

Json = dict[str, Any]
START = datetime(2026, 5, 1, 10)
NAMES = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")


class File:
    """A session under construction."""

    def __init__(self, **meta: Any) -> None:
        self.lines: list[Json] = []
        self.seconds = 0.0
        self.total = dict.fromkeys(NAMES, 0)
        self.add("session_meta", {"id": "s1", "cwd": "/home/x/project", **meta}, 0)
        self.add("turn_context", {"model": "gpt-5.2-codex", "effort": "high"}, 0)

    def add(self, kind: str, payload: Json, after: float = 2.0) -> None:
        self.seconds += after
        at = (START + timedelta(seconds=self.seconds)).isoformat(timespec="milliseconds")
        self.lines.append({"timestamp": at + "Z", "type": kind, "payload": payload})

    def say(self, text: str, role: str = "user", after: float = 2.0) -> None:
        kind = "output_text" if role == "assistant" else "input_text"
        content = [{"type": kind, "text": text}]
        item = {"type": "message", "role": role, "content": content}
        self.add("response_item", item, after)

    def call(self, name: str, call_id: str) -> None:
        item = {"type": "function_call", "name": name, "arguments": "{}", "call_id": call_id}
        self.add("response_item", item)

    def output(self, call_id: str, text: str) -> None:
        item = {"type": "function_call_output", "call_id": call_id, "output": text}
        self.add("response_item", item)

    def count(self, *counts: int, last: bool = True, after: float = 2.0) -> None:
        step = dict(zip(NAMES, counts, strict=False))
        self.total = {name: self.total[name] + step.get(name, 0) for name in NAMES}
        info: Json = {"total_token_usage": self.total}
        if last:
            info["last_token_usage"] = step
        self.add("event_msg", {"type": "token_count", "info": info, "rate_limits": {}}, after)


def read(folder: Path, lines: list[Json]) -> tuple[list[Any], Source]:
    path = folder / "rollout-2026-05-01-s1.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    source = Source(path, path.name)
    assert codex.recognises(source.head)
    return list(codex.read(source)), source


def entries(folder: Path, lines: list[Json]) -> list[Entry]:
    found, source = read(folder, lines)
    assert not source.skips
    return [item for item in found if isinstance(item, Entry)]


def usages(found: list[Entry]) -> list[Usage | None]:
    return [one.attempts[0].usage for one in found]


def kinds(entry: Entry) -> list[str]:
    return [block.kind.value for block in entry.call.blocks or ()]


COUNTS = st.tuples(
    st.integers(0, 9000), st.integers(0, 3000), st.integers(1, 900), st.integers(0, 400)
).map(lambda c: (c[0] + c[1], c[1], c[2] + c[3], c[3]))


@given(st.lists(st.tuples(COUNTS, st.integers(1, 3), st.booleans()), min_size=1, max_size=8))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_usages_add_up_to_the_last_total_however_often_it_is_told(
    tmp_path: Path, plan: list[tuple[tuple[int, int, int, int], int, bool]]
) -> None:
    file = File()
    for counts, times, last in plan:
        file.say("answer", "assistant")
        file.count(*counts, last=last)
        for _ in range(times - 1):
            file.lines.append(file.lines[-1])
    found = entries(tmp_path, file.lines)
    assert len(found) == len(plan)
    total = sum((one for one in usages(found) if one is not None), Usage())
    assert total.prompt == file.total["input_tokens"]
    assert total.cache_read == file.total["cached_input_tokens"]
    assert total.answer == file.total["output_tokens"]
    assert total.reasoning == file.total["reasoning_output_tokens"]
    assert [one.call.key for one in found] == [f"codex:s1:{n}" for n in range(len(plan))]


@given(st.integers(1, 6), st.integers(0, 6))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_that_has_grown_keeps_its_keys(tmp_path: Path, calls: int, more: int) -> None:
    file = File()
    for number in range(calls + more):
        if number == calls:
            before = entries(tmp_path, file.lines)
        file.say(f"answer {number}", "assistant")
        file.count(100, 0, 10)
    if not more:
        before = entries(tmp_path, file.lines)
    assert entries(tmp_path, file.lines)[:calls] == before


def test_a_prompt_goes_on_from_the_one_before(tmp_path: Path) -> None:
    file = File()
    file.say("do it")
    file.call("exec_command", "c1")
    file.output("c1", "Exit code: 1\nno")
    file.count(1000, 0, 50)
    file.say("failed", "assistant")
    file.count(1200, 1000, 20)
    first, second = entries(tmp_path, file.lines)
    assert kinds(first) == ["unseen", "user"]
    assert (second.call.kept, kinds(second)) == (2, ["history", "tool_result"])
    assert [(one.tool, one.failed) for one in second.tool_outcomes] == [("exec_command", True)]
    assert first.answer is not None
    assert [one.tool for one in first.answer.tool_uses] == ["exec_command"]
    assert (second.call.model, second.call.limits.effort) == ("gpt-5.2-codex", "high")
    assert second.call.tags.route == "project"
    assert usages([second]) == [Usage(input=200, cache_read=1000, output=20)]


def test_instructions_are_seen_where_the_file_has_them(tmp_path: Path) -> None:
    file = File(base_instructions={"text": "You are careful."}, model_provider="azure")
    file.say("do it")
    file.say("done", "assistant")
    file.count(1000, 0, 50)
    (first,) = entries(tmp_path, file.lines)
    assert kinds(first) == ["system", "unseen", "user"]
    assert first.attempts[0].provider == "azure"


def test_after_a_compaction_the_prompt_starts_anew(tmp_path: Path) -> None:
    file = File()
    file.say("a long story")
    file.say("yes", "assistant")
    file.count(1000, 0, 50)
    file.add("compacted", {"message": "what happened so far"})
    file.say("go on")
    file.say("so", "assistant")
    file.count(300, 0, 5)
    file.say("and then")
    file.say("this", "assistant")
    file.count(320, 0, 5)
    _, second, third = entries(tmp_path, file.lines)
    assert (second.call.kept, kinds(second)) == (1, ["user", "user"])
    assert (third.call.kept, kinds(third)) == (3, ["history", "user"])


def test_rate_limits_alone_are_no_call(tmp_path: Path) -> None:
    file = File()
    file.add("event_msg", {"type": "token_count", "info": None, "rate_limits": {}})
    file.say("hi", "assistant")
    file.count(10, 0, 5)
    zero = {"last_token_usage": {"total_tokens": 4777}, "total_token_usage": file.total}
    file.add("event_msg", {"type": "token_count", "info": zero})
    assert len(entries(tmp_path, file.lines)) == 1


def test_searches_are_units(tmp_path: Path) -> None:
    file = File()
    file.add("response_item", {"type": "web_search_call", "action": {"type": "search"}})
    file.add("response_item", {"type": "web_search_call", "action": {"type": "open_page"}})
    file.count(10, 0, 5)
    (entry,) = entries(tmp_path, file.lines)
    assert usages([entry]) == [Usage(input=10, output=5, other={"web_searches": 1})]


@pytest.mark.parametrize("meta", [{"forked_from_id": "parent"}, {"source": {"subagent": {}}}])
def test_the_history_of_a_fork_is_not_paid_twice(tmp_path: Path, meta: Json) -> None:
    file = File(**meta)
    file.add("session_meta", {"id": "parent"}, 0.01)
    for number in range(3):
        file.say(f"said by the parent {number}", "assistant", after=0.01)
        file.count(1000, 0, 50, after=0.01)
    file.say("the fork's own prompt")
    file.say("answer", "assistant")
    file.count(2000, 900, 7)
    (entry,) = entries(tmp_path, file.lines)
    assert entry.call.key == "codex:s1:0"
    assert usages([entry]) == [Usage(input=1100, cache_read=900, output=7)]
    assert kinds(entry) == ["unseen", "history", "history", "history", "user"]


def test_without_counts_a_call_ends_where_the_model_speaks_again(tmp_path: Path) -> None:
    file = File()
    file.say("do it")
    file.call("exec_command", "c1")
    file.output("c1", "fine")
    file.say("done", "assistant")
    found = entries(tmp_path, file.lines)
    assert usages(found) == [None, None]
    assert kinds(found[1]) == ["history", "tool_result"]


def test_the_old_form_of_bare_items(tmp_path: Path) -> None:
    lines: list[Json] = [
        {"id": "old", "timestamp": "2025-07-01T10:00:00Z", "instructions": None, "git": {}},
        {"record_type": "state"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"record_type": "state"},
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "y"}]},
    ]
    (entry,) = entries(tmp_path, lines)
    assert entry.call.key == "codex:old:0"
    assert kinds(entry) == ["unseen", "user"]


def test_impossible_counts_are_flagged_and_the_call_is_kept(tmp_path: Path) -> None:
    file = File()
    for counts in ((-5, 0, 3), (100, 500, 3)):
        file.say("hi", "assistant")
        file.count(*counts)
    found, _ = read(tmp_path, file.lines)
    assert [item.kind for item in found if isinstance(item, Flag)] == ["usage_suspect"] * 2
    assert usages([item for item in found if isinstance(item, Entry)]) == [None, None]


def test_one_broken_line_loses_nothing_else(tmp_path: Path) -> None:
    file = File()
    for number in range(5):
        file.say(f"answer {number}", "assistant")
        file.count(100, 0, 10)
    path = tmp_path / "s.jsonl"
    lines = [json.dumps(line).encode() for line in file.lines]
    lines[4:4] = [b'{"type":"event_msg","payload":{', b"\x00", b"7", b'{"payload":{}}', b'{"a":1}']
    path.write_bytes(b"\n".join(lines).replace(b"answer 3", rb"half \ud83d"))
    source = Source(path)
    assert len([item for item in codex.read(source) if isinstance(item, Entry)]) == 5
    assert [skip.line for skip in source.skips] == [5, 6, 7, 9]


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("agentsview_fixtures/internal/parser/testdata/codex/fc_args_1.jsonl", 1),
        ("agentsview_fixtures/internal/parser/testdata/codex/fc_args_2.jsonl", 1),
        ("agentsview_fixtures/internal/parser/testdata/codex/fc_stdin.jsonl", 1),
        ("agentsview_fixtures/internal/parser/testdata/codex/function_calls.jsonl", 1),
        ("agentsview_fixtures/internal/parser/testdata/codex/standard_session.jsonl", 1),
        ("ccusage_fixtures/apps/ccusage/test/fixtures/codex/sessions/project-alpha/"
         "session-alpha.jsonl", 2),
    ],
)  # fmt: skip
def test_samples_of_other_tools(name: str, calls: int, shared_data: Callable[[str], Path]) -> None:
    source = Source(shared_data(name))
    assert codex.recognises(source.head)
    first = list(codex.read(source))
    assert len([item for item in first if isinstance(item, Entry)]) == calls
    assert not source.skips
    assert list(codex.read(Source(shared_data(name)))) == first


def test_the_model_of_a_count_is_the_model_that_answered(
    shared_data: Callable[[str], Path],
) -> None:
    folder = "ccusage_fixtures/apps/ccusage/test/fixtures/codex/sessions/project-alpha"
    found = list(codex.read(Source(shared_data(f"{folder}/session-alpha.jsonl"))))
    assert [one.call.model for one in found] == ["gpt-5.2-codex", "gpt-5.3-codex"]
    assert [one.call.blocks for one in found] == [None, None]
    assert usages(found) == [
        Usage(input=750, cache_read=250, output=50, reasoning=75),
        Usage(input=2000, cache_read=500, output=100, reasoning=200),
    ]
