"""Which reader understands a file: decided by its content, never by its name alone.

Readers are asked in this order; the first that recognises the head takes the file. A format is a
module with NAME, TITLE, `recognises(head)` and `read(source)`, and one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import msgspec

from bursar.intake import (
    bedrock_logs,
    claude_code,
    codex,
    exchange,
    langfuse,
    litellm,
    otlp,
)
from bursar.intake.source import Head, Source
from bursar.model.entry import Entry, Flag, SessionFact, Skip

Item = Entry | SessionFact | Skip | Flag


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """One foreign format."""

    name: str
    title: str
    recognises: Callable[[Head], bool]
    read: Callable[[Source], Iterator[Item]]


def _format(module: ModuleType) -> Format:
    return Format(
        name=module.NAME,
        title=module.TITLE,
        recognises=module.recognises,
        read=module.read,
    )


READERS = (claude_code, codex, bedrock_logs, otlp, langfuse, litellm, exchange)
FORMATS: tuple[Format, ...] = tuple(_format(module) for module in READERS)


def recognise(head: Head) -> Format | None:
    """The format of a file, or None."""
    for form in FORMATS:
        if form.recognises(head):
            return form
    return None
