"""Requests to a scripted provider: every way in which an answer comes, or does not."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.gateway.http.guard import may_connect
from bursar.gateway.http.messages import build_head
from bursar.gateway.http.upstream import Incoming, Keeping, Origin, Pool, UpstreamError, Waits
from tests.gateway.http.rig import HOST, LOOPS, TICK_S, run, until

Script = Callable[["Provider", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\n"
WHOLE = OK + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
UNTIL_LEFT = float("inf")
"""A pause of a provider: until the other side has left."""
SOON = Waits(connect_s=1.0, head_s=0.2, idle_s=0.2, total_s=2.0)
pytestmark = pytest.mark.parametrize("loop", LOOPS)


class Provider:
    """A provider on this machine that follows a script on each connection."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self.connections = 0
        self.lost = 0
        self.port = 0

    async def met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.script(self, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.lost += 1
            writer.close()

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
        body = await reader.readexactly(length)
        self.requests.append(head + body)
        return body


def answers(*pieces: bytes | float, keep: bool = True) -> Script:
    """Answer each request with `pieces`; a number is a pause."""

    async def script(
        provider: Provider, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            await provider.read(reader)
            for piece in pieces:
                if isinstance(piece, bytes):
                    writer.write(piece)
                    await writer.drain()
                elif piece == UNTIL_LEFT:
                    await reader.read()
                    return
                else:
                    await asyncio.sleep(piece)
            if not keep:
                return

    return script


class Setting:
    """A provider, a pool, and requests from the one to the other."""

    def __init__(self, provider: Provider, pool: Pool) -> None:
        self.provider = provider
        self.pool = pool
        self.origin = Origin("http", HOST, provider.port, private=True)

    async def send(self, body: bytes = b"ask", waits: Waits = SOON) -> Incoming:
        head = build_head(b"POST", b"/v1", [(b"host", b"there")], len(body))
        return await self.pool.send(self.origin, head, body, waits)

    async def body(self, body: bytes = b"ask", waits: Waits = SOON) -> bytes:
        return await (await self.send(body, waits)).body(1 << 20)

    async def failure(self, waits: Waits = SOON) -> tuple[str, bool]:
        with pytest.raises(UpstreamError) as caught:
            await self.body(waits=waits)
        assert caught.value.kind in str(caught.value)
        return caught.value.kind, caught.value.sent


@asynccontextmanager
async def setting(script: Script, **keeping: Any) -> AsyncIterator[Setting]:
    provider = Provider(script)
    listening = await asyncio.start_server(provider.met, HOST, 0, limit=1 << 20)
    provider.port = listening.sockets[0].getsockname()[1]
    pool = Pool(keeping=Keeping(**{"tick_s": TICK_S, **keeping}))
    try:
        yield Setting(provider, pool)
    finally:
        pool.close()
        await until(lambda: provider.lost == provider.connections and not pool.connections)
        listening.close()
        await asyncio.sleep(0.01)


def test_a_connection_is_used_again(loop: str) -> None:
    async def work() -> None:
        async with setting(answers(WHOLE)) as there:
            for n in range(10):
                incoming = await there.send(b"%d" % n)
                assert incoming.status == 200
                assert incoming.headers[0] == (b"content-type", b"application/json")
                assert await incoming.body(2) == b"{}"
                assert there.pool.idle == 1
            assert there.provider.connections == there.pool.connections == 1
            assert there.provider.requests[3] == (
                b"POST /v1 HTTP/1.1\r\nhost: there\r\ncontent-length: 1\r\n\r\n3"
            )

    run(work(), loop)


def test_one_request_at_a_time_on_each(loop: str) -> None:
    async def work() -> None:
        async with setting(answers(0.05, WHOLE), idle=3) as there:
            assert await asyncio.gather(*(there.body() for _ in range(6))) == [b"{}"] * 6
            assert there.provider.connections == 6
            await until(lambda: there.pool.connections == 3)
            assert there.pool.idle == 3

    run(work(), loop)


@pytest.mark.parametrize(
    ("answer", "body", "kept"),
    [
        (WHOLE, b"{}", True),
        (
            OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;a=b\r\n}\r\n0\r\nT: x\r\n\r\n",
            b"{}",
            1,
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\n" + WHOLE, b"{}", 1),
        (b"HTTP/1.1 204 Nothing\r\n\r\n", b"", True),
        (OK + b"Content-Length: 0\r\n\r\n", b"", True),
        (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
        (WHOLE + b"HTTP/1.1 200 OK\r\n", b"{}", False),
        (WHOLE + b"junk", b"{}", False),
    ],
)
def test_whole_answers(loop: str, answer: bytes, body: bytes, kept: bool) -> None:
    async def work() -> None:
        async with setting(answers(answer)) as there:
            incoming = await there.send()
            assert incoming.status in (200, 204)
            assert not {name for name, _ in incoming.headers} & {b"link", b"t"}
            assert await incoming.body(100) == body
            assert there.pool.idle == kept
            incoming.close()
            assert there.pool.idle == kept

    run(work(), loop)


@pytest.mark.parametrize("lines", [b"", b"Connection: close\r\n"])
def test_an_answer_until_the_end(loop: str, lines: bytes) -> None:
    async def work() -> None:
        async with setting(answers(OK + lines + b"\r\none", 0.02, b"two", keep=False)) as there:
            assert await there.body() == b"onetwo"
            await until(lambda: not there.pool.connections)

    run(work(), loop)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", "cut"),
        (b"HTTP/1.1 20", "cut"),
        (OK + b"Content-Len", "cut"),
        (OK + b"Content-Length: 3\r\n\r\nab", "cut"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "cut"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", "protocol"),
        (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "protocol"),
        (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "protocol"),
        (OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n", "protocol"),
        (OK + b"Transfer-Encoding: gzip\r\n\r\nabc", "protocol"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "protocol"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "protocol"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nxx\r\n", "protocol"),
        (b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", "protocol"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 50, "protocol"),
        (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", "protocol"),
        (OK + b"A: %b\r\n\r\n" % (b"b" * 70_000), "protocol"),
        (OK + b"A: %b" % (b"b" * 400_000), "protocol"),
        (OK + b"A: b\r\n" * 300 + b"\r\n", "protocol"),
    ],
)
def test_bad_answers(loop: str, answer: bytes, kind: str) -> None:
    async def work() -> None:
        async with setting(answers(answer, keep=False)) as there:
            assert await there.failure() == (kind, True)
            assert (there.pool.idle, there.provider.connections) == (0, 1)
            await until(lambda: not there.pool.connections)

    run(work(), loop)


def test_what_came_before_the_cut_is_given(loop: str) -> None:
    cut = answers(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", keep=False)

    async def work() -> None:
        async with setting(cut) as there:
            incoming = await there.send()
            got: list[bytes] = []

            async def read() -> None:
                async for chunk in incoming.chunks():
                    got.append(chunk)  # noqa: PERF401 (a comprehension would lose it)

            with pytest.raises(UpstreamError, match="cut"):
                await read()
            assert got == [b"abc"]

    run(work(), loop)


def test_a_reset_ends_no_answer(loop: str) -> None:
    async def reset(
        provider: Provider, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await provider.read(reader)
        writer.write(OK + b"\r\nabc")
        await writer.drain()
        await asyncio.sleep(0.05)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def work() -> None:
        async with setting(reset) as there:
            assert await there.failure() == ("cut", True)

    run(work(), loop)


@pytest.mark.parametrize(
    ("pieces", "waits"),
    [
        ((UNTIL_LEFT, WHOLE), Waits(head_s=0.1)),
        ((b"HTTP/1.1 200", UNTIL_LEFT), Waits(head_s=0.1)),
        ((OK + b"Content-Length: 3\r\n\r\na", UNTIL_LEFT), Waits(idle_s=0.1)),
        ((OK + b"Content-Length: 99\r\n\r\n", *(b"a", 0.05) * 98), Waits(total_s=0.3)),
    ],
)
def test_waiting_ends(loop: str, pieces: tuple[bytes | float, ...], waits: Waits) -> None:
    async def work() -> None:
        async with setting(answers(*pieces)) as there:
            began = time.monotonic()
            assert await there.failure(waits) == ("timeout", True)
            assert time.monotonic() - began > 0.08
            await until(lambda: not there.pool.connections)

    run(work(), loop)


def test_chunks_come_as_they_are_sent(loop: str) -> None:
    async def work() -> None:
        steps = asyncio.Event()

        async def stepwise(
            provider: Provider, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            await provider.read(reader)
            writer.write(OK + b"Transfer-Encoding: chunked\r\n\r\n")
            for n in range(5):
                writer.write(b"7\r\nevent %d\r\n" % n)
                steps.clear()
                await steps.wait()
            writer.write(b"0\r\n\r\n")

        async with setting(stepwise) as there:
            incoming = await there.send()
            got: list[bytes] = []
            async for chunk in incoming.chunks():
                got.append(chunk)
                steps.set()
            assert got == [b"event %d" % n for n in range(5)]

    run(work(), loop)


def test_an_early_answer_is_heard(loop: str) -> None:
    """The provider answers and closes while the body is still being sent."""

    async def early(
        provider: Provider, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        await asyncio.sleep(0.2)

    async def work() -> None:
        async with setting(early) as there:
            incoming = await there.send(b"x" * 8_000_000)
            assert incoming.status == 413
            assert await incoming.body(100) == b"no"
            assert there.pool.idle == 0

    run(work(), loop)


def test_a_body_has_a_limit(loop: str) -> None:
    endless = answers(OK + b"\r\n", *[b"x" * 65536] * 400, keep=False)

    async def work() -> None:
        async with setting(endless) as there:
            incoming = await there.send()
            tracemalloc.start()
            with pytest.raises(UpstreamError, match="protocol"):
                await incoming.body(1_000_000)
            assert tracemalloc.get_traced_memory()[1] < 4_000_000
            tracemalloc.stop()
            await until(lambda: not there.pool.connections)

    run(work(), loop)


def test_a_slow_caller_stops_the_reading(loop: str) -> None:
    written = 0
    size = 40_000_000

    async def flood(
        provider: Provider, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal written
        await provider.read(reader)
        writer.write(OK + b"Content-Length: %d\r\n\r\n" % size)
        while written < size:
            writer.write(b"x" * 100_000)
            await writer.drain()
            written += 100_000

    async def work() -> None:
        async with setting(flood) as there:
            tracemalloc.start()
            incoming = await there.send(waits=Waits(idle_s=0.1))
            await asyncio.sleep(0.5)
            assert written < 20_000_000
            got = 0
            async for chunk in incoming.chunks():
                got += len(chunk)
                if got < 2_000_000:
                    await asyncio.sleep(0.02)
            assert got == size
            assert tracemalloc.get_traced_memory()[1] < 12_000_000
            tracemalloc.stop()
            assert there.pool.idle == 1

    run(work(), loop)


def test_what_is_not_read_is_cut(loop: str) -> None:
    async def work() -> None:
        async with setting(answers(OK + b"Content-Length: 5\r\n\r\nab", 0.5)) as there:
            incoming = await there.send()
            incoming.close()
            incoming.close()
            await until(lambda: not there.pool.connections)
            with pytest.raises(UpstreamError, match="cut"):
                await incoming.body(100)

    run(work(), loop)


@pytest.mark.parametrize("pieces", [(0.5, WHOLE), (OK + b"Content-Length: 5\r\n\r\nab", 0.5)])
def test_cancelling_leaves_nothing(loop: str, pieces: tuple[bytes | float, ...]) -> None:
    async def call(there: Setting) -> None:
        incoming = await there.send(waits=Waits())
        try:
            await incoming.body(100)
        finally:
            incoming.close()

    async def work() -> None:
        async with setting(answers(*pieces)) as there:
            calling = asyncio.ensure_future(call(there))
            await until(lambda: len(there.provider.requests) == 1)
            await asyncio.sleep(0.05)
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            await until(lambda: not there.pool.connections)

    run(work(), loop)


# -- idle connections -----------------------------------------------------------------------------


def test_idle_connections_grow_old(loop: str) -> None:
    async def work() -> None:
        for aging in ({"idle_s": 0.1}, {"age_s": 0.1}):
            async with setting(answers(WHOLE), **aging) as there:
                await there.body()
                assert there.pool.idle == 1
                await until(lambda: not there.pool.connections, 2)
                assert there.pool.idle == 0
                await there.body()
                assert there.provider.connections == 2

    run(work(), loop)


def test_a_connection_the_provider_closed_is_not_used(loop: str) -> None:
    async def work() -> None:
        async with setting(answers(WHOLE, keep=False)) as there:
            for n in range(5):
                assert await there.body() == b"{}"
                await until(lambda: not there.pool.idle)
                assert there.provider.connections == n + 1

    run(work(), loop)


@pytest.mark.parametrize("last", [b"", b"HTTP/1.1 408 Slow\r\nContent-Length: 0\r\n\r\n"])
def test_an_end_not_yet_seen_by_the_loop_is_seen(loop: str, last: bytes) -> None:
    """The provider closes or speaks out of turn while this loop is busy."""

    async def work() -> None:
        listening = socket.create_server((HOST, 0))
        pool = Pool(keeping=Keeping(tick_s=TICK_S))
        origin = Origin("http", HOST, listening.getsockname()[1], private=True)
        head = build_head(b"POST", b"/", [(b"host", b"there")], 3)

        def serve_once() -> socket.socket:
            sock, _ = listening.accept()
            while not sock.recv(65536).endswith(b"ask"):
                pass
            sock.sendall(WHOLE)
            return sock

        running = asyncio.get_running_loop()
        for _ in range(2):
            serving = running.run_in_executor(None, serve_once)
            incoming = await pool.send(origin, head, b"ask", SOON)
            assert await incoming.body(10) == b"{}"
            sock = await serving
            await asyncio.sleep(TICK_S * 3)
            if last:
                sock.sendall(last)
            sock.close()
            assert pool.idle == 1
        pool.close()
        listening.close()
        await asyncio.sleep(0.02)

    run(work(), loop)


def test_connections_have_a_bound(loop: str) -> None:
    async def work() -> None:
        async with setting(answers(0.1, WHOLE), connections=2) as there:
            results = await asyncio.gather(
                *(there.body() for _ in range(5)), return_exceptions=True
            )
            refused = [one for one in results if isinstance(one, UpstreamError)]
            assert [(one.kind, one.sent) for one in refused] == [("refused", False)] * 3
            assert there.provider.connections == 2

    run(work(), loop)


def test_nobody_there(loop: str) -> None:
    async def work() -> None:
        async with setting(answers(WHOLE)) as there:
            with socket.socket() as unused:
                unused.bind((HOST, 0))
                port = unused.getsockname()[1]
            there.origin = Origin("http", HOST, port, private=True)
            assert await there.failure() == ("connect", False)
            there.origin = Origin("http", "no-such-name.invalid", 80)
            assert await there.failure() == ("connect", False)
            there.origin = Origin("http", "a" * 300, 80)
            assert await there.failure() == ("connect", False)
            assert there.pool.connections == 0

    run(work(), loop)


def test_connecting_takes_no_longer_than_told(loop: str) -> None:
    async def work() -> None:
        full = socket.create_server((HOST, 0), backlog=0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex((HOST, port))
        async with setting(answers(WHOLE)) as there:
            there.origin = Origin("http", HOST, port, private=True)
            assert await there.failure(Waits(connect_s=0.2)) == ("connect", False)
            assert there.pool.connections == 0
        for sock in [*waiting, full]:
            sock.close()

    run(work(), loop)


# -- where it does not connect --------------------------------------------------------------------

PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1"]
PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "::1",
    "fc00::1",
    "fd12:3456::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
]
NEVER = [
    "169.254.169.254",
    "169.254.170.2",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "fe80::1",
    "fe80::1%eth0",
    "0.0.0.0",
    "::",
    "::ffff:0.0.0.0",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "not an address",
    "",
]


def test_addresses(loop: str) -> None:
    assert [one for one in PUBLIC if not may_connect(one, private=False)] == []
    assert [one for one in PUBLIC + PRIVATE if not may_connect(one, private=True)] == []
    assert [one for one in PRIVATE + NEVER if may_connect(one, private=False)] == []
    assert [one for one in NEVER if may_connect(one, private=True)] == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0.0.0.0",
        "0",
        "::1",
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "10.0.0.1",
    ],
)
def test_no_way_in(loop: str, host: str) -> None:
    async def work() -> None:
        async with setting(answers(WHOLE)) as there:
            there.origin = Origin("http", host, there.provider.port)
            kind, sent = await there.failure()
            assert not sent
            assert kind == "refused" or (kind == "connect" and host.startswith(("0", "::", "2")))
            assert there.provider.connections == 0

    run(work(), loop)


def test_every_address_of_a_name_is_judged_and_no_name_asked_twice(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: a second look-up must not decide where the connection goes."""

    async def work() -> None:
        asked: list[Any] = []
        found: list[str] = []

        async def resolve(host: str, port: int, **_: Any) -> list[Any]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

        async with setting(answers(WHOLE)) as there:
            monkeypatch.setattr(there.pool, "_loop", _Resolving(there.pool._loop, resolve))
            there.origin = Origin("http", "provider.example", there.provider.port)
            found[:] = ["1.1.1.1", "127.0.0.1"]
            assert await there.failure() == ("refused", False)
            there.origin = Origin("http", "provider.example", there.provider.port, private=True)
            found[:] = ["127.0.0.1"]
            assert await there.body() == b"{}"
            assert asked == ["provider.example"] * 2

    run(work(), loop)


class _Resolving:
    """A loop with its own names."""

    def __init__(self, loop: asyncio.AbstractEventLoop, resolve: Any) -> None:
        self._loop = loop
        self.getaddrinfo = resolve

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


def test_a_redirect_is_an_answer(loop: str) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"

    async def work() -> None:
        async with setting(answers(moved)) as there:
            incoming = await there.send()
            assert incoming.status == 302
            assert there.provider.connections == 1

    run(work(), loop)


# -- heads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "header"),
    [
        (b"POST", b"/", (b"a", b"b\r\nc: d")),
        (b"POST", b"/", (b"a", b"b\nc")),
        (b"POST", b"/", (b"a", b"b\rc")),
        (b"POST", b"/", (b"a", b"b\0")),
        (b"POST", b"/", (b"a\r\nb", b"c")),
        (b"POST", b"/a b", (b"a", b"b")),
        (b"POST", b"/a\r\nb", (b"a", b"b")),
        (b"POST", b"http://there/", (b"a", b"b")),
        (b"POST", b"", (b"a", b"b")),
        (b"POST", "/é".encode(), (b"a", b"b")),
        (b"PO ST", b"/", (b"a", b"b")),
        (b"HEAD", b"/", (b"a", b"b")),
        (b"CONNECT", b"/", (b"a", b"b")),
    ],
)
def test_heads_that_are_not_built(
    loop: str, method: bytes, target: bytes, header: tuple[bytes, bytes]
) -> None:
    with pytest.raises(ValueError):
        build_head(method, target, [(b"host", b"there"), header], 0)


def test_framing_is_ours(loop: str) -> None:
    framing = [(b"content-length", b"9"), (b"transfer-encoding", b"chunked"), (b"connection", b"x")]
    head = build_head(b"GET", b"/", [(b"host", b"there"), *framing], 0)
    assert head == b"GET / HTTP/1.1\r\nhost: there\r\n\r\n"
    with pytest.raises(ValueError, match="host"):
        build_head(b"GET", b"/", framing, 0)


# -- laws -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.binary(min_size=1, max_size=200), max_size=5),
    framing=st.sampled_from(["length", "chunks", "end"]),
    interim=st.integers(0, 2),
    cuts=st.lists(st.integers(1, 900), max_size=6),
    short=st.booleans(),
)
def test_pieces_do_not_matter(
    loop: str, parts: list[bytes], framing: str, interim: int, cuts: list[int], short: bool
) -> None:
    """An answer cut anywhere is the same answer; one cut off is never whole, unless it says so."""
    body = b"".join(parts)
    sent = b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n" * interim + OK + b"X-A: b\r\n"
    if framing == "length":
        sent += b"Content-Length: %d\r\n\r\n" % len(body) + body
    elif framing == "chunks":
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        sent += b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    else:
        sent += b"\r\n" + body
    whole = not short
    if short:
        sent = sent[:-1]
    places = sorted({min(cut, len(sent)) for cut in cuts})
    pieces: list[bytes | float] = []
    for a, b in zip([0, *places], [*places, len(sent)], strict=True):
        pieces += [sent[a:b], 0.002]

    async def work() -> None:
        async with setting(answers(*pieces, keep=False)) as there:
            if whole:
                incoming = await there.send()
                got = b"".join([chunk async for chunk in incoming.chunks()])
                assert got == body
                assert incoming.headers[0] == (b"x-a", b"b")
            elif framing == "end" and body:
                assert await there.body() == body[:-1]
            else:
                assert await there.failure() == ("cut", True)

    run(work(), loop)
