"""What other workers of this machine have answered: each tells it to the others, over a socket.

Asked for by the digest of a key, it is told when that call has ended: its whole answer, or that
there is none to repeat. Answers stay in memory; the socket is for the owner of the run folder
alone. Machines do not ask each other.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from bursar.gateway.purse.host import bound
from bursar.gateway.purse.sharing import LENGTH, framed
from bursar.ledger.journal.wire import address_of

SUFFIX = ".sock"
KEY_BYTES = 16
MOST_ASKING = 1_000
"""Questions of other workers under way; further ones are hung up on, and asked again."""
BROKEN = (OSError, asyncio.IncompleteReadError, msgspec.MsgspecError)


class Said(msgspec.Struct, frozen=True):
    """A whole answer."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    streamed: bool


class Told(msgspec.Struct, frozen=True):
    """What a worker knows of a key."""

    known: bool
    said: Said | None = None
    """None: the call ended without an answer that could be repeated."""


UNKNOWN = Told(known=False)


class Neighbours:
    """One worker's line to the others."""

    def __init__(self, folder: Path, tell: Callable[[bytes], Awaitable[Told]]) -> None:
        """`tell`: what is known here of a key, once its call has ended."""
        self._folder = folder
        self._tell = tell
        self._server: asyncio.Server | None = None
        self._asking = 0

    async def open(self) -> None:
        """From now on others may ask."""
        place = place_of(self._folder, os.getpid())
        self._server = await asyncio.start_unix_server(self._answer, sock=bound(place))

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            place_of(self._folder, os.getpid()).unlink(missing_ok=True)

    async def ask(self, pid: int, key: bytes) -> Told:
        """What another worker knows; `UNKNOWN` too where it is gone."""
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.setblocking(False)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            place = address_of(str(place_of(self._folder, pid)), folder)
            await asyncio.get_running_loop().sock_connect(opened, place)
            reader, writer = await asyncio.open_unix_connection(sock=opened)
        except OSError:
            opened.close()
            return UNKNOWN
        finally:
            os.close(folder)
        try:
            writer.write(key)
            (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
            return msgspec.msgpack.decode(await reader.readexactly(length), type=Told)
        except BROKEN:
            return UNKNOWN
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._asking >= MOST_ASKING:
            writer.close()
            return
        self._asking += 1
        try:
            writer.write(framed(await self._tell(await reader.readexactly(KEY_BYTES))))
            await writer.drain()
        except BROKEN:
            return
        finally:
            self._asking -= 1
            writer.close()


def place_of(folder: Path, pid: int) -> Path:
    """Where a worker is asked."""
    return folder / f"{pid}{SUFFIX}"
