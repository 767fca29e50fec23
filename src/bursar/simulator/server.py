"""The simulator: a provider on this machine that speaks three wires and bills like the real ones.

    async with Simulator(seed=7) as provider:
        client = AsyncOpenAI(base_url=provider.openai_url, api_key="any")
        ...
        provider.invoice.total_nano

Under one seed the same requests, in the same order, get the same bytes and the same invoice.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from bursar.model.errors import BadInput
from bursar.price.billing_rules import Rules, load_rules
from bursar.price.book import Book, load_book
from bursar.simulator.desk import Desk, Request, Terms
from bursar.simulator.faults import Fate, Fault
from bursar.simulator.http import Connection
from bursar.simulator.invoice import Invoice
from bursar.simulator.saying import Script
from bursar.simulator.till import Clock, Till
from bursar.simulator.wires.reply import encode

HOST = "127.0.0.1"
GRACE_S = 2.0
BACKLOG = 1_024


class Prices:
    """What the simulator charges by: the price book and the rules of billing."""

    def __init__(self, book: Book | None = None, rules: Rules | None = None) -> None:
        self.book = book if book is not None else load_book()
        self.rules = rules if rules is not None else load_rules()


class Simulator:
    """A provider over loopback. Start it with `async with`, or in a thread with `running`."""

    def __init__(
        self,
        *,
        seed: int = 0,
        script: Script | None = None,
        faults: Sequence[Fault] = (),
        terms: Terms | None = None,
        prices: Prices | None = None,
        invoice_file: Path | None = None,
        clock: Clock = time.time,
    ) -> None:
        charged = prices if prices is not None else Prices()
        self.invoice = Invoice(invoice_file)
        self.desk = Desk(Till(charged.book, charged.rules), self.invoice, clock, terms or Terms())
        self.desk.seed = seed
        self.desk.script = script
        self.desk.fate = Fate(faults, seed)
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[Connection] = set()

    @property
    def url(self) -> str:
        """For clients of Anthropic, and `endpoint_url` of Bedrock's."""
        return f"http://{HOST}:{self.port}"

    @property
    def openai_url(self) -> str:
        """For clients of OpenAI."""
        return f"{self.url}/v1"

    async def start(self, port: int = 0, *, shared: bool = False) -> None:
        """Listen on loopback; port 0: a free one. `shared`: several processes on one port."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                self._connection, HOST, port, backlog=BACKLOG, reuse_port=shared or None
            )
        except OSError as bad:
            raise BadInput(
                f"port {port} of {HOST} cannot be opened: {bad.strerror}",
                mend="choose another with --port, or stop what listens there",
            ) from bad
        for one in self._server.sockets:
            if one.family == socket.AF_INET:
                self.port = one.getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, close every connection, settle what was open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._open):
            if connection.transport is not None:
                connection.transport.abort()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=GRACE_S)
        self.invoice.close()

    async def __aenter__(self) -> Simulator:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def reset(self) -> None:
        """Empty caches and invoice; every request counts as new."""
        self.desk.reset()

    @contextmanager
    def running(self, port: int = 0) -> Generator[Simulator]:
        """Serve from a thread of its own, for callers that do not await."""
        loop = asyncio.new_event_loop()
        thread = Thread(target=loop.run_forever, daemon=True, name="simulator")
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(port), loop).result()
            try:
                yield self
            finally:
                asyncio.run_coroutine_threadsafe(self.stop(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _connection(self) -> Connection:
        return Connection(self.desk, self._own, self._tasks, self._open)

    def _own(self, request: Request) -> bytes | None:
        """What the simulator says of itself; None for what a provider answers."""
        path, _, query = request.target.partition("?")
        if path == "/invoice" and request.method == "GET":
            return encode(self.invoice.summary(lines="lines=0" not in query))
        if path == "/reset" and request.method == "POST":
            self.reset()
            return b"{}"
        return b'{"status":"ok"}' if path == "/health" else None
