"""Which answers are good enough to be given again: whole, without error, ended by their own will.

An answer is read once more here, on its way to the shelf, where time does not press. Each choice
of it counts, not only the first. What says nothing of its end is not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bursar.dialects.answers import STOPS
from bursar.dialects.fold import FOLDERS
from bursar.dialects.frames import DONE, SSE_FIELDS, Frames, frames_of
from bursar.dialects.lens import Reading, read_response
from bursar.dialects.streams import CLOSING, closes
from bursar.dialects.visible import has_answer
from bursar.dialects.wire import as_map, maps, text_of
from bursar.model.errors import BursarError
from bursar.model.usage import Usage

OK = 200
GOOD_STOPS = frozenset(("end", "tool_use"))
CUT_STOP = "max_tokens"
PLAIN_ENCODINGS = frozenset((b"", b"identity"))


class Judged(NamedTuple):
    """An answer, and what became of the question whether to keep it."""

    why_not: str | None
    usage: Usage | None = None
    model: str | None = None


def judged(
    body: bytes,
    dialect: str,
    status: int,
    headers: Sequence[tuple[bytes, bytes]],
    *,
    stream: bool,
    cut: bool = False,
) -> Judged:
    """Whether to keep an answer. `cut`: also where `max_tokens` ended it."""
    why = _outside(body, dialect, status, headers, stream=stream)
    if why is not None:
        return Judged(why)
    said = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    try:
        reading = read_response(body, dialect, headers=said)
        frames = frames_of(body)
        whole = _whole(frames, dialect)
    except BursarError as bad:
        return Judged(f"the answer cannot be read: {bad.message}"[:200])
    if stream and (frames.body is not None or frames.cut or not _ends(body)):
        return Judged("the stream was cut")
    why = _inside(reading, whole, dialect, cut=cut)
    return Judged(why, reading.usage, reading.model)


def _outside(
    body: bytes,
    dialect: str,
    status: int,
    headers: Sequence[tuple[bytes, bytes]],
    *,
    stream: bool,
) -> str | None:
    """What is wrong with an answer before it is read."""
    if status != OK:
        return f"the answer has status {status}"
    for name, value in headers:
        if name == b"content-encoding" and value.strip().lower() not in PLAIN_ENCODINGS:
            return "the answer is compressed"
    if not body:
        return "the answer is empty"
    if stream and dialect in CLOSING and not closes(dialect, body):
        return "the stream has no proper end"
    return None


def _whole(frames: Frames, dialect: str) -> dict[str, Any]:
    """The answer as one body, whether it was a stream or not."""
    return FOLDERS[dialect](frames.events).body if frames.body is None else frames.body


def _ends(body: bytes) -> bool:
    """Whether the last event of a stream is whole. Binary events say so themselves."""
    bare = body.rstrip(b"\r\n ")
    is_text = bare.lstrip().startswith(SSE_FIELDS)
    return not is_text or bare.endswith(DONE) or body.endswith((b"\n\n", b"\r\n\r\n", b"\r\r"))


def _inside(reading: Reading, whole: Mapping[str, Any], dialect: str, *, cut: bool) -> str | None:
    """What is wrong with what it says."""
    if reading.stop == "error" or whole.get("error"):
        return "the answer is an error"
    if reading.truncated:
        return "the stream was cut"
    if not has_answer(dialect):
        return None if maps(whole.get("data")) else "the answer is empty"
    stops = [reading.stop, *_stops(whole)]
    for stop in stops:
        if stop not in GOOD_STOPS and not (cut and stop == CUT_STOP):
            return f"the answer ended by {stop or 'nothing known'}"
    return "the model refused" if _refuses(whole) else None


def _stops(whole: Mapping[str, Any]) -> Iterator[str | None]:
    """How each of several choices ended."""
    for choice in maps(whole.get("choices")):
        word = text_of(choice.get("finish_reason"))
        yield None if word is None else STOPS.get(word.lower(), word)


def _refuses(whole: Mapping[str, Any]) -> bool:
    """Whether the model says no in the place that the wire has for it, however the answer ended."""
    if any(as_map(choice.get("message")).get("refusal") for choice in maps(whole.get("choices"))):
        return True
    return any(
        part.get("type") == "refusal"
        for item in maps(whole.get("output"))
        for part in maps(item.get("content"))
    )
