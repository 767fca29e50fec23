"""What voices and wires are given, and what they must be able to do."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import shake_256
from typing import Any, Protocol

import msgspec

from bursar.model.errors import BursarError
from bursar.model.usage import Usage
from bursar.simulator.asking import Asked
from bursar.simulator.saying import Counted

CHUNK_CHARS = 24
"""How much text one event of a stream carries."""
Headers = list[tuple[str, str]]
encode = msgspec.json.Encoder().encode


class Problem(BursarError):
    """A request that the provider answers with an error."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param


class Reply(msgspec.Struct, kw_only=True):
    """Everything that an answer is written from."""

    asked: Asked
    answer: Counted
    usage: Usage
    price_class: str
    hex: str
    shown: Any = None
    """The usage object as it is sent; None where it is left out."""


class Voice(Protocol):
    """What the endpoints of one vendor share."""

    provider: str

    def request_id(self, digits: str) -> str: ...
    def headers(self, request_id: str) -> Headers: ...
    def problem(self, problem: Problem, request_id: str) -> tuple[Headers, bytes]: ...
    def event_problem(self, problem: Problem, request_id: str) -> bytes: ...
    def key(self, headers: Mapping[str, str]) -> str | None: ...
    def tier(self, asked: Asked) -> str | None: ...


class Wire(Protocol):
    """One kind of answer."""

    dialect: str
    reasoning_apart: bool
    """The wire counts thinking apart from the answer."""
    media_type: str
    stream_type: str

    def check(self, asked: Asked) -> None: ...
    def response_id(self, digits: str) -> str | None: ...
    def usage(self, reply: Reply) -> Any: ...
    def headers(self, reply: Reply) -> Headers: ...
    def whole(self, reply: Reply) -> bytes: ...
    def events(self, reply: Reply) -> list[bytes]: ...
    def huge(self, size_bytes: int) -> bytes: ...


def chunks(text: str) -> list[str]:
    """A text in the pieces in which a stream sends it."""
    return [text[start : start + CHUNK_CHARS] for start in range(0, len(text), CHUNK_CHARS)]


def arguments_text(arguments: dict[str, Any]) -> str:
    """Arguments of a tool as the JSON text that a model writes."""
    return encode(arguments).decode()


def use_id(prefix: str, digits: str, place: int) -> str:
    """The id of a tool use: the same for the same request."""
    return f"{prefix}{digits[:20]}{place:02d}"


def vector(seed: str, size: int) -> list[float]:
    """An embedding of length 1 from a text."""
    raw = shake_256(seed.encode("utf-8", "surrogatepass")).digest(size * 2)
    numbers = [
        int.from_bytes(raw[place : place + 2], "big", signed=True)
        for place in range(0, size * 2, 2)
    ]
    length = sum(number * number for number in numbers) ** 0.5 or 1.0
    return [number / length for number in numbers]
