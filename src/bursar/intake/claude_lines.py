"""The lines of a Claude Code transcript, as far as a cost is concerned.

Everything else on a line (the second copy of each tool result, file snapshots, diagnostics) is
passed over by the decoder without being built. The parts of a message are read by the dialects,
so that the same content has the same identity here and in every other log.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from bursar.dialects.lens import MessageReading, message_blocks
from bursar.intake.lines import ABSENT, as_list, as_map
from bursar.model.block import Block, Kind, Role, digest_of

DIALECT = "anthropic_messages"
SIGNATURE_CHARS_PER_100_TOKENS = 370
"""Hidden thinking stands in its signature alone. In real transcripts the signature grows by 3.7
characters per token that the provider counted."""
PROVIDER_OF_ID = (("msg_bdrk_", "aws"), ("msg_vrtx_", "google"))
"""Bedrock and Vertex give the answers of these models ids of their own."""
PROVIDER_OF_MODEL = (
    (re.compile(r"arn:|(?:[a-z]+(?:-[a-z]+)?\.)?anthropic\."), "aws"),
    (re.compile(r"[^/]*@"), "google"),
    (re.compile(r"claude"), "anthropic"),
)


class Message(msgspec.Struct):
    """The message of a line: a part of an answer, or what was said to the model."""

    id: str | None = None
    role: str | None = None
    model: str | None = None
    content: Any = None
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None


class Line(msgspec.Struct, rename="camel"):
    """One line. The names are those of the file."""

    type: str | None = None
    subtype: str | None = None
    uuid: str | None = None
    parent_uuid: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    is_sidechain: bool | None = None
    is_compact_summary: bool | None = None
    is_api_error_message: bool | None = None
    api_error_status: Any = None
    error: Any = None
    timestamp: Any = None
    request_id: str | None = None
    message: msgspec.Raw = ABSENT
    attachment: msgspec.Raw = ABSENT
    cost_usd: Any = msgspec.field(default=None, name="costUSD")
    cwd: str | None = None
    version: str | None = None
    entrypoint: str | None = None
    git_branch: str | None = None
    attribution_agent: str | None = None
    effort: Any = None


class Attachment(msgspec.Struct):
    """What the client put beside a message: a file, a queued prompt, a list of names."""

    type: str | None = None
    prompt: Any = None
    content: Any = None


decode_line_of = msgspec.json.Decoder(Line).decode
decode_message = msgspec.json.Decoder(Message).decode
_decode_attachment = msgspec.json.Decoder(Attachment).decode


def learn_tools(content: object, names: dict[str, str]) -> None:
    """Remember which tool each use names, for the result that may be the next line."""
    for part in as_list(content):
        fields = as_map(part)
        use, name = fields.get("id"), fields.get("name")
        if isinstance(use, str) and isinstance(name, str):
            names[use] = name


def read_parts(content: object, role: Role, names: dict[str, str]) -> MessageReading:
    """The blocks of a message, hidden thinking included."""
    hidden = [block for part in as_list(content) if (block := _hidden_thinking(part)) is not None]
    reading = message_blocks({"role": role.value, "content": content}, names)
    if not hidden:
        return reading
    return msgspec.structs.replace(reading, blocks=(*hidden, *reading.blocks))


def attachment_blocks(raw: bytes, names: dict[str, str]) -> tuple[Block, ...]:
    """What an attachment adds to the prompt, where the line shows its text."""
    try:
        attachment = _decode_attachment(raw)
    except msgspec.ValidationError:
        return ()
    shown = attachment.prompt if attachment.prompt is not None else attachment.content
    if shown is None:
        return ()
    text = shown if isinstance(shown, str) else msgspec.json.encode(shown).decode()
    return message_blocks({"role": Role.USER.value, "content": text}, names).blocks


def unseen_block(what: str, role: Role = Role.SYSTEM) -> Block:
    """Stands for tokens that the provider counted and the transcript does not show."""
    return Block(role=role, kind=Kind.UNSEEN, digest=digest_of(what), tokens=None)


def provider_of(model: str | None, message_id: str | None) -> str | None:
    """Who served an answer; None where neither of its names tells."""
    for start, provider in PROVIDER_OF_ID:
        if message_id is not None and message_id.startswith(start):
            return provider
    for pattern, provider in PROVIDER_OF_MODEL:
        if model is not None and pattern.match(model):
            return provider
    return None


def status_of(line: Line) -> int | None:
    """The HTTP status of a failed request, where the line tells it."""
    for value in (line.api_error_status, line.error):
        value = as_map(value).get("status", value)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return None


def _hidden_thinking(part: object) -> Block | None:
    fields = as_map(part)
    if fields.get("type") != "thinking" or fields.get("thinking"):
        return None
    signature: object = fields.get("signature")
    if not isinstance(signature, str) or not signature:
        return None
    return Block(
        role=Role.ASSISTANT,
        kind=Kind.HISTORY,
        digest=digest_of(signature),
        tokens=len(signature) * 100 // SIGNATURE_CHARS_PER_100_TOKENS,
        size_bytes=len(signature),
    )
