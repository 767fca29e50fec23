"""One connection over its life: turns, streams, slow and absent clients, faults, the end."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import time
import tracemalloc

import pytest

from bursar.gateway.http.connection import Connection
from bursar.gateway.http.messages import Asked
from tests.gateway.http.rig import HOST, LOOPS, App, Lines, get, request, run, serving, until

POST = b"POST /v1 HTTP/1.1\r\nHost: here\r\n"
pytestmark = pytest.mark.parametrize("loop", LOOPS)


def test_a_connection_serves_many(loop: str) -> None:
    async def work() -> None:
        app = App()
        async with serving(app) as house:
            client = await house.client()
            for n in range(20):
                await client.send(request(b"POST", b"/%d" % n, body=b"b" * n, close=False))
                status, headers, body = await client.answer()
                assert (status, headers[b"x-target"], len(body)) == (200, b"/%d" % n, n + 5)
                assert b"connection" not in headers
            assert house.server.connections == 1
            await client.send(get(b"/last"))
            assert (await client.answer())[1][b"connection"] == b"close"
            assert await client.is_closed()

    run(work(), loop)


def test_turns_are_kept(loop: str) -> None:
    """Requests sent at once are answered one at a time, in order."""
    running = 0

    async def slowly(asked: Asked) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.02 if asked.target == b"/0" else 0)
        running -= 1
        asked.reply(200, [(b"x-target", asked.target)], b"")

    async def work() -> None:
        async with serving(App(slowly)) as house:
            client = await house.client()
            sent = b"".join(get(b"/%d" % n, close=False) for n in range(8))
            await client.send(sent + request(b"POST", b"/8", body=b"abc", close=False))
            for n in range(9):
                assert (await client.answer())[1][b"x-target"] == b"/%d" % n
            client = await house.client()
            for n in range(8):
                await client.send(get(b"/%d" % n, close=False), b"")
            for n in range(8):
                assert (await client.answer())[1][b"x-target"] == b"/%d" % n

    run(work(), loop)


def test_a_refused_request_waits_for_its_turn(loop: str) -> None:
    async def slowly(asked: Asked) -> None:
        await asyncio.sleep(0.03)
        asked.reply(200, [], b"")

    async def work() -> None:
        async with serving(App(slowly)) as house:
            client = await house.client()
            await client.send(get(b"/", close=False) * 2 + b"nonsense\r\n\r\n" + get(b"/"))
            assert [(await client.answer())[0] for _ in range(3)] == [200, 200, 400]
            assert await client.is_closed()

    run(work(), loop)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("rest", [get(b"/admin"), b"nonsense", b"0\r\n\r\n"])
def test_what_follows_a_body_is_never_a_request(loop: str, rest: bytes, together: bool) -> None:
    """Here the answer waits until the rest was seen: after an answer, it is the next request."""

    async def seen_first(asked: Asked) -> None:
        await until(lambda: asked.closes)
        asked.reply(200, [], asked.body)

    async def work() -> None:
        app = App(seen_first)
        async with serving(app) as house:
            sent = POST + b"Content-Length: 3\r\n\r\nabc"
            client = await house.client()
            await (client.send(sent + rest) if together else client.send(sent, rest))
            assert (await client.answer())[2] == b"abc"
            assert await client.is_closed()
        assert [asked.target for asked in app.seen] == [b"/v1"]

    run(work(), loop)


def test_the_answer_is_heard_although_too_much_was_sent(loop: str) -> None:
    """Closing a socket with unread bytes in it would take the answer back."""

    async def work() -> None:
        async with serving(App()) as house:
            for _ in range(20):
                client = await house.client()
                client.writer.write(POST + b"Content-Length: 3\r\n\r\nabc" + b"x" * 3_000_000)
                assert (await client.answer())[2] == b"POST abc"

    run(work(), loop)


def test_an_answer_with_a_gap_never_looks_whole(loop: str) -> None:
    """The client has ended its side and reads slowly: pieces are dropped, so the end is too."""

    async def stream(asked: Asked) -> None:
        left = asyncio.Event()
        asked.when_gone(left.set)
        asked.start(200, [])
        await left.wait()
        for _ in range(400):
            asked.send(b"x" * 65536)
            await asked.room()
        asked.finish()

    async def work() -> None:
        async with serving(App(stream)) as house:
            for version in (b"1.0", b"1.1"):
                sock = _small_window()
                sock.setblocking(False)
                running = asyncio.get_running_loop()
                await running.sock_connect(sock, (HOST, house.port))
                await running.sock_sendall(sock, b"GET / HTTP/%b\r\nHost: here\r\n\r\n" % version)
                sock.shutdown(socket.SHUT_WR)
                await asyncio.sleep(0.1)
                told = b""
                try:
                    while part := await running.sock_recv(sock, 1 << 20):
                        told = told[-100:] + part
                    assert version == b"1.1"
                    assert not told.endswith(b"\r\n0\r\n\r\n")
                except ConnectionResetError:
                    assert version == b"1.0"
                sock.close()

    run(work(), loop)


def test_line_ends_behind_a_body_do_no_harm(loop: str) -> None:
    async def work() -> None:
        async with serving(App()) as house:
            client = await house.client()
            for _ in range(3):
                await client.send(request(b"POST", b"/", body=b"abc", close=False) + b"\r\n")
                assert (await client.answer())[2] == b"POST abc"

    run(work(), loop)


def test_reading_ahead_has_a_bound(loop: str) -> None:
    gate = asyncio.Event()

    async def wait(asked: Asked) -> None:
        await gate.wait()
        asked.reply(200, [(b"x-target", asked.target)], b"")

    async def work() -> None:
        app = App(wait)
        async with serving(app, ahead_bytes=1000) as house:
            client = await house.client()
            await client.send(get(b"/first", close=False))
            await until(lambda: len(app.seen) == 1)
            written = 0
            client.writer.transport.set_write_buffer_limits(high=0)
            flood = get(b"/next", close=False) * 1000

            async def pour() -> None:
                nonlocal written
                while True:
                    client.writer.write(flood)
                    written += len(flood)
                    await client.writer.drain()

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pour(), 0.5)
            assert written < 30_000_000
            gate.set()
            for n in range(10):
                want = b"/first" if not n else b"/next"
                assert (await client.answer())[1][b"x-target"] == want
        assert len(app.seen) < 1000

    run(work(), loop)


def test_too_many_at_once_are_left_to_another_connection(loop: str) -> None:
    async def work() -> None:
        app = App()
        async with serving(app, pipelined=4) as house:
            told = await house.say(b"".join(get(b"/%d" % n, close=False) for n in range(20)))
        assert [asked.target for asked in app.seen] == [b"/%d" % n for n in range(5)]
        assert told.count(b" 200 OK") == 5
        assert told.count(b"connection: close") == 1

    run(work(), loop)


def test_streams(loop: str) -> None:
    async def stream(asked: Asked) -> None:
        asked.start(200, [(b"a", b"b")], 6 if asked.target == b"/length" else None)
        for piece in (b"one", b"", b"two"):
            asked.send(piece)
            await asked.room()
            await asyncio.sleep(0.01)
        asked.finish()

    async def work() -> None:
        async with serving(App(stream)) as house:
            client = await house.client()
            for path in (b"/chunked", b"/length", b"/chunked"):
                await client.send(get(path, close=False))
                status, headers, body = await client.answer()
                assert (status, headers[b"a"], body) == (200, b"b", b"onetwo")
                assert (headers.get(b"content-length") == b"6") == (path == b"/length")
            told = await house.say(b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert told == b"HTTP/1.1 200 OK\r\na: b\r\nconnection: close\r\n\r\nonetwo"

    run(work(), loop)


def test_a_piece_of_a_stream_is_not_held_back(loop: str) -> None:
    steps: asyncio.Queue[bytes] = asyncio.Queue()

    async def stream(asked: Asked) -> None:
        asked.start(200, [])
        while piece := await steps.get():
            asked.send(piece)
        asked.finish()

    async def work() -> None:
        async with serving(App(stream)) as house:
            client = await house.client()
            await client.send(get(b"/", close=False))
            await client.reader.readuntil(b"\r\n\r\n")
            for n in range(5):
                steps.put_nowait(b"event %d" % n)
                assert await client.reader.readexactly(12) == b"7\r\nevent %d\r\n" % n
            steps.put_nowait(b"")
            assert await client.reader.readexactly(5) == b"0\r\n\r\n"

    run(work(), loop)


def test_heads_and_bodiless_answers(loop: str) -> None:
    async def answer(asked: Asked) -> None:
        if asked.target == b"/stream":
            asked.start(200, [])
            asked.send(b"abc")
            asked.finish()
        else:
            asked.reply(int(asked.target[1:]), [], b"abc")

    async def work() -> None:
        async with serving(App(answer)) as house:
            told = await house.say(request(b"HEAD", b"/200"))
            assert told == b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\n"
            told = await house.say(request(b"HEAD", b"/stream"))
            assert told.endswith(b"chunked\r\nconnection: close\r\n\r\n")
            for status in (b"204", b"304"):
                told = await house.say(get(b"/" + status))
                assert told.endswith(b"\r\nconnection: close\r\n\r\n")
                assert b"content-length" not in told
            told = await house.say(get(b"/499"))
            assert told.startswith(b"HTTP/1.1 499 \r\n")
            assert told.endswith(b"\r\n\r\nabc")
        app = App()
        async with serving(app) as house:
            assert (await house.say(request(b"OPTIONS", b"*"))).endswith(b"OPTIONS ")
            told = await house.say(b"GET / HTTP/1.0\r\n\r\n")
            assert b"connection: close" in told

    run(work(), loop)


def test_an_app_that_fails_says_nothing_of_it(loop: str) -> None:
    async def fail(asked: Asked) -> None:
        if asked.target == b"/streamed":
            asked.start(200, [])
            asked.send(b"abc")
        if asked.target == b"/replied":
            asked.reply(200, [], b"abc")
        if asked.target == b"/injected":
            asked.reply(200, [(b"x-tag", b"a\r\nset-cookie: b")], b"abc")
        if asked.target != b"/unanswered":
            raise ValueError("the prompt was: secret")

    async def work() -> None:
        async with serving(App(fail)) as house:
            for path in (b"/fresh", b"/unanswered", b"/injected"):
                told = await house.say(get(path, close=False))
                assert told.startswith(b"HTTP/1.1 500 ")
                assert b"secret" not in told
                assert b"cookie" not in told
                assert b"connection: close" in told
            told = await house.say(get(b"/streamed", close=False))
            assert told.endswith(b"3\r\nabc\r\n")
            told = await house.say(get(b"/replied"))
            assert told.endswith(b"abc")
            assert house.server.running == 0

    lines = Lines()
    log = logging.getLogger("bursar.gateway.http")
    log.addHandler(lines)
    try:
        run(work(), loop)
    finally:
        log.removeHandler(lines)
    assert len(lines.texts) == 5
    assert not any("secret" in text for text in lines.texts)
    assert sum("ValueError at" in text for text in lines.texts) == 4


def test_an_admission_that_fails_is_a_500(loop: str) -> None:
    class Broken(App):
        def admit(self, asked: Asked) -> None:
            raise KeyError("secret")

    async def work() -> None:
        async with serving(Broken()) as house:
            told = await house.say(get())
            assert told.startswith(b"HTTP/1.1 500 ")
            assert b"secret" not in told

    run(work(), loop)


def test_an_answer_is_given_once(loop: str) -> None:
    raised: list[str] = []

    async def twice(asked: Asked) -> None:
        asked.start(200, [], 3)
        asked.send(b"abc")
        for act in (
            lambda: asked.reply(200, [], b""),
            lambda: asked.start(200, []),
            lambda: asked.send(b"d"),
        ):
            try:
                act()
            except (RuntimeError, ValueError) as error:
                raised.append(type(error).__name__)
        asked.finish()
        try:
            asked.finish()
        except RuntimeError:
            raised.append("finished")
        asked.cut()

    async def work() -> None:
        async with serving(App(twice)) as house:
            client = await house.client()
            for _ in range(2):
                await client.send(get(close=False))
                assert (await client.answer())[2] == b"abc"

    run(work(), loop)
    assert raised == ["RuntimeError", "RuntimeError", "ValueError", "finished"] * 2


def test_a_cut_is_seen(loop: str) -> None:
    async def cut(asked: Asked) -> None:
        if asked.target == b"/fresh":
            asked.cut()
            return
        asked.start(200, [], 6 if asked.target == b"/length" else None)
        asked.send(b"abc")
        if asked.target == b"/short":
            asked.finish()
        asked.cut()

    async def work() -> None:
        async with serving(App(cut)) as house:
            assert await house.say(get(b"/fresh", close=False)) == b""
            assert (await house.say(get(b"/chunked", close=False))).endswith(b"\r\n3\r\nabc\r\n")
            assert (await house.say(get(b"/length", close=False))).endswith(b"\r\n\r\nabc")
            client = await house.client()
            await client.send(b"GET /old HTTP/1.0\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                await client.reader.read()

    run(work(), loop)


# -- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", 0),
        (b"GE", 408),
        (b"GET / HTTP/1.1\r\nHo", 408),
        (b"\r\n", 408),
        (POST + b"Content-Length: 10\r\n\r\nab", 408),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nab", 408),
        (get(close=False), 200),
    ],
)
def test_slow_senders(loop: str, sent: bytes, status: int) -> None:
    async def work() -> None:
        slow = {"header_read_s": 0.1, "body_idle_s": 0.1, "keep_alive_s": 0.1}
        async with serving(App(), **slow) as house:
            began = time.monotonic()
            told = await house.say(sent)
            assert told.startswith(b"HTTP/1.1 %d " % status if status else b"")
            assert bool(told) == bool(status)
            assert time.monotonic() - began > 0.08

    run(work(), loop)


@pytest.mark.parametrize("head", [True, False])
def test_a_byte_at_a_time_is_too_slow(loop: str, head: bool) -> None:
    """Silence never lasts long enough; the rate does."""

    async def work() -> None:
        app = App()
        async with serving(app, header_read_s=0.2, body_idle_s=0.2) as house:
            client = await house.client()
            start = b"" if head else POST + b"Content-Length: 1000\r\n\r\n"
            await client.send(start)
            telling = asyncio.ensure_future(client.rest())
            drip = (POST + b"A: " + b"b" * 1000) if head else b"c" * 1000
            for n in range(200):
                if telling.done():
                    break
                try:
                    await client.send(drip[n : n + 1])
                except ConnectionError:
                    break
                await asyncio.sleep(0.02)
            assert (await telling).startswith(b"HTTP/1.1 408 ")
            assert n < 199, "it was read for as long as it dripped"
        assert not app.seen

    run(work(), loop)


def test_a_slow_body_at_a_fair_rate_is_read(loop: str) -> None:
    async def work() -> None:
        async with serving(App(), body_idle_s=0.5, body_min_bytes_per_s=20) as house:
            client = await house.client()
            await client.send(POST + b"Content-Length: 100\r\n\r\n")
            for _ in range(10):
                await asyncio.sleep(0.06)
                await client.send(b"c" * 10)
            assert (await client.answer())[2] == b"POST " + b"c" * 100

    run(work(), loop)


def test_waiting_for_an_answer_has_no_limit_here(loop: str) -> None:
    async def slowly(asked: Asked) -> None:
        await asyncio.sleep(0.4)
        asked.reply(200, [], b"late")

    async def work() -> None:
        short = {"header_read_s": 0.1, "body_idle_s": 0.1, "keep_alive_s": 0.1}
        async with serving(App(slowly), slow_reader_s=0.1, **short) as house:
            assert (await house.say(request(b"POST", b"/", body=b"abc"))).endswith(b"late")

    run(work(), loop)


# -- slow readers and those who leave -------------------------------------------------------------


def _small_window() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    return sock


def test_a_slow_reader_is_waited_for_and_memory_is_bounded(loop: str) -> None:
    sent_bytes = 0
    piece = b"x" * 16384

    async def stream(asked: Asked) -> None:
        nonlocal sent_bytes
        asked.start(200, [])
        for _ in range(1000):
            asked.send(piece)
            sent_bytes += len(piece)
            await asked.room()
        asked.finish()

    async def work() -> None:
        async with serving(App(stream), write_high_bytes=65536) as house:
            sock = _small_window()
            sock.setblocking(False)
            running = asyncio.get_running_loop()
            await running.sock_connect(sock, (HOST, house.port))
            tracemalloc.start()
            await running.sock_sendall(sock, get())
            await asyncio.sleep(0.3)
            stalled = sent_bytes
            _, peak = tracemalloc.get_traced_memory()
            assert stalled < 8_000_000
            assert peak < 1_000_000
            await asyncio.sleep(0.1)
            assert sent_bytes == stalled
            got = 0
            while part := await running.sock_recv(sock, 1 << 20):
                got += len(part)
            assert got > 16_384_000
            assert tracemalloc.get_traced_memory()[1] < 8_000_000
            tracemalloc.stop()
            sock.close()

    run(work(), loop)


def test_who_does_not_read_is_cut(loop: str) -> None:
    left: list[str] = []

    async def stream(asked: Asked) -> None:
        asked.when_gone(lambda: left.append("called"))
        asked.start(200, [])
        while not asked.gone:
            asked.send(b"x" * 65536)
            await asked.room()
        asked.send(b"more")
        asked.finish()

    async def reply(asked: Asked) -> None:
        asked.reply(200, [], b"x" * 30_000_000)

    async def work() -> None:
        for app in (App(stream), App(reply)):
            async with serving(app, slow_reader_s=0.2, body_min_bytes_per_s=10**8) as house:
                sock = _small_window()
                sock.setblocking(False)
                running = asyncio.get_running_loop()
                await running.sock_connect(sock, (HOST, house.port))
                await running.sock_sendall(sock, get())
                await until(lambda app=app: len(app.seen) == 1)
                await until(lambda: not house.server.connections)
                await until(lambda: not house.server.running)
                sock.close()
        assert left == ["called"]

    run(work(), loop)


def test_no_answer_is_begun_for_who_has_not_read_the_last(loop: str) -> None:
    async def reply(asked: Asked) -> None:
        asked.reply(200, [], b"x" * 8_000_000)

    async def work() -> None:
        app = App(reply)
        async with serving(app) as house:
            sock = _small_window()
            sock.setblocking(False)
            running = asyncio.get_running_loop()
            await running.sock_connect(sock, (HOST, house.port))
            await running.sock_sendall(sock, get(close=False) * 7 + get())
            await asyncio.sleep(0.2)
            assert len(app.seen) == 1
            got = 0
            while part := await running.sock_recv(sock, 1 << 20):
                got += len(part)
            assert got > 8 * 8_000_000
            assert len(app.seen) == 8
            sock.close()

    run(work(), loop)


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("when", ["before", "within"])
def test_leaving_is_noticed(loop: str, how: str, when: str) -> None:
    calls: list[bool] = []
    ended = asyncio.Event()

    async def stream(asked: Asked) -> None:
        left = asyncio.Event()

        def gone() -> None:
            calls.append(asked.gone)
            left.set()

        asked.when_gone(gone)
        if when == "within":
            asked.start(200, [])
            asked.send(b"abc")
        await left.wait()
        if when == "within":
            for _ in range(100):
                asked.send(b"nobody hears this")
                await asked.room()
            asked.finish()
        else:
            asked.reply(200, [], b"nobody hears this")
        late: list[int] = []
        asked.when_gone(lambda: late.append(1))
        assert late == [1]
        ended.set()

    async def work() -> None:
        app = App(stream)
        async with serving(app) as house:
            client = await house.client()
            await client.send(request(b"POST", b"/", body=b"abc", close=False))
            await until(lambda: len(app.seen) == 1)
            if when == "within":
                await client.reader.readuntil(b"abc\r\n")
            if how == "close":
                client.writer.close()
            elif how == "half":
                client.writer.write_eof()
            else:
                client.writer.transport.abort()
            async with asyncio.timeout(2):
                await ended.wait()
            if how == "half":
                assert b"nobody hears this" in await client.rest()
            await until(lambda: not house.server.connections)
        assert calls == [True]

    run(work(), loop)


def test_an_app_may_give_up_on_who_left(loop: str) -> None:
    async def give_up(asked: Asked) -> None:
        left = asyncio.Event()
        asked.when_gone(left.set)
        await left.wait()

    async def work() -> None:
        async with serving(App(give_up)) as house:
            client = await house.client()
            await client.send(get())
            client.writer.write_eof()
            assert await client.is_closed()
            await until(lambda: not house.server.connections)
            assert not house.server.running

    lines = Lines()
    logging.getLogger("bursar.gateway.http").addHandler(lines)
    run(work(), loop)
    logging.getLogger("bursar.gateway.http").removeHandler(lines)
    assert not lines.texts


def test_leaving_within_a_request_leaves_nothing(loop: str) -> None:
    async def work() -> None:
        app = App()
        async with serving(app) as house:
            for sent in (b"", b"GET", POST + b"Content-Length: 10\r\n\r\nabc"):
                client = await house.client()
                await client.send(sent)
                await until(lambda: house.server.connections == 1)
                client.writer.write_eof()
                assert await client.is_closed()
                await until(lambda: house.server.connections == 0)
        assert not app.seen

    run(work(), loop)


def test_connections_have_a_bound(loop: str) -> None:
    async def work() -> None:
        async with serving(App(), connections=3) as house:
            clients = [await house.client() for _ in range(3)]
            await until(lambda: house.server.connections == 3)
            assert (await house.say(get())).startswith(b"HTTP/1.1 503 ")
            clients[0].writer.close()
            await until(lambda: house.server.connections == 2)
            assert (await house.say(get())).startswith(b"HTTP/1.1 200 ")

    run(work(), loop)


def test_bodies_together_have_a_bound(loop: str) -> None:
    async def work() -> None:
        async with serving(App(), held_bytes=250_000) as house:
            clients = [await house.client() for _ in range(3)]
            for client in clients:
                await client.send(POST + b"Content-Length: 200000\r\n\r\n")
                await client.send(b"x" * 100_000)
                await asyncio.sleep(0.02)
            assert (await clients[2].answer())[0] == 503
            for client in clients[:2]:
                await client.send(b"x" * 100_000)
                assert len((await client.answer())[2]) == 200_005
                await asyncio.sleep(0.02)
            for _ in range(5):
                sent = request(b"POST", b"/", body=b"x" * 200_000)
                assert (await house.say(sent[:90_000], sent[90_000:])).startswith(b"HTTP/1.1 200 ")

    run(work(), loop)


# -- the end --------------------------------------------------------------------------------------


def test_a_server_ends_with_grace(loop: str) -> None:
    gate = asyncio.Event()

    async def wait(asked: Asked) -> None:
        await gate.wait()
        asked.reply(200, [], b"whole")

    async def work() -> None:
        app = App(wait)
        async with serving(app) as house:
            idle, busy, reading = [await house.client() for _ in range(3)]
            await busy.send(get(close=False))
            await reading.send(POST + b"Content-Length: 3\r\n\r\na")
            await until(lambda: len(app.seen) == 1 and len(app.admitted) == 2)
            await until(lambda: house.server.connections == 3)
            closing = asyncio.ensure_future(house.server.close(5))
            assert await idle.is_closed()
            with pytest.raises(OSError, match=r"refused|Connect"):
                await asyncio.open_connection(HOST, house.port)
            await reading.send(b"bc")
            await until(lambda: len(app.seen) == 2)
            assert not closing.done()
            gate.set()
            for client in (busy, reading):
                status, headers, body = await client.answer()
                assert (status, headers[b"connection"], body) == (200, b"close", b"whole")
                assert await client.is_closed()
            async with asyncio.timeout(1):
                await closing
            assert (house.server.connections, house.server.running) == (0, 0)

    run(work(), loop)


def test_grace_ends(loop: str) -> None:
    ends: list[str] = []

    async def forever(asked: Asked) -> None:
        asked.start(200, [])
        asked.send(b"abc")
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")

    async def work() -> None:
        async with serving(App(forever)) as house:
            client = await house.client()
            await client.send(get())
            await client.reader.readuntil(b"abc\r\n")
            began = time.monotonic()
            await house.server.close(0.1)
            assert time.monotonic() - began >= 0.1
            assert not (await client.rest()).endswith(b"0\r\n\r\n")
            assert (house.server.connections, house.server.running) == (0, 0)

    run(work(), loop)
    assert ends == ["cancelled"]


def test_connections_leave_no_trace(loop: str) -> None:
    """No cycle keeps a connection that has ended."""

    async def work() -> int:
        app = App()
        gc.collect()
        gc.disable()
        async with serving(app) as house:
            for _ in range(20):
                await house.say(get())
                await house.say(b"nonsense\r\n\r\n")
                await house.say(request(b"POST", b"/", b"Expect: nothing"))
            await until(lambda: not house.server.connections)
        app.seen.clear()
        app.admitted.clear()
        return sum(isinstance(one, Connection) for one in gc.get_objects())

    try:
        assert run(work(), loop) == 0
    finally:
        gc.enable()
