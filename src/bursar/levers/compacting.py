"""Long tool results as short texts: what is likely to matter, and how much was left out.

JSON keeps its form: named fields of its objects, the first rows of its lists, the ends of its long
texts. Everything else is lines: the first ones, which hold the head of a table, and the last ones,
which hold the outcome of a command. The same text always becomes the same short text, since a
provider's cache forgives nothing else.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from bursar.dialects.tokens import estimate_tokens

HEAD_PARTS, ALL_PARTS = 3, 5
"""Share of a short text that is the head of the long one; the rest is its tail."""
BYTES_PER_TOKEN = 3
"""A cautious first guess; what is still too long is cut again."""
ROUNDS = 6
SIZES = ((50, 600), (20, 300), (8, 150), (3, 80), (1, 40))
"""Rows of a list and characters of a text that are kept, until the whole is short enough."""
LEAST_CHARS = 24
DEEPEST = 100

Json = Any


def compacted(text: str, most_tokens: int, fields: tuple[str, ...] = ()) -> str | None:
    """A text of about `most_tokens` at most. None: it is as short already.

    `fields`: of JSON objects in a list, or of the one object, only these are kept. Names that
    occur nowhere are passed over.
    """
    if estimate_tokens(text) <= most_tokens:
        return None
    short = _json(text, most_tokens, fields) if text.lstrip()[:1] in ("{", "[") else None
    if short is None:
        short = _lines(text, most_tokens)
    return short if estimate_tokens(short) < estimate_tokens(text) else None


def _json(text: str, most_tokens: int, fields: tuple[str, ...]) -> str | None:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    value = _projected(value, frozenset(fields)) if fields else value
    found = msgspec.json.encode(value).decode()
    for rows, chars in SIZES:
        if estimate_tokens(found) <= most_tokens:
            return found
        found = msgspec.json.encode(_slim(value, rows, chars, DEEPEST)).decode()
    return found if estimate_tokens(found) <= most_tokens else None


def _projected(value: Json, fields: frozenset[str]) -> Json:
    """The named fields of an object, or of each object of a list; of inner lists where need be."""
    if isinstance(value, list):
        return [_projected(one, fields) for one in cast("list[Json]", value)]
    if not isinstance(value, dict):
        return value
    found = cast("dict[str, Json]", value)
    kept = {name: one for name, one in found.items() if name in fields}
    if kept:
        return kept
    inner = {name: _projected(one, fields) for name, one in found.items() if isinstance(one, list)}
    return {**found, **inner}


def _slim(value: Json, rows: int, chars: int, deep: int) -> Json:
    if isinstance(value, str):
        return _middle_out(value, chars)
    if isinstance(value, list):
        items = cast("list[Json]", value)
        kept = [_slim(one, rows, chars, deep - 1) for one in items[:rows]] if deep else []
        left = len(items) - len(kept)
        return [*kept, f"[{left} of {len(items)} rows left out]"] if left else kept
    if isinstance(value, dict):
        found = cast("dict[str, Json]", value)
        if not deep:
            return f"[{len(found)} fields left out]"
        return {name: _slim(one, rows, chars, deep - 1) for name, one in found.items()}
    return value


def _middle_out(text: str, chars: int) -> str:
    if len(text) <= chars + LEAST_CHARS:
        return text
    head = chars * HEAD_PARTS // ALL_PARTS
    tail = chars - head
    left = len(text) - chars
    return f"{text[:head]}[{left} characters left out]{text[-tail:]}"


def _lines(text: str, most_tokens: int) -> str:
    """Whole lines from both ends; where one line is too long for that, its ends."""
    chars = max(LEAST_CHARS, most_tokens * BYTES_PER_TOKEN)
    short = text
    for _ in range(ROUNDS):
        short = _ends(text, chars)
        if estimate_tokens(short) <= most_tokens or chars <= LEAST_CHARS:
            break
        chars = max(LEAST_CHARS, chars * 2 // 3)
    return short


def _ends(text: str, chars: int) -> str:
    if len(text) <= chars:
        return text
    head_chars = chars * HEAD_PARTS // ALL_PARTS
    tail_chars = chars - head_chars
    head = text[:head_chars].rpartition("\n")[0]
    tail = text[-tail_chars:].partition("\n")[2]
    if not head or not tail:
        return _middle_out(text, chars)
    lines = text.count("\n") + 1
    left = lines - head.count("\n") - tail.count("\n") - 2
    gone = len(text) - len(head) - len(tail)
    return f"{head}\n[{left} of {lines} lines left out, {gone} characters]\n{tail}"
