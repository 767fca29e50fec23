"""A generation of Langfuse -> its entry.

Its input and output are whatever a framework put there: messages in any shape, a request or
response body, a text. What has a known shape becomes blocks; a dump of some program's objects
does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, cast

import msgspec

from bursar.dialects.answers import stop_of
from bursar.dialects.lens import Prompt, Reading, message_blocks, read_request, read_response
from bursar.dialects.wire import as_list, as_map, at, maps, text_of
from bursar.intake.error_names import UNKNOWN_ERROR, status_of_error
from bursar.intake.langfuse_usage import usage_of_details
from bursar.intake.otlp_content import decoded
from bursar.intake.otlp_scopes import provider_named
from bursar.intake.times import milliseconds_between, parse_time
from bursar.intake.turns import latest_outcomes
from bursar.model.block import Block
from bursar.model.call import Call, Limits
from bursar.model.entry import STANDARD, Answer, Attempt, Entry, Flag, Origin, ToolUse
from bursar.model.errors import BadInput
from bursar.model.money import nano_from_usd
from bursar.model.usage import Usage

NAME = "langfuse"
OLD_COUNTS = (
    ("input", ("promptTokens", "inputUsage")),
    ("output", ("completionTokens", "outputUsage")),
    ("total", ("totalTokens", "totalUsage")),
)
"""Counts of exports before `usageDetails`."""
OBJECT_DUMP = re.compile(r"^(?:None$|role=|<?[A-Z]\w+\(|<\w+ object|\[?\w+Message\()")
"""How Python prints objects: not what the model saw."""
REQUEST_KEYS = ("messages", "contents", "prompt", "input", "inputs", "query")
BODY_KEYS = ("choices", "candidates", "usage", "usageMetadata", "stop_reason", "object")
TECHNICAL = frozenset(("attributes", "resourceAttributes", "scope"))
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")


def pick(value: dict[str, Any], name: str) -> Any:
    """A field under its camel-case or its snake-case name."""
    found = value.get(name)
    return value.get(_snake(name)) if found is None else found


@cache
def _snake(name: str) -> str:
    """`usageDetails` -> `usage_details`; the names are those in this module."""
    return _HUMP.sub(r"_\1", name).lower()


def session_of(value: dict[str, Any]) -> str | None:
    return text_of(pick(value, "sessionId")) or None


def labels_of(value: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Labels of an observation or of a trace."""
    yield "user", pick(value, "userId")
    environment = value.get("environment")
    yield "environment", None if environment == "default" else environment
    name, version = pick(value, "promptName"), pick(value, "promptVersion")
    if name:
        yield "prompt_version", name if version in (None, "") else f"{name}:{version}"
    if pick(value, "traceId") is None:
        yield "workflow", value.get("name")
    for key in ("release", "version"):
        yield key, value.get(key)
    tags = [tag for tag in as_list(decoded(value.get("tags"))) if isinstance(tag, str)]
    for tag in tags:
        word, colon, rest = tag.partition(":")
        if colon and rest.strip():
            yield word, rest
    if tags:
        yield "tags", ",".join(sorted(tags))
    metadata = as_map(decoded(value.get("metadata")))
    service = at(metadata, ("resourceAttributes", "service.name"))
    if isinstance(service, str) and not service.startswith("unknown_service"):
        yield "application", service
    for key, held in metadata.items():
        if key not in TECHNICAL and not key.startswith(("ls_", "langgraph_")):
            yield key, held


class Observation:
    """One generation on its way to an entry."""

    def __init__(self, value: dict[str, Any], origin: Origin) -> None:
        self.value = value
        self.origin = origin
        self.place = f"{origin.file}:{origin.line}"
        self.flags: list[Flag] = []
        self.input = decoded(value.get("input"))
        self.output = decoded(value.get("output"))
        self.failed = str(value.get("level")).upper() == "ERROR"

    def is_call(self) -> bool:
        """Some frameworks log the end of a call as one more generation with nothing in it."""
        shown = self.input not in (None, "", {}, []) or self.output not in (None, "", {}, [])
        return shown or self.failed or bool(self._details())

    def entry(self) -> Entry:
        value = self.value
        body = self._body()
        prompt = self._prompt()
        answer, uses, stop = self._answer(body)
        start = parse_time(pick(value, "startTime"))[0]
        model = text_of(value.get("model")) or text_of(pick(value, "providedModelName"))
        provider = _provider(as_map(decoded(value.get("metadata"))))
        limits = prompt.limits if prompt else Limits()
        if limits.max_tokens is None:
            parameters = as_map(decoded(pick(value, "modelParameters")))
            limits = msgspec.structs.replace(limits, max_tokens=_bound(parameters))
        return Entry(
            call=Call(
                key=f"langfuse:{pick(value, 'traceId')}:{value.get('id')}",
                at=start,
                dialect=body.dialect if body else None,
                provider=provider or (body.provider if body else None),
                model=model or (body.model if body else None),
                blocks=prompt.blocks if prompt else None,
                limits=limits,
                schema_digest=prompt.schema_digest if prompt else None,
            ),
            attempts=(self._attempt(body, provider, model),),
            answer=Answer(
                blocks=answer,
                tool_uses=uses,
                stop=stop,
                status="failed" if self.failed else "ok",
            ),
            tool_outcomes=latest_outcomes(prompt) if prompt else (),
            origin=self.origin,
        )

    def _attempt(self, body: Reading | None, provider: str | None, model: str | None) -> Attempt:
        value = self.value
        start, first, end = (
            parse_time(pick(value, name))[0]
            for name in ("startTime", "completionStartTime", "endTime")
        )
        usage = self._usage(body)
        status = 200
        if self.failed:
            names = [str(pick(value, "statusMessage") or "")[:300]]
            status = status_of_error(names) or UNKNOWN_ERROR
        return Attempt(
            provider=provider or (body.provider if body else None),
            model=model or (body.model if body else None),
            price_class=body.price_class if body else STANDARD,
            usage=usage,
            recorded_cost_nano=self._cost(),
            status=status,
            first_byte_ms=milliseconds_between(start, first),
            total_ms=milliseconds_between(start, end),
            provider_request_id=body.response_id if body else None,
        )

    # -- numbers

    def _details(self) -> dict[str, Any]:
        """Counts, in the newest form that the observation has and that says anything."""
        for name in ("usageDetails", "providedUsageDetails", "usage"):
            details = as_map(decoded(pick(self.value, name)))
            given = {
                key: held
                for key, held in details.items()
                if held not in (None, "") and not str(held).isalpha()
            }
            numbers = [held for held in given.values() if not isinstance(held, (dict, list))]
            if any(held not in (0, "0") for held in numbers):
                return given
        found: dict[str, Any] = {}
        for name, keys in OLD_COUNTS:
            for key in keys:
                if pick(self.value, key) not in (None, "", 0, "0"):
                    found.setdefault(name, pick(self.value, key))
        return found

    def _usage(self, body: Reading | None) -> Usage | None:
        """The observation's counts, checked against those of a logged response body."""
        details = self._details()
        logged = body.usage if body else None
        if not details or set(details) == {"total"}:
            return logged
        try:
            usage, notes = usage_of_details(details)
        except BadInput as bad:
            self._flag("usage_suspect", bad.message)
            return logged
        if logged is not None and (usage.prompt, usage.answer) == (logged.prompt, logged.answer):
            return logged
        if logged is not None:
            self._flag("contradiction", f"counts {details}, but the logged response has {logged}")
        for note in notes:
            self._flag("contradiction", note)
        return usage

    def _cost(self) -> int | None:
        details = as_map(decoded(pick(self.value, "costDetails")))
        cost = details.get("total")
        if cost is None:
            for name in ("totalCost", "calculatedTotalCost"):
                given = pick(self.value, name)
                cost = given if cost is None and given not in (None, "", 0, "0") else cost
        if cost is None:
            return None
        try:
            return nano_from_usd(cost, "totalCost")
        except BadInput as bad:
            self._flag("usage_suspect", bad.message)
            return None

    # -- content

    def _body(self) -> Reading | None:
        """The provider's response, where the output is one."""
        body = as_map(self.output)
        if not any(key in body for key in BODY_KEYS):
            return None
        try:
            return read_response(body)
        except BadInput:
            return None

    def _prompt(self) -> Prompt | None:
        request = _request(self.input)
        if request is None:
            return None
        try:
            prompt = read_request(request)
        except BadInput as bad:
            self._flag("usage_suspect", f"input that cannot be read: {bad.message}")
            return None
        return prompt if prompt.blocks else None

    def _answer(
        self, body: Reading | None
    ) -> tuple[tuple[Block, ...], tuple[ToolUse, ...], str | None]:
        if body is not None and (body.answer_blocks or body.tool_uses):
            return body.answer_blocks, body.tool_uses, body.stop
        blocks: list[Block] = []
        uses: list[ToolUse] = []
        stop: str | None = None
        for message in _answers(self.output):
            try:
                said = {**message, "role": "assistant"}
                reading = message_blocks(said, {}, answering=True)
            except BadInput:
                continue
            blocks += reading.blocks
            uses += reading.tool_uses
            stop = stop or stop_of(message)
        return tuple(blocks), tuple(uses), stop

    def _flag(self, kind: str, what: str) -> None:
        self.flags.append(Flag(kind=kind, where=self.place, what=what))


def _request(given: Any) -> dict[str, Any] | None:
    """The input as a request body. None: it does not show what the model saw."""
    if isinstance(given, str):
        return None if not given or OBJECT_DUMP.match(given) else {"input": given}
    if isinstance(given, list):
        return _with_tools(as_list(cast("object", given)))
    body = as_map(given)
    for key in ("args", "kwargs"):
        inner = as_list(body.get(key))
        if inner and all(isinstance(one, str) for one in inner):
            return {"input": inner}
    found = next((body[key] for key in REQUEST_KEYS if body.get(key)), None)
    if found is None:
        return {"messages": [body]} if "role" in body and "content" in body else None
    texts = [one for one in as_list(found) if isinstance(one, str)]
    if any(OBJECT_DUMP.match(text) for text in texts):
        return None
    options = as_map(body.get("config"))
    extra = {"system_instruction": options.get("system_instruction"), "tools": options.get("tools")}
    return {**{key: held for key, held in extra.items() if held}, **body}


def _with_tools(given: list[Any]) -> dict[str, Any] | None:
    """Messages; LangChain lists the tools among them, each as a message of the role `tool`."""
    if not maps(given):
        texts = [one for one in given if isinstance(one, str)]
        return {"input": texts} if texts and not any(map(OBJECT_DUMP.match, texts)) else None
    tools: list[Any] = []
    messages: list[Any] = []
    for message in maps(given):
        content = as_map(message.get("content"))
        is_tool = content.get("type") == "function" and "function" in content
        (tools if is_tool else messages).append(content if is_tool else message)
    return {"messages": messages, "tools": tools}


def _answers(given: Any) -> list[dict[str, Any]]:
    """The output as messages."""
    if isinstance(given, str):
        return [{"content": given}] if given and not OBJECT_DUMP.match(given) else []
    if isinstance(given, list):
        rows = maps(cast("object", given))
        calls = [one for one in rows if "toolName" in one]
        if calls:
            return [{"tool_calls": [_kit_call(call) for call in calls]}]
        return [one for one in rows if {"role", "content", "parts"} & one.keys()]
    body = as_map(given)
    for key in ("message", "response"):
        if isinstance(body.get(key), dict):
            return [as_map(body[key])]
    candidates = maps(body.get("candidates"))
    if candidates:
        return [{"parts": at(one, ("content", "parts"))} for one in candidates]
    kwargs = as_map(body.get("additional_kwargs"))
    if "content" in body or "parts" in body:
        content = body.get("content")
        inner = as_map(content)
        if "parts" in inner:
            return [{"parts": inner["parts"]}]
        calls = body.get("tool_calls") or kwargs.get("tool_calls")
        return [{**body, "tool_calls": calls}]
    return []


def _kit_call(call: dict[str, Any]) -> dict[str, Any]:
    arguments = call.get("input", call.get("args"))
    return {
        "id": call.get("toolCallId"),
        "function": {"name": call.get("toolName"), "arguments": arguments},
    }


def _provider(metadata: dict[str, Any]) -> str | None:
    attributes = as_map(metadata.get("attributes"))
    for held in (
        attributes.get("gen_ai.provider.name"),
        attributes.get("gen_ai.system"),
        metadata.get("ls_provider"),
        attributes.get("llm.provider"),
        attributes.get("llm.system"),
    ):
        if isinstance(held, str) and held:
            return provider_named(held)
    return None


def _bound(parameters: dict[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens", "maxTokens"):
        value = parameters.get(name)
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if type(value) is int and value > 0:
            return value
    return None
