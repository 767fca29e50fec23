"""One entry per message id, whatever the lines look like; the prompt as it was sent."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursar.intake import claude_code
from bursar.intake.source import Source
from bursar.model.block import Kind, Role
from bursar.model.entry import Entry, Flag
from bursar.model.usage import Usage
from bursar.price.book import load_book

Json = dict[str, Any]
START = datetime(2026, 5, 1, 10)
REAL = (
    "claude_code_real/design__no-testimony__CONSULT-architect-fable.jsonl",
    "claude_code_real/reviews__prepublish-0.15.0-fable.jsonl",
)


class File:
    """A transcript under construction."""

    def __init__(self) -> None:
        self.lines: list[Json] = []

    def add(self, kind: str, message: Json | None = None, **fields: Any) -> Json:
        number = len(self.lines)
        line: Json = {
            "type": kind,
            "uuid": f"u{number}",
            "parentUuid": f"u{number - 1}" if number else None,
            "sessionId": "s",
            "timestamp": (START + timedelta(seconds=number)).isoformat() + "Z",
            "cwd": "/home/someone/project",
            **fields,
        }
        if message is not None:
            line["message"] = message
        self.lines.append(line)
        return line

    def say(self, text: str, **fields: Any) -> Json:
        return self.add("user", {"role": "user", "content": text}, **fields)

    def result(self, use: str, text: str, *, failed: bool = False, **fields: Any) -> Json:
        part = {"type": "tool_result", "tool_use_id": use, "content": text, "is_error": failed}
        return self.add("user", {"role": "user", "content": [part]}, **fields)

    def answer(self, message_id: str | None, *parts: Json, **fields: Any) -> Json:
        message: Json = {
            "id": message_id,
            "role": "assistant",
            "model": fields.pop("model", "claude-sonnet-4-5"),
            "content": list(parts),
            "stop_reason": fields.pop("stop", None),
            "usage": fields.pop("usage", {"input_tokens": 10, "output_tokens": 1}),
        }
        request = fields.pop("request", f"req_{message_id}")
        return self.add("assistant", message, requestId=request, **fields)


def text(words: str) -> Json:
    return {"type": "text", "text": words}


def use(use_id: str, tool: str = "Read", **given: Any) -> Json:
    return {"type": "tool_use", "id": use_id, "name": tool, "input": given}


def read_bytes(folder: Path, raw: bytes, name: str = "s.jsonl") -> tuple[list[Any], Source]:
    path = folder / name
    path.write_bytes(raw)
    source = Source(path, name)
    assert claude_code.recognises(source.head)
    return list(claude_code.read(source)), source


def read(folder: Path, lines: list[Json], name: str = "s.jsonl") -> list[Entry]:
    raw = "".join(json.dumps(line) + "\n" for line in lines).encode()
    found, source = read_bytes(folder, raw, name)
    assert not source.skips
    return [item for item in found if isinstance(item, Entry)]


def shape(entry: Entry) -> Any:
    """Everything of an entry but the lines that it stood on."""
    return msgspec.to_builtins(msgspec.structs.replace(entry, origin=None))


def kinds(entry: Entry) -> list[str]:
    return [block.kind.value for block in entry.call.blocks or ()]


def usage_of(entry: Entry) -> Usage:
    usage = entry.attempts[0].usage
    assert usage is not None
    return usage


# -- laws

CALLS = st.lists(
    st.lists(st.sampled_from(["think", "say", "tool", "again"]), min_size=1, max_size=4),
    min_size=1,
    max_size=5,
)


def _calls(plan: list[list[str]]) -> list[tuple[list[Json], list[Json]]]:
    """For each planned call: the lines of its answer, and of the results that follow it."""
    file = File()
    file.say("begin")
    found: list[tuple[list[Json], list[Json]]] = []
    for number, parts in enumerate(plan):
        first = len(file.lines)
        uses: list[str] = []
        for place, kind in enumerate(parts):
            tool = f"toolu_{number}_{place}"
            part = {
                "think": {"type": "thinking", "thinking": "", "signature": f"x{number}{place}" * 9},
                "say": text(f"words {number} {place}"),
                "tool": use(tool, "Bash", command=f"run {place}"),
                "again": use(tool, "Read", path="the same"),
            }[kind]
            if kind in ("tool", "again"):
                uses.append(tool)
            last = place == len(parts) - 1
            usage = {"input_tokens": 5, "output_tokens": 30 if last else 2}
            file.answer(f"msg_{number}", part, stop="tool_use" if last else None, usage=usage)
        middle = len(file.lines)
        for tool in uses:
            file.result(tool, f"result of {tool}")
        if not uses:
            file.say(f"go on {number}")
        found.append((file.lines[first:middle], file.lines[middle:]))
    return found


@given(CALLS, st.randoms(use_true_random=False))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_an_answers_lines_does_not_matter(
    tmp_path: Path, plan: list[list[str]], chance: random.Random
) -> None:
    calls = _calls(plan)
    straight = [line for answer, results in calls for line in answer + results]
    crooked: list[Json] = []
    for answer, results in calls:
        mixed = answer[:]
        chance.shuffle(mixed)
        least = 1
        for result in results:
            least = max(least, 1 + _place_of_use(mixed, result))
            place = chance.randrange(least, len(mixed) + 1)
            mixed.insert(place, result)
            least = place + 1
        crooked += mixed
    once = [shape(entry) for entry in read(tmp_path, straight)]
    assert once == [shape(entry) for entry in read(tmp_path, crooked)]
    assert len(once) == len(plan)


def _place_of_use(lines: list[Json], result: Json) -> int:
    """The line of the tool use that a result answers; 0 for a prompt."""
    content = result["message"]["content"]
    wanted = content[0]["tool_use_id"] if isinstance(content, list) else None
    for place, line in enumerate(lines):
        if any(isinstance(p, dict) and p.get("id") == wanted for p in line["message"]["content"]):
            return place
    return 0


@given(CALLS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_answer_on_one_line_is_the_same_answer(tmp_path: Path, plan: list[list[str]]) -> None:
    calls = _calls(plan)
    split = [line for answer, results in calls for line in answer + results]
    whole: list[Json] = []
    for answer, results in calls:
        parts = [part for line in answer for part in line["message"]["content"]]
        last = answer[-1]["message"]
        whole.append({**answer[0], "message": {**last, "content": parts}})
        whole += results
    assert [shape(one) for one in read(tmp_path, split)] == [
        shape(one) for one in read(tmp_path, whole)
    ]


@given(CALLS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_prompt_is_the_prompt_before_with_its_answer_and_what_was_said(
    tmp_path: Path, plan: list[list[str]]
) -> None:
    lines = [line for answer, results in _calls(plan) for line in answer + results]
    path: list[int] = []
    answer: list[int] = []
    for place, entry in enumerate(read(tmp_path, lines)):
        assert entry.call.blocks is not None
        fresh = [block.digest for block in entry.call.blocks]
        if place:
            assert entry.call.kept == len(path)
            assert fresh[: len(answer)] == answer
        else:
            assert entry.call.kept is None
        path = path[: entry.call.kept or 0] + fresh
        assert entry.answer is not None
        answer = [block.digest for block in entry.answer.blocks]


def test_reading_twice_gives_the_same(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    for name in REAL:
        path = shared_data(name)
        first, second = (list(claude_code.read(Source(path))) for _ in range(2))
        assert first == second
        keys = [item.call.key for item in first if isinstance(item, Entry)]
        assert len(set(keys)) == len(keys)


# -- real transcripts


@pytest.mark.parametrize("name", REAL)
def test_real_one_call_per_message_id(name: str, shared_data: Callable[[str], Path]) -> None:
    path = shared_data(name)
    last: dict[str, Json] = {}
    for raw in path.read_text(encoding="utf-8").splitlines():
        message = json.loads(raw).get("message")
        if message:
            last[message["id"]] = message["usage"]
    entries = [one for one in claude_code.read(Source(path)) if isinstance(one, Entry)]
    assert len(entries) == len(last) == 17
    for entry in entries:
        told = last[entry.call.key.split(":")[1]]
        usage = usage_of(entry)
        assert usage.input == told["input_tokens"]
        assert usage.cache_read == told["cache_read_input_tokens"]
        assert usage.cache_write_5m == told["cache_creation_input_tokens"]
        assert usage.answer == told["output_tokens"]


def test_real_costs_equal_those_of_genai_prices(
    tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    book = load_book(home=tmp_path)
    for name in REAL:
        for entry in claude_code.read(Source(shared_data(name))):
            if not isinstance(entry, Entry):
                continue
            usage, call = usage_of(entry), entry.call
            cost_nano, _, _ = book.cost_nano(call.provider, call.model, usage, call.at)
            theirs = genai_prices.calc_price(
                genai_prices.Usage(
                    input_tokens=usage.prompt,
                    cache_read_tokens=usage.cache_read,
                    cache_write_tokens=usage.cache_write_5m,
                    output_tokens=usage.answer,
                ),
                model_ref=str(call.model),
                provider_id="anthropic",
                genai_request_timestamp=call.at,
            ).total_price
            assert Decimal(cost_nano or 0) == (theirs * 10**9).to_integral_value()


def test_real_what_was_cut_out_is_unseen(shared_data: Callable[[str], Path]) -> None:
    """The real files lack every tool result: one block takes what the provider counted."""
    items = list(claude_code.read(Source(shared_data(REAL[0]))))
    entries = [item for item in items if isinstance(item, Entry)]
    assert kinds(entries[0]) == ["unseen"]
    assert all("unseen" in kinds(entry) for entry in entries)
    assert entries[0].call.tags.session == (
        "2b9d8116-e1de-4038-a101-5fd575fdcb0e/a1bee4ee26b0c17ef"
    )
    assert entries[0].call.tags.workflow == "general-purpose"
    assert entries[0].call.tags.route == "bitcoin_tax"
    assert entries[0].call.limits.effort == "xhigh"
    flags = [item for item in items if isinstance(item, Flag)]
    assert [flag.kind for flag in flags] == ["usage_suspect"]


@pytest.mark.parametrize(
    ("name", "calls", "skips"),
    [
        ("claude_code_logs/test/test_data/edge_cases.jsonl", 4, 5),
        ("claude_code_logs/test/test_data/representative_messages.jsonl", 5, 0),
        ("claude_code_logs/test/test_data/session_b.jsonl", 1, 0),
        ("claude_code_logs/test/test_data/todowrite_examples.jsonl", 6, 0),
        ("claude_code_transcripts/tests/sample_session.json", 15, 0),
        ("claude_code_transcripts/tests/sample_session.jsonl", 3, 0),
        ("agentsview_fixtures/internal/parser/testdata/claude/valid_session.jsonl", 2, 0),
        ("ccusage_fixtures/apps/ccusage/test/test-transcript.jsonl", 2, 0),
    ],
)
def test_samples_of_other_tools(
    name: str, calls: int, skips: int, shared_data: Callable[[str], Path]
) -> None:
    source = Source(shared_data(name))
    assert claude_code.recognises(source.head)
    entries = [item for item in claude_code.read(source) if isinstance(item, Entry)]
    assert (len(entries), len(source.skips)) == (calls, skips)


def test_lines_without_type_carry_what_was_recorded(shared_data: Callable[[str], Path]) -> None:
    folder = "ccusage_fixtures/apps/ccusage/test/fixtures/claude/projects"
    path = shared_data(f"{folder}/project-alpha/session-alpha/chat.jsonl")
    entries = [item for item in claude_code.read(Source(path)) if isinstance(item, Entry)]
    assert [one.attempts[0].recorded_cost_nano for one in entries] == [
        120_000_000,
        340_000_000,
        560_000_000,
    ]
    assert [one.attempts[0].price_class for one in entries] == ["standard", "fast", "standard"]
    assert [one.call.blocks for one in entries] == [None, None, None]


# -- what a transcript may hold


def test_results_of_parallel_tools_stand_between_the_lines_of_one_answer(tmp_path: Path) -> None:
    file = File()
    file.say("look")
    file.answer("m1", use("t1"))
    file.result("t1", "one")
    file.answer("m1", use("t2", "Bash"), stop="tool_use", usage={"output_tokens": 9})
    file.result("t2", "two", failed=True)
    file.answer("m2", text("done"), stop="end_turn")
    first, second = read(tmp_path, file.lines)
    assert usage_of(first).answer == 9
    assert [one.tool for one in first.answer.tool_uses] == ["Read", "Bash"]  # type: ignore[union-attr]
    assert kinds(second) == ["history", "history", "tool_result", "tool_result"]
    assert [(one.tool, one.failed) for one in second.tool_outcomes] == [
        ("Read", False),
        ("Bash", True),
    ]
    assert second.answer is not None
    assert second.answer.stop == "end"


def test_after_a_compaction_the_prompt_starts_anew(tmp_path: Path) -> None:
    file = File()
    file.say("a long story")
    file.answer("m1", text("yes"))
    file.say("/compact")
    file.add("system", subtype="compact_boundary", parentUuid=None)
    file.say("what happened so far", isCompactSummary=True)
    file.say("go on")
    file.answer("m2", text("so"))
    _, second = read(tmp_path, file.lines)
    assert second.call.kept == 1
    assert kinds(second) == ["user", "user"]


def test_a_prompt_that_was_taken_back_is_not_sent(tmp_path: Path) -> None:
    file = File()
    file.say("first")
    fork = file.answer("m1", text("one"))
    file.say("second")
    file.answer("m2", text("two"))
    file.say("second, written anew", parentUuid=fork["uuid"])
    file.answer("m3", text("three"))
    file.say("third")
    file.answer("m4", text("four"))
    _, second, third, fourth = read(tmp_path, file.lines)
    assert second.call.kept == 2
    assert third.call.kept == 3  # unseen, first, one
    assert kinds(third) == ["user"]
    assert fourth.call.kept == 4
    assert kinds(fourth) == ["history", "user"]


def test_sub_agents_are_sessions_of_their_own(tmp_path: Path) -> None:
    file = File()
    file.say("main")
    file.answer("m1", use("t1", "Task"))
    file.say("sub", isSidechain=True, agentId="a1")
    file.answer("m2", text("from the sub-agent"), isSidechain=True, agentId="a1")
    file.say("old style", isSidechain=True, parentUuid=None)
    file.answer("m3", text("from an older one"), isSidechain=True)
    file.result("t1", "the sub-agent's report")
    file.answer("m4", text("done"))
    entries = read(tmp_path, file.lines)
    sessions = {one.call.key.split(":")[1]: one.call.tags.session for one in entries}
    assert sessions == {"m1": "s", "m4": "s", "m2": "s/a1", "m3": "s/u4"}
    last = next(one for one in entries if "m4" in one.call.key)
    assert kinds(last) == ["history", "tool_result"]


def test_what_the_client_wrote_itself_is_no_call(tmp_path: Path) -> None:
    file = File()
    file.say("hello")
    file.answer("x1", text("No response requested."), model="<synthetic>")
    file.answer("m1", text("hi"))
    assert [one.call.key for one in read(tmp_path, file.lines)] == ["claude:m1:req_m1"]


def test_a_refused_request_is_a_failed_attempt(tmp_path: Path) -> None:
    file = File()
    file.say("hello")
    file.add("system", subtype="api_error", error={"status": 529}, retryAttempt=1)
    file.answer(
        "x1", text("API Error"), model="<synthetic>", isApiErrorMessage=True, apiErrorStatus=429
    )
    file.answer("x2", text("Not logged in"), model="<synthetic>", isApiErrorMessage=True)
    file.answer("m1", text("hi"))
    first, second, third = read(tmp_path, file.lines)
    assert [one.attempts[0].status for one in (first, second, third)] == [529, 429, None]
    assert [one.attempts[0].is_retry for one in (first, second, third)] == [False, True, True]
    assert first.attempts[0].usage is None
    assert first.answer is not None
    assert first.answer.status == "failed"


def test_units_tiers_and_lifetimes(tmp_path: Path) -> None:
    usage = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 70,
        "cache_read_input_tokens": 500,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 50},
        "output_tokens": 40,
        "server_tool_use": {"web_search_requests": 2},
        "service_tier": "priority",
    }
    file = File()
    file.answer("m1", text("found"), usage=usage)
    (entry,) = read(tmp_path, file.lines)
    assert usage_of(entry) == Usage(
        input=3,
        cache_read=500,
        cache_write_5m=20,
        cache_write_1h=50,
        output=40,
        other={"web_searches": 2},
    )
    assert entry.attempts[0].price_class == "priority"


def test_passes_of_other_models_are_parts(tmp_path: Path) -> None:
    usage = {
        "input_tokens": 100,
        "output_tokens": 10,
        "iterations": [
            {"type": "compaction", "input_tokens": 900, "output_tokens": 50, "model": "claude-x"},
            {"type": "message", "input_tokens": 100, "output_tokens": 10},
        ],
    }
    file = File()
    file.answer("m1", text("short again"), usage=usage)
    (entry,) = read(tmp_path, file.lines)
    attempt = entry.attempts[0]
    assert usage_of(entry).prompt == 1000
    assert sorted((one.model, one.usage.prompt) for one in attempt.parts if one.usage) == [
        ("claude-sonnet-4-5", 100),
        ("claude-x", 900),
    ]
    assert {one.provider for one in attempt.parts} == {"anthropic"}


@pytest.mark.parametrize(
    ("message_id", "model", "provider"),
    [
        ("msg_01", "claude-opus-4-6", "anthropic"),
        ("msg_bdrk_01", "claude-opus-4-6", "aws"),
        ("msg_01", "us.anthropic.claude-opus-4-6-v1:0", "aws"),
        ("msg_vrtx_01", "claude-opus-4-6", "google"),
        ("msg_01", "claude-opus-4-5@20251101", "google"),
        ("chatcmpl-1", "glm-4.6", None),
    ],
)
def test_who_served(tmp_path: Path, message_id: str, model: str, provider: str | None) -> None:
    file = File()
    file.answer(message_id, text("hi"), model=model)
    (entry,) = read(tmp_path, file.lines)
    assert entry.attempts[0].provider == provider


def test_hidden_thinking_counts_by_its_signature(tmp_path: Path) -> None:
    file = File()
    file.answer("m1", {"type": "thinking", "thinking": "", "signature": "x" * 3700})
    (entry,) = read(tmp_path, file.lines)
    assert entry.answer is not None
    assert [block.tokens for block in entry.answer.blocks] == [1000]


def test_a_call_without_usage_keeps_its_texts(tmp_path: Path) -> None:
    file = File()
    file.say("hello")
    file.answer("m1", text("hi"), usage=None)
    (entry,) = read(tmp_path, file.lines)
    assert entry.attempts[0].usage is None
    assert kinds(entry) == ["unseen", "user"]


def test_an_attached_prompt_is_part_of_the_prompt(tmp_path: Path) -> None:
    file = File()
    file.add("attachment", attachment={"type": "queued_command", "prompt": "and this"})
    file.add("attachment", attachment={"type": "names", "addedNames": ["x"]})
    file.answer("m1", text("ok"))
    (entry,) = read(tmp_path, file.lines)
    assert kinds(entry) == ["unseen", "user"]


def test_a_copy_in_another_file_has_the_same_key(tmp_path: Path) -> None:
    file = File()
    file.say("hello")
    file.answer("m1", text("hi"))
    copied = [{**line, "sessionId": "resumed"} for line in file.lines]
    (first,), (second,) = read(tmp_path, file.lines), read(tmp_path, copied, "resumed.jsonl")
    assert first.call.key == second.call.key


def test_a_copy_far_below_is_counted_once_and_flagged(tmp_path: Path) -> None:
    file = File()
    file.answer("m1", text("hi"), usage={"input_tokens": 4, "output_tokens": 30})
    for number in range(40):
        file.say(f"more {number}")
        file.answer(f"n{number}", text("yes"))
    file.lines.append({**file.lines[0], "uuid": "copy"})
    raw = "".join(json.dumps(line) + "\n" for line in file.lines).encode()
    found, _ = read_bytes(tmp_path, raw)
    entries = [item for item in found if isinstance(item, Entry)]
    assert len(entries) == 41
    assert [item.kind for item in found if isinstance(item, Flag)] == ["duplicate_lines"]


# -- damage


def test_impossible_counts_are_flagged_and_the_call_is_kept(tmp_path: Path) -> None:
    file = File()
    for number, bad in enumerate((-5, 10**30, "many", 1.5)):
        usage = {"input_tokens": bad, "output_tokens": 3}
        file.answer(f"m{number}", text("hi"), usage=usage)
    file.answer("m9", text("hi"), usage={"input_tokens": 0, "output_tokens": 0})
    raw = "".join(json.dumps(line) + "\n" for line in file.lines).encode()
    found, _ = read_bytes(tmp_path, raw)
    entries = [item for item in found if isinstance(item, Entry)]
    flags = [item for item in found if isinstance(item, Flag)]
    assert [one.attempts[0].usage for one in entries] == [None] * 5
    assert [(one.kind, one.where) for one in flags] == [
        ("usage_suspect", f"s.jsonl:{line}") for line in range(1, 6)
    ]


def test_one_broken_line_loses_nothing_else(tmp_path: Path) -> None:
    file = File()
    for number in range(20):
        file.answer(f"m{number}", text("hi"))
    good = [json.dumps(line).encode() for line in file.lines]
    broken = [
        b'{"type":"assistant","message":{"id":"x',
        b'{"type":"user","message":"no object"}',
        b'{"type":"user"\x00}',
        b"[1]",
        b'"text"',
        b"{" * 2000,
    ]
    for place, line in enumerate(broken):
        good.insert(3 * place, line)
    found, source = read_bytes(tmp_path, b"\n".join(good))
    assert len([item for item in found if isinstance(item, Entry)]) == 20
    assert [skip.line for skip in source.skips] == [1, 4, 7, 10, 13, 16]
    assert all(skip.reason for skip in source.skips)


def test_a_character_that_nobody_can_name_costs_no_call(tmp_path: Path) -> None:
    file = File()
    file.say("hello")
    file.answer("m1", text("MARK"))
    raw = "".join(json.dumps(line) + "\n" for line in file.lines).encode()
    for odd in (rb"\ud800", rb"\udc00x", b"\xff\xfe", rb"\ud83d\ude00", rb"\\ud800"):
        found, source = read_bytes(tmp_path, raw.replace(b"MARK", odd))
        assert not source.skips, odd
        assert len([item for item in found if isinstance(item, Entry)]) == 1


def test_a_gzip_that_ends_early_gives_what_it_holds(tmp_path: Path) -> None:
    file = File()
    for number in range(4000):
        file.answer(f"msg_{number}", text(f"{random.Random(number).getrandbits(8000):x}"))
    raw = "".join(json.dumps(line) + "\n" for line in file.lines).encode()
    packed = gzip.compress(raw)
    found, source = read_bytes(tmp_path, packed[: len(packed) // 2], "s.jsonl.gz")
    assert 1000 < len([item for item in found if isinstance(item, Entry)]) < 4000
    assert any("damaged" in skip.reason for skip in source.skips)


def test_every_unseen_block_is_one_of_two_roles(tmp_path: Path) -> None:
    file = File()
    file.say("look")
    file.answer("m1", use("t1"))
    file.answer("m2", text("without its result"))
    first, second = read(tmp_path, file.lines)
    unseen = [
        (block.role, block.tokens)
        for entry in (first, second)
        for block in entry.call.blocks or ()
        if block.kind is Kind.UNSEEN
    ]
    assert unseen == [(Role.SYSTEM, None), (Role.TOOL, None)]


@pytest.mark.parametrize(
    "line",
    [
        {"kind": "call", "messages": []},
        {"messages": [{"role": "user", "content": "x"}]},
        {"type": "session_meta", "payload": {}},
        {"request_id": "x", "spend": 1, "call_type": "completion"},
        {"resourceSpans": []},
    ],
)
def test_other_formats_are_left_alone(tmp_path: Path, line: Json) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert not claude_code.recognises(Source(path).head)


@pytest.mark.parametrize("folder", ["langfuse_framework_traces", "taubench_gpt4o_airline"])
def test_documents_of_other_tools_are_left_alone(
    folder: str, shared_data: Callable[[str], Path]
) -> None:
    files = [path for path in shared_data(folder).rglob("*.json*") if path.is_file()]
    assert files
    assert not [path for path in files if claude_code.recognises(Source(path).head)]


def test_a_first_line_longer_than_the_head_is_recognised(tmp_path: Path) -> None:
    file = File()
    file.say("x" * 300_000)
    file.answer("m1", text("long"))
    assert len(read(tmp_path, file.lines)) == 1
