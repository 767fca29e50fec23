"""What a body says that it used is what the invoice charges, on every wire."""

from __future__ import annotations

import pytest

from bursar.model.usage import Usage
from bursar.simulator.server import Simulator
from simulator.asks import (
    ANTHROPIC,
    CASES,
    CLAUDE_ON_BEDROCK,
    LONG,
    OPENAI,
    ask,
    chat,
    get,
    post,
    prices,
    read,
    responses,
)


@pytest.mark.parametrize("name", CASES)
def test_the_lens_reads_what_the_invoice_charges(sim: Simulator, name: str) -> None:
    case = CASES[name]
    for _ in range(2):  # the second time from the cache, where there is one
        got = ask(sim, case)
        assert got.status == 200, got.body
        reading = read(got, case)
        line = sim.invoice.lines[-1]
        assert reading.usage == line.usage
        assert reading.price_class == line.price_class
        assert not reading.truncated
        assert line.billed
        assert line.fate == "complete"
        assert line.sent == line.events
        assert line.request_id in got.headers.values()
        if line.response_id is not None:
            assert reading.response_id == line.response_id
        assert line.usage is not None
        cost = prices().book.price(line.provider, line.model, line.usage, None, line.price_class)
        assert line.cost_nano == cost.cost_nano
        assert line.cost_nano
    assert sim.invoice.total_nano == sum(line.cost_nano or 0 for line in sim.invoice.lines)


CACHED = {
    "chat-cached": (0, 2),
    "chat-cached-new": (1, 2),
    "messages-stream": (1, 2),
    "messages-lives": (1, 2),
    "converse-stream": (1, 2),
    "invoke-claude": (1, 2),
    "invoke-claude-stream": (1, 2),
}


@pytest.mark.parametrize("name", CACHED)
def test_the_second_call_reads_what_the_first_wrote(sim: Simulator, name: str) -> None:
    usages: list[Usage] = []
    for _ in range(2):
        usage = read(ask(sim, CASES[name]), CASES[name]).usage
        assert usage is not None
        usages.append(usage)
    first, second = usages
    written = first.cache_write_5m + first.cache_write_1h
    assert bool(written) == bool(CACHED[name][0])
    assert second.cache_read >= max(written, 1_024)
    assert second.cache_write_5m + second.cache_write_1h == 0
    assert first.prompt == second.prompt


def test_both_lives_are_told_apart(sim: Simulator) -> None:
    usage = read(ask(sim, CASES["messages-lives"]), CASES["messages-lives"]).usage
    assert usage is not None
    assert usage.cache_write_1h > 1_024
    assert usage.cache_write_5m > 1_024


def test_classes_are_granted_where_they_have_a_price(sim: Simulator) -> None:
    granted = {name: read(ask(sim, CASES[name]), CASES[name]).price_class for name in CASES}
    assert granted["chat-tier"] == "priority"
    assert granted["messages-fast"] == "fast"
    assert granted["converse-nova"] == "flex"
    assert granted["chat"] == "standard"
    refused = chat(service_tier="flex")
    assert read(ask(sim, refused), refused).price_class == "standard"


def test_stops_and_tools_are_said_on_every_wire(sim: Simulator) -> None:
    for name, case in CASES.items():
        reading = read(ask(sim, case), case)
        if name.endswith("-tools"):
            assert reading.stop == "tool_use" or case.dialect == "openai_responses"
            assert [use.tool for use in reading.tool_uses] in (["find_order"], ["find"])
        if name.endswith("-short"):
            assert reading.stop == "max_tokens"
            assert reading.usage is not None
            assert reading.usage.answer <= 5


def test_a_stream_gives_usage_only_when_asked(sim: Simulator) -> None:
    case = chat(stream=True)
    asked = chat(stream=True, stream_options={"include_usage": True})
    without, counts = ask(sim, case), ask(sim, asked)
    assert read(without, case).usage is None
    assert sim.invoice.lines[0].usage is not None
    assert b'"choices":[],' not in without.body
    assert b'"usage"' not in without.body
    assert counts.body.endswith(b"data: [DONE]\n\n")
    text = [block.digest for block in read(without, case).answer_blocks]
    assert text == [block.digest for block in read(counts, asked).answer_blocks]


def test_hidden_history_is_paid_for(sim: Simulator) -> None:
    first = responses(LONG)
    opened = ask(sim, first).json()
    ask(sim, responses("And now?", previous_response_id=opened["id"]))
    before, after = (line.usage for line in sim.invoice.lines)
    assert before is not None
    assert after is not None
    assert after.prompt > before.prompt + before.output
    assert after.cache_read == before.cache_write_5m > 0
    missing = ask(sim, responses("x", previous_response_id="resp_none"))
    assert missing.status == 400
    assert missing.json()["error"]["code"] == "previous_response_not_found"


def test_counting_is_free_and_agrees_with_the_bill(sim: Simulator) -> None:
    body = {"model": "claude-sonnet-4-6", "messages": [{"role": "user", "content": LONG}]}
    counted = post(sim, "/v1/messages/count_tokens", body, ANTHROPIC).json()["input_tokens"]
    post(sim, "/v1/messages", {**body, "max_tokens": 10}, ANTHROPIC)
    free, paid = sim.invoice.lines
    assert (free.billed, free.cost_nano, free.usage) == (False, 0, None)
    assert paid.usage is not None
    assert counted == paid.usage.prompt
    inner = {"messages": [{"role": "user", "content": [{"text": LONG}]}]}
    path = f"/model/{CLAUDE_ON_BEDROCK}/count-tokens"
    assert post(sim, path, {"input": {"converse": inner}}).json() == {"inputTokens": counted}


def test_models_are_listed_per_vendor(sim: Simulator) -> None:
    ours = {row["id"] for row in get(sim, "/v1/models", OPENAI).json()["data"]}
    theirs = {row["id"] for row in get(sim, "/v1/models", ANTHROPIC).json()["data"]}
    assert "gpt-4o" in ours
    assert "claude-sonnet-4-6" in theirs
    assert not ours & theirs
    assert get(sim, "/v1/models/gpt-4o", OPENAI).json()["id"] == "gpt-4o"
    assert get(sim, "/v1/models/gpt-none", OPENAI).status == 404


REFUSED = [
    ("/v1/chat/completions", {"model": "gpt-none", "messages": [{}]}, OPENAI, 404, "not_found"),
    ("/v1/chat/completions", {"model": "gpt-4o"}, OPENAI, 400, "invalid_request_error"),
    ("/v1/chat/completions", {"messages": []}, OPENAI, 400, "invalid_request_error"),
    ("/v1/chat/completions", b"{", OPENAI, 400, "invalid_request_error"),
    ("/v1/chat/completions", b"[1]", OPENAI, 400, "invalid_request_error"),
    ("/v1/nothing", {}, OPENAI, 404, "invalid_request_error"),
    ("/v1/messages", {"model": "claude-none", "messages": [{}]}, ANTHROPIC, 404, "not_found_error"),
    (
        "/v1/messages",
        {"model": "claude-sonnet-4-6", "messages": [{"role": "user", "content": "x"}]},
        ANTHROPIC,
        400,
        "max_tokens",
    ),
    ("/model/nothing.x/converse", {"messages": [{}]}, {}, 400, "model identifier"),
    (f"/model/{CLAUDE_ON_BEDROCK}/converse", {"system": []}, {}, 400, "conversation"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0]}-{case[3]}-{case[4]}")
def test_errors_have_the_vendors_shape_and_cost_nothing(
    sim: Simulator, case: tuple[str, object, dict[str, str], int, str]
) -> None:
    path, body, headers, status, word = case
    got = post(sim, path, body, headers)
    assert got.status == status
    assert word.encode() in got.body
    shape = got.json()
    if path.startswith("/model"):
        assert got.headers["x-amzn-errortype"].startswith("ValidationException")
        assert set(shape) == {"message"}
    elif headers is ANTHROPIC:
        assert shape["type"] == "error"
        assert shape["request_id"] == got.headers["request-id"]
    else:
        assert set(shape["error"]) == {"message", "type", "param", "code"}
    (line,) = sim.invoice.lines
    assert (line.fate, line.cost_nano, line.billed, line.status) == ("refused", 0, False, status)


def test_five_marks_are_refused_as_the_vendor_does(sim: Simulator) -> None:
    mark = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}
    body = {**CASES["messages"].body, "system": [mark] * 5}
    got = post(sim, "/v1/messages", body, ANTHROPIC)
    assert got.status == 400
    assert got.json()["error"]["type"] == "invalid_request_error"


def test_a_deeply_nested_body_is_refused(sim: Simulator) -> None:
    raw = b'{"model":"gpt-4o","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert post(sim, "/v1/chat/completions", raw, OPENAI).status == 400
