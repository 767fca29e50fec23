"""How streams are told from whole answers, and where each dialect's stream says its last word.

The last word matters to whoever promises that an answer which is complete is also recorded: a
client stops reading there, not where the connection ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bursar.dialects.eventstream import MEDIA_TYPE

STREAM_TYPES = (b"text/event-stream", MEDIA_TYPE.encode())

CLOSING: dict[str, tuple[bytes, re.Pattern[bytes]]] = {
    "openai_chat": (b"[DONE]", re.compile(rb"(?:^|\n)data: ?\[DONE\]")),
    "openai_responses": (
        b"event: response.",
        re.compile(rb"(?:^|\n)event: ?response\.(?:completed|incomplete|failed)"),
    ),
    "anthropic_messages": (b"message_stop", re.compile(rb"(?:^|\n)event: ?message_stop")),
    "bedrock_converse": (b"metadata", re.compile(rb"\x0b:event-type\x07\x00\x08metadata")),
}
"""Words that are quick to look for, and the pattern that makes sure. A line end inside a text is
escaped in JSON, so what opens a line is never a text's own. InvokeModel hides its last word in
base64; its stream is complete when the connection says so."""


def is_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether an answer comes event by event."""
    for name, value in headers:
        if name == b"content-type":
            return value.lower().startswith(STREAM_TYPES)
    return False


def closes(dialect: str, chunk: bytes) -> bool:
    """Whether a piece of a stream holds its last word."""
    found = CLOSING.get(dialect)
    return found is not None and found[0] in chunk and found[1].search(chunk) is not None
