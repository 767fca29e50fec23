"""Objects of a body, read so that nothing in them is passed over.

Every key is taken by name; `close` refuses what is left, with its JSON pointer. A key that is null,
or an empty list or object, asks for nothing. Wrong types are BadInput with the same pointer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec

from bursar.dialects.translate.neutral import (
    ASSISTANT,
    Json,
    Part,
    Text,
    Turn,
)
from bursar.dialects.wire import as_list, as_map, is_map, parse
from bursar.model.errors import BadInput, Refused

NOT_CARRIED = "not_carried"
"""The stable word of a refusal to cross."""
EMPTY: tuple[object, ...] = (None, [], {})
_encode = msgspec.json.Encoder().encode


def not_carried(at: str, why: str) -> Refused:
    return Refused(
        400,
        NOT_CARRIED,
        f"{at or '/'}: {why}",
        mend="leave it out, or route this call to a provider that speaks its own dialect",
    )


def malformed(at: str, what: str) -> BadInput:
    return BadInput(f"{at or '/'}: {what}", mend="give the body that the API's reference describes")


def pointer(at: str, key: str | int) -> str:
    return f"{at}/{str(key).replace('~', '~0').replace('/', '~1')}"


def dumped(value: object) -> bytes:
    """JSON in the given order; integers of any size and lone surrogates are kept."""
    try:
        return _encode(value)
    except (UnicodeEncodeError, OverflowError, TypeError, msgspec.MsgspecError):
        return json.dumps(value, separators=(",", ":"), default=str).encode()


def arguments_of(value: object) -> str:
    """A tool's input as JSON text."""
    return dumped({} if value is None else value).decode()


def input_of(arguments: str, at: str) -> msgspec.Raw:
    """JSON text of a tool's arguments as an object of the body. Raises Refused when it is none."""
    text = arguments.strip() or "{}"
    try:
        found = parse(text)
    except BadInput:
        found = None
    if not is_map(found):
        raise not_carried(at, "the arguments are no JSON object, which the target asks for")
    return msgspec.Raw(text.encode("utf-8", "replace"))


def said_input(arguments: str) -> Json | msgspec.Raw:
    """As `input_of`, for an answer: it was paid for, so what is no object is wrapped."""
    try:
        return input_of(arguments, "")
    except Refused:
        return {"INVALID_JSON": arguments}


class Fields:
    """One object of a body, emptied key by key."""

    __slots__ = ("_left", "at")

    def __init__(self, value: object, at: str = "") -> None:
        if not is_map(value):
            raise malformed(at, "not an object")
        self._left = dict(as_map(value))
        self.at = at

    def to(self, key: str | int) -> str:
        return pointer(self.at, key)

    def take(self, key: str) -> Any:
        found = self._left.pop(key, None)
        return None if found in EMPTY else found

    def text(self, key: str) -> str | None:
        found = self.take(key)
        if found is not None and not isinstance(found, str):
            raise malformed(self.to(key), "not a string")
        return found

    def need(self, key: str) -> str:
        found = self.text(key)
        if not found:
            raise malformed(self.to(key), "missing")
        return found

    def whole(self, key: str) -> int | None:
        found = self.take(key)
        if isinstance(found, float) and found.is_integer():
            return int(found)
        if found is not None and (type(found) is not int or not -(2**63) <= found < 2**63):
            raise malformed(self.to(key), "not a whole number")
        return found

    def number(self, key: str) -> float | None:
        found = self.take(key)
        if found is None:
            return None
        if type(found) not in (int, float) or not math.isfinite(found):
            raise malformed(self.to(key), "not a number")
        return float(found)

    def flag(self, key: str) -> bool | None:
        found = self.take(key)
        if found is not None and not isinstance(found, bool):
            raise malformed(self.to(key), "neither true nor false")
        return found

    def list(self, key: str) -> Iterator[tuple[str, Any]]:
        """The items with their pointers."""
        found = self._left.pop(key, None)
        if found is None or found == {}:
            return
        if not isinstance(found, list):
            raise malformed(self.to(key), "not a list")
        for place, item in enumerate(cast("list[Any]", found)):
            yield pointer(self.to(key), place), item

    def inner(self, key: str) -> Fields:
        """An object inside; an empty one where there is none."""
        found = self._left.pop(key, None)
        return Fields({} if found is None else found, self.to(key))

    def strings(self, key: str) -> tuple[str, ...]:
        """A string or a list of strings."""
        found = self._left.pop(key, None)
        items = [found] if isinstance(found, str) else as_list(found)
        if found is not None and not isinstance(found, str | list):
            raise malformed(self.to(key), "neither a string nor a list")
        if not all(isinstance(item, str) for item in items):
            raise malformed(self.to(key), "not a list of strings")
        return tuple(item for item in items if item)

    def schema(self, key: str) -> Json | None:
        found = self._left.pop(key, None)
        if found is not None and not is_map(found):
            raise malformed(self.to(key), "not an object")
        return None if found is None else as_map(found)

    def words(self, key: str) -> dict[str, str]:
        """An object of strings; {} where there is none."""
        found = self.schema(key) or {}
        if not all(isinstance(value, str) for value in found.values()):
            raise malformed(self.to(key), "not an object of strings")
        return found

    def close(self, why: Mapping[str, str] | None = None) -> None:
        """Refuse what nobody took. `why` has reasons for known names."""
        for key, value in self._left.items():
            if value not in EMPTY:
                reason = (why or {}).get(key, "the other dialects have no such field")
                raise not_carried(self.to(key), reason)

    def default(self, key: str, *values: object) -> None:
        """Leave out a field that has the value it has when it is absent."""
        if key in self._left and any(
            type(self._left[key]) is type(value) and self._left[key] == value for value in values
        ):
            del self._left[key]

    def drop(self, key: str, notes: list[str], why: str) -> None:
        """Leave a field out and say so."""
        if self.take(key) is not None:
            notes.append(f"{self.to(key)} dropped: {why}")


class Turns:
    """Turns as they are read: those of one role that follow each other are one."""

    def __init__(self) -> None:
        self._turns: list[tuple[str, list[Part]]] = []

    def add(self, role: str, part: Part) -> None:
        if isinstance(part, Text) and not part.text:
            return
        if not self._turns or self._turns[-1][0] != role:
            self._turns.append((role, []))
        self._turns[-1][1].append(part)

    def __bool__(self) -> bool:
        return bool(self._turns)

    def done(self, last: str) -> tuple[tuple[Turn, ...], str]:
        """The turns, and `last` where the last of them is the assistant's."""
        turns = tuple(Turn(role, tuple(parts)) for role, parts in self._turns)
        return turns, last if turns and turns[-1].role == ASSISTANT else ""


def read_body(body: bytes | Json) -> Fields:
    """The call's body. Raises BadInput when it is no JSON object."""
    found: object = parse(body, "request body") if isinstance(body, bytes) else body
    return Fields(found)
