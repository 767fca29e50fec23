"""A world of gateways around one store, in one process, under a seed.

Gateways with clocks that differ and step admit calls of several tenants, journal what they cost
and settle it. The store is slow, cut off, crashes, comes back empty, or fails over to a replica
that lacks its last milliseconds. The provider is late, answers 5xx after the work, cuts streams,
and leaves out its usage or gets it wrong. Clients retry, with the same key and with others. When
all is quiet, balances = journal = invoice in every account and slot, nothing is held, and no limit
was passed by more than the printed bound.

Run: PYTHONPATH=src:tests python -m state.world --calls 1000000 --seconds 900 --seed 7
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from heapq import heappop, heappush
from typing import Any

import msgspec

from bursar.state.accounts import Accounts
from bursar.state.terms import Ask, Carried, Claim, Standing
from bursar.state.windows import checked_window, placing
from state.world_store import LOST, Link, Server

KEPT_MS = 120_000
"""Slots that are younger than this are compared one by one; the store drops old ones."""
START_MS = 2_051_222_000_000
LEASE_MS = 8_000
PACE_MS = 11
"""Between two calls of clients."""
FRESH_MS = 600_000
"""Slots of the shorter windows that a gateway tells one by one."""
DONE = 5_000
"""Of so many attempts a gateway tells that they are done: many more than can be late."""
TENANTS = 4
GATEWAYS = 4
PRICE_NANO = 8_000
"""Of one output token; an input token costs a quarter."""
LIMITS_NANO = {
    "span": 10_000_000_000,
    "minute": 5_500_000_000,
    "task": 110_000_000,
    "day": 2_500_000_000_000,
}
FLIGHT = 30
EVENTS = (
    # (what, one in so many ms)
    ("crash", 60_000),
    ("wipe", 90_000),
    ("failover", 30_000),
    ("partition", 25_000),
    ("slow", 25_000),
    ("clock", 10_000),
    ("raise", 40_000),
)


class Broken(AssertionError):
    """The books do not agree."""


class Attempt:
    """One try of one call, as its gateway sees it."""

    __slots__ = ("ask", "call", "fees", "hold", "number", "worst")

    def __init__(self, ask: Ask, call: Call, number: int, hold: int, worst: int) -> None:
        self.ask, self.call, self.number, self.hold, self.worst = ask, call, number, hold, worst
        self.fees = 0
        """What it cost above all that was held, without a word before."""


class Call:
    """What a client wants."""

    __slots__ = ("at", "key", "session", "tenant", "tokens_in", "tokens_most", "tokens_out")

    def __init__(self, rng: random.Random, number: int) -> None:
        self.key = number
        self.tenant = rng.randrange(TENANTS)
        self.session = f"{self.tenant}.{number // 400}.{rng.randrange(4)}"
        self.tokens_in = rng.randrange(100, 2_000)
        self.tokens_most = rng.choice((500, 1_000, 4_000))
        self.tokens_out = min(self.tokens_most, int(rng.lognormvariate(5.5, 0.9)) + 1)


class Gateway:
    """Admits, sends, journals, settles; asks the store through a link of its own."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.name = world, f"gw{number}"
        self.skew_ms = world.rng.randrange(-40, 40)
        self.open: dict[str, Attempt] = {}
        self.outbox: dict[str, tuple[str, tuple[Any, ...], Ask | None]] = {}
        """Settlements and voids without an answer yet, by key."""
        self.unrestored: dict[str, Attempt] = {}
        self.journal: dict[tuple[str, int], int] = {}
        """What was posted by account and slot; of it what may still count, and the rest."""
        self.fresh: dict[tuple[str, int], int] = {}
        self.old: Counter[str] = Counter()
        self.born: dict[str, int] = {}
        self.done: list[str] = []
        self.link = Link(world, self)
        self.places = [
            placing(checked_window("rolling", 120)),
            placing(checked_window("minute")),
            placing(checked_window("never")),
            placing(checked_window("rolling", 7_200)),
            placing(checked_window("day")),
        ]

    def now_ms(self) -> int:
        return START_MS + self.world.now + self.skew_ms

    def admit(self, call: Call, number: int = 1, tries: int = 0) -> None:
        """Reserve; then send, refuse, or let the client try again."""
        rng, at_ms = self.world.rng, self.now_ms()
        self.world.latest_ms = max(self.world.latest_ms, at_ms)
        worst = (call.tokens_in // 4 + call.tokens_most) * PRICE_NANO
        hold = min(worst, (call.tokens_in // 4 + 700) * PRICE_NANO)
        span, minute, task, flight, day = [place(at_ms) for place in self.places]
        limits, tenant = self.world.limits, call.tenant
        claims = (
            Claim(f"t{tenant}/span", hold, limits["span"], *span),
            Claim(f"t{tenant}/minute", hold, limits["minute"], *minute),
            Claim(f"s{call.session}", hold, limits["task"], *task),
            Claim(f"t{tenant}/flight", 1, FLIGHT, *flight),
            Claim("all/day", hold, limits["day"], *day),
        )
        ask = Ask(f"{call.key}.{number}.{tries}", at_ms, LEASE_MS, claims, (), self.name)
        attempt = Attempt(ask, call, number, hold, worst)

        def answered(denial: Any) -> None:
            counts = self.world.counts
            if denial is None:
                counts["granted"] += 1
                self.open[ask.key] = attempt
                self.world.later(rng.randrange(0, 5), self.send, attempt)
                if rng.random() < 0.05:  # the client sends it again with the same key
                    self.link.ask("reserve", (ask,), self.same)
                return
            if denial is LOST:
                counts["refused: no store"] += 1
                self.end(ask.key, "void", (ask.key, at_ms))
            else:
                counts["refused: " + denial.why] += 1
            if tries < 3 and rng.random() < 0.3:  # and again with another
                self.world.later(rng.randrange(10, 300), self.admit, call, number, tries + 1)

        self.link.ask("reserve", (ask,), answered)

    def same(self, denial: Any) -> None:
        if denial is not None and denial is not LOST:
            raise Broken(f"the same key was granted and then {denial}")

    def send(self, attempt: Attempt) -> None:
        """Upstream. What it bills is settled here; what the gateway learns, at the end."""
        rng, call = self.world.rng, attempt.call
        fate = rng.random()
        if fate < 0.02:
            self.close(attempt, None)
            return
        first_ms = rng.randrange(50, 800)
        if fate < 0.05:  # 5xx after a while, not billed; another attempt
            self.world.later(first_ms * 10, self.close, attempt, 0)
            if attempt.number < 3:
                self.world.later(first_ms * 10, self.admit, call, attempt.number + 1)
            return
        if fate < 0.052:  # fees that nobody could know of: over its hold
            attempt.fees = rng.randrange(1, 5_000_000)
            cost = attempt.hold + attempt.fees
            self.world.later(first_ms, self.finish, attempt, cost, cost)
            return
        tokens = call.tokens_out
        if fate < 0.08:
            tokens = rng.randrange(1, tokens + 1)  # the stream is cut; what came is billed
        cost = (call.tokens_in // 4 + tokens) * PRICE_NANO
        self.stream(attempt, cost, first_ms + tokens // 2, fate)

    def stream(self, attempt: Attempt, cost: int, takes_ms: int, fate: float) -> None:
        """Ask for more where the hold does not do; without more, it is cut there."""
        told = self.told(cost, fate)
        if cost <= attempt.hold:
            self.world.later(takes_ms, self.finish, attempt, cost, told)
            return
        more = attempt.worst - attempt.hold

        def answered(denial: Any) -> None:
            if denial is None:
                attempt.hold += more
                self.world.later(takes_ms // 2, self.finish, attempt, cost, told)
            else:
                self.world.counts["streams cut"] += 1
                self.finish(attempt, attempt.hold, attempt.hold)

        amounts = tuple(0 if one.amount == 1 else more for one in attempt.ask.claims)
        given = (attempt.ask.key, amounts, self.now_ms())
        self.world.later(takes_ms // 2, self.link.ask, "extend", given, answered)

    def told(self, cost: int, fate: float) -> int:
        """What the gateway makes of the usage that it is told."""
        if fate < 0.10:  # left out, or zero: counted by the gateway itself, a little off
            return max(0, cost - PRICE_NANO * self.world.rng.randrange(0, 3))
        if fate < 0.11:  # wrong, and nobody could see it
            return cost * 9 // 10
        return cost

    def finish(self, attempt: Attempt, billed: int, told: int) -> None:
        self.world.invoice[attempt.call.tenant] += billed
        self.world.known_wrong[attempt.call.tenant] += billed - told
        self.close(attempt, told)

    def close(self, attempt: Attempt, cost: int | None) -> None:
        """Journal it, then settle; None: it was not sent."""
        ask = attempt.ask
        del self.open[ask.key]
        if cost is None:
            self.end(ask.key, "void", (ask.key, self.now_ms()))
            return
        amounts = tuple(0 if one.amount == 1 else cost for one in ask.claims)
        journal = self.journal
        for claim, amount in zip(ask.claims, amounts, strict=True):
            where = (claim.account, claim.slot)
            journal[where] = journal.get(where, 0) + amount
            self.fresh[where] = self.fresh.get(where, 0) + amount
            if claim.account not in self.born:
                self.born[claim.account] = ask.at_ms
        self.done.append(ask.key)
        self.world.counts["settled"] += 1
        for claim in ask.claims if attempt.fees else ():
            self.world.excess[claim.account] += attempt.fees
        self.end(ask.key, "settle", (ask.key, amounts, self.now_ms()), ask)

    def end(self, key: str, name: str, given: tuple[Any, ...], ask: Ask | None = None) -> None:
        self.outbox[key] = (name, given, ask)
        self.post(key)
        if self.world.rng.random() < 0.02:
            self.post(key)

    def post(self, key: str) -> None:
        name, given, ask = self.outbox[key]

        def answered(answer: Any) -> None:
            if answer is not LOST:
                self.outbox.pop(key, None)
                if ask and answer.new:
                    self.world.seen(ask, answer.levels, given[2])

        self.link.ask(name, given, answered)

    def tell(self) -> None:
        """The store has begun a new life: what the journal holds, and what is under way."""
        before = self.now_ms() - FRESH_MS
        for account, slot in [one for one in self.fresh if 0 < one[1] < before]:
            if account != "all/day":
                self.old[account] += self.fresh.pop((account, slot))
        carried = tuple(
            Carried(account, slot, posted, self.born[account])
            for (account, slot), posted in self.fresh.items()
        ) + tuple(Carried(account, 1, posted) for account, posted in self.old.items())
        done = tuple(self.done[-DONE:])
        self.link.ask("rebuild", (self.name, carried, done, self.now_ms()), None)
        self.unrestored.update(self.open)

    def back(self) -> None:
        """The link is up. What was under way when the journal was told is restored before it is
        settled, however often the link breaks meanwhile: the store may have taken the journal,
        which lacks it. Then what had no answer goes again."""
        for key, attempt in list(self.unrestored.items()):
            extra = attempt.hold - attempt.ask.claims[0].amount
            claims = tuple(
                one if one.amount == 1 else msgspec.structs.replace(one, amount=one.amount + extra)
                for one in attempt.ask.claims
            )
            ask = msgspec.structs.replace(attempt.ask, claims=claims)
            self.link.ask("restore", (ask,), partial(self.restored, key))
        for key in list(self.outbox):
            self.post(key)

    def restored(self, key: str, answer: Any) -> None:
        if answer is not LOST:
            self.unrestored.pop(key, None)

    def beat(self) -> None:
        """Every third of a lease."""
        if self.open:
            self.link.ask("renew", (tuple(self.open), self.now_ms()), None)
        self.link.ask("sweep", (self.now_ms(),), None)
        if self.world.runs:
            self.world.later(LEASE_MS // 3, self.beat)


class World:
    """The clock, the dice, and what really happened."""

    def __init__(
        self, seed: int, calls: int, seconds: float, core: type[Accounts] = Accounts
    ) -> None:
        self.rng = random.Random(seed)
        self.seed, self.calls = seed, calls
        self.ends_s = time.monotonic() + seconds
        self.now, self.count, self.made, self.latest_ms = 0, 0, 0, 0
        self.queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self.counts: Counter[str] = Counter()
        self.invoice, self.known_wrong = Counter[int](), Counter[int]()
        self.limits = dict(LIMITS_NANO)
        self.largest = dict(LIMITS_NANO)
        """The most that each limit ever was."""
        self.excess: Counter[str] = Counter()
        """By account, what calls cost above their holds."""
        self.worst: Counter[str] = Counter()
        self.runs = True
        self.gateways: list[Gateway] = []
        self.server = Server(self, [f"gw{n}" for n in range(GATEWAYS)], core)
        self.gateways += [Gateway(self, n) for n in range(GATEWAYS)]

    def later(self, in_ms: int, call: Callable[..., None], *given: Any) -> None:
        self.count += 1
        heappush(self.queue, (self.now + in_ms, self.count, call, given))

    def run(self) -> None:
        for gateway in self.gateways:
            gateway.link.connect()
            self.later(self.rng.randrange(LEASE_MS), gateway.beat)
        for what, every_ms in EVENTS:
            self.later(self.rng.randrange(every_ms), self.event, what, every_ms)
        self.arrive()
        while self.queue:
            self.now, _, call, given = heappop(self.queue)
            call(*given)
        self.check()

    def arrive(self) -> None:
        self.made += 1
        self.rng.choice(self.gateways).admit(Call(self.rng, self.made))
        out_of_time = self.made % 256 == 0 and time.monotonic() > self.ends_s
        if self.made < self.calls and not out_of_time:
            self.later(int(self.rng.expovariate(1 / PACE_MS)), self.arrive)
        else:
            self.runs = False

    def event(self, what: str, every_ms: int) -> None:
        """Something goes wrong in the world."""
        if not self.runs:
            return
        rng, server = self.rng, self.server
        self.counts["event: " + what] += 1
        gateway = rng.choice(self.gateways)
        if what == "crash":
            server.stop(rng.randrange(200, 3_000), "keep")
        elif what == "wipe":
            server.stop(rng.randrange(200, 3_000), "wipe")
        elif what == "failover":
            server.stop(rng.randrange(100, 800), "replica")
        elif what == "partition":
            gateway.link.cut(rng.randrange(100, 5_000))
        elif what == "slow":
            server.slow_until = self.now + rng.randrange(200, 2_000)
        elif what == "clock":
            gateway.skew_ms = rng.choice((-61_000, -2_000, -50, 0, 50, 2_000, 90_000))
        else:
            one = rng.choice(list(self.limits))
            self.limits[one] = LIMITS_NANO[one] * rng.randrange(8, 13) // 10
            self.largest[one] = max(self.largest[one], self.limits[one])
        self.later(int(rng.expovariate(1 / every_ms)) + 1, self.event, what, every_ms)

    def seen(self, ask: Ask, levels: tuple[int, ...], at_ms: int) -> None:
        """Of limits that change while calls are under way, the largest is what was promised. A
        rolling window is what the clock of whoever asks says: one that is behind sees more."""
        for claim, level in zip(ask.claims, levels, strict=True):
            limit = self.largest.get(kind_of(claim.account), FLIGHT)
            if claim.step and at_ms < self.latest_ms:
                continue
            if level - limit > self.worst[claim.account]:
                self.worst[claim.account] = level - limit

    def check(self) -> None:
        """All is quiet: do the books agree?"""
        journal: Counter[tuple[str, int]] = Counter()
        for gateway in self.gateways:
            if gateway.open or gateway.outbox:
                raise Broken(f"{gateway.name} still has {len(gateway.open)} calls under way")
            journal.update(gateway.journal)
        totals = totals_of(self.gateways)
        latest: dict[str, int] = {}
        for account, slot in journal:
            latest[account] = max(slot, latest.get(account, 0))
        for (account, slot), posted in journal.items():
            standing = self.standing(account, slot)
            if standing.held or standing.suspect or standing.total != totals[account]:
                raise Broken(f"{standing}, journal {totals[account]}")
            if standing.posted != posted and slot > latest[account] - KEPT_MS:
                raise Broken(f"slot {slot}: {standing}, journal {posted}")
            kind = kind_of(account)
            if kind in ("task", "minute", "day"):  # the slot is the window
                over = posted - self.largest[kind]
                self.worst[account] = max(self.worst[account], over)
        for tenant in range(TENANTS):
            booked = totals[f"t{tenant}/minute"]
            if booked + self.known_wrong[tenant] != self.invoice[tenant]:
                raise Broken(f"tenant {tenant}: {booked} booked, {self.invoice[tenant]} billed")
        if totals["all/day"] != sum(totals[f"t{n}/span"] for n in range(TENANTS)):
            raise Broken("the whole is not the sum of its parts")
        for account, over in self.worst.items():
            if over > self.bound(account):
                raise Broken(f"{account} over by {over}, bound {self.bound(account)}")

    def standing(self, account: str, slot: int) -> Standing:
        return self.server.core.standings((Claim(account, 0, None, slot),))[0]

    def bound(self, account: str) -> int:
        """The most by which an account may be over: what its calls cost above their holds, and
        the most that one failover lost of what was held."""
        return self.excess[account] + self.server.lost[account]

    def report(self) -> str:
        lines = [f"seed {self.seed}: {self.made} calls in {self.now / 1000:.0f} s of the world"]
        lines += [f"  {name:20} {count:>10,}" for name, count in sorted(self.counts.items())]
        booked = sum(self.invoice.values()) - sum(self.known_wrong.values())
        wrong = sum(self.known_wrong.values())
        lines.append(f"  balances = journal = ${booked / 1e9:.9f}; held 0, suspect 0")
        lines.append(f"  invoice = journal + ${wrong / 1e9:.9f} of usage left out or wrong")
        over = {name: one for name, one in self.worst.items() if one > 0}
        worst = max(over, key=over.__getitem__, default="")
        bound = max((self.bound(name) for name in totals_of(self.gateways)), default=0)
        lines.append(f"  most that an account could be over its limit: ${bound / 1e9:.9f}")
        at_most = f"at most by ${over.get(worst, 0) / 1e9:.9f} ({worst or 'none'})"
        lines.append(f"  {len(over)} accounts were over, {at_most}")
        return "\n".join(lines)


def kind_of(account: str) -> str:
    return account.partition("/")[2] or "task"


def totals_of(gateways: Iterable[Gateway]) -> Counter[str]:
    """What each account has posted, told by the journals."""
    found: Counter[str] = Counter()
    for gateway in gateways:
        for (account, _), posted in gateway.journal.items():
            found[account] += posted
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    world = World(given.seed, given.calls, given.seconds)
    start = time.perf_counter()
    world.run()
    print(world.report())
    print(f"  {world.made / (time.perf_counter() - start):,.0f} calls per second of this machine")
    return 0


if __name__ == "__main__":
    sys.exit(main())
