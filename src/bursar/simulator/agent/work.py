"""The invented agent at work: asks, uses tools, complains, goes on, until it has an answer.

It calls one address with the real clients of OpenAI and Anthropic and does nothing for being
metered but name its route and, on some routes, its session, in headers. The clients repeat by
themselves what a provider refuses. Routes run beside each other, the sessions of a route one after
the other, so that a provider's cache sees them in the same order each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any, Protocol

import msgspec

from bursar.extras import agent_clients
from bursar.model.errors import BadInput
from bursar.simulator.agent.cast import Route, Task, tool_about, tool_result, tool_schema

MOST_STEPS = 60
MOST_TOKENS = 2_000
MOST_RETRIES = 4
TIMEOUT_S = 30.0
COMPLAINT = "That is not valid JSON. Answer with the JSON object alone."
EPHEMERAL = {"cache_control": {"type": "ephemeral"}}

Json = dict[str, Any]


class Wish(msgspec.Struct, frozen=True):
    """A tool that the model asks for."""

    id: str
    name: str
    arguments: Json


class Turn(msgspec.Struct, frozen=True):
    """What the model said."""

    text: str
    wishes: tuple[Wish, ...] = ()


class Talk(Protocol):
    """One conversation with one client. It grows with each turn."""

    def say(self, text: str) -> None: ...
    def give(self, results: Sequence[tuple[Wish, str]]) -> None: ...
    async def ask(self) -> Turn: ...
    async def leave(self) -> None: ...


async def work_off(
    url: str, keys: Mapping[str, str], tasks: Sequence[Task], told: Callable[[], None]
) -> None:
    """Do every task against the server at `url`; `told` is called after each answer.

    `keys`: tenant -> the key that its calls are made with. Raises BadInput where a client gives up.
    """
    async with _clients(url) as clients:
        routes = groupby(tasks, lambda task: task.route.name)
        lines = [list(group) for _, group in routes]
        try:
            await asyncio.gather(*(_line(clients, keys, line, told) for line in lines))
        except clients.errors as bad:
            raise BadInput(
                f"the generated agent could not go on: {type(bad).__name__}",
                mend="run bursar demo --sample, and report this",
            ) from bad


class Clients(msgspec.Struct, frozen=True):
    """The real clients, and what they raise."""

    openai: Any
    anthropic: Any
    errors: tuple[type[Exception], ...]


@asynccontextmanager
async def _clients(url: str) -> AsyncGenerator[Clients]:
    """Both clients at one address."""
    real = agent_clients()
    told: Json = {"api_key": "none", "max_retries": MOST_RETRIES, "timeout": TIMEOUT_S}
    async with (
        real.openai.AsyncOpenAI(base_url=f"{url}/v1", **told) as openai,
        real.anthropic.AsyncAnthropic(base_url=url, **told) as anthropic,
    ):
        errors = (real.openai.OpenAIError, real.anthropic.AnthropicError)
        yield Clients(openai, anthropic, errors)


async def _line(
    clients: Clients, keys: Mapping[str, str], tasks: Sequence[Task], told: Callable[[], None]
) -> None:
    for task in tasks:
        talk = TALKS[task.route.dialect](clients, keys[task.tenant], task)
        await _do(task, talk, told)


async def _do(task: Task, talk: Talk, told: Callable[[], None]) -> None:
    """One session, until there is an answer."""
    talk.say(task.question)
    for _ in range(MOST_STEPS):
        turn = await talk.ask()
        told()
        if turn.wishes:
            talk.give([(wish, tool_result(wish.name, wish.arguments)) for wish in turn.wishes])
            if task.leaves:
                await talk.leave()
                told()
                return
        elif task.route.schema is not None and not _is_json(turn.text):
            talk.say(COMPLAINT)
        else:
            return


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True


def _headers(task: Task) -> dict[str, str]:
    """All that the agent does for being metered."""
    told = {"x-bursar-route": task.route.name, "x-bursar-application": "support-desk"}
    return told | {"x-bursar-session": task.name} if task.route.names_sessions else told


class ChatTalk:
    """A conversation in OpenAI's chat completions."""

    def __init__(self, clients: Clients, key: str, task: Task) -> None:
        route = task.route
        self._chat = clients.openai.with_options(api_key=key).chat.completions
        self._stream = route.stream
        self._messages: list[Json] = [{"role": "system", "content": route.system}]
        self._fixed: Json = {"model": route.model, "extra_headers": _headers(task)}
        if route.tools:
            self._fixed["tools"] = [_chat_tool(name) for name in route.tools]
        if route.schema is not None:
            form = {"name": route.name, "schema": route.schema, "strict": True}
            self._fixed["response_format"] = {"type": "json_schema", "json_schema": form}
        if route.effort is not None:
            self._fixed["reasoning_effort"] = route.effort

    def say(self, text: str) -> None:
        self._messages.append({"role": "user", "content": text})

    def give(self, results: Sequence[tuple[Wish, str]]) -> None:
        self._messages += [
            {"role": "tool", "tool_call_id": wish.id, "content": text} for wish, text in results
        ]

    async def ask(self) -> Turn:
        asked = {"messages": self._messages, **self._fixed}
        if self._stream:
            async with self._chat.stream(**asked) as stream:
                answer = await stream.get_final_completion()
        else:
            answer = await self._chat.create(**asked)
        message = answer.choices[0].message
        said = message.model_dump(include={"role", "content"})
        uses: list[Any] = message.tool_calls or []
        if uses:
            said["tool_calls"] = [_chat_use(one) for one in uses]
        self._messages.append(said)
        wishes = [
            Wish(one.id, one.function.name, msgspec.json.decode(one.function.arguments))
            for one in uses
        ]
        return Turn(message.content or "", tuple(wishes))

    async def leave(self) -> None:
        """Ask, and go once the answer has begun."""
        answer = await self._chat.create(messages=self._messages, stream=True, **self._fixed)
        await anext(aiter(answer))
        await answer.close()


def _chat_tool(name: str) -> Json:
    function = {"name": name, "description": tool_about(name), "strict": True}
    return {"type": "function", "function": function | {"parameters": tool_schema(name)}}


def _chat_use(use: Any) -> Json:
    function = {"name": use.function.name, "arguments": use.function.arguments}
    return {"id": use.id, "type": "function", "function": function}


class MessagesTalk:
    """A conversation in Anthropic's messages."""

    def __init__(self, clients: Clients, key: str, task: Task) -> None:
        route = task.route
        self._client = clients.anthropic.with_options(api_key=key).messages
        self._route = route
        self._messages: list[Json] = []
        self._fixed: Json = {
            "model": route.model,
            "max_tokens": MOST_TOKENS,
            "system": _system(route),
            "extra_headers": _headers(task),
        }
        if route.tools:
            self._fixed["tools"] = [_messages_tool(name) for name in route.tools]

    def say(self, text: str) -> None:
        self._messages.append({"role": "user", "content": [{"type": "text", "text": text}]})

    def give(self, results: Sequence[tuple[Wish, str]]) -> None:
        content = [
            {"type": "tool_result", "tool_use_id": wish.id, "content": text}
            for wish, text in results
        ]
        self._messages.append({"role": "user", "content": content})

    async def ask(self) -> Turn:
        asked = {"messages": self._marked(), **self._fixed}
        if self._route.stream:
            async with self._client.stream(**asked) as stream:
                answer = await stream.get_final_message()
        else:
            answer = await self._client.create(**asked)
        parts = [one.model_dump(exclude_none=True) for one in answer.content]
        self._messages.append({"role": "assistant", "content": [_sent_again(one) for one in parts]})
        wishes = [
            Wish(one["id"], one["name"], one["input"]) for one in parts if one["type"] == "tool_use"
        ]
        return Turn("".join(one.get("text", "") for one in parts), tuple(wishes))

    async def leave(self) -> None:
        """Ask, and go once the answer has begun."""
        asked = {"messages": self._marked(), **self._fixed}
        async with self._client.stream(**asked) as stream:
            await anext(aiter(stream))

    def _marked(self) -> list[Json]:
        """The messages; the last part of the last one marked, where the route caches."""
        if not self._route.cached:
            return self._messages
        *before, last = self._messages
        *parts, end = last["content"]
        return [*before, {**last, "content": [*parts, {**end, **EPHEMERAL}]}]


def _system(route: Route) -> list[Json]:
    text = {"type": "text", "text": route.system}
    return [text | EPHEMERAL if route.cached else text]


def _messages_tool(name: str) -> Json:
    return {"name": name, "description": tool_about(name), "input_schema": tool_schema(name)}


SENT_AGAIN = {"text": ("type", "text"), "tool_use": ("type", "id", "name", "input")}
"""Kind of part -> its fields that go into the next request."""


def _sent_again(part: Json) -> Json:
    return {name: part[name] for name in SENT_AGAIN[part["type"]]}


TALKS: dict[str, Callable[[Clients, str, Task], Talk]] = {
    "chat": ChatTalk,
    "messages": MessagesTalk,
}
