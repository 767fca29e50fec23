"""Every recorded response that carries usage: our counts equal the provider's own.

The check reads the raw provider fields by itself, with none of our tables.
"""

from __future__ import annotations

import base64
import json
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bursar.dialects.lens import Reading, read_request, read_response
from bursar.model.errors import BadInput
from tests.dialects.cassettes import Exchange, exchanges

FOLDERS = ("cassettes_openllmetry", "cassettes_otel_genai")
LEAST = 650
"""Bodies with usage that the recordings hold; fewer means that the check has lost some."""


def _objects(one: Exchange) -> list[Any]:
    """The JSON values of a body, in order."""
    kind = one.headers.get("content-type", "")
    if "amazon.eventstream" in kind:
        return list(_frames(one.body))
    if b"data:" in one.body[:2000] and "event-stream" in kind:
        lines = [line[5:] for line in one.body.splitlines() if line.startswith(b"data:")]
        return [json.loads(line) for line in lines if line.strip()[:1] == b"{"]
    try:
        return [json.loads(one.body)]
    except ValueError:
        lines = one.body.splitlines()
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            return []


def _frames(raw: bytes) -> Iterator[Any]:
    place = 0
    while place < len(raw):
        size, headers = struct.unpack(">II", raw[place : place + 8])
        payload = json.loads(raw[place + 12 + headers : place + size - 4])
        yield json.loads(base64.b64decode(payload["bytes"])) if "bytes" in payload else payload
        place += size


def _found(value: Any, key: str) -> Iterator[dict[str, Any]]:
    """Every object that has a key that is not null, outside guardrail traces."""
    if isinstance(value, dict):
        if value.get(key) is not None:
            yield value
        for name, inner in value.items():
            if name not in ("trace", "amazon-bedrock-trace", "iterations"):
                yield from _found(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _found(inner, key)


Expected = dict[str, int]


def _prompt_tokens(values: list[Any]) -> Expected | None:
    rows = [row for row in _found(values, "prompt_tokens") if "total_tokens" in row]
    if not rows:
        return None
    last = rows[-1]
    inner = last.get("prompt_tokens_details") or last.get("prompt_token_details") or {}
    outer = last.get("completion_tokens_details") or {}
    return {
        "prompt": last["prompt_tokens"],
        "answer": last.get("completion_tokens") or 0,
        "cache_read": inner.get("cached_tokens") or 0,
        "reasoning": outer.get("reasoning_tokens") or 0,
    }


def _input_tokens(values: list[Any]) -> Expected | None:
    if list(_found(values, "billed_units")):
        return None
    rows = list(_found(values, "output_tokens"))
    if not rows:
        return None
    if any("input_tokens_details" in row for row in rows):
        last = rows[-1]
        return {
            "prompt": last["input_tokens"],
            "answer": last["output_tokens"],
            "cache_read": last["input_tokens_details"]["cached_tokens"],
            "reasoning": last["output_tokens_details"]["reasoning_tokens"],
        }
    merged = {key: value for row in rows for key, value in row.items() if value is not None}
    read = merged.get("cache_read_input_tokens", 0)
    written = merged.get("cache_creation_input_tokens", 0)
    return {
        "input": merged["input_tokens"],
        "prompt": merged["input_tokens"] + read + written,
        "answer": merged["output_tokens"],
        "cache_read": read,
        "written": written,
    }


def _converse(values: list[Any]) -> Expected | None:
    rows = list(_found(values, "outputTokens"))
    if not rows:
        return None
    last = rows[-1]
    read = last.get("cacheReadInputTokens", last.get("cacheReadInputTokenCount", 0))
    written = last.get("cacheWriteInputTokens", last.get("cacheWriteInputTokenCount", 0))
    return {
        "input": last["inputTokens"],
        "answer": last["outputTokens"],
        "cache_read": read,
        "written": written,
    }


def _gemini(values: list[Any]) -> Expected | None:
    rows = list(_found(values, "promptTokenCount"))
    if not rows:
        return None
    last = rows[-1]
    thoughts = last.get("thoughtsTokenCount", 0)
    assert last["totalTokenCount"] == (
        last["promptTokenCount"] + last.get("candidatesTokenCount", 0) + thoughts
    )
    return {
        "prompt": last["promptTokenCount"],
        "output": last.get("candidatesTokenCount", 0),
        "reasoning": thoughts,
        "answer": last["totalTokenCount"] - last["promptTokenCount"],
    }


def _cohere(values: list[Any]) -> Expected | None:
    rows = list(_found(values, "billed_units"))
    if not rows:
        return None
    billed = rows[-1]["billed_units"]
    return {
        "prompt": billed.get("input_tokens", 0),
        "answer": billed.get("output_tokens", 0),
        "search_units": billed.get("search_units", 0),
    }


def _native(values: list[Any]) -> Expected | None:
    for row in _found(values, "generation_token_count"):
        return {"prompt": row["prompt_token_count"], "answer": row["generation_token_count"]}
    prompts = [row["inputTextTokenCount"] for row in _found(values, "inputTextTokenCount")]
    answers = [row["tokenCount"] for row in _found(values, "tokenCount")]
    answers += [row["totalOutputTextTokenCount"] for row in values if "outputText" in row
                and row.get("totalOutputTextTokenCount") is not None]  # fmt: skip
    if not prompts:
        return None
    return {"prompt": int(prompts[0]), "answer": int(sum(answers))}


def _metrics(values: list[Any]) -> Expected | None:
    rows = list(_found(values, "inputTokenCount"))
    if not rows:
        return None
    return {"input": rows[-1]["inputTokenCount"], "answer": rows[-1]["outputTokenCount"]}


ORDER: tuple[Callable[[list[Any]], Expected | None], ...] = (
    _cohere,
    _prompt_tokens,
    _gemini,
    _converse,
    _native,
    _input_tokens,
    _metrics,
)


def expected(one: Exchange) -> Expected | None:
    """The provider's own numbers, or None where the body and its headers have none."""
    values = _objects(one)
    for rule in ORDER:
        numbers = rule(values)
        if numbers is not None:
            return numbers
    if "x-amzn-bedrock-input-token-count" in one.headers:
        return {
            "input": int(one.headers["x-amzn-bedrock-input-token-count"]),
            "answer": int(one.headers["x-amzn-bedrock-output-token-count"]),
        }
    return None


def _ours(reading: Reading) -> Expected:
    usage = reading.usage
    assert usage is not None
    assert set(usage.other) <= {"search_units", "web_searches", "storage_searches"}
    return {
        "input": usage.input,
        "prompt": usage.prompt,
        "answer": usage.answer,
        "output": usage.output,
        "reasoning": usage.reasoning,
        "cache_read": usage.cache_read,
        "written": usage.cache_write_5m + usage.cache_write_1h,
        "search_units": usage.other.get("search_units", 0),
    }


def _why_left_out(one: Exchange) -> str:
    if not one.body:
        return "empty body"
    if one.status >= 400:
        return "an error answer"
    if b"data:" in one.body[:2000]:
        return "a stream asked without include_usage"
    where = one.uri.split("?")[0]
    for word in ("/threads", "/assistants", "/images", "smith.langchain", "tavily", "wikimedia"):
        if word in where:
            return f"not a model's answer, or not finished ({word.strip('/')})"
    return f"no usage in the body ({where.split('/')[2]})"


def test_every_recorded_usage_equals_the_providers_own(
    shared_data: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    seen: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    streams = 0
    for folder in FOLDERS:
        for one in exchanges(shared_data(folder)):
            numbers = expected(one)
            if numbers is None:
                left_out[_why_left_out(one)] += 1
                with suppress(BadInput):
                    assert read_response(one.body, headers=one.headers).usage is None, one.place
                continue
            reading = read_response(one.body, headers=one.headers)
            ours = _ours(reading)
            assert {key: ours[key] for key in numbers} == numbers, one.place
            assert not reading.truncated, one.place
            seen[reading.dialect] += 1
            streams += b"data:" in one.body[:2000] or "eventstream" in one.headers["content-type"]
    with capsys.disabled():
        print(f"\n{sum(seen.values())} recorded bodies with usage, {streams} of them streams:")
        for name, number in seen.most_common():
            print(f"  {number:4} {name}")
        print(f"{sum(left_out.values())} left out:")
        for reason, number in left_out.most_common():
            print(f"  {number:4} {reason}")
    assert sum(seen.values()) >= LEAST
    assert streams >= 100


def test_prompts_of_recorded_requests_are_read(shared_data: Callable[[str], Path]) -> None:
    """Blocks of each request estimate its prompt: in sum within a fifth of what was billed."""
    read = billed = estimated = 0
    for folder in FOLDERS:
        for one in exchanges(shared_data(folder)):
            if one.status != 200 or one.request[:1] != b"{":
                continue
            numbers = expected(one)
            prompt = read_request(json.loads(one.request))
            if not numbers or "prompt" not in numbers or "/chat/completions" not in one.uri:
                continue
            if b"image" in one.request or not prompt.blocks:
                continue
            read += 1
            billed += numbers["prompt"]
            estimated += sum(block.tokens or 0 for block in prompt.blocks)
    assert read > 300
    assert abs(estimated / billed - 1) < 0.2, (read, estimated, billed)
