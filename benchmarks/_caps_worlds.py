"""The two worlds of `caps_beside.py`: calls that all cost a cent, and answers of unknown length.

Prices: gpt-4.1 at $2 and $8 per million tokens, in all three price tables. A prompt of 40 tokens
and an answer of 1,240 cost $0.00008 + $0.00992, exactly a cent; who reserves cannot be far off, so
nothing but counting decides. Where lengths are unknown the prompt has 1,000 tokens, of which a
system prompt that all calls share has about 900; or none is shared.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

from _caps_stage import Stage, Trouble
from _caps_sums import Paid, Wanted
from _caps_tools import MODEL, messages_of

SHORT_TOKENS, ANSWER_TOKENS = 40, 1_240
PROMPT_TOKENS, SYSTEM_WORDS = 1_000, 880
PROMPT_NANO, ANSWER_NANO = 2_000, 8_000
"""Of one token."""
CENT_NANO = 10_000_000
FIRST_MS = 250
EVENT_CHARS = 24
WORDS = tuple(
    "the order parcel was sent to our warehouse before noon and has not been returned by carrier"
    " please check this refund against invoice and policy of last week for the customer".split()
)


class Lengths(NamedTuple):
    """How answers are drawn: lognormal, as in `budget_holds.py`."""

    mu: float = 6.3
    sigma: float = 0.9
    most_tokens: int = 8_000
    """Longer ones would only make the run longer; one in 700 is."""


class World(NamedTuple):
    """Calls whose answers have a length of their own."""

    wanted: list[Wanted]
    moments_s: list[float]
    simulate: list[str]


def system_prompt() -> str:
    return " ".join(random.Random(20261123).choices(WORDS, k=SYSTEM_WORDS))


def prompt_for(stage: Stage, tokens: int, system: str = "") -> str:
    """A prompt with which a call has exactly so many tokens, as the provider counts and bills."""
    rng = random.Random(20261122)
    words = rng.choices(WORDS, k=2 * tokens)
    low, high = 1, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        if _counted(stage, _text(words[:middle]), system) <= tokens:
            low = middle
        else:
            high = middle - 1
    text = _text(words[:low])
    for _ in range(40):
        if _counted(stage, text, system) == tokens:
            return text
        text += "."
    raise Trouble(f"no prompt of exactly {tokens:,} tokens was found")


def _text(words: Sequence[str]) -> str:
    return f"(000000) {' '.join(words)}"


def _counted(stage: Stage, text: str, system: str) -> int:
    body = {
        "model": MODEL,
        "messages": messages_of(text, system),
        "max_tokens": 16,
    }
    headers = {"content-type": "application/json", "x-simulate": "none; output_tokens=1"}
    asked = Request(
        f"{stage.provider_url}/chat/completions", json.dumps(body).encode(), headers=headers
    )
    with urlopen(asked, timeout=10) as answer:
        found: Any = json.load(answer)
    return int(found["usage"]["prompt_tokens"])


def drawn(rng: random.Random, calls: int, lengths: Lengths = Lengths()) -> list[int]:  # noqa: B008
    return [
        min(lengths.most_tokens, max(1, int(rng.lognormvariate(lengths.mu, lengths.sigma))))
        for _ in range(calls)
    ]


class Pace(NamedTuple):
    """How fast calls come and answers go."""

    per_s: float
    tokens_per_s: float
    most_tokens: int


def world(seed: int, calls: int, pace: Pace, *, stream: bool) -> World:
    """Calls that arrive by chance, each with its length. The same seed: the same calls."""
    rng = random.Random(seed)
    lengths = drawn(rng, calls, Lengths(most_tokens=pace.most_tokens))
    at, moments = 0.0, list[float]()
    for _ in range(calls):
        at += rng.expovariate(pace.per_s)
        moments.append(at)
    return World(
        wanted=[Wanted(cost_nano(tokens), tokens) for tokens in lengths],
        moments_s=moments,
        simulate=[wish_for(tokens, pace.tokens_per_s, stream=stream) for tokens in lengths],
    )


def cost_nano(answer_tokens: int, prompt_tokens: int = PROMPT_TOKENS) -> int:
    return prompt_tokens * PROMPT_NANO + answer_tokens * ANSWER_NANO


def wish_for(tokens: int, tokens_per_s: float, *, stream: bool) -> str:
    """What the provider is asked to do: an answer so long, in its time."""
    whole_ms = tokens / tokens_per_s * 1_000
    if not stream:
        return f"none; output_tokens={tokens}; latency_ms={FIRST_MS + whole_ms:.0f}"
    events = max(1.0, tokens * CHARS_PER_TOKEN / EVENT_CHARS)
    event_ms = whole_ms / events
    return f"none; output_tokens={tokens}; latency_ms={FIRST_MS}; event_ms={event_ms:.2f}"


CHARS_PER_TOKEN = 5.75
"""Of the provider's texts, about."""


def billed(stage: Stage) -> list[Paid]:
    """What was billed since the last look."""
    return [
        Paid(
            number=int(named) if (named := line.client_request_id or "").isdecimal() else None,
            cost_nano=line.cost_nano or 0,
            output_tokens=line.usage.output if line.usage is not None else 0,
            at_ms=line.at_ms,
        )
        for line in stage.new_lines()
        if line.billed
    ]
