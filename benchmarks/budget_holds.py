"""How well a budget is used, and how safely: our holds beside those of other tools, one run.

    python benchmarks/budget_holds.py [--seeds 6]

A world in memory: calls arrive by chance, each with 1,000 prompt tokens and an answer of a length
drawn from a lognormal (mean 815 tokens), though its client declares max_tokens=16000; $2 and $8 per
million tokens, 60 tokens per second, half a second to the first. $5 lasts for about 600 of them.
Every rule gets the same calls under the same seed. `cold`: nothing is known of lengths. `warm`:
2,000 answers of the route are, as a ledger tells them at a start. `drift`: from the 300th call on
answers are three times as long. `drifted`: they have been for 600 calls when the run begins.

- A call *fits* if somebody who knows every cost beforehand, and admits in order of arrival whatever
  still fits into the budget, would admit it. This does not depend on the rule.
- *False*: fitting calls that the rule refused, or let wait in vain, as a share of all fitting ones;
  it counts also where the rule later admitted another call instead.
- *Cut*: streams cut, or answers ended by a limit that we wrote, as a share of admitted calls.
- *Spent*: all that was billed, as a share of the budget, mean and worst seed. Above 1 is overshoot.
- *Whole*: answers delivered whole, per fitting call. 1: nobody could have served more.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from bursar.state.holds import (
    Hold,
    HoldRule,
    Left,
    Mode,
    Short,
    hold_of,
    more_of,
    must_cut,
)
from bursar.state.lengths import Lengths
from bursar.state.sizes import Size, Top

PROMPT, MOST = 1_000, 16_000
TOP = Top(prompt_pico=2_000_000, answer_pico=8_000_000)
TOKENS_PER_S, FIRST_S = 60.0, 0.5
BUDGET = 5_000_000_000
CALLS = 2_500
EXACT = Size(prompt_tokens=PROMPT, cap_tokens=MOST, asked_tokens=MOST)


@dataclass(frozen=True)
class Scene:
    """What happens."""

    name: str
    per_s: float | None
    """None: all calls at once."""
    warm: bool = True
    drift: bool = False
    drifted: bool = False
    budget: int = BUDGET
    calls: int = CALLS


@dataclass(frozen=True)
class Way:
    """A rule for holds. `hold`: None refuses."""

    name: str
    hold: Callable[[World], Hold | None]
    mode: Mode = "soft"
    rule: HoldRule = HoldRule()  # noqa: RUF009 - a frozen value
    wait_s: float = 0.0
    tells: bool = False
    """The stream begins with what its prompt was billed, as Anthropic's do."""


@dataclass
class Stream:
    """A call under way."""

    number: int
    hold: Hold
    length: int
    """As long as its answer gets, a limit upstream applied."""
    ticket: int
    said: int = 0
    is_cut: bool = False


@dataclass
class World:
    """One budget, its calls and the clock."""

    scene: Scene
    way: Way
    lengths: list[int]
    known: Lengths = field(default_factory=Lengths)
    posted: int = 0
    held: int = 0
    under_way: dict[int, Stream] = field(default_factory=dict)
    waiting: deque[tuple[float, int, float]] = field(default_factory=deque)
    waits: list[float] = field(default_factory=list)
    events: list[tuple[float, int, str, int]] = field(default_factory=list)
    order: count[int] = field(default_factory=count)
    admitted: set[int] = field(default_factory=set)
    cuts: int = 0
    asks: int = 0

    def left(self) -> Left:
        free = self.scene.budget - self.posted
        return Left(
            room=(free - self.held, None), unposted=(free, None), others=len(self.under_way)
        )

    def push(self, at: float, kind: str, number: int) -> None:
        heapq.heappush(self.events, (at, next(self.order), kind, number))

    def run(self) -> None:
        while self.events:
            at, _, kind, number = heapq.heappop(self.events)
            if kind == "arrive":
                if (self.waiting or not self.admit(number, at)) and self.way.wait_s:
                    self.waiting.append((at + self.way.wait_s, number, at))
            elif kind == "end":
                stream = self.under_way[number]
                stream.said = stream.length
                self.settle(stream, at)
            else:
                self.look(self.under_way[number], at)

    def admit(self, number: int, at: float) -> bool:
        hold = self.way.hold(self)
        if hold is None:
            return False
        nano = hold.nano or 0
        free = self.scene.budget - self.posted - self.held
        if nano and nano + hold.margin_nano > free:
            return False
        self.held += nano
        length = self.lengths[number]
        stream = Stream(number, hold, min(length, hold.max_tokens or length), self.known.begin())
        self.under_way[number] = stream
        self.admitted.add(number)
        if self.way.mode == "stream":
            self.next_look(stream, at + FIRST_S)
        else:
            self.push(at + FIRST_S + stream.length / TOKENS_PER_S, "end", number)
        return True

    def next_look(self, stream: Stream, at: float) -> None:
        tokens = min(self.way.rule.check_tokens, stream.length - stream.said)
        self.push(at + tokens / TOKENS_PER_S, "look", stream.number)

    def look(self, stream: Stream, at: float) -> None:
        rule = self.way.rule
        stream.said = min(stream.length, stream.said + rule.check_tokens)
        if stream.said >= stream.length:
            self.settle(stream, at)
            return
        self.known.advance(stream.ticket, stream.said)
        if self.way.tells and stream.said <= rule.check_tokens:
            told = stream.hold.billed(TOP.nano(EXACT, 0), PROMPT)
            self.held += (told.nano or 0) - (stream.hold.nano or 0)
            stream.hold = told
        more = more_of(stream.hold, stream.said, self.known, rule)
        if more is not None:
            self.asks += 1
            for tokens in (more.want_tokens, more.least_tokens):
                grown = stream.hold.grown(tokens)
                extra = (grown.nano or 0) - (stream.hold.nano or 0)
                if self.posted + self.held + extra <= self.scene.budget:
                    self.held += extra
                    stream.hold = grown
                    break
        if must_cut(stream.hold, stream.said, rule):
            stream.is_cut = True
            self.settle(stream, at)
        else:
            self.next_look(stream, at)

    def settle(self, stream: Stream, at: float) -> None:
        self.held -= stream.hold.nano or 0
        self.posted += TOP.nano(EXACT, stream.said)
        del self.under_way[stream.number]
        whole = stream.said >= self.lengths[stream.number]
        self.cuts += not whole
        self.known.observe(stream.ticket, stream.said, whole=whole)
        while self.waiting:
            until, number, since = self.waiting[0]
            if until >= at:
                if not self.admit(number, at):
                    break
                self.waits.append(at - since)
            self.waiting.popleft()


def ours(mode: Mode, rule: HoldRule, size: Size = EXACT) -> Callable[[World], Hold | None]:
    def hold(world: World) -> Hold | None:
        found = hold_of(size, TOP, world.left(), world.known, rule, mode)
        return None if isinstance(found, Short) else found

    return hold


def fixed(share: float | None) -> Callable[[World], Hold | None]:
    """As other designs hold: a quantile of the lengths that have ended, or (None) the worst."""

    def hold(world: World) -> Hold | None:
        tokens = MOST if share is None else world.known.quantile(share, MOST)
        return Hold(
            nano=TOP.nano(EXACT, tokens),
            tokens=0,
            max_tokens=None,
            basis="worst",
            answer_tokens=tokens,
            most_tokens=MOST,
            answer_pico=TOP.answer_pico,
        )

    return hold


def check_then_add(world: World) -> Hold | None:
    if world.posted >= world.scene.budget:
        return None
    return Hold(nano=None, tokens=0, max_tokens=None, basis="worst", answer_tokens=0, most_tokens=0)


NO_MEAN = HoldRule(step_percent=0)
STREAM = HoldRule()
NEAR = Size(prompt_tokens=2_000, cap_tokens=MOST, asked_tokens=MOST)
LOOSE = Size(prompt_tokens=4_500, cap_tokens=MOST, asked_tokens=MOST)
WAYS = (
    Way("check, add after", check_then_add),
    Way("worst case", fixed(None)),
    *(Way(f"quantile {share:g}", fixed(share)) for share in (0.5, 0.9, 0.95, 0.99)),
    Way("quantile 0.95, top-up", fixed(0.95), "stream", NO_MEAN),
    Way("OURS stream", ours("stream", STREAM), "stream", STREAM),
    Way("OURS stream, wait 2 s", ours("stream", STREAM), "stream", STREAM, 2.0),
    Way("OURS stream, wait 10 s", ours("stream", STREAM), "stream", STREAM, 10.0),
    Way("OURS stream, prompt held x2", ours("stream", STREAM, NEAR), "stream", STREAM),
    Way("OURS stream, prompt held x4.5", ours("stream", STREAM, LOOSE), "stream", STREAM),
    Way("same, told when it begins", ours("stream", STREAM, LOOSE), "stream", STREAM, 0, True),
    Way("OURS whole (limited)", ours("whole", STREAM), "whole", STREAM),
    Way("OURS whole, wait 10 s", ours("whole", STREAM), "whole", STREAM, 10.0),
    Way("OURS soft", ours("soft", STREAM), "soft", STREAM),
)
SCENES = (
    Scene("20/s, warm", 20),
    Scene("20/s, cold", 20, warm=False),
    Scene("20/s, warm, drift", 20, drift=True),
    Scene("20/s, cold, drift", 20, warm=False, drift=True),
    Scene("20/s, drifted", 20, drifted=True),
    Scene("200/s, warm", 200),
    Scene("200/s, cold", 200, warm=False),
    Scene("200/s, warm, drift", 200, drift=True),
    Scene("200/s, drifted", 200, drifted=True),
    Scene("1,000 at once, warm", None, calls=1_000),
    Scene("$1, 1,000 at once, warm", None, calls=1_000, budget=1_000_000_000),
)


@dataclass(frozen=True)
class Outcome:
    spent: float
    false: float
    cut: float
    whole: float
    admitted: int
    fitting: int
    waited_s: float
    asks: float


def drawn(rng: random.Random, calls: int) -> list[int]:
    return [min(MOST, max(1, int(rng.lognormvariate(6.3, 0.9)))) for _ in range(calls)]


def fitting(lengths: Sequence[int], budget: int) -> set[int]:
    found: set[int] = set()
    for number, length in enumerate(lengths):
        cost = TOP.nano(EXACT, length)
        if cost <= budget:
            budget -= cost
            found.add(number)
    return found


def play(scene: Scene, way: Way, seed: int) -> Outcome:
    rng = random.Random(seed)
    lengths = drawn(rng, scene.calls)
    before = drawn(rng, 2_000)
    if scene.drift:
        lengths[300:] = [min(MOST, 3 * length) for length in lengths[300:]]
    if scene.drifted:
        lengths = [min(MOST, 3 * length) for length in lengths]
        before += [min(MOST, 3 * length) for length in drawn(rng, 600)]
    world = World(scene, way, lengths)
    if scene.warm:
        world.known.load(before)
    at = 0.0
    for number in range(scene.calls):
        at += rng.expovariate(scene.per_s) if scene.per_s else 0.0
        world.push(at, "arrive", number)
    world.run()
    assert not world.held
    assert not world.under_way
    fits = fitting(lengths, scene.budget)
    admitted = len(world.admitted)
    return Outcome(
        spent=world.posted / scene.budget,
        false=len(fits - world.admitted) / len(fits),
        cut=world.cuts / max(1, admitted),
        whole=(admitted - world.cuts) / len(fits),
        admitted=admitted,
        fitting=len(fits),
        waited_s=math.fsum(world.waits) / max(1, len(world.waits)),
        asks=world.asks / max(1, admitted),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--only", default="", help="scenes and rules whose names hold this")
    asked = parser.parse_args()
    started = time.perf_counter()
    for scene in SCENES:
        print(f"\n{scene.name}")
        print(
            f"{'rule':32}{'spent mean (worst)':>20}{'false mean (worst)':>21}"
            f"{'cut mean (worst)':>19}{'whole':>7}{'calls':>7}{'waited':>8}{'asks':>6}"
        )
        for way in WAYS:
            if asked.only and asked.only not in scene.name and asked.only not in way.name:
                continue
            got = [play(scene, way, seed) for seed in range(asked.seeds)]
            print(line(way.name, got), flush=True)
    print()
    costs()
    print(f"\n{asked.seeds} seeds, {time.perf_counter() - started:.0f} s")


def costs() -> None:
    """What the parts cost, best of five rounds."""
    rng = random.Random(1)
    known, size = Lengths(), EXACT
    lengths = drawn(rng, 10_000)
    known.load(lengths[:2_000])
    left = Left(room=(BUDGET, None), unposted=(BUDGET, None), others=100)
    hold = hold_of(size, TOP, left, known, STREAM)
    assert isinstance(hold, Hold)

    def answers() -> None:
        for length in lengths:
            known.observe(known.begin(), length)

    def answers_and_holds() -> None:
        for length in lengths:
            known.observe(known.begin(), length)
            hold_of(size, TOP, left, known, STREAM)

    def holds() -> None:
        for _ in lengths:
            hold_of(size, TOP, left, known, STREAM)

    def looks() -> None:
        for _ in lengths:
            more_of(hold, 400, known, STREAM)

    for act in (answers, answers_and_holds, holds, looks):
        best_s = math.inf
        for _ in range(5):
            started = time.perf_counter()
            act()
            best_s = min(best_s, time.perf_counter() - started)
        print(f"{act.__name__.replace('_', ' '):24} {best_s / len(lengths) * 1e6:6.2f} us each")


def line(name: str, got: Sequence[Outcome]) -> str:
    def mean(of: Callable[[Outcome], float]) -> float:
        return math.fsum(map(of, got)) / len(got)

    spent = f"{mean(lambda o: o.spent):.3f} ({max(o.spent for o in got):.3f})"
    false = f"{100 * mean(lambda o: o.false):.1f} % ({100 * max(o.false for o in got):.1f})"
    cut = f"{100 * mean(lambda o: o.cut):.2f} % ({100 * max(o.cut for o in got):.2f})"
    return (
        f"{name:32}{spent:>20}{false:>21}{cut:>19}{mean(lambda o: o.whole):7.3f}"
        f"{mean(lambda o: o.admitted):7.0f}{mean(lambda o: o.waited_s):6.1f} s"
        f"{mean(lambda o: o.asks):6.1f}"
    )


if __name__ == "__main__":
    main()
