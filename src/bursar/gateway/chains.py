"""The levers of each route, the answers that it gives again, and the world that levers see here.

A lever keeps what it has learned for as long as its route has it with the same settings: a reload
that changes something else forgets nothing. A route without levers has no chain, and its calls
never come here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from bursar.dialects.showing import Showing
from bursar.engine.policy import Market, lever_of, wishes_of
from bursar.gateway.purse.purse import now_ms
from bursar.gateway.settings.fitting import policies_of
from bursar.gateway.settings.structs import Settings
from bursar.levers.ports import Lever
from bursar.levers.response_cache import Kept, Room
from bursar.levers.single_flight import Flights
from bursar.model.call import Call
from bursar.model.entry import Answer, Attempt, Decision
from bursar.price.book import Book

WAIT_S = 60.0
"""The longest that a call waits for the same call of somebody else."""
Key = tuple[str, str, bytes, bool]
"""Route, lever, its settings, and whether the route marks prompts."""
Carried = tuple[Attempt, Answer] | None
"""What was sent, as it was booked, and what the client got. None: nothing was sent after all."""


class Chains:
    """The levers in force, by route."""

    __slots__ = ("_made", "_market", "_routes", "_settings")

    def __init__(self, market: Market, settings: Settings) -> None:
        self._market = market
        self._settings = settings
        self._made: dict[Key, Lever] = {}
        self._routes: dict[str, tuple[Lever, ...]] = {}
        self.take(settings)

    def take(self, settings: Settings) -> None:
        """From now on these hold for new calls."""
        self._settings = settings
        made: dict[Key, Lever] = {}
        for route, policy in policies_of(settings).items():
            marks = policy.prompt_cache is not None
            for name, wish in wishes_of(policy):
                key = (route, name, msgspec.json.encode(wish), marks)
                made[key] = self._made.get(key) or lever_of(name, wish, self._market, marks=marks)
        self._made = made
        self._routes = {}
        for (route, *_), lever in made.items():
            self._routes[route] = (*self._routes.get(route, ()), lever)

    def take_book(self, book: Book) -> None:
        """Prices have changed: what levers learned rests on the old ones, and goes."""
        self._market = Market(book, self._market.rules)
        self._made = {}
        self.take(self._settings)

    def of(self, route: str) -> tuple[Lever, ...]:
        """The levers of a route, outermost first."""
        return self._routes.get(route, ())


Send = Callable[[Call, tuple[Decision, ...]], Awaitable[Carried]]
Count = Callable[[Decision], None]


class LivePorts:
    """The ports of one call."""

    __slots__ = ("_count", "_send", "attempts", "decisions", "shown")

    def __init__(self, send: Send, showing: Showing, count: Count) -> None:
        self._send = send
        self._count = count
        self.shown = showing.shown
        self.attempts: list[Attempt] = []
        self.decisions: list[Decision] = []

    @property
    def now_ms(self) -> int:
        return now_ms()

    def note(self, decision: Decision) -> None:
        self.decisions.append(decision)
        self._count(decision)

    async def send(self, call: Call) -> Answer:
        """Carry it to a provider. What was noted until now is recorded with it."""
        carried = await self._send(call, tuple(self.decisions))
        if carried is None:
            return Answer(status="left")
        self.attempts.append(carried[0])
        return carried[1]


class Recall:
    """What one route remembers."""

    __slots__ = ("flights", "room")

    def __init__(self, room: Room) -> None:
        self.room = room
        self.flights: Flights[Kept] = Flights(WAIT_S)


class Recalls:
    """The caches in force, by route."""

    __slots__ = ("_made", "_routes")

    def __init__(self, settings: Settings) -> None:
        self._made: dict[tuple[str, bytes], Recall] = {}
        self._routes: dict[str, Recall] = {}
        self.take(settings)

    def take(self, settings: Settings) -> None:
        """From now on these hold for new calls."""
        made: dict[tuple[str, bytes], Recall] = {}
        self._routes = {}
        for route, policy in policies_of(settings).items():
            if policy.response_cache is not None:
                key = (route, msgspec.json.encode(policy))
                made[key] = self._made.get(key) or Recall(Room(policy.response_cache))
                self._routes[route] = made[key]
        self._made = made

    def of(self, route: str) -> Recall | None:
        return self._routes.get(route)
