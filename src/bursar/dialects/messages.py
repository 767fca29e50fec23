"""Messages of any wire shape -> blocks, one block per part.

Transcripts mix shapes, so a message is read by what it holds, not by the dialect that it claims:
OpenAI chat (content, tool_calls), Anthropic blocks, Converse blocks, Gemini parts, Responses items,
OpenTelemetry parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bursar.dialects.kinds import role_of
from bursar.dialects.parts import TYPED, read_part
from bursar.dialects.sheet import Sheet, mark_of, unmarked
from bursar.dialects.wire import as_list, as_map, canonical, is_map, maps, text_of
from bursar.model.block import Block, Kind, Mark, Role
from bursar.model.entry import ToolOutcome, ToolUse
from bursar.model.errors import BadInput


class MessageReading(msgspec.Struct, frozen=True, kw_only=True):
    """One message, read."""

    blocks: tuple[Block, ...]
    tool_uses: tuple[ToolUse, ...] = ()
    """What the message asks tools for."""
    tool_outcomes: tuple[ToolOutcome, ...] = ()
    """What tools answered in it."""


def message_blocks(
    message: Mapping[str, Any],
    names: dict[str, str],
    *,
    capture: bool = False,
    answering: bool = False,
    salt: bytes = b"",
) -> MessageReading:
    """Blocks, tool uses and tool outcomes of one message of any shape.

    `names` maps the id of a tool use to the tool's name; it is added to here, so that a result in a
    later message gets its tool's name. With `capture` the blocks keep their text. With `answering`
    the message is the answer of this call, and what the model says is `output`. `salt` keeps the
    digests of tenants apart. Raises BadInput for nesting that is too deep.
    """
    sheet = Sheet(names, capture=capture, answering=answering, salt=salt)
    try:
        read_message(sheet, as_map(message))
    except RecursionError as bad:
        raise BadInput(
            "message is nested too deeply", mend="nest JSON in it no deeper than 500 levels"
        ) from bad
    return MessageReading(
        blocks=tuple(sheet.blocks),
        tool_uses=tuple(sheet.uses),
        tool_outcomes=tuple(sheet.outcomes),
    )


def read_message(sheet: Sheet, message: dict[str, Any]) -> None:
    """Put one message on the sheet."""
    word = message.get("role")
    kind = message.get("type")
    if word is None and isinstance(kind, str) and kind in TYPED:
        _read_item(sheet, kind, message)
        return
    role = role_of(word if word is not None else kind)
    content = message.get("content")
    if content is None:
        content = message.get("parts", message.get("message"))
    thought = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(thought, str) and thought:
        sheet.text(role, thought)
    if role is Role.TOOL and not _holds_results(content):
        _tool_message(sheet, message, content)
    elif isinstance(content, str):
        sheet.text(role, content, mark_of(message))
    elif content is not None:
        for part in as_list(content) or [content]:
            read_part(sheet, role, part)
    for key in ("refusal", "tool_plan"):
        said = message.get(key)
        if isinstance(said, str):
            sheet.text(role, said)
    calls = message.get("tool_calls")
    for call in maps(calls) if calls else ():
        function = as_map(call.get("function")) or call
        arguments = function.get("arguments", function.get("args", function.get("parameters")))
        sheet.tool_use(call.get("id"), function.get("name"), arguments)
    legacy = message.get("function_call")
    if legacy is not None and is_map(legacy):
        call = as_map(legacy)
        sheet.tool_use(None, call.get("name"), call.get("arguments"))


def _read_item(sheet: Sheet, kind: str, item: dict[str, Any]) -> None:
    """An item of Responses, which has no role: its type tells who speaks."""
    if kind == "reasoning":
        texts = maps(item.get("summary")) + maps(item.get("content"))
        sheet.text(Role.ASSISTANT, "\n".join(str(piece.get("text") or "") for piece in texts))
    else:
        TYPED[kind](sheet, Role.USER, item)


_RESULTS = frozenset(("tool_result", "tool_call_response", "tool-result"))


def _holds_results(content: object) -> bool:
    """Whether the parts of a tool's message say themselves that they are results."""
    return any(
        text_of(part.get("type")) in _RESULTS
        or any(key in part for key in ("toolResult", "functionResponse", "function_response"))
        for part in maps(content)
    )


def _tool_message(sheet: Sheet, message: dict[str, Any], content: object) -> None:
    status = message.get("status")
    failed = {"error": True, "success": False}.get(status) if isinstance(status, str) else None
    flag = message.get("is_error")
    sheet.tool_result(
        message.get("tool_call_id") or message.get("tool_use_id"),
        content,
        name=message.get("name"),
        failed=flag if isinstance(flag, bool) else failed,
        mark=mark_of(message),
    )


def system_blocks(system: object, *, capture: bool = False, salt: bytes = b"") -> tuple[Block, ...]:
    """Blocks of a system prompt that stands beside the messages: a text, or a list of parts."""
    sheet = Sheet({}, capture=capture, salt=salt)
    content = as_map(system).get("parts", system)
    for part in as_list(content) or [content]:
        read_part(sheet, Role.SYSTEM, part)
    return tuple(sheet.blocks)


def tool_blocks(tools: Sequence[Mapping[str, Any]], *, salt: bytes = b"") -> tuple[Block, ...]:
    """One block per tool specification, of any dialect; its name is the tool's name."""
    sheet = Sheet({}, salt=salt)
    sheet.overhead = 0
    for tool in maps(tools):
        if set(tool) == {"cachePoint"}:
            sheet.mark_last(mark_of(tool))
            continue
        declared = maps(tool.get("functionDeclarations") or tool.get("function_declarations"))
        for spec in declared or [tool]:
            mark = mark_of(spec)
            spec = unmarked(spec)
            sheet.raw(
                Role.TOOL_SPEC, canonical(spec), kind=Kind.TOOLS, name=_tool_name(spec), mark=mark
            )
    return tuple(sheet.blocks)


def _tool_name(spec: dict[str, Any]) -> str | None:
    for key in ("function", "toolSpec", "systemTool"):
        inner = as_map(spec.get(key))
        if inner:
            spec = inner
            break
    name = text_of(spec.get("name")) or text_of(spec.get("type"))
    return name or next((key for key in spec if spec[key] == {}), None)


def read_messages(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
    *,
    system: object = None,
    capture: bool = False,
) -> list[tuple[Block, ...]]:
    """One tuple of blocks per message. Tools and the system prompt open the first tuple."""
    head = tool_blocks(tools)
    if system is not None:
        head += system_blocks(system, capture=capture)
    names: dict[str, str] = {}
    found = [message_blocks(one, names, capture=capture).blocks for one in messages]
    if not head:
        return found
    return [head + found[0], *found[1:]] if found else [head]


def mark_end(blocks: tuple[Block, ...], mark: Mark) -> tuple[Block, ...]:
    """The blocks, with a cache mark at the last one that has none."""
    if mark is Mark.NONE or not blocks or blocks[-1].mark is not Mark.NONE:
        return blocks
    return (*blocks[:-1], msgspec.structs.replace(blocks[-1], mark=mark))
