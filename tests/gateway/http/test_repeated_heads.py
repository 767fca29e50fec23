"""Clients repeat their heads: what was made of one is used again, and nothing is seen otherwise."""

from __future__ import annotations

import gc
import weakref

from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.gateway.http.messages import Asked, refusal
from tests.gateway.http.rig import App, run, serving

LINES = (
    b"Authorization: Bearer one",
    b"authorization: Bearer two",
    b"X-One: 1",
    b"X-One: 2 ",
    b"Connection: keep-alive",
    b"Connection: x-one",
    b"Expect: 100-continue",
    b"TE: trailers",
)
Sent = tuple[bytes, tuple[bytes, ...], bytes]


def spelled(sent: Sent) -> bytes:
    target, lines, body = sent
    head = (b"POST %b HTTP/1.1" % target, b"Host: here", *lines, b"Content-Length: %d" % len(body))
    return b"\r\n".join((*head, b"", body))


def seen(app: App) -> list[tuple[bytes, bytes, tuple[tuple[bytes, bytes], ...], bytes]]:
    return [(one.method, one.target, tuple(one.headers), one.body) for one in app.seen]


heads = st.tuples(
    st.sampled_from((b"/one", b"/two")),
    st.lists(st.sampled_from(LINES), max_size=3, unique=True).map(tuple),
    st.sampled_from((b"", b"abc", b"a longer body")),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(heads, min_size=2, max_size=5))
def test_a_request_is_seen_alike_whatever_came_before_it(sent: list[Sent]) -> None:
    together, apart = App(), App()

    async def work() -> None:
        async with serving(together) as house:
            client = await house.client()
            for one in sent:
                await client.send(spelled(one))
                while (await client.answer())[0] == 100:
                    pass
        async with serving(apart) as house:
            for one in sent:
                client = await house.client()
                await client.send(spelled(one))
                while (await client.answer())[0] == 100:
                    pass

    run(work())
    assert seen(together) == seen(apart)
    assert len(together.seen) == len(sent)


def test_what_was_noted_comes_again_with_the_same_head_alone() -> None:
    found: list[object] = []

    class Noting(App):
        def admit(self, asked: Asked) -> None:
            found.append(asked.noted)
            asked.noted = asked.target, asked.headers[-1]

    async def work() -> None:
        async with serving(Noting()) as house:
            client = await house.client()
            for line, body in (
                *((b"X-One: 1", b"abc"), (b"X-One: 1", b"longer")),
                *((b"X-One: 2", b"abc"), (b"X-One: 1", b"abc")),
            ):
                await client.send(spelled((b"/one", (line,), body)))
                await client.answer()
            await client.send(spelled((b"/two", (b"X-One: 1",), b"")))
            await client.answer()

    run(work())
    noted = (b"/one", (b"x-one", b"1"))
    assert found == [None, noted, None, None, None]


def test_a_head_that_was_refused_is_looked_at_anew() -> None:
    async def work() -> None:
        app = App()
        async with serving(app) as house:
            for _ in range(2):
                client = await house.client()
                await client.send(spelled((b"/one", (), b"")))
                await client.answer()
                app.refusal = refusal(401, "unknown_key", "no")
                await client.send(spelled((b"/one", (), b"")))
                assert (await client.answer())[0] == 401
                assert await client.is_closed()
                app.refusal = None
        assert len(app.admitted) == 4

    run(work())


def test_an_answered_request_is_freed_without_the_garbage_collector() -> None:
    """A cycle for each call would stop everything every few thousand calls."""
    left: list[weakref.ref[Holder]] = []

    class Holder:
        def __init__(self, asked: Asked) -> None:
            self.asked = asked
            asked.when_gone(self.gone)

        def gone(self) -> None: ...

    async def answer(asked: Asked) -> None:
        holder = Holder(asked)
        left.append(weakref.ref(holder))
        if asked.target == b"/one":
            asked.reply(200, (), b"")
        else:
            asked.start(200, ())
            asked.finish()

    async def work() -> None:
        app = App(answer)
        async with serving(app) as house:
            client = await house.client()
            for target in (b"/one", b"/two"):
                await client.send(spelled((target, (), b"")))
                await client.answer()
            app.seen.clear()
            app.admitted.clear()
            assert [one() for one in left] == [None, None]

    gc.collect()
    gc.disable()
    try:
        run(work())
    finally:
        gc.enable()
