"""The store of the simulated world: a server that fails, and the link of one gateway to it.

A link is one connection after another. What it carries arrives in order or not at all; a step
without an answer in time may have been taken or not, so the link connects anew and the gateway
asks again. The server keeps a life, by which all notice that it was wiped, and the number of the
last step of each gateway, by which a gateway notices that it went back in time (a failover).
"""

from __future__ import annotations

import pickle
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bursar.state.accounts import Accounts
from bursar.state.terms import StoreLost

if TYPE_CHECKING:
    from state.world import Gateway, World

LOST = StoreLost("no answer")
TIMEOUT_MS = 400
LAG_MS = 300
ANY_LIFE = ("rebuild", "restore")
"""Steps by which a gateway enters a life."""
Step = tuple[int, str, int, str, tuple[Any, ...]]


class Server:
    """One primary, and a replica that is up to LAG_MS behind."""

    def __init__(self, world: World, nodes: Sequence[str], make: type[Accounts]) -> None:
        self.world, self.nodes, self.make = world, nodes, make
        self.core, self.replica = make(nodes), make(nodes)
        self.behind: deque[Step] = deque()
        self.last: Counter[str] = Counter()
        self.replica_last: Counter[str] = Counter()
        self.life = 1
        self.speaks: dict[str, int] = {}
        self.stopped = False
        self.slow_until = 0
        self.lost: Counter[str] = Counter()
        """By account, the most that one failover lost of what was held."""

    def hello(self, name: str, connection: int, life: int, acknowledged: int) -> tuple[int, int]:
        """A gateway connects: the life, and the last of its steps that is known here."""
        if life == self.life and self.last[name] < acknowledged:
            self.begin_life()
        self.speaks[name] = connection
        return self.life, self.last[name]

    def take(self, name: str, number: int, step: str, given: tuple[Any, ...]) -> Any:
        self.last[name] = number
        self.behind.append((self.world.now, name, number, step, given))
        self.replicate(self.world.now - LAG_MS)
        try:
            return getattr(self.core, step)(*given)
        except StoreLost:
            return LOST

    def replicate(self, until: int) -> None:
        while self.behind and self.behind[0][0] <= until:
            _, name, number, step, given = self.behind.popleft()
            self.replica_last[name] = number
            try:
                getattr(self.replica, step)(*given)
            except StoreLost:
                continue

    def begin_life(self) -> None:
        self.world.counts["lives"] += 1
        self.life += 1
        self.core = self.make(self.nodes)
        self.follow()

    def follow(self) -> None:
        """The replica begins as a copy."""
        self.replica = pickle.loads(pickle.dumps(self.core))
        self.replica_last = Counter(self.last)
        self.behind.clear()

    def stop(self, for_ms: int, then: str) -> None:
        if not self.stopped:
            self.stopped = True
            self.world.later(for_ms, self.start, then)

    def start(self, then: str) -> None:
        self.stopped = False
        self.speaks.clear()
        if then == "wipe":
            self.last.clear()
            self.begin_life()
        elif then == "replica":
            self.replicate(self.world.now - self.world.rng.randrange(LAG_MS + 800))
            self.count_lost()
            self.core, self.last = self.replica, self.replica_last
            self.follow()

    def count_lost(self) -> None:
        """What nobody knows of until its gateway is back."""
        lost: Counter[str] = Counter()
        for _, _, _, step, given in self.behind:
            if step in ("reserve", "restore"):
                for claim in given[0].claims:
                    lost[claim.account] += claim.amount
            elif step == "extend":
                held = self.core._open.get(given[0])
                for claim, amount in zip(held.claims if held else (), given[1], strict=False):
                    lost[claim.account] += amount
        for account, amount in lost.items():
            self.lost[account] = max(self.lost[account], amount)


class Link:
    """From one gateway to the server."""

    def __init__(self, world: World, gateway: Gateway) -> None:
        self.world, self.gateway, self.name = world, gateway, gateway.name
        self.connection = 0
        self.is_up = False
        self.cut_until = 0
        self.life = 0
        self.number = self.acknowledged = 0
        self.arrives = self.returns = 0
        self.waiting: dict[int, Callable[[Any], None] | None] = {}

    def ask(self, step: str, given: tuple[Any, ...], then: Callable[[Any], None] | None) -> None:
        """Answered once: by the store, or with LOST."""
        if not self.is_up:
            if then:
                then(LOST)
            return
        self.number += 1
        self.waiting[self.number] = then
        world = self.world
        self.arrives = max(self.arrives, world.now + self.delay_ms())
        wait = self.arrives - world.now
        if step == "reserve":
            world.later(TIMEOUT_MS, self.give_up, self.connection, self.number)
        world.later(wait, self.arrive, self.connection, self.number, step, given)

    def delay_ms(self) -> int:
        slow = self.world.now < self.world.server.slow_until
        return self.world.rng.randrange(100, 600) if slow else self.world.rng.randrange(0, 4)

    def is_cut(self) -> bool:
        return self.world.server.stopped or self.world.now < self.cut_until

    def arrive(self, connection: int, number: int, step: str, given: tuple[Any, ...]) -> None:
        server = self.world.server
        if self.is_cut() or server.speaks.get(self.name) != connection:
            self.give_up(connection, number)
            return
        if server.life == self.life or step in ANY_LIFE:
            answer = server.take(self.name, number, step, given)
            if step == "rebuild":
                self.life = server.life
        else:
            answer = LOST
        self.returns = max(self.returns, self.world.now + self.delay_ms())
        self.world.later(
            self.returns - self.world.now, self.answer, connection, number, answer, server.life
        )

    def answer(self, connection: int, number: int, answer: Any, life: int) -> None:
        if connection != self.connection or self.is_cut():
            self.give_up(connection, number)
            return
        self.acknowledged = number
        then = self.waiting.pop(number)
        if then:
            then(answer)
        if life != self.life and self.is_up:
            self.drop()

    def give_up(self, connection: int, number: int) -> None:
        if connection == self.connection and number in self.waiting:
            self.drop()

    def cut(self, for_ms: int) -> None:
        self.cut_until = self.world.now + for_ms
        self.drop()

    def drop(self) -> None:
        """Nothing that is on its way will be answered; connect anew."""
        self.connection += 1
        if self.is_up:
            self.is_up = False
            self.world.later(self.world.rng.randrange(20, 1_000), self.connect)
        waiting, self.waiting = self.waiting, {}
        for then in waiting.values():
            if then:
                then(LOST)

    def connect(self) -> None:
        if self.is_up:
            return
        if self.is_cut():
            self.world.later(self.world.rng.randrange(50, 1_000), self.connect)
            return
        life, last = self.world.server.hello(
            self.name, self.connection, self.life, self.acknowledged
        )
        self.is_up = True
        self.number = self.acknowledged = last
        if life != self.life:
            self.gateway.tell()
        self.gateway.back()
