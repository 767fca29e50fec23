"""Real sockets on 127.0.0.1: a server with an application under test, and raw clients of it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import uvloop

from bursar.gateway.http.messages import Asked, Bounds, Headers, Refusal
from bursar.gateway.http.server import Server, serve

HOST = "127.0.0.1"
TICK_S = 0.02
Got = TypeVar("Got")
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


def run(work: Coroutine[Any, Any, Got], loop: str = "uvloop", limit_s: float = 20) -> Got:
    async def bounded() -> Got:
        async with asyncio.timeout(limit_s):
            return await work

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(bounded())


class App:
    """Answers with what it was asked, unless it is given another `answer`."""

    def __init__(self, answer: Callable[[Asked], Awaitable[None]] | None = None) -> None:
        self.seen: list[Asked] = []
        self.admitted: list[Asked] = []
        self.refusal: Refusal | None = None
        self.worded_for: list[tuple[int, bytes, dict[bytes, bytes]]] = []
        self._answer = answer

    def admit(self, asked: Asked) -> Refusal | None:
        self.admitted.append(asked)
        return self.refusal

    async def answer(self, asked: Asked) -> None:
        self.seen.append(asked)
        if self._answer is not None:
            await self._answer(asked)
        else:
            asked.reply(200, [(b"x-target", asked.target)], asked.method + b" " + asked.body)

    def worded(self, refused: Refusal, target: bytes, headers: Headers) -> Refusal:
        self.worded_for.append((refused.status, target, dict(headers)))
        return refused


class Client:
    """A raw client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.002)

    async def rest(self) -> bytes:
        """Everything until the server closes; a reset ends it too."""
        told = b""
        try:
            while piece := await self.reader.read(65536):
                told += piece
        except ConnectionResetError:
            pass
        return told

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """One answer with a length or chunks."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = head[:-4].split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines[1:])
        if headers.get(b"transfer-encoding") == b"chunked":
            body = b""
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        else:
            body = await self.reader.readexactly(int(headers.get(b"content-length", b"0")))
        return int(lines[0].split()[1]), headers, body

    async def is_closed(self) -> bool:
        """Whether the server ends the connection, soon."""
        async with asyncio.timeout(5):
            return await self.rest() == b""


class House:
    """A server in service, and its door."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port
        self._clients: list[Client] = []

    async def client(self, **how: Any) -> Client:
        client = Client(*await asyncio.open_connection(HOST, self.port, **how))
        self._clients.append(client)
        return client

    async def say(self, *pieces: bytes) -> bytes:
        """What a client hears that sends `pieces` and waits for the end."""
        client = await self.client()
        with suppress(ConnectionError):
            await client.send(*pieces)
        return await client.rest()

    async def status(self, *pieces: bytes) -> int:
        return int((await self.say(*pieces)).split(b" ", 2)[1])

    async def leave(self) -> None:
        for client in self._clients:
            client.writer.close()
            with suppress(OSError):
                await client.writer.wait_closed()


def bounds(**changed: Any) -> Bounds:
    return Bounds(**{"tick_s": TICK_S, "linger_s": 0.2, **changed})


@asynccontextmanager
async def serving(app: Any, ssl: Any = None, **changed: Any) -> AsyncIterator[House]:
    listening = socket.create_server((HOST, 0))
    port = listening.getsockname()[1]
    server = await serve(app, [listening], bounds(**changed), ssl=ssl)
    house = House(server, port)
    try:
        yield house
    finally:
        await house.leave()
        await server.close(0.5)
        await asyncio.sleep(0.01)


def get(path: bytes = b"/", *headers: bytes, close: bool = True) -> bytes:
    return request(b"GET", path, *headers, close=close)


def request(
    method: bytes, path: bytes, *headers: bytes, body: bytes = b"", close: bool = True
) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (method, path), b"Host: here", *headers]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    if close:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def until(test: Callable[[], bool], within_s: float = 5) -> None:
    """Wait until `test` holds."""
    async with asyncio.timeout(within_s):
        while not test():
            await asyncio.sleep(0.005)


class Lines(logging.Handler):
    """What the server logs."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))
