"""The wire of OpenAI's `/v1/responses`: items instead of choices, and an event for every step."""

from __future__ import annotations

from typing import Any

from bursar.dialects.wire import as_list, as_map, text_of
from bursar.simulator.asking import Asked
from bursar.simulator.wires.openai import JSON, SSE, TIERS, huge_line
from bursar.simulator.wires.reply import (
    Headers,
    Problem,
    Reply,
    arguments_text,
    chunks,
    encode,
    use_id,
)

INCOMPLETE = {"max_tokens": "max_output_tokens", "filter": "content_filter"}
ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Fields of the request that the answer repeats, and what stands there without them."""
Item = dict[str, Any]


class ResponsesWire:
    """`/v1/responses`."""

    dialect = "openai_responses"
    reasoning_apart = True
    media_type = JSON
    stream_type = SSE

    def check(self, asked: Asked) -> None:
        given = asked.body.get("input")
        if text_of(given) is None and not as_list(given):
            raise Problem(400, "Missing required parameter: 'input'.", param="input")

    def response_id(self, digits: str) -> str | None:
        return f"resp_{digits}"

    def usage(self, reply: Reply) -> dict[str, Any]:
        usage = reply.usage
        return {
            "input_tokens": usage.prompt,
            "input_tokens_details": {
                "cached_tokens": usage.cache_read,
                "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
            },
            "output_tokens": usage.answer,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.prompt + usage.answer,
        }

    def headers(self, reply: Reply) -> Headers:
        return []

    def whole(self, reply: Reply) -> bytes:
        return encode(self._response(reply, _items(reply)))

    def events(self, reply: Reply) -> list[bytes]:
        tape = _Tape()
        begun = {**self._response(reply, []), "status": "in_progress", "usage": None}
        tape.add("response.created", response=begun)
        tape.add("response.in_progress", response=begun)
        items = _items(reply)
        for place, item in enumerate(items):
            _STEPS[item["type"]](tape, place, item)
        final = self._response(reply, items)
        tape.add(f"response.{final['status']}", response=final)
        return tape.events

    def huge(self, size_bytes: int) -> bytes:
        return huge_line(size_bytes)

    def _response(self, reply: Reply, items: list[Item]) -> dict[str, Any]:
        body = reply.asked.body
        cut = INCOMPLETE.get(reply.answer.stop)
        response = {name: body.get(name, value) for name, value in ECHOED.items()}
        response |= {
            "id": self.response_id(reply.hex),
            "object": "response",
            "created_at": reply.asked.made_at_s,
            "status": "incomplete" if cut else "completed",
            "background": False,
            "error": None,
            "incomplete_details": {"reason": cut} if cut else None,
            "model": reply.asked.model,
            "output": items,
            "reasoning": {"effort": None, "summary": None, **_reasoning(body)},
            "service_tier": TIERS.get(reply.price_class, reply.price_class),
        }
        if reply.shown is not None:
            response["usage"] = reply.shown
        return response


def _reasoning(body: dict[str, Any]) -> dict[str, Any]:
    return as_map(body.get("reasoning"))


def _items(reply: Reply) -> list[Item]:
    said, digits = reply.answer.said, reply.hex
    found: list[Item] = []
    if said.thinking:
        summary = [{"type": "summary_text", "text": said.thinking}]
        found.append({"id": use_id("rs_", digits, 0), "type": "reasoning", "summary": summary})
    if said.text or not said.tools:
        found.append(
            {
                "id": use_id("msg_", digits, 0),
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [_part(said.text)],
            }
        )
    for n, use in enumerate(said.tools):
        found.append(
            {
                "id": use_id("fc_", digits, n),
                "type": "function_call",
                "status": "completed",
                "call_id": use_id("call_", digits, n),
                "name": use.name,
                "arguments": arguments_text(use.arguments),
            }
        )
    return found


def _part(text: str) -> Item:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


class _Tape:
    """Events, numbered."""

    def __init__(self) -> None:
        self.events: list[bytes] = []

    def add(self, kind: str, **fields: Any) -> None:
        value = {"type": kind, "sequence_number": len(self.events), **fields}
        self.events.append(b"event: %s\ndata: %s\n\n" % (kind.encode(), encode(value)))


def _message(tape: _Tape, place: int, item: Item) -> None:
    text = item["content"][0]["text"]
    at: dict[str, Any] = {"item_id": item["id"], "output_index": place, "content_index": 0}
    begun: Item = {**item, "status": "in_progress", "content": []}
    tape.add("response.output_item.added", output_index=place, item=begun)
    tape.add("response.content_part.added", **at, part=_part(""))
    for piece in chunks(text):
        tape.add("response.output_text.delta", **at, delta=piece, logprobs=[])
    tape.add("response.output_text.done", **at, text=text, logprobs=[])
    tape.add("response.content_part.done", **at, part=_part(text))
    tape.add("response.output_item.done", output_index=place, item=item)


def _call(tape: _Tape, place: int, item: Item) -> None:
    at: dict[str, Any] = {"item_id": item["id"], "output_index": place}
    begun = {**item, "status": "in_progress", "arguments": ""}
    tape.add("response.output_item.added", output_index=place, item=begun)
    for piece in chunks(item["arguments"]):
        tape.add("response.function_call_arguments.delta", **at, delta=piece)
    tape.add(
        "response.function_call_arguments.done",
        **at,
        name=item["name"],
        arguments=item["arguments"],
    )
    tape.add("response.output_item.done", output_index=place, item=item)


def _thought(tape: _Tape, place: int, item: Item) -> None:
    text = item["summary"][0]["text"]
    at: dict[str, Any] = {"item_id": item["id"], "output_index": place, "summary_index": 0}
    tape.add("response.output_item.added", output_index=place, item={**item, "summary": []})
    tape.add(
        "response.reasoning_summary_part.added", **at, part={"type": "summary_text", "text": ""}
    )
    for piece in chunks(text):
        tape.add("response.reasoning_summary_text.delta", **at, delta=piece)
    tape.add("response.reasoning_summary_text.done", **at, text=text)
    tape.add("response.reasoning_summary_part.done", **at, part=item["summary"][0])
    tape.add("response.output_item.done", output_index=place, item=item)


_STEPS = {"message": _message, "function_call": _call, "reasoning": _thought}
