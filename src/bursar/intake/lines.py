"""One JSON line, typed, with the two kinds of damage mended that cost no meaning.

A lone surrogate escape and a byte that is no UTF-8 each stand for a character that nobody can
name: U+FFFD takes its place and the rest of the line, which may hold a paid call, is kept. Every
other damage is the caller's to list, with the reason that `why_unread` gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec

from bursar.intake.source import why_not_json

T = TypeVar("T")
ABSENT = msgspec.Raw()
"""Stands for a field that a line does not have."""
UNREAD = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding a line may raise."""
SURROGATES = re.compile(
    rb"(?<!\\)((?:\\\\)*)"
    rb"(?:(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def decode_line(decode: Callable[[bytes], T], raw: bytes) -> T:
    """The decoded line. Raises one of UNREAD for what cannot be mended."""
    try:
        return decode(raw)
    except msgspec.ValidationError:
        raise
    except UNREAD:
        mended = _mended(raw)
        if mended == raw:
            raise
        return decode(mended)


def as_map(value: object) -> dict[str, Any]:
    """The value when it is a JSON object, else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """The value when it is a JSON array, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def why_unread(raw: bytes, bad: Exception) -> str:
    """A reason that a person understands."""
    if isinstance(bad, msgspec.ValidationError):
        return f"is not as this format says: {bad}"
    return why_not_json(raw, bad)


def _mended(raw: bytes) -> bytes:
    return SURROGATES.sub(_pair_or_unknown, raw.decode("utf-8", "replace").encode())


def _pair_or_unknown(found: re.Match[bytes]) -> bytes:
    return found[1] + (found[2] or rb"\ufffd")
