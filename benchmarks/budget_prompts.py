"""What bounding prompts by earlier counts is worth: real sessions, then the world of budget_holds.

    TIKTOKEN_CACHE_DIR=... python benchmarks/budget_prompts.py DATA [--seeds 6]

DATA is the folder of the shared data. Each call of its 200 tau-bench sessions (gpt-4o, a prompt of
1,300 tokens that all of them share, 15 calls each in the mean) is counted by cl100k, and bounded
twice: by its bytes, and by what was counted of calls before. `alone`: a worker knows one session
only. Then every call of the world holds so much more for its prompt than it needs as one of these.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import tiktoken
from budget_holds import EXACT, MOST, PROMPT, SCENES, STREAM, TOP, Way, World, line, play

from bursar.dialects.requests import read_request
from bursar.state.holds import Hold, Short, hold_of
from bursar.state.prompts import Prompts
from bursar.state.sizes import Size, size_of

FILE = "taubench_gpt4o_airline/gpt-4o-airline.json"
AROUND_TOKENS, BEFORE_TOKENS = 4, 3
"""What OpenAI's template puts around each message, and before the answer."""
Bound = tuple[float, float, float]
"""Times the true count: by bytes, by what is known, by what is known of the same session."""


def calls(session: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """The messages of each prompt."""
    said = [{k: v for k, v in one.items() if v is not None} for one in session["traj"]]
    for place, one in enumerate(said):
        if one["role"] == "assistant" and place:
            yield said[:place]


class Counter:
    """cl100k, each message counted once."""

    def __init__(self) -> None:
        self._encoding = tiktoken.get_encoding("cl100k_base")
        self._known: dict[str, int] = {}

    def __call__(self, messages: Sequence[dict[str, Any]]) -> int:
        return BEFORE_TOKENS + sum(map(self._one, messages))

    def _one(self, message: dict[str, Any]) -> int:
        text = str(message.get("content") or "")
        for call in message.get("tool_calls") or ():
            text += call["function"]["name"] + call["function"]["arguments"]
        found = self._known.get(text)
        if found is None:
            found = len(self._encoding.encode(text, disallowed_special=())) + AROUND_TOKENS
            self._known[text] = found
        return found


def bounds(sessions: Sequence[dict[str, Any]]) -> list[Bound]:
    """Of every call, the sessions going on beside each other."""
    count, shared, found, took_s = Counter(), Prompts(), list[Bound](), 0.0
    going = [(calls(one), Prompts()) for one in sessions]
    while going:
        left: list[tuple[Iterator[list[dict[str, Any]]], Prompts]] = []
        for steps, alone in going:
            messages = next(steps, None)
            if messages is None:
                continue
            left.append((steps, alone))
            body = json.dumps({"model": "gpt-4o", "messages": messages}).encode()
            blocks, true = read_request({"messages": messages}).blocks, count(messages)
            size = size_of(body, blocks, None)
            times: list[float] = [size.prompt_tokens / true]
            for known in (shared, alone):
                began_s = perf_counter()
                bound, asked = known.bounded("gpt-4o", body, size, true)
                took_s += perf_counter() - began_s
                assert true <= bound.prompt_tokens, (true, bound)
                if asked is not None:
                    known.learn(asked, true)
                times.append(bound.prompt_tokens / true)
            found.append((times[0], times[1], times[2]))
        going = left
    print(f"{len(found)} calls, none above its bound; {took_s / len(found) / 2 * 1e6:.1f} us each")
    return found


def holding(times: Sequence[float]) -> Callable[[World], Hold | None]:
    """Each call holds its prompt as one of these."""
    rng = random.Random(7)

    def hold(world: World) -> Hold | None:
        tokens = math.ceil(PROMPT * rng.choice(times))
        size = Size(prompt_tokens=tokens, cap_tokens=MOST, asked_tokens=MOST)
        found = hold_of(size, TOP, world.left(), world.known, STREAM, "stream")
        return None if isinstance(found, Short) else found

    return hold


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=6)
    asked = parser.parse_args()
    found = bounds(json.loads((asked.data / FILE).read_text()))
    names = ("bytes", "known", "known, alone")
    for name, times in zip(names, zip(*found, strict=True), strict=True):
        rising = sorted(times)
        shown = [rising[int(len(rising) * share)] for share in (0.5, 0.9, 0.99)]
        print(
            f"{name:14} mean x{math.fsum(rising) / len(rising):.2f}, median x{shown[0]:.2f},"
            f" 90 % x{shown[1]:.2f}, 99 % x{shown[2]:.2f}"
        )
    exact = Way("exact", holding([EXACT.prompt_tokens / PROMPT]), "stream", STREAM)
    ways = [exact]
    for name, times in zip(names, zip(*found, strict=True), strict=True):
        ways.append(Way(f"by {name}", holding(times), "stream", STREAM))
        ways.append(Way(f"by {name}, told at once", holding(times), "stream", STREAM, 0, True))
    for scene in SCENES:
        if not scene.warm or scene.drift or scene.drifted:
            continue
        print(f"\n{scene.name}")
        for way in ways:
            print(line(way.name, [play(scene, way, seed) for seed in range(asked.seeds)]))


if __name__ == "__main__":
    main()
