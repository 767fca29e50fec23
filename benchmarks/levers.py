"""What the levers of a route cost per call: the whole chain with every lever on, and each alone.

    python benchmarks/levers.py [--json]

Calls of a growing conversation, about 2 KB of prompt, read beforehand; the world sends nothing.
Best of several rounds, against the same calls without any lever.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from bursar.dialects.quick import QuickReader
from bursar.dialects.rewriting import rewritten
from bursar.engine.chain import at_once, run
from bursar.engine.policy import Levers, Market, lever_of, wishes_of
from bursar.levers.fit import Effort, MaxTokens
from bursar.levers.lean_context import LeanContext
from bursar.levers.model_route import ModelRoute, Rule
from bursar.levers.no_progress import NoProgress
from bursar.levers.ports import Lever
from bursar.levers.prompt_cache import PromptCache
from bursar.model.call import Call, Tags
from bursar.model.entry import Answer, Attempt, Decision
from bursar.model.usage import Usage
from bursar.price.billing_rules import load_rules
from bursar.price.book import load_book

GOAL_US = 60.0
SESSIONS, STEPS, ROUNDS = 200, 6, 7
ALL = Levers(
    no_progress=NoProgress(),
    lean_context=LeanContext(keep_turns=20, result_tokens=200),
    max_tokens=MaxTokens(least_answers=10),
    effort=Effort(most="low", unasked="set"),
    model_route=ModelRoute(rules=(Rule(to="claude-opus-5", prompt_below=10),)),
    prompt_cache=PromptCache(),
)
SYSTEM = "You are an agent of a parcel service. " * 20
Asked = tuple[bytes, Call]


class Nowhere:
    """A world that answers at once, and writes the body anew as the gateway does."""

    def __init__(self) -> None:
        self.now_ms = 1_790_000_000_000
        self.attempts: list[Attempt] = []
        self.decisions: list[Decision] = []
        self.asked: Asked | None = None

    def note(self, decision: Decision) -> None:
        self.decisions.append(decision)

    async def send(self, call: Call) -> Answer:
        assert self.asked is not None
        body, before = self.asked
        if call.blocks is not before.blocks:
            rewritten(body, "anthropic_messages", before.blocks or (), call.blocks or ())
        self.attempts.append(ATTEMPT)
        return ANSWER


ATTEMPT = Attempt(usage=Usage(input=600, output=150), cost_nano=1)
ANSWER = Answer(stop="end")


def conversations() -> list[Asked]:
    reader = QuickReader()
    found: list[Asked] = []
    for session in range(SESSIONS):
        turns: list[dict[str, Any]] = []
        for step in range(STEPS):
            turns.append({"role": "user", "content": f"{session}: where is parcel {step}? " * 4})
            body = json.dumps(
                {"model": "claude-opus-5", "max_tokens": 900, "system": SYSTEM, "messages": turns}
            ).encode()
            asking = reader.asking("anthropic_messages", body)
            call = Call(
                key=f"{session}.{step}",
                dialect="anthropic_messages",
                provider="anthropic",
                model="claude-opus-5",
                blocks=asking.blocks,
                limits=asking.limits,
                tags=Tags(session=str(session), route="r"),
            )
            found.append((body, call))
            turns.append({"role": "assistant", "content": f"In hall {step}. " * 6})
    return found


def cost_us(levers: Sequence[Lever], asked: Sequence[Asked]) -> float:
    world = Nowhere()
    begun = time.process_time()
    for one in asked:
        world.asked = one
        world.attempts.clear()
        world.decisions.clear()
        world.now_ms += 50
        at_once(run(levers, one[1], world))
    return (time.process_time() - begun) / len(asked) * 1e6


def measured() -> dict[str, float]:
    asked = conversations()
    market = Market(load_book(), load_rules())
    chains: dict[str, Levers] = {"none": Levers(), "all": ALL}
    chains |= {name: replace(Levers(), **{name: wish}) for name, wish in wishes_of(ALL)}
    found: dict[str, float] = {}
    for name, policy in chains.items():
        rounds: list[float] = []
        for _ in range(ROUNDS):
            levers = [lever_of(one, wish, market) for one, wish in wishes_of(policy)]
            rounds.append(cost_us(levers, asked))
        found[name] = round(min(rounds), 2)
    found["bytes"] = round(sum(len(body) for body, _ in asked) / len(asked))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    found = measured()
    if parser.parse_args().json:
        print(json.dumps(found))
    else:
        print(f"{found.pop('bytes'):.0f} bytes a call, microseconds of one core")
        for name, us in found.items():
            print(f"{name:14} {us:7.2f}")
        print(f"goal: all below {GOAL_US:g}")
    return 0 if found["all"] <= GOAL_US else 1


if __name__ == "__main__":
    sys.exit(main())
