"""Microseconds to price one attempt: Bursar's book beside genai_prices.calc_price, in one run.

Run: python benchmarks/price_one_attempt.py
Prints one line per case; the last column is how often the book is faster. Best of five rounds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from genai_prices import Usage as SourceUsage
from genai_prices import calc_price

from bursar.model.usage import Usage
from bursar.price import load_book

GOAL_US = 2.0
AT = datetime(2026, 11, 1, 12)
USAGE = Usage(input=1200, cache_read=48_000, cache_write_5m=900, output=300, reasoning=120)
CASES = (
    ("one price", "anthropic", "claude-opus-5-5", "standard"),
    ("dated, tiered", "openai", "gpt-5.6-sol", "standard"),
    ("dated, tiered, batch", "openai", "gpt-5.6-sol", "batch"),
    ("by the hour", "deepseek", "deepseek-v4-pro", "standard"),
)


def best_us(call: Callable[[], object], rounds: int, repeats: int) -> float:
    """Fastest round, in microseconds per call."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        best = min(best, (time.perf_counter() - start) / repeats)
    return best * 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        load_book(home=home, now=AT)
        start = time.perf_counter()
        book = load_book(home=home, now=AT)
        load_ms = (time.perf_counter() - start) * 1e3
    theirs_usage = SourceUsage(
        input_tokens=USAGE.prompt,
        cache_read_tokens=USAGE.cache_read,
        cache_write_tokens=USAGE.cache_write_5m,
        output_tokens=USAGE.answer,
    )
    print(f"load from the compiled file: {load_ms:.1f} ms")
    for name, provider, model, price_class in CASES:
        context = {"processing": "batch"} if price_class == "batch" else None

        def ours(p: str = provider, m: str = model, c: str = price_class) -> object:
            return book.cost_nano(p, m, USAGE, AT, c)

        def theirs(p: str = provider, m: str = model, c: dict[str, str] | None = context) -> object:
            return calc_price(
                theirs_usage, m, provider_id=p, genai_request_timestamp=AT, price_context=c
            )

        our_us, their_us = best_us(ours, 5, 50_000), best_us(theirs, 5, 500)
        verdict = "ok" if our_us <= GOAL_US else "SLOW"
        print(
            f"{name:22} bursar {our_us:6.2f} us ({verdict}, goal {GOAL_US:g})"
            f"   genai-prices {their_us:7.1f} us   {their_us / our_us:5.0f}x"
        )


if __name__ == "__main__":
    main()
