"""Real servers for the tests: of this user, in a folder of their own, on a socket of that folder.

A server keeps nothing unless it is told to, and is stopped by its process id. The program is
`redis-server`, or `valkey-server` where that is all there is; `BURSAR_REDIS_SERVER` names another.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bursar.state.redis import RedisStore
from bursar.state.terms import StoreLost

Answer = TypeVar("Answer")
NAMES = (f"test-{number}" for number in itertools.count())


def program() -> str:
    """Skips where there is none; fails where it belongs to the check."""
    named = os.environ.get("BURSAR_REDIS_SERVER")
    found = named or shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    reason = (
        "no redis-server here; apt-get install redis-server, or name one in BURSAR_REDIS_SERVER"
    )
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class Server:
    """A server that can be stopped, killed, paused and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options or ("--save", "", "--appendonly", "no")
        self.socket = folder / "socket"
        self.url = f"unix://{self.socket}"
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = ("--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder))
        words += ("--enable-debug-command", "yes", *self.options)
        with (self.folder / "log").open("ab") as log:
            self._running = subprocess.Popen([program(), *words], stdout=log, stderr=log)
        ends = time.monotonic() + 10
        while self.say("PING") != "PONG":
            assert time.monotonic() < ends, (self.folder / "log").read_text()
            time.sleep(0.01)

    def say(self, *words: str) -> Any:
        """One command, by a connection of its own; None while nobody listens."""
        parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(5)
            try:
                line.connect(str(self.socket))
            except OSError:
                return None
            line.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
            return _read(line.makefile("rb"))

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, what: signal.Signals) -> None:
        assert self._running is not None
        self._running.send_signal(what)

    def _end(self, how: signal.Signals) -> None:
        if self._running is not None:
            self._running.send_signal(signal.SIGCONT)
            self._running.send_signal(how)
            self._running.wait(10)
            self._running = None
        self.socket.unlink(missing_ok=True)


def _read(lines: Any) -> Any:
    head = lines.readline().decode().strip()
    kind, rest = head[:1], head[1:]
    if kind == "$":
        return None if rest == "-1" else lines.read(int(rest) + 2)[:-2].decode("latin-1")
    if kind == "*":
        return [_read(lines) for _ in range(int(rest))]
    return int(rest) if kind == ":" else rest


@contextmanager
def a_server(*options: str) -> Iterator[Server]:
    """Its folder is a short one: the path of a socket has 108 characters at most."""
    program()
    folder = Path(tempfile.mkdtemp(prefix="bursar-redis-"))
    server = Server(folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)


@contextmanager
def a_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        loop.close()


MADE: list[RedisStore] = []
"""Stores of the running test."""


def a_store(server: Server, **words: Any) -> RedisStore:
    """Under a name of its own unless one is given; closed when `run` ends. Waits long by default,
    since the machine may be busy with other tests."""
    store = RedisStore(server.url, **{"name": next(NAMES), "timeout_ms": 5_000, **words})
    MADE.append(store)
    return store


async def whole_store(server: Server, **words: Any) -> RedisStore:
    """An empty one that admits."""
    store = a_store(server, **words)
    await store.rebuild("node", (), (), 1_000)
    return store


async def until_back(store: RedisStore, within_s: float = 10) -> bool:
    """Waits until the server answers again; whether the store is whole then."""
    ends = time.monotonic() + within_s
    while True:
        try:
            return await store.is_whole()
        except StoreLost:
            assert time.monotonic() < ends, "the store does not come back"
            await asyncio.sleep(0.01)


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    """For one test; no test of these may hang."""

    async def whole() -> Answer:
        try:
            return await asyncio.wait_for(work, 60)
        finally:
            while MADE:
                await MADE.pop().close()

    return asyncio.run(whole())
