"""JSON as it arrives: tolerant to read, canonical to hash.

Bodies come from anywhere, so every step down into one goes through `at`, `as_map` and `as_list`,
which turn a surprise into "not there". `canonical` gives the same bytes for the same JSON value
whatever its key order and spacing, which is what makes a digest an identity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeGuard, cast

import msgspec

from bursar.model.errors import BadInput

Path = tuple[str, ...]
"""Keys from the top of a JSON object down."""

Paths = tuple[Path, ...]

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode


def is_map(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether it is a JSON object."""
    return isinstance(value, Mapping)


def as_map(value: object) -> dict[str, Any]:
    """The value when it is a JSON object, else an empty one."""
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    return dict(value) if is_map(value) else {}


def as_list(value: object) -> list[Any]:
    """The value when it is a JSON array, else an empty one."""
    if isinstance(value, list):
        return cast("list[Any]", value)
    return list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else []


def maps(value: object) -> list[dict[str, Any]]:
    """The objects of a JSON array; anything else in it is passed over."""
    return [as_map(item) for item in as_list(value) if is_map(item)]


def paths(*dotted: str) -> Paths:
    """Paths written with dots."""
    return tuple(tuple(path.split(".")) for path in dotted)


def text_of(value: object) -> str | None:
    return value if isinstance(value, str) else None


def at(body: object, path: Path) -> Any:
    """What lies at a path, or None. A key of digits is also a place in an array."""
    for key in path:
        if type(body) is dict:
            body = cast("dict[str, Any]", body).get(key)
        elif isinstance(body, Mapping):
            body = cast("Mapping[str, Any]", body).get(key)
        elif isinstance(body, list) and key.isdecimal():
            items = cast("list[Any]", body)
            body = items[int(key)] if int(key) < len(items) else None
        else:
            return None
    return body


def first(body: object, places: Paths) -> Any:
    """The first value that is not null at any of the paths, or None."""
    for path in places:
        found = at(body, path)
        if found is not None:
            return found
    return None


def canonical(value: object) -> bytes:
    """One spelling for each JSON value: sorted keys, no spaces."""
    try:
        return _encode(value)
    except (UnicodeEncodeError, OverflowError, TypeError, msgspec.MsgspecError):
        spelled = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
        return spelled.encode()


def parse(raw: bytes | str, place: str = "body") -> Any:
    """Decode JSON; numbers of any size and lone surrogates are accepted. Raises BadInput."""
    try:
        return _decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as strict:
        problem = str(strict)
    try:
        text = raw if isinstance(raw, str) else raw.decode("utf-8", "surrogatepass")
        return json.loads(text)
    except (ValueError, RecursionError) as bad:
        raise BadInput(
            f"{place} is not JSON: {problem or bad}",
            mend="give the whole body as the provider sent it; it may have been cut off",
        ) from bad


def parse_or_none(raw: bytes | str) -> Any:
    """Decoded JSON, or None where the text is none."""
    try:
        return parse(raw)
    except BadInput:
        return None
