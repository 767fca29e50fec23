"""Plain requests to a simulator, as bytes over one connection each, and the prompts they carry."""

from __future__ import annotations

import http.client
from functools import cache
from typing import Any, NamedTuple

import msgspec

from bursar.dialects.lens import Reading, read_response
from bursar.simulator.server import Prices, Simulator

OPENAI = {"authorization": "Bearer sk-test"}
ANTHROPIC = {"x-api-key": "sk-ant-test", "anthropic-version": "2023-06-01"}
CLAUDE_ON_BEDROCK = "us.anthropic.claude-sonnet-4-6"
TOOLS_SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "integer"}, "why": {"enum": ["late", "lost"]}},
    "required": ["order"],
}
LONG = "A long system prompt about parcels and refunds. " * 250


class Got(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Case(NamedTuple):
    """One kind of call: where it goes, and in which dialect its answer is."""

    path: str
    body: dict[str, Any]
    dialect: str
    headers: dict[str, str]
    model: str


@cache
def prices() -> Prices:
    return Prices()


def post(sim: Simulator, path: str, body: Any, headers: dict[str, str] | None = None) -> Got:
    """Raises what `http.client` raises for a broken answer."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=10)
    try:
        connection.request(
            "POST", path, raw, {"content-type": "application/json", **(headers or {})}
        )
        with connection.getresponse() as answer:
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Got(answer.status, found, answer.read())
    finally:
        connection.close()


def get(sim: Simulator, path: str, headers: dict[str, str] | None = None) -> Got:
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers or {})
        with connection.getresponse() as answer:
            return Got(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


def ask(sim: Simulator, case: Case, **more: str) -> Got:
    """Asks a case; `more` are further headers, `x_simulate` among them."""
    extra = {name.replace("_", "-"): value for name, value in more.items()}
    return post(sim, case.path, case.body, {**case.headers, **extra})


def read(got: Got, case: Case) -> Reading:
    return read_response(got.body, case.dialect, model=case.model, headers=got.headers)


def chat(text: str = "Where is my parcel?", **more: Any) -> Case:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}
    return Case("/v1/chat/completions", body, "openai_chat", OPENAI, body["model"])


def responses(text: str = "Where is my parcel?", **more: Any) -> Case:
    body = {"model": "gpt-6-sol", "input": text, **more}
    return Case("/v1/responses", body, "openai_responses", OPENAI, body["model"])


def message(text: str = "Where is my parcel?", **more: Any) -> Case:
    body = {
        "model": "claude-sonnet-4-6",
        "max_tokens": 2_000,
        "messages": [{"role": "user", "content": text}],
        **more,
    }
    return Case("/v1/messages", body, "anthropic_messages", ANTHROPIC, body["model"])


def converse(
    text: str = "Where is my parcel?",
    *,
    stream: bool = False,
    model: str = CLAUDE_ON_BEDROCK,
    **more: Any,
) -> Case:
    body = {"messages": [{"role": "user", "content": [{"text": text}]}], **more}
    operation = "converse-stream" if stream else "converse"
    return Case(f"/model/{model}/{operation}", body, "bedrock_converse", {}, model)


def invoke(model: str, body: dict[str, Any], *, stream: bool = False) -> Case:
    operation = "invoke-with-response-stream" if stream else "invoke"
    return Case(f"/model/{model}/{operation}", body, "bedrock_invoke", {}, model)


def claude_body(text: str = "Where is my parcel?", **more: Any) -> dict[str, Any]:
    return {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 500,
        "messages": [{"role": "user", "content": text}],
        **more,
    }


def nova_body(text: str = "Where is my parcel?") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"text": text}]}]}


MARKED = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
BOTH_LIVES = [
    {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    {"type": "text", "text": LONG[::-1], "cache_control": {"type": "ephemeral"}},
]
POINT = {"cachePoint": {"type": "default", "ttl": "1h"}}
FUNCTION = {"name": "find_order", "parameters": TOOLS_SCHEMA}
THINK = {"thinking": {"type": "enabled", "budget_tokens": 1_024}}
CASES: dict[str, Case] = {
    "chat": chat(),
    "chat-stream": chat(stream=True, stream_options={"include_usage": True}),
    "chat-tools": chat(tools=[{"type": "function", "function": FUNCTION}], tool_choice="required"),
    "chat-many": chat(n=3),
    "chat-reasons": chat(model="gpt-5.4", reasoning_effort="high"),
    "chat-tier": chat(model="gpt-6-sol", service_tier="fast"),
    "chat-cached": chat(LONG),
    "chat-cached-new": chat(LONG, model="gpt-6-sol"),
    "chat-short": chat(max_completion_tokens=5),
    "responses": responses(),
    "responses-stream": responses(stream=True, reasoning={"effort": "low"}),
    "responses-tools": responses(
        stream=True, tools=[{"type": "function", **FUNCTION}], tool_choice="required"
    ),
    "responses-short": responses(max_output_tokens=4),
    "embeddings": Case(
        "/v1/embeddings",
        {"model": "text-embedding-3-small", "input": ["one", "two words"]},
        "openai_embeddings",
        OPENAI,
        "text-embedding-3-small",
    ),
    "messages": message(),
    "messages-stream": message(stream=True, system=MARKED, **THINK),
    "messages-lives": message(system=BOTH_LIVES),
    "messages-tools": message(
        stream=True,
        tools=[{"name": "find_order", "input_schema": TOOLS_SCHEMA}],
        tool_choice={"type": "any"},
    ),
    "messages-fast": message(model="claude-opus-5", speed="fast"),
    "messages-warm": message(system=MARKED, max_tokens=0),
    "converse": converse(),
    "converse-stream": converse(stream=True, system=[{"text": LONG}, POINT]),
    "converse-thinks": converse(additionalModelRequestFields=THINK),
    "converse-nova": converse(model="amazon.nova-pro-v1:0", serviceTier={"type": "flex"}),
    "converse-tools": converse(
        stream=True,
        toolConfig={
            "tools": [{"toolSpec": {"name": "find", "inputSchema": {"json": TOOLS_SCHEMA}}}],
            "toolChoice": {"any": {}},
        },
    ),
    "invoke-claude": invoke(CLAUDE_ON_BEDROCK, claude_body(system=MARKED, **THINK)),
    "invoke-claude-stream": invoke(CLAUDE_ON_BEDROCK, claude_body(system=MARKED), stream=True),
    "invoke-nova": invoke("amazon.nova-lite-v1:0", nova_body()),
    "invoke-nova-stream": invoke("amazon.nova-lite-v1:0", nova_body(), stream=True),
    "invoke-llama": invoke("meta.llama3-70b-instruct-v1:0", {"prompt": "Where is it?"}),
    "invoke-llama-stream": invoke(
        "meta.llama3-70b-instruct-v1:0", {"prompt": "Where is it?"}, stream=True
    ),
    "invoke-titan": invoke("amazon.titan-embed-text-v2:0", {"inputText": "hello there"}),
}
"""One of each: every endpoint, plain and as a stream, with caches, thinking, tools and tiers."""
STREAMS = sorted(name for name in CASES if "stream" in name)
