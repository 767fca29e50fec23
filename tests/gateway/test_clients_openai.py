"""OpenAI's own client, unchanged but for its base URL: what it receives is what it receives direct.

Skipped, saying so, where the client is not installed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from simulator.asks import LONG, TOOLS_SCHEMA
from tests.gateway.rig import KEY, Rig

openai = pytest.importorskip("openai", reason="the openai client is not installed")

USER = [{"role": "user", "content": "Where is my parcel?"}]
CACHED = [{"role": "system", "content": LONG}, *USER]
FUNCTION = {"name": "find_order", "parameters": TOOLS_SCHEMA}
TOOLS = [{"type": "function", "function": FUNCTION}]
CHAT = {"model": "gpt-4o-mini", "messages": USER}
ALONE = {**CHAT, "messages": [{"role": "user", "content": "Asked of the gateway alone"}]}
"""The twin counts how often it saw a request: what it is not asked too must not be asked here."""
RESPONSE = {"model": "gpt-6-sol", "input": "Where is my parcel?"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WANTED = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
Script = Callable[[Any], Any]
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _dumped(found: Any) -> Any:
    return found.model_dump(mode="json", exclude_unset=True, exclude={"usage": {"none"}})


def _chunks(found: Any) -> Any:
    dumped = _dumped(found)
    if dumped.get("usage", 0) is None:
        del dumped["usage"]
    return dumped


def _stream(client: Any) -> Any:
    with client.chat.completions.create(**CHAT, stream=True) as stream:
        return [_chunks(chunk) for chunk in stream]


def _stream_with_usage(client: Any) -> Any:
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    with client.chat.completions.create(**CHAT, **asked) as stream:
        return [_dumped(chunk) for chunk in stream]


def _accumulated(client: Any) -> Any:
    tools = [{"type": "function", "function": {**FUNCTION, "strict": True}}]
    with client.chat.completions.stream(**CHAT, tools=tools, tool_choice="required") as stream:
        return _dumped(stream.get_final_completion())


def _responses_stream(client: Any) -> Any:
    with client.responses.stream(**RESPONSE, reasoning={"effort": "high"}) as stream:
        kinds = [event.type for event in stream]
        return kinds, _dumped(stream.get_final_response())


def _responses_continued(client: Any) -> Any:
    first = client.responses.create(**RESPONSE)
    return _dumped(client.responses.create(**RESPONSE, previous_response_id=first.id))


def _raw(client: Any) -> Any:
    raw = client.chat.completions.with_raw_response.create(**CHAT)
    return raw.http_response.content, raw.headers["x-request-id"]


def _many(client: Any) -> Any:
    vectors = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    return _dumped(vectors)


SCRIPTS: dict[str, Script] = {
    "chat": lambda client: _dumped(client.chat.completions.create(**CHAT)),
    "chat cached": lambda client: _dumped(
        client.chat.completions.create(model="gpt-6-sol", messages=CACHED)
    ),
    "chat tools": lambda client: _dumped(
        client.chat.completions.create(**CHAT, tools=TOOLS, tool_choice="required")
    ),
    "chat structured": lambda client: _dumped(
        client.chat.completions.create(**CHAT, response_format=WANTED)
    ),
    "chat n": lambda client: _dumped(client.chat.completions.create(**CHAT, n=3)),
    "chat stream": _stream,
    "chat stream with usage": _stream_with_usage,
    "chat stream of a tool": _accumulated,
    "chat raw": _raw,
    "responses": lambda client: _dumped(client.responses.create(**RESPONSE)),
    "responses stream": _responses_stream,
    "responses continued": _responses_continued,
    "embeddings": _many,
    "models": lambda client: sorted(model.id for model in client.models.list()),
}


def _client(kind: Any, base_url: str, key: str = KEY, **more: Any) -> Any:
    return kind(base_url=base_url, api_key=key, **{"max_retries": 0, **more})


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_the_client_gets_is_what_it_gets_direct(rig: Rig, name: str) -> None:
    script = SCRIPTS[name]
    with _client(openai.OpenAI, rig.openai_url) as client:
        got = script(client)
    with _client(openai.OpenAI, rig.twin.openai_url) as client:
        assert got == script(client)


def test_the_async_client(rig: Rig) -> None:
    async def script(client: Any) -> Any:
        async with client:
            plain = _dumped(await client.chat.completions.create(**CHAT))
            stream = await client.chat.completions.create(**CHAT, stream=True)
            chunks = [_chunks(chunk) async for chunk in stream]
            events = await client.responses.create(**RESPONSE, stream=True)
            kinds = [event.type async for event in events]
            listed = [model.id async for model in client.models.list()]
            return plain, chunks, kinds, listed

    async def both() -> None:
        got = await script(_client(openai.AsyncOpenAI, rig.openai_url))
        assert got == await script(_client(openai.AsyncOpenAI, rig.twin.openai_url))

    asyncio.run(both())


def test_many_at_once(rig: Rig) -> None:
    async def run() -> None:
        async with _client(openai.AsyncOpenAI, rig.openai_url) as client:
            asked = [
                client.chat.completions.create(
                    model="gpt-4o-mini", messages=[{"role": "user", "content": f"crowd {n}"}]
                )
                for n in range(40)
            ]
            answers = await asyncio.gather(*asked)
        assert len({answer.id for answer in answers}) == 40

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("rate_limit", "RateLimitError"),
        ("error=500", "InternalServerError"),
        ("error=503", "InternalServerError"),
        ("error=400", "BadRequestError"),
        ("close", "InternalServerError"),
    ],
)
def test_it_raises_its_own_errors(rig: Rig, fault: str, name: str) -> None:
    with (
        _client(openai.OpenAI, rig.openai_url) as client,
        pytest.raises(openai.APIError) as raised,
    ):
        client.chat.completions.create(**ALONE, extra_headers={"x-simulate": fault})
    assert type(raised.value).__name__ == name


def test_our_refusals_are_its_own_errors(rig: Rig) -> None:
    wrong = "bsr_tests_wrong"
    for make in (lambda c: c.chat.completions.create(**ALONE), lambda c: c.models.list()):
        with (
            _client(openai.OpenAI, rig.openai_url, wrong) as client,
            pytest.raises(openai.AuthenticationError) as raised,
        ):
            make(client)
        assert raised.value.code == "unknown_key"


def test_hidden_retries_are_attempts_and_marked(rig: Rig) -> None:
    before = len(rig.paid())
    with _client(openai.OpenAI, rig.openai_url, max_retries=2) as client:
        client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "try again"}],
            extra_headers={"x-simulate": "rate_limit=0; first=2"},
        )
    lines = rig.paid()[before:]
    rows = [rig.attempt_of(line) for line in lines]
    assert [row["status"] for row in rows] == [429, 429, 200]
    assert [row["is_retry"] for row in rows] == [False, True, True]
    assert [row["cost_nano"] or 0 for row in rows] == [line.cost_nano for line in lines]
    assert rows[-1]["cost_nano"] > 0


def test_tags_from_headers_baggage_and_metadata(rig: Rig) -> None:
    headers = {
        "x-bursar-route": "refunds",
        "x-bursar-session": "s-1",
        "baggage": "bursar.team=claims,other=x",
        "traceparent": TRACE,
    }
    metadata = {"workflow": "triage", "user_id": "u-9", "colour": "green"}
    with _client(openai.OpenAI, rig.openai_url) as client:
        client.chat.completions.create(**ALONE, metadata=metadata, extra_headers=headers)
    row = rig.attempt_of(rig.paid()[-1])
    named = ("tenant", "route", "team", "workflow", "user_id")
    assert [row[one] for one in named] == ["acme", "refunds", "claims", "triage", "u-9"]
    other = row["other_tags"]
    assert '"colour":"green"' in other.replace(" ", "")
    assert "0af7651916cd43dd8448eb211c80319c" in other
    sessions = rig.rows("SELECT id FROM sessions")
    assert any("s-1" in one["id"] for one in sessions)
