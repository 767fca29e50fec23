"""The table of `docs/crossing.md`, made by sending an example of each row across.

`python -m tests.dialects.translate.page` writes the page anew; a test compares the two.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bursar.dialects.translate.crossing import TARGETS, cross
from bursar.model.errors import Refused
from tests.dialects.translate.made import ANTHROPIC, CHAT, CONVERSE, MODEL, RESPONSES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "crossing.md"
BEGIN, END = "<!-- rows: made by the tests -->\n", "<!-- rows end -->\n"
Body = dict[str, Any]
PIXEL = "aGVsbG8="
SCHEMA: Body = {"type": "object", "properties": {}}


def _chat(*parts: Any, **fields: Any) -> Body:
    messages = [{"role": "user", "content": list(parts) or "hi"}]
    return {"model": "m", "max_completion_tokens": 9, "messages": messages} | fields


def _chat_tools(**fields: Any) -> Body:
    return _chat(tools=[{"type": "function", "function": {"name": "f"}}], **fields)


def _responses(*items: Any, **fields: Any) -> Body:
    return {"model": "m", "max_output_tokens": 9, "input": list(items) or "hi"} | fields


def _blocks(*parts: Any, **fields: Any) -> Body:
    messages = [{"role": "user", "content": list(parts) or "hi"}]
    return {"model": "m", "max_tokens": 9, "messages": messages} | fields


def _converse(*parts: Any, **fields: Any) -> Body:
    messages = [{"role": "user", "content": list(parts) or [{"text": "hi"}]}]
    return {"messages": messages, "inferenceConfig": {"maxTokens": 9}} | fields


def _history(*messages: Any) -> list[Any]:
    return [{"role": "user", "content": "hi"}, *messages]


URL = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
INLINE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
POINT = {"cachePoint": {"type": "default"}}
CACHED = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
STRICT = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": False}}
TOOL_SPEC = {"toolSpec": {"name": "f", "inputSchema": {"json": SCHEMA}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "s"}

ROWS: dict[str, list[tuple[str, Body, Body]]] = {
    CHAT: [
        ("`messages` of role system or developer", _chat(), _chat(messages=[
            {"role": "system", "content": "be brief"}, *_history()])),
        ("a system message amid the conversation", _chat(), _chat(messages=_history(
            {"role": "system", "content": "be brief"}))),
        ("image as bytes", _chat(), _chat(INLINE)),
        ("image by URL", _chat(), _chat(URL)),
        ("image `detail`", _chat(INLINE), _chat(
            {"type": "image_url", "image_url": INLINE["image_url"] | {"detail": "high"}})),
        ("`prompt_cache_breakpoint`", _chat({"type": "text", "text": "hi"}), _chat(
            {"type": "text", "text": "hi", "prompt_cache_breakpoint": {"mode": "explicit"}})),
        ("audio", _chat(), _chat({"type": "input_audio", "input_audio": {"data": ""}})),
        ("files", _chat(), _chat({"type": "file", "file": {"file_id": "f"}})),
        ("names of speakers", _chat(), _chat(messages=[
            {"role": "user", "name": "ann", "content": "hi"}])),
        ("an assistant's message first", _chat(), _chat(messages=[
            {"role": "assistant", "content": "hi"}, *_history()])),
        ("an assistant's message last", _chat(), _chat(messages=_history(
            {"role": "assistant", "content": "hi"}))),
        ("`reasoning_content` in the history", _chat(), _chat(messages=_history(
            {"role": "assistant", "content": "a", "reasoning_content": "b"}, *_history()))),
        ("blank texts", _chat(messages=_history({"role": "assistant", "content": "a"},
            *_history())), _chat(messages=_history({"role": "assistant", "content": "a"},
            {"role": "user", "content": " "}, *_history()))),
        ("tool calls and results", _chat_tools(), _chat_tools(messages=_history(
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c", "content": "x"}))),
        ("tool calls without `tools`", _chat(), _chat(messages=_history(
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c", "content": "x"}))),
        ("arguments that are no JSON object", _chat_tools(), _chat_tools(messages=_history(
            {"role": "assistant", "tool_calls": [CALL | {"function": {
                "name": "f", "arguments": "{"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "x"}))),
        ("`tools`", _chat(), _chat_tools()),
        ("strict tools", _chat_tools(), _chat(tools=[
            {"type": "function", "function": {"name": "f", "strict": True}}])),
        ("custom tools", _chat(), _chat(tools=[{"type": "custom", "custom": {"name": "f"}}])),
        ("`tool_choice: required`", _chat_tools(), _chat_tools(tool_choice="required")),
        ("`tool_choice` of one tool", _chat_tools(), _chat_tools(
            tool_choice={"type": "function", "function": {"name": "f"}})),
        ("`tool_choice: none`", _chat_tools(), _chat_tools(tool_choice="none")),
        ("`parallel_tool_calls: false`", _chat_tools(tool_choice="auto"), _chat_tools(
            tool_choice="auto", parallel_tool_calls=False)),
        ("`functions`, `function_call`", _chat(), _chat(functions=[{"name": "f"}])),
        ("no limit of tokens", _chat(), {"model": "m", "messages": _history()}),
        ("`stop`", _chat(), _chat(stop=["a"])),
        ("`temperature` up to 1, `top_p`", _chat(), _chat(temperature=0.5, top_p=0.5)),
        ("`temperature` above 1", _chat(), _chat(temperature=1.5)),
        ("`response_format` with a schema", _chat(), _chat(response_format=FORMAT)),
        ("`strict: false` of a schema", _chat(), _chat(response_format=STRICT)),
        ("`response_format: json_object`", _chat(), _chat(response_format={
            "type": "json_object"})),
        ("`reasoning_effort` low to max", _chat(), _chat(reasoning_effort="high")),
        ("`reasoning_effort: minimal`", _chat(), _chat(reasoning_effort="minimal")),
        ("`reasoning_effort: none`", _chat(), _chat(reasoning_effort="none")),
        ("`service_tier: default`", _chat(), _chat(service_tier="default")),
        ("`service_tier: flex`, `priority`", _chat(), _chat(service_tier="flex")),
        ("`service_tier: fast`", _chat(), _chat(service_tier="fast")),
        ("`user`, `safety_identifier`", _chat(), _chat(user="u")),
        ("`metadata`", _chat(), _chat(metadata={"team": "a"})),
        ("`prompt_cache_key` and options", _chat(), _chat(prompt_cache_key="k")),
        ("`verbosity`", _chat(), _chat(verbosity="low")),
        ("`store`", _chat(), _chat(store=True)),
        ("`stream`", _chat(), _chat(stream=True)),
        *((f"`{name}`", _chat(), _chat(**{name: value})) for name, value in (
            ("n", 2), ("logprobs", True), ("logit_bias", {"1": 1}), ("seed", 1),
            ("frequency_penalty", 0.5), ("presence_penalty", 0.5), ("prediction", {"type": "x"}),
            ("modalities", ["audio"]), ("audio", {"voice": "x"}), ("web_search_options", {"a": 1}),
            ("moderation", {"model": "x"}))),
    ],
    RESPONSES: [
        ("`instructions`", _responses(), _responses(instructions="be brief")),
        ("messages, function calls and outputs", _responses(tools=[
            {"type": "function", "name": "f"}]), _responses(
            {"role": "user", "content": "hi"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "x"},
            tools=[{"type": "function", "name": "f"}])),
        ("reasoning items", _responses({"role": "user", "content": "hi"}), _responses(
            {"role": "user", "content": "hi"}, {"type": "reasoning", "id": "r", "summary": []})),
        ("encrypted reasoning", _responses(), _responses(
            {"type": "reasoning", "id": "r", "encrypted_content": "x"})),
        ("`item_reference`", _responses(), _responses({"type": "item_reference", "id": "x"})),
        ("`include` of encrypted reasoning", _responses(), _responses(
            include=["reasoning.encrypted_content"])),
        ("other `include`", _responses(), _responses(include=["message.output_text.logprobs"])),
        ("`reasoning.effort`", _responses(), _responses(reasoning={"effort": "low"})),
        ("`reasoning.summary`", _responses(), _responses(reasoning={"summary": "auto"})),
        ("`text.format` with a schema", _responses(), _responses(text={"format": {
            "type": "json_schema", "name": "n", "schema": SCHEMA}})),
        ("`text.verbosity`", _responses(), _responses(text={"verbosity": "low"})),
        ("server-side tools", _responses(), _responses(tools=[{"type": "web_search"}])),
        ("`prompt_cache_key` and options", _responses(), _responses(prompt_cache_key="k")),
        *((f"`{name}`", _responses(), _responses(**{name: value})) for name, value in (
            ("previous_response_id", "r"), ("conversation", "c"), ("prompt", {"id": "p"}),
            ("background", True), ("truncation", "auto"), ("max_tool_calls", 3),
            ("context_management", [{"type": "compaction"}]), ("top_logprobs", 3))),
    ],
    ANTHROPIC: [
        ("`system`", _blocks(), _blocks(system="be brief")),
        ("`cache_control` of a block", _blocks({"type": "text", "text": "hi"}), _blocks(CACHED)),
        ("`cache_control` of the call", _blocks(), _blocks(cache_control={"type": "ephemeral"})),
        ("image as bytes", _blocks(), _blocks({"type": "image", "source": {
            "type": "base64", "media_type": "image/png", "data": PIXEL}})),
        ("image by URL", _blocks(), _blocks({"type": "image", "source": {
            "type": "url", "url": "https://example.com/a.png"}})),
        ("files, documents", _blocks(), _blocks({"type": "document", "source": {}, "title": "x"})),
        ("citations", _blocks(), _blocks({"type": "text", "text": "a", "citations": [{}]})),
        ("a begun answer (prefill)", _blocks(), _blocks(messages=_history(
            {"role": "assistant", "content": "The"}))),
        ("signed thinking in the history", _blocks(), _blocks(messages=_history(
            {"role": "assistant", "content": [SIGNED]}, *_history()))),
        ("a failed tool (`is_error`)", _blocks(tools=[{"name": "f", "input_schema": SCHEMA}]),
            _blocks(tools=[{"name": "f", "input_schema": SCHEMA}], messages=_history(
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c", "is_error": True}]}))),
        ("an image in a tool result", _blocks(tools=[{"name": "f", "input_schema": SCHEMA}]),
            _blocks(tools=[{"name": "f", "input_schema": SCHEMA}], messages=_history(
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png",
                                             "data": PIXEL}}]}]}))),
        ("`tool_choice: any`", _blocks(tools=[{"name": "f"}]), _blocks(
            tools=[{"name": "f"}], tool_choice={"type": "any"})),
        ("`disable_parallel_tool_use`", _blocks(tools=[{"name": "f"}]), _blocks(
            tools=[{"name": "f"}],
            tool_choice={"type": "auto", "disable_parallel_tool_use": True})),
        ("server-side tools", _blocks(), _blocks(tools=[
            {"type": "web_search_20250305", "name": "w"}])),
        ("`max_tokens: 0` (warming a cache)", _blocks(), _blocks(max_tokens=0)),
        ("more than 4 `stop_sequences`", _blocks(), _blocks(stop_sequences=list("abcde"))),
        ("`top_k`", _blocks(), _blocks(top_k=5)),
        ("`thinking: enabled`, with a budget", _blocks(), _blocks(
            thinking={"type": "enabled", "budget_tokens": 2048})),
        ("`thinking: adaptive`", _blocks(), _blocks(thinking={"type": "adaptive"})),
        ("`thinking: disabled`", _blocks(), _blocks(thinking={"type": "disabled"})),
        ("`output_config.effort`", _blocks(), _blocks(output_config={"effort": "low"})),
        ("`output_config.format`", _blocks(), _blocks(output_config={"format": {
            "type": "json_schema", "schema": SCHEMA}})),
        ("`service_tier: standard_only`", _blocks(), _blocks(service_tier="standard_only")),
        ("`speed: fast`", _blocks(), _blocks(speed="fast")),
        ("`metadata.user_id`", _blocks(), _blocks(metadata={"user_id": "u"})),
        *((f"`{name}`", _blocks(), _blocks(**{name: value})) for name, value in (
            ("inference_geo", "eu"), ("container", "c"), ("context_management", {"edits": [1]}),
            ("mcp_servers", [{"url": "x"}]), ("diagnostics", {"previous_message_id": "m"}))),
    ],
    CONVERSE: [
        ("`system`", _converse(), _converse(system=[{"text": "be brief"}])),
        ("`cachePoint`", _converse(), _converse({"text": "hi"}, POINT)),
        ("image as bytes", _converse(), _converse({"image": {
            "format": "png", "source": {"bytes": PIXEL}}})),
        ("image in S3", _converse(), _converse({"image": {
            "format": "png", "source": {"s3Location": {"uri": "s3://a/b"}}}})),
        ("documents, video, audio", _converse(), _converse({"document": {"name": "x"}})),
        ("guardrail contents", _converse(), _converse({"guardContent": {"text": {"text": "x"}}})),
        ("`reasoningContent` in the history", _converse(), _converse(messages=[
            {"role": "user", "content": [{"text": "hi"}]},
            {"role": "assistant", "content": [{"reasoningContent": {
                "reasoningText": {"text": "hm", "signature": "s"}}}]},
            {"role": "user", "content": [{"text": "hi"}]}])),
        ("JSON in a tool result", _converse(toolConfig={"tools": [TOOL_SPEC]}), _converse(
            {"toolResult": {"toolUseId": "c", "content": [{"json": {"a": 1}}]}},
            toolConfig={"tools": [TOOL_SPEC]})),
        ("`toolConfig.tools`", _converse(), _converse(toolConfig={"tools": [TOOL_SPEC]})),
        ("`toolChoice: any`", _converse(toolConfig={"tools": [TOOL_SPEC]}), _converse(
            toolConfig={"tools": [TOOL_SPEC], "toolChoice": {"any": {}}})),
        ("system tools", _converse(), _converse(toolConfig={"tools": [
            {"systemTool": {"name": "x"}}]})),
        ("`outputConfig.textFormat`", _converse(), _converse(outputConfig={"textFormat": {
            "type": "json_schema", "structure": {"jsonSchema": {"schema": json.dumps(SCHEMA)}}}})),
        ("`outputConfig.effort`", _converse(), _converse(outputConfig={"effort": "low"})),
        ("`serviceTier`: flex, priority", _converse(), _converse(serviceTier={"type": "flex"})),
        ("`serviceTier`: reserved", _converse(), _converse(serviceTier={"type": "reserved"})),
        ("`requestMetadata`", _converse(), _converse(requestMetadata={"team": "a"})),
        ("`additionalModelRequestFields.thinking`", _converse(), _converse(
            additionalModelRequestFields={"thinking": {"type": "enabled", "budget_tokens": 2048}})),
        ("`additionalModelRequestFields.top_k`", _converse(), _converse(
            additionalModelRequestFields={"top_k": 5})),
        ("other `additionalModelRequestFields`", _converse(), _converse(
            additionalModelRequestFields={"x": 5})),
        *((f"`{name}`", _converse(), _converse(**{name: value})) for name, value in (
            ("guardrailConfig", {"guardrailIdentifier": "g"}),
            ("performanceConfig", {"latency": "optimized"}),
            ("promptVariables", {"a": {"text": "b"}}),
            ("additionalModelResponseFieldPaths", ["/x"]))),
    ],
}  # fmt: skip


def verdict(source: str, target: str, base: Body, body: Body) -> str:
    """How the target takes what `body` has beyond `base`."""
    if source == target:
        return ""
    plain = cross(base, source, target, MODEL)
    try:
        found = cross(body, source, target, MODEL)
    except Refused as refusal:
        return f"**refused**: {refusal.message.partition(': ')[2]}"
    before, after = json.loads(plain.body), json.loads(found.body)
    changed = [key for key in after if after[key] != before.get(key)]
    said = f"carried: {', '.join(f'`{key}`' for key in changed)}" if changed else ""
    notes = [_short(note) for note in found.notes if note not in plain.notes]
    return "; ".join(filter(None, [said, *notes])) or "the default"


def _short(note: str) -> str:
    pointer, _, rest = note.partition(" ")
    return f"noted: {rest if pointer.startswith('/') else note}"


def rows() -> str:
    out: list[str] = []
    for source, listed in ROWS.items():
        targets = [target for target in TARGETS if target != source]
        out.append(f"### Asked in `{source}`\n")
        out.append("| asked | " + " | ".join(f"to `{target}`" for target in targets) + " |")
        out.append("|---" * (len(targets) + 1) + "|")
        for name, base, body in listed:
            cells = [verdict(source, target, base, body) for target in targets]
            out.append(f"| {name} | " + " | ".join(cells) + " |")
        out.append("")
    return "\n".join(out) + "\n"


def written() -> str:
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return head + BEGIN + "\n" + rows() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
