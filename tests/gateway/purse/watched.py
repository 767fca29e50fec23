"""A watch over a store in memory, with a clock and calls that cost what the test says."""

from __future__ import annotations

import asyncio
from pathlib import Path

from msgspec import convert

from bursar.gateway.purse.events import Event, EventLog
from bursar.gateway.purse.watch import Watch
from bursar.gateway.settings.caps_compiling import rules_of
from bursar.gateway.settings.reading import parse_settings
from bursar.model.call import Tags
from bursar.state.claims import Caps, Drawn, Who, claims_of, settled_amounts
from bursar.state.memory import Memory
from bursar.state.terms import Ask, Denial

NANO = 1_000_000_000
DAY_MS = 86_400_000
NOON_MS = 1_790_000_000_000 // DAY_MS * DAY_MS + DAY_MS // 2
LEASE_MS = 60_000


class Held:
    """A call under way."""

    def __init__(self, key: str, drawn: Drawn, begun_ms: int) -> None:
        self.key = key
        self.drawn = drawn
        self.begun_ms = begun_ms


class World:
    """One or several workers in front of one store."""

    def __init__(self, folder: Path, text: str, workers: int = 1, store: Memory | None = None):
        self.now_ms = NOON_MS
        self.folder = folder
        self.lines: list[str] = []
        self.caps = caps_of(text)
        self.store = store or Memory()
        self.under_way: list[dict[str, Held]] = [{} for _ in range(workers)]
        self.watches = [self.watch() for _ in range(workers)]
        self._count = 0

    def watch(self) -> Watch:
        watch = Watch(lambda: self.now_ms, None, "node-1")
        watch.take_caps(self.caps)
        watch.log = EventLog(self.folder, self.lines.append)
        return watch

    def take(self, text: str) -> None:
        self.caps = caps_of(text)
        for watch in self.watches:
            watch.take_caps(self.caps)

    def hold(self, hold_nano: int, worker: int = 0, **tags: str) -> Held | Denial:
        """Ask for a call; its refusal is noted."""
        self._count += 1
        drawn = claims_of(self.caps, Who(convert(tags, Tags)), hold_nano, 100, self.now_ms)
        ask = Ask(f"{self._count}.0", self.now_ms, LEASE_MS, drawn.claims, drawn.rates)
        denial = asyncio.run(self.store.reserve(ask))
        if denial is not None:
            self.watches[worker].refused(drawn, denial)
            return denial
        held = Held(ask.key, drawn, self.now_ms)
        self.under_way[worker][ask.key] = held
        return held

    def settle(self, held: Held, cost_nano: int, worker: int = 0) -> None:
        del self.under_way[worker][held.key]
        amounts = settled_amounts(held.drawn.marks, cost_nano, 100)
        asyncio.run(self.store.settle(held.key, amounts, self.now_ms))
        self.watches[worker].settled(held.drawn)

    def spend(self, nano: int, worker: int = 0, **tags: str) -> None:
        held = self.hold(nano, worker, **tags)
        assert isinstance(held, Held)
        self.settle(held, nano, worker)

    def look(self) -> list[Event]:
        """What a second later is told by all workers."""
        found: list[Event] = []
        for watch, under_way in zip(self.watches, self.under_way, strict=True):
            found += asyncio.run(watch.look(self.store, under_way))
        return found


def caps_of(text: str) -> Caps:
    return Caps(rules_of(parse_settings(text.encode(), "bursar.yaml", {})))
