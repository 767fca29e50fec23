"""One call of many that are the same is sent; whoever waits is never left alone."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from bursar.levers.single_flight import Flights

KEY = b"k"


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Callers:
    """Calls of one key, and what became of them."""

    def __init__(self, flights: Flights[str]) -> None:
        self.flights = flights
        self.sent: list[str] = []
        self.got: dict[str, str] = {}

    async def call(self, name: str, answer: str | None, until: asyncio.Event) -> None:
        async with self.flights.seat(KEY) as seat:
            if seat.given is not None:
                self.got[name] = seat.given
                return
            self.sent.append(name)
            await until.wait()
            if answer == "fails":
                raise OSError("upstream")
            self.got[name] = answer or "not storable"
            if answer:
                seat.bring(answer)


@given(
    answer=st.sampled_from(("answer", "fails", None)),
    waiting=st.integers(0, 6),
    cancelled=st.sets(st.integers(0, 5)),
    is_first_cancelled=st.booleans(),
)
def test_nobody_is_left_alone(
    answer: str | None, waiting: int, cancelled: set[int], is_first_cancelled: bool
) -> None:
    """Law: whoever is not cancelled gets an answer, the first one's or its own; nothing stays."""

    async def play() -> None:
        callers = Callers(Flights(60.0))
        hold, free = asyncio.Event(), asyncio.Event()
        free.set()
        first = asyncio.create_task(callers.call("first", answer, hold))
        await turns()
        others = [
            asyncio.create_task(callers.call(str(n), f"own {n}", free)) for n in range(waiting)
        ]
        await turns()
        assert callers.sent == ["first"]
        for n in cancelled & set(range(waiting)):
            others[n].cancel()
        if is_first_cancelled:
            first.cancel()
        hold.set()
        await asyncio.gather(first, *others, return_exceptions=True)
        shared = answer == "answer" and not is_first_cancelled
        for n in set(range(waiting)) - cancelled:
            assert callers.got[str(n)] == ("answer" if shared else f"own {n}")
        assert callers.sent[1:] == (
            [] if shared else [str(n) for n in range(waiting) if n not in cancelled]
        )
        assert len(callers.flights) == 0

    asyncio.run(play())


def test_a_wait_is_bounded() -> None:
    async def play() -> None:
        callers = Callers(Flights(0.01))
        hold, free = asyncio.Event(), asyncio.Event()
        free.set()
        first = asyncio.create_task(callers.call("first", "answer", hold))
        await turns()
        await callers.call("second", "own", free)
        assert callers.got == {"second": "own"}
        assert len(callers.flights) == 1
        hold.set()
        await first
        assert len(callers.flights) == 0

    asyncio.run(play())


def test_flights_are_bounded() -> None:
    async def play() -> None:
        flights: Flights[str] = Flights(60.0, most=1)
        async with flights.seat(b"a") as a, flights.seat(b"b") as b:
            assert (a.is_first, b.is_first) == (True, False)
            assert b.given is None
            assert len(flights) == 1

    asyncio.run(play())


def test_keys_do_not_meet() -> None:
    async def play() -> None:
        flights: Flights[str] = Flights(60.0)
        async with flights.seat(b"a") as a:
            async with flights.seat(b"b") as b:
                assert b.is_first
            a.bring("x")
        async with flights.seat(b"a") as again:
            assert again.is_first, "nothing is kept once the first has landed"

    asyncio.run(play())
