"""The vendors' own clients, unchanged, against the simulator: every endpoint, sync and async.

Each one is skipped, saying so, where its client is not installed (`pip install openai anthropic
boto3`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from bursar.model.usage import Usage
from bursar.simulator.server import Simulator
from simulator.asks import CLAUDE_ON_BEDROCK, LONG, TOOLS_SCHEMA, claude_body, nova_body

OPENAI = "the openai client is not installed: pip install openai"
ANTHROPIC = "the anthropic client is not installed: pip install anthropic"
BOTO = "boto3 is not installed: pip install boto3"
USER = [{"role": "user", "content": "Where is my parcel?"}]
TOOL = {"name": "find_order", "parameters": TOOLS_SCHEMA}
CACHED = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]


def last(sim: Simulator) -> Usage:
    usage = sim.invoice.lines[-1].usage
    assert usage is not None
    return usage


@pytest.fixture
def openai() -> Any:
    return pytest.importorskip("openai", reason=OPENAI)


@pytest.fixture
def anthropic() -> Any:
    return pytest.importorskip("anthropic", reason=ANTHROPIC)


@pytest.fixture
def bedrock(sim: Simulator) -> Any:
    boto3 = pytest.importorskip("boto3", reason=BOTO)
    config = pytest.importorskip("botocore.config", reason=BOTO)
    client = boto3.client(
        "bedrock-runtime",
        config=config.Config(retries={"total_max_attempts": 1}),
        endpoint_url=sim.url,
        region_name="us-east-1",
        aws_access_key_id="AKIDTEST",
        aws_secret_access_key="secret",
    )
    yield client
    client.close()


def simulate(bedrock: Any, fault: str) -> None:
    """Every further call of this client asks for the fault."""

    def add(request: Any, **_: object) -> None:
        request.headers["x-simulate"] = fault

    bedrock.meta.events.register("before-send.bedrock-runtime.*", add)


def test_openai(sim: Simulator, openai: Any) -> None:
    with openai.OpenAI(base_url=sim.openai_url, api_key="sk-test") as client:
        chat = client.chat.completions
        plain = chat.create(model="gpt-4o-mini", messages=USER)
        assert plain.choices[0].message.content
        assert plain.usage.total_tokens == last(sim).prompt + last(sim).answer
        called = chat.create(
            model="gpt-4o-mini",
            messages=USER,
            tools=[{"type": "function", "function": TOOL}],
            tool_choice="required",
        )
        (call,) = called.choices[0].message.tool_calls
        assert json.loads(call.function.arguments).keys() == {"order", "why"}
        counted = None
        with chat.create(
            model="gpt-4o-mini", messages=USER, stream=True, stream_options={"include_usage": True}
        ) as stream:
            text = ""
            for chunk in stream:
                counted = chunk.usage or counted
                text += chunk.choices[0].delta.content or "" if chunk.choices else ""
        assert text
        assert counted is not None
        assert counted.completion_tokens == last(sim).answer
        with chat.stream(
            model="gpt-4o-mini",
            messages=USER,
            tools=[{"type": "function", "function": {**TOOL, "strict": True}}],
            tool_choice="required",
        ) as stream:
            final = stream.get_final_completion()
        assert final.choices[0].finish_reason == "tool_calls"
        vectors = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
        assert [len(row.embedding) for row in vectors.data] == [1_536, 1_536]
        assert sum(x * x for x in vectors.data[0].embedding) == pytest.approx(1, abs=1e-4)
        assert "gpt-4o" in {model.id for model in client.models.list()}


def test_openai_responses(sim: Simulator, openai: Any) -> None:
    with openai.OpenAI(base_url=sim.openai_url, api_key="sk-test") as client:
        plain = client.responses.create(model="gpt-6-sol", input="hello")
        assert plain.output_text
        assert plain.usage.output_tokens == last(sim).answer
        with client.responses.stream(
            model="gpt-6-sol",
            input="hello",
            previous_response_id=plain.id,
            reasoning={"effort": "high"},
        ) as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_response()
        assert kinds[0] == "response.created"
        assert "response.reasoning_summary_text.delta" in kinds
        assert final.usage.output_tokens_details.reasoning_tokens == last(sim).reasoning > 0
        called = client.responses.create(
            model="gpt-6-sol",
            input="hello",
            tools=[{"type": "function", **TOOL, "strict": False}],
            tool_choice="required",
        )
        assert called.output[-1].type == "function_call"


def test_openai_async_and_structured(sim: Simulator, openai: Any) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}

    async def run() -> None:
        async with openai.AsyncOpenAI(base_url=sim.openai_url, api_key="sk-test") as client:
            one = await client.chat.completions.create(
                model="gpt-4o-mini", messages=USER, response_format=wanted
            )
            assert json.loads(one.choices[0].message.content).keys() == {"city"}
            stream = await client.responses.create(model="gpt-6-sol", input="hi", stream=True)
            kinds = [event.type async for event in stream]
            assert kinds[-1] == "response.completed"

    asyncio.run(run())


def test_anthropic(sim: Simulator, anthropic: Any) -> None:
    with anthropic.Anthropic(base_url=sim.url, api_key="sk-ant-test") as client:
        asked = {"model": "claude-sonnet-4-6", "max_tokens": 3_000, "messages": USER}
        thinking = {"type": "enabled", "budget_tokens": 1_024}
        plain = client.messages.create(**asked, system=CACHED, thinking=thinking)
        assert [block.type for block in plain.content] == ["thinking", "text"]
        usage = plain.usage
        assert usage.cache_creation.ephemeral_1h_input_tokens == last(sim).cache_write_1h > 0
        assert usage.output_tokens_details.thinking_tokens == last(sim).reasoning > 0
        tools = [{"name": "find_order", "input_schema": TOOLS_SCHEMA}]
        with client.messages.stream(
            **asked, system=CACHED, tools=tools, tool_choice={"type": "any"}
        ) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_message()
        assert kinds >= {"message_start", "content_block_delta", "message_delta", "message_stop"}
        assert final.stop_reason == "tool_use"
        assert final.content[0].input.keys() == {"order", "why"}
        with client.messages.stream(**asked, system=CACHED, thinking=thinking) as stream:
            deltas = {event.delta.type for event in stream if event.type == "content_block_delta"}
            final = stream.get_final_message()
        assert deltas == {"thinking_delta", "signature_delta", "text_delta"}
        assert final.usage.cache_read_input_tokens == last(sim).cache_read > 0
        counted = client.messages.count_tokens(model="claude-sonnet-4-6", messages=USER)
        assert counted.input_tokens > 0
        assert "claude-sonnet-4-6" in {model.id for model in client.models.list()}


def test_anthropic_async(sim: Simulator, anthropic: Any) -> None:
    async def run() -> None:
        async with anthropic.AsyncAnthropic(base_url=sim.url, api_key="sk-ant-test") as client:
            asked = {"model": "claude-opus-5", "max_tokens": 300, "messages": USER}
            one = await client.messages.create(**asked)
            assert one.usage.output_tokens == last(sim).answer
            async with client.messages.stream(**asked) as stream:
                text = "".join([piece async for piece in stream.text_stream])
                final = await stream.get_final_message()
            assert text == final.content[0].text

    asyncio.run(run())


def test_bedrock(sim: Simulator, bedrock: Any) -> None:
    user = [{"role": "user", "content": [{"text": "Where is my parcel?"}]}]
    system = [{"text": LONG}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    plain = bedrock.converse(modelId=CLAUDE_ON_BEDROCK, messages=user, system=system)
    assert plain["output"]["message"]["content"][0]["text"]
    assert plain["usage"]["cacheDetails"] == [
        {"ttl": "1h", "inputTokens": last(sim).cache_write_1h}
    ]
    assert plain["ResponseMetadata"]["RequestId"] == sim.invoice.lines[-1].request_id
    streamed = bedrock.converse_stream(
        modelId=CLAUDE_ON_BEDROCK,
        messages=user,
        system=system,
        additionalModelRequestFields={"thinking": {"type": "enabled", "budget_tokens": 1_024}},
    )
    names = [next(iter(event)) for event in streamed["stream"]]
    assert names[0] == "messageStart"
    assert names[-2:] == ["messageStop", "metadata"]
    assert last(sim).cache_read > 0
    tools = {"tools": [{"toolSpec": {"name": "find", "inputSchema": {"json": TOOLS_SCHEMA}}}]}
    called = bedrock.converse(
        modelId="amazon.nova-pro-v1:0",
        messages=user,
        toolConfig={**tools, "toolChoice": {"any": {}}},
    )
    assert called["stopReason"] == "tool_use"
    counted = bedrock.count_tokens(
        modelId=CLAUDE_ON_BEDROCK, input={"converse": {"messages": user}}
    )
    assert counted["inputTokens"] > 0
    body = json.dumps(claude_body()).encode()
    counted_raw = bedrock.count_tokens(
        modelId=CLAUDE_ON_BEDROCK, input={"invokeModel": {"body": body}}
    )
    assert counted_raw["inputTokens"] == counted["inputTokens"]


@pytest.mark.parametrize(
    ("model", "body"),
    [(CLAUDE_ON_BEDROCK, claude_body()), ("amazon.nova-lite-v1:0", nova_body())],
)
def test_bedrock_invoke(sim: Simulator, bedrock: Any, model: str, body: dict[str, Any]) -> None:
    raw = json.dumps(body)
    with bedrock.invoke_model(modelId=model, body=raw)["body"] as answer:
        usage = json.loads(answer.read())["usage"]
    assert usage.get("output_tokens", usage.get("outputTokens")) == last(sim).answer
    streamed = bedrock.invoke_model_with_response_stream(modelId=model, body=raw)
    events = [json.loads(event["chunk"]["bytes"]) for event in streamed["body"]]
    metrics = events[-1]["amazon-bedrock-invocationMetrics"]
    assert metrics["outputTokenCount"] == last(sim).answer


def test_an_inference_profile_in_the_path(sim: Simulator, bedrock: Any) -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0"
    user = [{"role": "user", "content": [{"text": "hi"}]}]
    bedrock.converse(modelId=arn, messages=user)
    assert sim.invoice.lines[-1].model == arn
    assert sim.invoice.lines[-1].cost_nano


FAILS: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("rate_limit", "RateLimitError", lambda error: error.status_code == 429),
    ("error=500", "InternalServerError", lambda error: error.status_code == 500),
    ("error=503", "InternalServerError", lambda error: error.status_code == 503),
    ("close", "APIConnectionError", lambda error: True),
]


@pytest.mark.parametrize("case", FAILS, ids=lambda case: case[0])
def test_clients_raise_their_own_errors(
    sim: Simulator, openai: Any, anthropic: Any, case: tuple[str, str, Callable[[Any], Any]]
) -> None:
    fault, name, holds = case
    headers = {"x-simulate": fault}
    with openai.OpenAI(base_url=sim.openai_url, api_key="k", max_retries=0) as client:
        with pytest.raises(getattr(openai, name)) as raised:
            client.chat.completions.create(
                model="gpt-4o-mini", messages=USER, extra_headers=headers
            )
        assert holds(raised.value)
    with anthropic.Anthropic(base_url=sim.url, api_key="k", max_retries=0) as client:
        with pytest.raises(getattr(anthropic, name)) as raised:
            client.messages.create(
                model="claude-opus-5", max_tokens=5, messages=USER, extra_headers=headers
            )
        assert holds(raised.value)
    assert sim.invoice.total_nano == 0


def test_hidden_retries_stand_on_the_invoice(sim: Simulator, openai: Any) -> None:
    with openai.OpenAI(base_url=sim.openai_url, api_key="k", max_retries=2) as client:
        client.chat.completions.create(
            model="gpt-4o-mini",
            messages=USER,
            extra_headers={"x-simulate": "rate_limit=0; first=2"},
        )
    lines = list(sim.invoice.lines)
    assert [line.status for line in lines] == [429, 429, 200]
    assert [line.billed for line in lines] == [False, False, True]
    assert len({line.request_id for line in lines}) == 3


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("rate_limit; latency_ms=1", "ThrottlingException"),
        ("error=400", "ValidationException"),
        ("error=503", "ServiceUnavailableException"),
        ("error=424", "ModelErrorException"),
    ],
)
def test_bedrock_errors_by_name(sim: Simulator, bedrock: Any, fault: str, code: str) -> None:
    exceptions = pytest.importorskip("botocore.exceptions", reason=BOTO)
    simulate(bedrock, fault)
    user = [{"role": "user", "content": [{"text": "hi"}]}]
    with pytest.raises(exceptions.ClientError) as raised:
        bedrock.converse(modelId=CLAUDE_ON_BEDROCK, messages=user)
    assert raised.value.response["Error"]["Code"] == code


def test_a_bedrock_stream_breaks_with_an_exception(sim: Simulator, bedrock: Any) -> None:
    exceptions = pytest.importorskip("botocore.exceptions", reason=BOTO)
    simulate(bedrock, "error_event=2")
    user = [{"role": "user", "content": [{"text": "hi"}]}]
    streamed = bedrock.converse_stream(modelId=CLAUDE_ON_BEDROCK, messages=user)
    with (
        closing(streamed["stream"]) as stream,
        pytest.raises(exceptions.EventStreamError, match="internalServerException"),
    ):
        list(stream)
