"""A call asked in one dialect, sent to a provider of another, and the answer brought back.

`cross` either writes the whole call or raises before anything is sent: Refused (400, `not_carried`)
names the field that the target cannot carry by its JSON pointer, BadInput one that is malformed.
What is left out because nothing depends on it stands in `notes`. The way back never refuses, since
the answer was paid for. `docs/crossing.md` has the table.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bursar.dialects.refusals import Headers, refusal_body, stream_error
from bursar.dialects.translate import (
    read_anthropic,
    read_chat,
    read_converse,
    read_responses,
    write_anthropic,
    write_chat,
    write_converse,
)
from bursar.dialects.translate.answers import read_answer
from bursar.dialects.translate.fields import not_carried
from bursar.dialects.translate.hearing import READERS as HEARERS
from bursar.dialects.translate.hearing import Reader, error_words
from bursar.dialects.translate.neutral import Back, Broken, Json, Neutral, Written
from bursar.dialects.translate.saying import WRITERS as SAYERS
from bursar.dialects.translate.saying import Writer, content_type
from bursar.dialects.translate.telling import write_answer
from bursar.dialects.translate.terms import Terms
from bursar.dialects.translate.wires import END_MARK, FrameSplitter, SseSplitter
from bursar.dialects.wire import as_map, parse_or_none, text_of
from bursar.model.errors import BadInput

__all__ = [
    "SOURCES",
    "TARGETS",
    "Back",
    "Crossed",
    "StreamBack",
    "Terms",
    "answer_back",
    "cross",
    "error_back",
]

ASKED: dict[str, Callable[[bytes | Json], Neutral]] = {
    "openai_chat": read_chat.read_asked,
    "openai_responses": read_responses.read_asked,
    "anthropic_messages": read_anthropic.read_asked,
    "bedrock_converse": read_converse.read_asked,
}
WRITTEN: dict[str, Callable[[Neutral, str, Terms], Written]] = {
    "openai_chat": write_chat.write_asked,
    "anthropic_messages": write_anthropic.write_asked,
    "bedrock_converse": write_converse.write_asked,
}
SOURCES = tuple(ASKED)
TARGETS = tuple(WRITTEN)
BINARY = ("bedrock_converse",)
"""Dialects whose streams are frames; the others are server-sent events."""
MOST_ERROR_CHARS = 4000
DEFAULT_TERMS = Terms()


class Crossed(msgspec.Struct, frozen=True):
    """A call in the target's dialect."""

    body: bytes
    stream: bool
    """A stream is asked for: of Converse that is said by the path, not by the body."""
    wants_usage: bool
    """The client asked for usage in its stream; for `Back`."""
    notes: tuple[str, ...] = ()
    """What was left out or said otherwise, each with its JSON pointer where it has one."""


def cross(
    body: bytes | Json,
    source: str,
    target: str,
    model: str,
    *,
    stream: bool | None = None,
    terms: Terms = DEFAULT_TERMS,
) -> Crossed:
    """The call for a provider of the dialect `target`, asking for its `model`.

    `stream` overrides the body where the path decides (a Converse source). Raises Refused for what
    the target cannot carry, BadInput for what is malformed.
    """
    if source not in ASKED or target not in WRITTEN:
        raise not_carried("", f"no call crosses from {source} to {target}")
    try:
        asked = ASKED[source](body)
        if stream is not None:
            asked = msgspec.structs.replace(asked, stream=stream)
        written = WRITTEN[target](asked, model, terms)
    except RecursionError as bad:
        raise BadInput(
            "request body is nested too deeply", mend="nest JSON no deeper than 500 levels"
        ) from bad
    notes = tuple(dict.fromkeys((*asked.notes, *written.notes)))
    return Crossed(written.body, asked.stream, asked.wants_usage, notes)


def answer_back(raw: bytes | Json, target: str, source: str, back: Back) -> bytes:
    """A whole answer of `target` in the asked dialect `source`. Raises BadInput for no JSON."""
    return write_answer(read_answer(raw, target), source, back)


def error_back(raw: bytes, status: int, source: str) -> tuple[Headers, bytes]:
    """A provider's error, whatever its shape, in the asked dialect; the status stays as it was."""
    body = as_map(parse_or_none(raw))
    said = error_words(body.get("error") or body)
    message = said.message or text_of(body.get("Message")) or f"the provider answered {status}"
    return refusal_body(source, status, said.kind, message[:MOST_ERROR_CHARS])


class StreamBack:
    """A provider's stream in the asked dialect: bytes in, bytes out, event by event.

    After `finish` or an error nothing more comes out. `broken` says that the stream ended with an
    error, the provider's own or one of ours; the client was told in its dialect.
    """

    def __init__(self, target: str, source: str, back: Back) -> None:
        self.content_type = content_type(source)
        self.broken: Broken | None = None
        self.done = False
        self._source = source
        self._reader: Reader = HEARERS[target]()
        self._writer: Writer = SAYERS[source](back)
        self._splitter = FrameSplitter() if target in BINARY else SseSplitter()

    def feed(self, chunk: bytes) -> bytes:
        """What the client gets for the next bytes of the provider."""
        out: list[bytes] = []
        try:
            out.extend(self._event(event) for event in self._splitter.feed(chunk))
        except BadInput as bad:
            out.append(self._break(Broken("upstream_protocol", bad.message)))
        return b"".join(out)

    def finish(self) -> bytes:
        """What the client gets when the provider has ended: the end, or an error event."""
        last = b"".join([self._event(event) for event in self._splitter.rest()])
        return last + self._end()

    def _event(self, event: Json) -> bytes:
        if self.done:
            return b""
        if event is END_MARK:
            return self._end()
        out: list[bytes] = []
        for delta in self._reader.read(event):
            if isinstance(delta, Broken):
                return b"".join(out) + self._break(delta)
            out.append(self._writer.write(delta))
        return b"".join(out)

    def _end(self) -> bytes:
        if self.done:
            return b""
        self.done = True
        out: list[bytes] = []
        for delta in self._reader.end():
            if isinstance(delta, Broken):
                self.broken = delta
            out.append(self._writer.write(delta))
        return b"".join(out)

    def _break(self, broken: Broken) -> bytes:
        if self.done:
            return b""
        self.done = True
        self.broken = broken
        return stream_error(self._source, broken.kind, broken.message[:MOST_ERROR_CHARS])
