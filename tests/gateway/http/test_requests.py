"""What the server takes for a request, and what it refuses."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.gateway.http.messages import refusal
from tests.gateway.http.rig import LOOPS, App, get, request, run, serving

POST = b"POST /v1 HTTP/1.1\r\nHost: here\r\n"
REFUSED = {
    "both lengths": (
        400,
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "both lengths, other way": (
        400,
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    ),
    "two lengths": (400, POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    "two equal lengths": (400, POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    "a list of lengths": (400, POST + b"Content-Length: 3, 3\r\n\r\nabc"),
    "a signed length": (400, POST + b"Content-Length: +3\r\n\r\nabc"),
    "an empty length": (400, POST + b"Content-Length: \r\n\r\n"),
    "connect to a path": (400, request(b"CONNECT", b"/v1", b"Upgrade: x", body=b"abc")),
    "a huge length": (400, POST + b"Content-Length: 99999999999999999999999\r\n\r\n"),
    "a chunk size that overflows": (
        400,
        POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc",
    ),
    "a chunk size in words": (400, POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc"),
    "chunks twice": (400, POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "chunks in two headers": (
        400,
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "gzip, chunked": (400, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "gzip as transfer": (400, POST + b"Transfer-Encoding: gzip\r\n\r\nabc"),
    "a folded header": (400, get(b"/", b"A: b\r\n c")),
    "a folded header, tab": (400, get(b"/", b"A: b\r\n\tc")),
    "a folded first header": (400, b"GET / HTTP/1.1\r\n Host: here\r\n\r\n"),
    "bare line ends": (400, b"GET / HTTP/1.1\nHost: here\n\n"),
    "NUL in a value": (400, get(b"/", b"A: b\0c")),
    "CR in a value": (400, get(b"/", b"A: b\rc")),
    "LF in a value": (400, get(b"/", b"A: b\nc")),
    "a control in a value": (400, get(b"/", b"A: b\x01c")),
    "beyond ASCII in a value": (400, get(b"/", "Authorization: Bearer clé".encode())),
    "beyond ASCII in a name": (400, get(b"/", b"Cl\xc3\xa9: b")),
    "a space before the colon": (400, get(b"/", b"Authorization : b")),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two hosts": (400, get(b"/", b"Host: there")),
    "an absolute target": (400, get(b"http://here/")),
    "an absolute https target": (400, get(b"https://there/v1")),
    "no path": (400, get(b"v1/models")),
    "a star": (400, get(b"*")),
    "connect": (400, request(b"CONNECT", b"there:443")),
    "connect with a body": (400, request(b"CONNECT", b"there:443", body=b"abc")),
    "an unknown method": (400, request(b"BREW", b"/")),
    "beyond ASCII in a target": (400, get(b"/caf\xc3\xa9")),
    "not HTTP": (400, b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "HTTP/2 outright": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/0.9": (505, b"GET /\r\n\r\n"),
    "HTTP/2.0 by name": (505, b"GET / HTTP/2.0\r\nHost: here\r\n\r\n"),
    "HTTP/1.0 in chunks": (
        400,
        b"POST / HTTP/1.0\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "gzip": (415, request(b"POST", b"/", b"Content-Encoding: gzip", body=b"abc")),
    "gzip, gzip, gzip": (415, request(b"POST", b"/", b"Content-Encoding: gzip, gzip, gzip")),
    "gzip after identity": (
        415,
        request(b"POST", b"/", b"Content-Encoding: identity", b"Content-Encoding: br"),
    ),
    "an odd expectation": (417, request(b"POST", b"/", b"Expect: 200-ok", body=b"abc")),
    "200 headers": (431, get(b"/", *(b"A%d: b" % n for n in range(200)))),
    "64 KiB of header": (431, get(b"/", b"A: " + b"b" * 65536)),
    "64 KiB of header name": (431, get(b"/", b"A" * 65536 + b": b")),
    "64 KiB of target": (414, get(b"/" + b"a" * 65536)),
    "a body above the bound": (413, request(b"POST", b"/", body=b"a" * 1001)),
    "chunks above the bound": (
        413,
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1f4\r\n%b\r\n" % (b"a" * 500) * 3,
    ),
    "trailers above the bound": (
        431,
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: %b\r\n" % (b"b" * 1000) * 40,
    ),
}


@pytest.mark.parametrize("loop", LOOPS)
def test_refusals(loop: str) -> None:
    async def work() -> dict[str, object]:
        wrong: dict[str, object] = {}
        app = App()
        async with serving(app, body_bytes=1000) as house:
            for name, (status, sent) in REFUSED.items():
                told = await house.say(sent)
                first = told.split(b"\r\n", 1)[0]
                fine = first.startswith(b"HTTP/1.1 %d " % status)
                if not fine or told.count(b"connection: close") != 1:
                    wrong[name] = told
        assert not app.seen
        return wrong

    assert not run(work(), loop)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refusals_do_not_depend_on_the_pieces(name: str) -> None:
    status, sent = REFUSED[name]

    async def work() -> None:
        async with serving(App(), body_bytes=1000) as house:
            for at in (1, 16, len(sent) // 2, max(1, len(sent) - 1)):
                client = await house.client()
                await client.send(sent[:at])
                with suppress(ConnectionError):
                    await client.send(b"", sent[at:])
                told = await client.rest()
                assert told.startswith(b"HTTP/1.1 %d " % status), (at, told)

    run(work())


def test_the_target_is_left_as_sent() -> None:
    targets = [b"/v1/../admin", b"/%2e%2e/admin", b"//v1", b"/v1;a/%2f?x=%00&y=//", b"/a|b?c=d#e"]

    async def work() -> None:
        app = App()
        async with serving(app) as house:
            for target in targets[:4]:
                assert b"x-target: %b\r\n" % target in await house.say(get(target))
        assert [asked.target for asked in app.seen] == targets[:4]

    run(work())


def test_hop_headers_go_and_credentials_stay() -> None:
    sent = get(
        b"/",
        b"Connection: authorization, x-api-key, host, X-Private, content-type",
        b"Authorization: Bearer one",
        b"X-API-Key: two",
        b"X-Private: three",
        b"Content-Type: text/plain",
        b"Keep-Alive: timeout=5",
        b"TE: trailers",
        b"Proxy-Authorization: four",
        b"Upgrade-Insecure: five  ",
        close=True,
    )

    async def work() -> None:
        app = App()
        async with serving(app) as house:
            assert b" 200 " in await house.say(sent)
        asked = app.seen[0]
        assert asked.headers == [
            (b"host", b"here"),
            (b"authorization", b"Bearer one"),
            (b"x-api-key", b"two"),
            (b"content-type", b"text/plain"),
            (b"upgrade-insecure", b"five"),
        ]
        assert asked.header(b"authorization") == b"Bearer one"
        assert asked.header(b"x-private") is None

    run(work())


def test_trailers_are_no_headers() -> None:
    sent = (
        POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"3;name=value\r\nabc\r\n0\r\nAuthorization: Bearer late\r\n\r\n"
    )

    async def work() -> None:
        app = App()
        async with serving(app) as house:
            assert (await house.say(sent)).endswith(b"POST abc")
        assert app.seen[0].headers == [(b"host", b"here")]

    run(work())


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_wish_for_another_protocol_is_not_heard(method: bytes) -> None:
    """The parser leaves out the body of such a request; it must not be lost."""
    body = b"abc" if method == b"POST" else b""
    wish = (b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
    first = request(
        method, b"/one", *wish, b"Connection: Upgrade, HTTP2-Settings", body=body, close=False
    )

    async def work() -> None:
        app = App()
        async with serving(app) as house:
            for pieces in ((first,), (first[:40], first[40:])):
                client = await house.client()
                await client.send(*pieces)
                assert await client.answer() == (
                    200,
                    {b"x-target": b"/one", b"content-length": b"%d" % (len(method + body) + 1)},
                    method + b" " + body,
                )
                await client.send(get(b"/two"))
                assert (await client.answer())[1][b"x-target"] == b"/two"
        assert app.seen[0].header(b"upgrade") is None

    run(work())


def test_expect_is_answered_after_admission() -> None:
    head = POST + b"Content-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"

    async def work() -> None:
        app = App()
        async with serving(app) as house:
            client = await house.client()
            await client.send(head)
            assert await client.reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert len(app.admitted) == 1
            assert not app.seen
            await client.send(b"abc")
            assert (await client.answer())[2] == b"POST abc"

            app.refusal = refusal(401, "unknown_key", "No.")
            told = await house.say(head)
            assert told.startswith(b"HTTP/1.1 401 ")
            assert b" 100 " not in told

    run(work())


def test_a_large_body_is_refused_before_it_is_sent() -> None:
    async def work() -> None:
        app = App()
        async with serving(app) as house:
            client = await house.client()
            for expect in (b"", b"Expect: 100-continue\r\n"):
                client = await house.client()
                await client.send(POST + expect + b"Content-Length: 9437184\r\n\r\n")
                assert (await client.answer())[0] == 413
        assert not app.admitted

    run(work())


def test_a_refusal_is_heard_by_one_who_goes_on_sending() -> None:
    """Closing a socket with unread bytes in it resets it, and the answer would be lost."""

    async def work() -> None:
        app = App()
        app.refusal = refusal(401, "unknown_key", "No.")
        async with serving(app) as house:
            for _ in range(20):
                client = await house.client()
                client.writer.write(POST + b"Content-Length: 4000000\r\n\r\n" + b"a" * 2_000_000)
                status, headers, _ = await client.answer()
                assert (status, headers[b"connection"]) == (401, b"close")
        assert not app.seen

    run(work())


def test_bodies_in_many_pieces_are_whole() -> None:
    body = bytes(range(256)) * 16
    chunks = b"".join(b"%x\r\n%b\r\n" % (1, body[n : n + 1]) for n in range(len(body)))

    async def work() -> None:
        async with serving(App()) as house:
            head = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            assert (await house.say(head + chunks + b"0\r\n\r\n")).endswith(b"POST " + body)
            head = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
            pieces = [body[n : n + 40] for n in range(0, len(body), 40)]
            assert (await house.say(head, *pieces)).endswith(b"POST " + body)

    run(work())


names = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).map(str.encode)
values = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20).map(
    str.encode
)
OURS = {b"host", b"connection", b"expect", b"te", b"trailer", b"upgrade", b"-"}


@settings(max_examples=60, deadline=None)
@given(
    headers=st.lists(st.tuples(names, values), max_size=6),
    body=st.binary(max_size=400),
    chunked=st.booleans(),
    cuts=st.lists(st.integers(1, 700), max_size=6),
    before=st.integers(0, 2),
)
def test_pieces_do_not_matter(
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    chunked: bool,
    cuts: list[int],
    before: int,
) -> None:
    """Bodiless requests and then one with a body, cut anywhere: the same requests and answers."""
    kept = [(name, value) for name, value in headers if name not in OURS]
    lines = [b"x-%b: %b" % one for one in kept]
    sent = b"".join(get(b"/%d" % n, close=False) for n in range(before))
    if chunked:
        half = len(body) // 2
        parts = [part for part in (body[:half], body[half:]) if part]
        sent += request(b"POST", b"/last", *lines, b"Transfer-Encoding: chunked")
        sent += b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    else:
        sent += request(b"POST", b"/last", *lines, body=body)
    places = sorted({min(cut, len(sent)) for cut in cuts})
    pieces = [sent[a:b] for a, b in zip([0, *places], [*places, len(sent)], strict=True) if a < b]

    async def work() -> None:
        app = App()
        async with serving(app) as house:
            told = await house.say(*pieces)
            assert told == await house.say(sent)
        assert told.count(b"HTTP/1.1 200 OK\r\n") == before + 1
        assert told.endswith(b"POST " + body)
        assert len(app.seen) == 2 * (before + 1)
        for asked in (app.seen[before], app.seen[-1]):
            assert asked.body == body
            want = [(b"x-" + name, value) for name, value in kept]
            assert [one for one in asked.headers if one[0][:2] == b"x-"] == want

    run(work())


WORDS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /v1 HTTP/1.1\r\n",
        b"Host: here\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: upgrade, close\r\n",
        b"Upgrade: h2c\r\n",
        b"Expect: 100-continue\r\n",
        b"5\r\nabcde\r\n",
        b"0\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"abcde",
    ]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS | st.binary(max_size=12), max_size=14), st.booleans())
def test_nothing_sent_is_a_fault(pieces: list[bytes], together: bool) -> None:
    """Whatever comes, the server answers or closes; it never fails, and goes on serving."""

    async def work() -> None:
        async with serving(App(), header_read_s=0.05, body_idle_s=0.05, keep_alive_s=0.05) as house:
            told = await (house.say(b"".join(pieces)) if together else house.say(*pieces))
            assert b"HTTP/1.1 500 " not in told
            assert (await house.say(get())).startswith(b"HTTP/1.1 200 ")

    run(work())
