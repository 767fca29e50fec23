"""One JSON line, typed: what a reader of lines needs beside its own structs.

A field that a reader decodes later stays `msgspec.Raw`, which is not checked for characters that
nobody can name (half a surrogate pair, a byte that is no UTF-8); such text is mended on the way,
since the rest of the line may hold a paid call. Every other damage is the caller's to list, with
the reason that `why_unread` gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec

from bursar.intake.source import decode_line as decode_mended
from bursar.intake.source import why_not_json

T = TypeVar("T")
ABSENT = msgspec.Raw()
"""Stands for a field that a line does not have."""
UNREAD = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding a line may raise."""


def decode_line(decode: Callable[[bytes | msgspec.Raw], T], raw: bytes | msgspec.Raw) -> T:
    """The decoded line, mended if need be. Raises one of UNREAD for what cannot be."""
    try:
        return decode(raw)
    except msgspec.ValidationError:
        raise
    except UNREAD:
        return decode_mended(decode, bytes(raw))


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
