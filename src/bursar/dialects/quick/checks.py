"""What a request body may be: JSON that every parser reads in the same way, within bounds.

Where two parsers differ, a caller could show one thing to the gateway and another to the provider.
So duplicate keys, NaN, numbers out of range, lone surrogates and deep nesting are refused, and the
refusal names the place as a JSON pointer. A good piece is parsed twice, by msgspec for its values
and by the standard library for its keys (an object as flat as its colons are few has no key twice);
only a bad one is taken apart to find the fault.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from bursar.dialects.wire import as_list, as_map
from bursar.model.errors import BadInput

DEEPEST = 64
"""Levels of nesting in a request body, its own braces included."""
SHOWN = 60
"""Characters of a key that an error shows."""
MOST_NODES = 100_000
"""Values that are looked at for the place of a fault. In a larger body the fault is only stated."""

_NESTED = frozenset((dict, list))
_decode = msgspec.json.Decoder().decode


class _Pairs(list[tuple[str, Any]]):
    """An object with all its keys, duplicates too."""


class _Twice(ValueError):
    """An object has a key twice."""


def value_of(raw: bytes, place: str, deepest: int = DEEPEST) -> Any:
    """The value of a piece of JSON that stands at `place`, without blanks around it.

    Raises BadInput with the exact place.
    """
    try:
        value = _decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise fault(raw, place, deepest) from None
    if type(value) not in _NESTED:
        return value
    opened = raw.count(b"{") + raw.count(b"[")
    if opened == 1 and raw.count(b":") == len(value):
        return value
    if opened > deepest and _is_deeper(value, deepest):
        raise fault(raw, place, deepest)
    try:
        _scan(raw.decode())
    except (_Twice, RecursionError):
        raise fault(raw, place, deepest) from None
    return value


def fault(raw: bytes, place: str, deepest: int = DEEPEST) -> BadInput:
    """Why a piece of JSON is refused: the error to raise."""
    where = place or "request body"
    if raw[:3] == b"\xef\xbb\xbf" or b"\x00" in raw[:4]:
        return BadInput(
            f"{where} is not UTF-8, or begins with a byte order mark",
            mend="send JSON in UTF-8 without a byte order mark",
        )
    try:
        tree = _all_pairs(raw.decode())
    except UnicodeDecodeError as bad:
        return BadInput(f"{where} is not UTF-8 (byte {bad.start})", mend="send JSON in UTF-8")
    except RecursionError:
        return _too_deep(where, deepest)
    except ValueError as bad:
        return BadInput(f"{where} is not JSON: {bad}", mend="send one whole JSON object")
    found = _Search(deepest).fault(tree, place)
    if found is not None:
        return found
    return BadInput(
        f"{where} is not {'a list' if place else 'a JSON object'} that all parsers read",
        mend="send a list of messages" if place else "send one JSON object",
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _Twice
    return fields


_scan = json.JSONDecoder(object_pairs_hook=_once).raw_decode
_all_pairs = json.JSONDecoder(object_pairs_hook=_Pairs).decode


def _is_deeper(value: object, deepest: int) -> bool:
    level = [value]
    for _ in range(deepest):
        inner: list[object] = []
        for one in level:
            items = as_map(one).values() or as_list(one)
            inner += [item for item in items if type(item) in _NESTED]
        if not inner:
            return False
        level = inner
    return True


def _too_deep(where: str, deepest: int) -> BadInput:
    return BadInput(
        f"{where} is nested deeper than {deepest} levels", mend=f"nest at most {DEEPEST} levels"
    )


class _Search:
    """Looks for the first thing in a tree that parsers differ on. Remembers only where it stands,
    and gives up in a tree of too many nodes."""

    __slots__ = ("deepest", "left", "steps")

    def __init__(self, deepest: int) -> None:
        self.deepest = deepest
        self.left = MOST_NODES
        self.steps: list[str | int] = []

    def fault(self, value: object, place: str, depth: int = 0) -> BadInput | None:
        self.left -= 1
        if self.left < 0:
            return None
        if isinstance(value, list):
            if depth >= self.deepest:
                return _too_deep(self._where(place), self.deepest)
            if isinstance(value, _Pairs):
                return self._keys(value, place) or self._inside(iter(value), place, depth)
            return self._inside(enumerate(cast("list[Any]", value)), place, depth)
        if isinstance(value, str) and _is_torn(value):
            return _torn(self._where(place))
        if isinstance(value, float) and not math.isfinite(value):
            where = self._where(place)
            return BadInput(f"{where} is no finite number", mend="send a number that JSON knows")
        return None

    def _keys(self, pairs: _Pairs, place: str) -> BadInput | None:
        seen: set[str] = set()
        for key, _ in pairs:
            if _is_torn(key):
                return _torn(self._where(place))
            if key in seen:
                where = self._where(place) if self.steps or place else ""
                what = f"{where}{_step(key)} stands twice"
                return BadInput(what, mend="send each key of an object once")
            seen.add(key)
        return None

    def _inside(
        self, items: Iterator[tuple[str | int, Any]], place: str, depth: int
    ) -> BadInput | None:
        for step, item in items:
            self.steps.append(step)
            found = self.fault(item, place, depth + 1)
            if found is not None or self.left < 0:
                return found
            self.steps.pop()
        return None

    def _where(self, place: str) -> str:
        return place + "".join(map(_step, self.steps)) or "request body"


def _step(key: str | int) -> str:
    """One step of a JSON pointer; a long key is shortened."""
    if isinstance(key, int):
        return f"/{key}"
    shown = key if len(key) <= SHOWN else key[:SHOWN] + "..."
    return f"/{ascii(shown)[1:-1].replace('~', '~0').replace('/', '~1')}"


def _is_torn(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _torn(where: str) -> BadInput:
    return BadInput(
        f"{where} holds half of a surrogate pair",
        mend="send whole characters: both halves of a pair, or neither",
    )
