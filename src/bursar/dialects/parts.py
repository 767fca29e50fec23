"""One reader per type of message part, in two tables: parts that name their type, and parts whose
only key is their type (Converse, Gemini). A part that no table knows is still a block: opaque, with
the bytes it has, so that nothing in a prompt goes uncounted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from bursar.dialects.sheet import (
    AUDIO_TOKENS,
    DOCUMENT_TOKENS,
    IMAGE_TOKENS,
    VIDEO_TOKENS,
    Sheet,
    mark_of,
    unmarked,
)
from bursar.dialects.tokens import estimate_tokens
from bursar.dialects.wire import as_list, as_map, at, canonical, maps, text_of
from bursar.model.block import Kind, Role

Part = dict[str, Any]
Reader = Callable[[Sheet, Role, Part], None]


def read_part(sheet: Sheet, role: Role, part: object) -> None:
    """Put one part of a message on the sheet."""
    if isinstance(part, str):
        sheet.text(role, part)
        return
    fields = as_map(part)
    if not fields:
        return
    kind = fields.get("type")
    reader = TYPED.get(kind) if isinstance(kind, str) else None
    if reader is None:
        reader = next((KEYED[key] for key in fields if key in KEYED), _opaque)
    reader(sheet, role, fields)


def _opaque(sheet: Sheet, role: Role, part: Part) -> None:
    sheet.raw(role, canonical(unmarked(part)), mark=mark_of(part))


def _text(sheet: Sheet, role: Role, part: Part) -> None:
    text = part.get("text")
    if text is None:
        text = part.get("content")
    if isinstance(text, str):
        kind = Kind.HISTORY if part.get("thought") is True and not sheet.answering else None
        sheet.text(role, text, mark_of(part), kind)
    elif text is not None:
        _opaque(sheet, role, part)


def _thinking(sheet: Sheet, role: Role, part: Part) -> None:
    """Signatures are no tokens of the prompt; hidden thinking counts by its size."""
    text = next(
        (
            found
            for key in ("thinking", "text", "reasoning", "content", "data")
            if isinstance(found := part.get(key), str) and found
        ),
        None,
    )
    if text is not None:
        sheet.text(role, text, mark_of(part))


def _reasoning_content(sheet: Sheet, role: Role, part: Part) -> None:
    inner = as_map(part.get("reasoningContent"))
    text = text_of(at(inner, ("reasoningText", "text"))) or text_of(inner.get("text"))
    if text is not None:
        sheet.text(role, text)
    elif inner:
        sheet.raw(role, canonical(inner))


def _tool_use(sheet: Sheet, role: Role, part: Part) -> None:
    """Anthropic `tool_use`, Responses `function_call`, OpenTelemetry `tool_call`."""
    function = as_map(part.get("function")) or part
    known = part.get("call_id") or part.get("id")
    arguments = function.get("input", function.get("arguments", function.get("action")))
    sheet.tool_use(known, function.get("name") or part.get("type"), arguments, mark_of(part))


def _tool_result(sheet: Sheet, role: Role, part: Part) -> None:
    """Anthropic `tool_result`, Responses `..._output`, OpenTelemetry `tool_call_response`."""
    keys = ("content", "output", "response", "result")
    content = next((part[key] for key in keys if part.get(key) is not None), None)
    flag = part.get("is_error")
    sheet.tool_result(
        part.get("tool_use_id") or part.get("call_id") or part.get("id"),
        content,
        name=part.get("name"),
        failed=flag if isinstance(flag, bool) else None,
        mark=mark_of(part),
    )


def _served_result(sheet: Sheet, role: Role, part: Part) -> None:
    """The result of a tool that the provider ran: searched text enters the prompt."""
    content = part.get("content")
    failed = str(at(content, ("type",))).endswith("_error") if content else None
    kind = (
        Kind.RAG
        if "search" in str(part.get("type")) or "fetch" in str(part.get("type"))
        else (Kind.TOOL_RESULT)
    )
    if sheet.answering:
        kind = Kind.OUTPUT
    sheet.tool_result(
        part.get("tool_use_id"), content, failed=failed or None, mark=mark_of(part), kind=kind
    )


def _converse_use(sheet: Sheet, role: Role, part: Part) -> None:
    use = as_map(part.get("toolUse"))
    sheet.tool_use(use.get("toolUseId"), use.get("name"), use.get("input"))


def _converse_result(sheet: Sheet, role: Role, part: Part) -> None:
    result = as_map(part.get("toolResult"))
    failed = {"error": True, "success": False}.get(str(result.get("status")))
    sheet.tool_result(result.get("toolUseId"), result.get("content"), failed=failed)


def _gemini_call(sheet: Sheet, role: Role, part: Part) -> None:
    call = as_map(part.get("functionCall") or part.get("function_call"))
    sheet.tool_use(call.get("id"), call.get("name"), call.get("args"))


def _gemini_response(sheet: Sheet, role: Role, part: Part) -> None:
    answer = as_map(part.get("functionResponse") or part.get("function_response"))
    sheet.tool_result(answer.get("id"), answer.get("response"), name=answer.get("name"))


def _image(tokens: int) -> Reader:
    def read(sheet: Sheet, role: Role, part: Part) -> None:
        low = "low" in (at(part, ("image_url", "detail")), part.get("detail"))
        count = IMAGE_TOKENS["openai_low"] if low else tokens
        sheet.raw(role, canonical(unmarked(part)), tokens=count, mark=mark_of(part))

    return read


def _clip(tokens: int) -> Reader:
    def read(sheet: Sheet, role: Role, part: Part) -> None:
        sheet.raw(role, canonical(unmarked(part)), tokens=tokens, mark=mark_of(part))

    return read


def _gemini_blob(sheet: Sheet, role: Role, part: Part) -> None:
    blob = as_map(next((part[key] for key in _BLOBS if key in part), None))
    mime = str(blob.get("mimeType") or blob.get("mime_type") or "")
    tokens = _BY_MIME.get(mime.partition("/")[0], DOCUMENT_TOKENS)
    kind = None if mime.partition("/")[0] in _BY_MIME else Kind.RAG
    sheet.raw(role, canonical(part), tokens=tokens, kind=kind)


def _document(sheet: Sheet, role: Role, part: Part) -> None:
    """A document or search result; its text where the body has it, else a constant."""
    inner = as_map(part.get("document") or part.get("searchResult")) or part
    texts = [text for key in ("title", "context", "name") if (text := text_of(inner.get(key)))]
    found = _document_texts(inner)
    raw = canonical(unmarked(part))
    tokens = sum(map(estimate_tokens, texts + found)) if found else DOCUMENT_TOKENS
    sheet.raw(role, raw, tokens=tokens, kind=Kind.RAG, mark=mark_of(part))


def _document_texts(inner: Part) -> list[str]:
    source = as_map(inner.get("source"))
    found = [source.get("text"), inner.get("text"), inner.get("data"), inner.get("content")]
    if source.get("type") == "text" or "text" in str(source.get("media_type")):
        found.append(source.get("data"))
    pieces = maps(inner.get("content")) + maps(source.get("content"))
    found += [piece.get("text") for piece in pieces]
    fields = as_map(inner.get("data"))
    if fields:
        found.append(canonical(fields).decode("utf-8", "replace"))
    return [text for text in found if isinstance(text, str) and text]


def _attached(sheet: Sheet, role: Role, part: Part) -> None:
    """OpenTelemetry's `blob`, `uri` and `file` count by what they show, not by their letters."""
    mime = str(part.get("mime_type") or part.get("media_type") or "")
    modality = str(part.get("modality") or mime or part.get("type"))
    known = _MODALITIES.get(re.split("[/-]", modality, maxsplit=1)[0])
    kind = Kind.RAG if known is None else None
    sheet.raw(role, canonical(part), tokens=known or DOCUMENT_TOKENS, kind=kind)


def _file(sheet: Sheet, role: Role, part: Part) -> None:
    (_attached if "modality" in part else _document)(sheet, role, part)


def _served_use(sheet: Sheet, role: Role, part: Part) -> None:
    """OpenTelemetry's `server_tool_call`."""
    asked = part.get("server_tool_call")
    name = part.get("name") or as_map(asked).get("type")
    sheet.tool_use(part.get("id"), name, asked)


def _served_response(sheet: Sheet, role: Role, part: Part) -> None:
    found = part.get("server_tool_call_response")
    word = as_map(found).get("type")
    _served_result(sheet, role, {"type": word, "tool_use_id": part.get("id"), "content": [found]})


def _cache_point(sheet: Sheet, role: Role, part: Part) -> None:
    sheet.mark_last(mark_of(part))


def _guarded(sheet: Sheet, role: Role, part: Part) -> None:
    read_part(sheet, role, as_map(part.get("guardContent")) or "")


def _cited(sheet: Sheet, role: Role, part: Part) -> None:
    for piece in as_list(at(part, ("citationsContent", "content"))):
        read_part(sheet, role, piece)


def _nothing(sheet: Sheet, role: Role, part: Part) -> None:
    """Parts that only point at something else and hold no tokens of their own."""


_BLOBS = ("inlineData", "inline_data", "fileData", "file_data")
_BY_MIME = {"image": IMAGE_TOKENS["gemini"], "audio": AUDIO_TOKENS, "video": VIDEO_TOKENS}

_MODALITIES = {"image": IMAGE_TOKENS["openai"], "audio": AUDIO_TOKENS, "video": VIDEO_TOKENS}

TYPED: dict[str, Reader] = {
    **dict.fromkeys(("text", "input_text", "output_text", "refusal", "summary_text"), _text),
    **dict.fromkeys(("thinking", "redacted_thinking", "reasoning", "compaction"), _thinking),
    **dict.fromkeys(
        (
            *("tool_use", "server_tool_use", "mcp_tool_use", "tool_call", "function_call"),
            *("function", "custom_tool_call", "mcp_call", "local_shell_call", "computer_call"),
            *("shell_call", "apply_patch_call", "toolCall", "tool-call"),
        ),
        _tool_use,
    ),
    **dict.fromkeys(
        (
            *("tool_result", "tool_call_response", "function_call_output", "mcp_tool_result"),
            *("custom_tool_call_output", "local_shell_call_output", "computer_call_output"),
            *("shell_call_output", "apply_patch_call_output", "tool-result"),
        ),
        _tool_result,
    ),
    **dict.fromkeys(
        (
            *("web_search_tool_result", "web_fetch_tool_result", "tool_search_tool_result"),
            *("code_execution_tool_result", "bash_code_execution_tool_result"),
            "text_editor_code_execution_tool_result",
        ),
        _served_result,
    ),
    **dict.fromkeys(("image_url", "input_image"), _image(IMAGE_TOKENS["openai"])),
    "image": _image(IMAGE_TOKENS["anthropic"]),
    **dict.fromkeys(("document", "search_result", "input_file"), _document),
    "file": _file,
    **dict.fromkeys(("blob", "uri", "binary"), _attached),
    **dict.fromkeys(("image-url", "audio-url", "video-url", "document-url"), _attached),
    "server_tool_call": _served_use,
    "server_tool_call_response": _served_response,
    **dict.fromkeys(("input_audio", "audio"), _clip(AUDIO_TOKENS)),
    "video": _clip(VIDEO_TOKENS),
    "item_reference": _nothing,
    "container_upload": _nothing,
}
"""By the value of a part's `type`."""

KEYED: dict[str, Reader] = {
    "text": _text,
    "toolUse": _converse_use,
    "toolResult": _converse_result,
    "cachePoint": _cache_point,
    "guardContent": _guarded,
    "reasoningContent": _reasoning_content,
    "citationsContent": _cited,
    "image": _image(IMAGE_TOKENS["anthropic"]),
    "document": _document,
    "searchResult": _document,
    "video": _clip(VIDEO_TOKENS),
    "audio": _clip(AUDIO_TOKENS),
    **dict.fromkeys(("functionCall", "function_call"), _gemini_call),
    **dict.fromkeys(("functionResponse", "function_response"), _gemini_response),
    **dict.fromkeys(_BLOBS, _gemini_blob),
}
"""By the key that a part has; the first that is known decides."""

__all__ = ["KEYED", "TYPED", "read_part"]
