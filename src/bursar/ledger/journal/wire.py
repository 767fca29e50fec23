"""How a question and its answer travel over the ledger's socket: MessagePack behind a length.

What MessagePack has no word for (times, dates, decimals, numbers beyond 64 bits) goes as an
extension, so that a row reads the same whether the ledger was asked here or across the socket.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import msgspec

from bursar.model.errors import BadInput

VERSION = 1
LENGTH = struct.Struct("<I")
LONGEST_QUESTION_BYTES = 1024 * 1024
LONGEST_ANSWER_BYTES = 64 * 1024 * 1024
TIME, DATE, DECIMAL, NUMBER, SPAN = 1, 2, 3, 4, 5
EPOCH = datetime(1970, 1, 1)
SPAN_UNIT = timedelta(microseconds=1)
MOST_INT, LEAST_INT = 2**64 - 1, -(2**63)


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """The first word of an asker."""

    version: int = VERSION
    fresh: bool = True
    """Take in the journals before the first question."""


class Here(msgspec.Struct, frozen=True, array_like=True, tag="here"):
    """Which ledger this is, and who keeps it."""

    ledger: str
    pid: int
    fresh: bool = True
    """The journals were taken in, where that was asked for."""


class Ask(msgspec.Struct, frozen=True, array_like=True, tag="ask"):
    """One SELECT. `values` fill its `?` places."""

    sql: str
    values: list[Any]
    limit_s: float


class Columns(msgspec.Struct, frozen=True, array_like=True, tag="columns"):
    """The names of what follows."""

    names: list[str]


class Rows(msgspec.Struct, frozen=True, array_like=True, tag="rows"):
    """Some rows; more follow."""

    rows: list[tuple[Any, ...]]


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """That was all of them."""

    count: int


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """Why there is no answer."""

    why: str
    mend: str = ""


Message = Hello | Here | Ask | Columns | Rows | Done | Failed


def packed(value: Any) -> Any:
    """A value as MessagePack can carry it."""
    if isinstance(value, (list, tuple)):
        return [packed(one) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        pairs = cast("dict[Any, Any]", value).items()
        return {packed(name): packed(one) for name, one in pairs}
    match value:
        case datetime():
            return _extension(TIME, (value - EPOCH) // SPAN_UNIT)
        case date():
            return _extension(DATE, value.toordinal())
        case Decimal():
            return _extension(DECIMAL, value)
        case timedelta():
            return _extension(SPAN, value // SPAN_UNIT)
        case int() if not LEAST_INT <= value <= MOST_INT:
            return _extension(NUMBER, value)
        case _:
            return value


def _extension(code: int, value: object) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code, str(value).encode())


READERS: dict[int, Callable[[str], Any]] = {
    TIME: lambda text: EPOCH + int(text) * SPAN_UNIT,
    DATE: lambda text: date.fromordinal(int(text)),
    DECIMAL: Decimal,
    NUMBER: int,
    SPAN: lambda text: int(text) * SPAN_UNIT,
}


def _unpacked(code: int, content: memoryview) -> Any:
    text = bytes(content).decode()
    if code not in READERS:
        raise ValueError(f"no value has the code {code}")
    return READERS[code](text)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message, ext_hook=_unpacked).decode


def send(line: socket.socket, message: Message) -> None:
    """One message."""
    raw = _encode(message)
    line.sendall(LENGTH.pack(len(raw)) + raw)


def ask_of(sql: str, values: Sequence[object], limit_s: float) -> Ask:
    return Ask(sql, [packed(one) for one in values], limit_s)


def receive(line: socket.socket, most_bytes: int) -> Message | None:
    """The next message; None where the other side has closed. Raises BadInput for what is none."""
    head = _exactly(line, LENGTH.size)
    if head is None:
        return None
    (length,) = LENGTH.unpack(head)
    if length > most_bytes:
        raise BadInput(f"a message of {length} bytes, more than {most_bytes}")
    raw = _exactly(line, length)
    if raw is None:
        raise BadInput("a message that ends too early")
    try:
        return _decode(raw)
    except (msgspec.DecodeError, ValueError, ArithmeticError, RecursionError) as bad:
        raise BadInput(f"a message that cannot be read: {bad}") from bad


def _exactly(line: socket.socket, size: int) -> bytes | None:
    found = bytearray()
    while len(found) < size:
        piece = line.recv(min(size - len(found), 1 << 20))
        if not piece:
            if found:
                raise BadInput("a message that ends too early")
            return None
        found += piece
    return bytes(found)


def address_of(path: str, folder_fd: int) -> str:
    """An address for a socket whose path may be longer than the system takes."""
    name = path.rpartition("/")[2]
    return path if len(path.encode()) < 100 else f"/proc/self/fd/{folder_fd}/{name}"
