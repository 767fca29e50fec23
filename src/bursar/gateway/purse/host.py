"""The purse's process: the counts of all workers of a machine, in its memory, behind a socket.

It has the counts and nothing else: no settings, no prices, no database. What it is told when it
starts anew comes from the workers, who ask the ledger. A worker whose line breaks is gone, or as
good as gone: what it held is suspect at once, and held again when the worker says so.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import time
from pathlib import Path

import msgspec

from bursar.extras import event_loop
from bursar.gateway.purse import steps
from bursar.gateway.purse.sharing import VERSION, Frames, framed
from bursar.ledger.journal.wire import address_of
from bursar.state.accounts import Accounts

MOST_WORKERS = 256
MOST_UNREAD_BYTES = 16 * 1024 * 1024
"""A worker that does not read its answers is cut off there."""
GREETING_S = 5.0


class Host:
    """Counts, and who may ask for them."""

    def __init__(self, *nodes: str) -> None:
        """`nodes`: who must tell their ledgers before anything is admitted: this machine."""
        self.counts = Accounts(nodes)
        self.life = secrets.token_bytes(8)
        self.lines: dict[str, Served] = {}
        """The line that speaks for each worker, by its name."""
        self.count = 0

    def lost(self, line: Served) -> None:
        """A worker's line is broken; unless it has another one by now, it is gone."""
        self.count -= 1
        if line.owner and self.lines.get(line.owner) is line:
            del self.lines[line.owner]
            self.counts.abandon(line.owner, time.time_ns() // 1_000_000)


class Served(Frames):
    """One worker's line."""

    def __init__(self, host: Host) -> None:
        super().__init__(self._take)
        self.owner = ""
        self._host = host
        self._alarm: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._host.count += 1
        if self._host.count > MOST_WORKERS:
            self.broken()
            return
        self._alarm = asyncio.get_running_loop().call_later(GREETING_S, self._look)

    def _look(self) -> None:
        if not self.owner:
            self.broken()

    def _take(self, raw: bytes) -> None:
        assert self.line is not None
        try:
            if not self.owner:
                self._greet(steps.greeting(raw))
                return
            asked = steps.asked(raw)
        except msgspec.MsgspecError:
            self.broken()
            return
        counts = self._host.counts
        self.line.write(framed([steps.take(counts, step) for step in asked]))
        if self.line.get_write_buffer_size() > MOST_UNREAD_BYTES:
            self.broken()

    def _greet(self, hello: steps.Hello) -> None:
        assert self.line is not None
        self.line.write(framed(steps.Here(VERSION, self._host.life)))
        if hello.version != VERSION or not hello.owner:
            self.line.close()
            return
        self.owner = hello.owner
        self._host.lines[hello.owner] = self

    def connection_lost(self, exc: Exception | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._host.lost(self)


def keep_purse(place: Path, node: str) -> None:
    """Serve at a place until SIGTERM or SIGINT."""
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        runner.run(_keep(place, node))


async def _keep(place: Path, node: str) -> None:
    loop, ended, host = asyncio.get_running_loop(), asyncio.Event(), Host(node)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = await loop.create_unix_server(lambda: Served(host), sock=bound(place))
    await ended.wait()
    server.close()
    for line in list(host.lines.values()):
        line.broken()


def bound(place: Path) -> socket.socket:
    """A socket that only its owner may open; it takes the place of an earlier one."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    place.unlink(missing_ok=True)
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    before = os.umask(0o177)
    try:
        line.bind(address_of(str(place), folder))
    finally:
        os.umask(before)
        os.close(folder)
    return line
