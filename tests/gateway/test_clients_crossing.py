"""A client of one vendor whose model another vendor answers: plain, as a stream, with a tool.

What it receives is what a client of the other vendor would have been told, in its own shapes; what
is booked is what the other vendor bills.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from simulator.asks import CLAUDE_ON_BEDROCK, TOOLS_SCHEMA
from tests.gateway.rig import KEY, Rig

openai = pytest.importorskip("openai", reason="the openai client is not installed")
anthropic = pytest.importorskip("anthropic", reason="the anthropic client is not installed")

USER = [{"role": "user", "content": "Where is my parcel?"}]
FUNCTION = {"name": "find_order", "description": "d", "parameters": TOOLS_SCHEMA}
TOOLS = [{"type": "function", "function": FUNCTION}]
ANTHROPIC_TOOLS = [{"name": "find_order", "description": "d", "input_schema": TOOLS_SCHEMA}]
THERE = [
    pytest.param("over-there", "anthropic", "claude-sonnet-4-6", id="anthropic"),
    pytest.param("over-the-hills", "aws", CLAUDE_ON_BEDROCK, id="bedrock"),
]


@pytest.fixture(name="ours")
def ours_fixture(rig: Rig) -> Any:
    with openai.OpenAI(base_url=rig.openai_url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture(name="theirs")
def theirs_fixture(rig: Rig) -> Any:
    with anthropic.Anthropic(base_url=rig.url, api_key=KEY, max_retries=0) as client:
        yield client


def _booked(rig: Rig, provider: str, model: str) -> dict[str, Any]:
    line = rig.sim.invoice.lines[-1]
    row = rig.attempt_of(line)
    assert (line.provider, line.model) == (provider, model)
    assert (row["provider"], row["model"], row["cost_nano"]) == (provider, model, line.cost_nano)
    assert row["cost_nano"] > 0
    return row


@pytest.mark.parametrize(("model", "provider", "theirs_name"), THERE)
def test_openais_client(rig: Rig, ours: Any, model: str, provider: str, theirs_name: str) -> None:
    chat = ours.chat.completions
    plain = chat.create(model=model, messages=USER, max_tokens=300)
    line = rig.sim.invoice.lines[-1]
    assert plain.choices[0].message.content
    assert line.usage is not None
    assert plain.usage.prompt_tokens == line.usage.prompt
    assert plain.usage.completion_tokens == line.usage.answer
    assert _booked(rig, provider, theirs_name)["model_asked"] == model
    asked = {"tools": TOOLS, "tool_choice": "required", "max_tokens": 300}
    called = chat.create(model=model, messages=USER, **asked)
    (use,) = called.choices[0].message.tool_calls
    assert json.loads(use.function.arguments).keys() == {"order", "why"}
    assert called.choices[0].finish_reason == "tool_calls"
    _booked(rig, provider, theirs_name)
    with chat.stream(model=model, messages=USER, max_tokens=300) as stream:
        final = stream.until_done().get_final_completion()
    assert final.choices[0].message.content
    _booked(rig, provider, theirs_name)
    told = {"role": "tool", "tool_call_id": use.id, "content": "order 7 is late"}
    talk = [*USER, called.choices[0].message.model_dump(exclude_none=True), told]
    with chat.create(
        model=model,
        messages=talk,
        tools=TOOLS,
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        counted = [chunk.usage for chunk in stream if chunk.usage]
    line = rig.sim.invoice.lines[-1]
    assert line.usage is not None
    assert [one.prompt_tokens for one in counted] == [line.usage.prompt]
    _booked(rig, provider, theirs_name)


@pytest.mark.parametrize(("model", "provider", "theirs_name"), THERE)
def test_responses(rig: Rig, ours: Any, model: str, provider: str, theirs_name: str) -> None:
    plain = ours.responses.create(model=model, input="hi", max_output_tokens=300)
    assert plain.output_text
    _booked(rig, provider, theirs_name)
    with ours.responses.stream(model=model, input="hi", max_output_tokens=300) as stream:
        final = stream.until_done().get_final_response()
    assert final.output_text
    _booked(rig, provider, theirs_name)


def test_anthropics_client_to_openai(rig: Rig, theirs: Any) -> None:
    asked: dict[str, Any] = {"model": "over-here", "max_tokens": 300, "messages": USER}
    plain = theirs.messages.create(**asked)
    line = rig.sim.invoice.lines[-1]
    assert plain.content[0].text
    assert line.usage is not None
    assert plain.usage.input_tokens == line.usage.input
    _booked(rig, "openai", "gpt-4o-mini")
    called = theirs.messages.create(**asked, tools=ANTHROPIC_TOOLS, tool_choice={"type": "any"})
    assert called.stop_reason == "tool_use"
    assert called.content[-1].input.keys() == {"order", "why"}
    with theirs.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    assert final.content[0].text
    line = rig.sim.invoice.lines[-1]
    assert line.usage is not None
    assert final.usage.output_tokens == line.usage.answer
    _booked(rig, "openai", "gpt-4o-mini")


def test_anthropics_client_to_bedrock(rig: Rig, theirs: Any) -> None:
    asked: dict[str, Any] = {"model": "over-the-hills", "max_tokens": 300, "messages": USER}
    assert theirs.messages.create(**asked).content[0].text
    _booked(rig, "aws", CLAUDE_ON_BEDROCK)
    with theirs.messages.stream(**asked) as stream:
        assert stream.get_final_message().content[0].text
    _booked(rig, "aws", CLAUDE_ON_BEDROCK)


@pytest.mark.parametrize("model", ["over-there", "over-the-hills"])
def test_errors_cross_as_well(rig: Rig, ours: Any, model: str) -> None:
    for fault, kind in (
        ("rate_limit", openai.RateLimitError),
        ("error=500", openai.InternalServerError),
        ("error=400", openai.BadRequestError),
    ):
        with pytest.raises(kind, match="simulated fault"):
            ours.chat.completions.create(
                model=model, messages=USER, extra_headers={"x-simulate": fault}
            )
    with (
        pytest.raises(openai.APIError),
        ours.chat.completions.create(
            model=model, messages=USER, stream=True, extra_headers={"x-simulate": "error_event=3"}
        ) as stream,
    ):
        list(stream)


def test_what_cannot_cross_is_refused_by_name(rig: Rig, ours: Any, theirs: Any) -> None:
    before = len(rig.sim.invoice.lines)
    with pytest.raises(openai.BadRequestError, match="n"):
        ours.chat.completions.create(model="over-there", messages=USER, n=3)
    with pytest.raises(openai.BadRequestError):
        ours.embeddings.create(model="over-there", input="hi")
    with pytest.raises(anthropic.BadRequestError, match="count"):
        theirs.messages.count_tokens(model="over-here", messages=USER)
    assert len(rig.sim.invoice.lines) == before
