"""More model than the step needs: long reasoning for a short answer, a dear model for a small one.

That the smaller way would do is not known from a ledger; dollars are what it would save if so, and
the mend says to test it first.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bursar.advisor.suspects.finding import Finding, Row, View, by_place, models, money, total
from bursar.advisor.suspects.siblings import candidates
from bursar.model.usage import Basis
from bursar.price.rates import Rates

SHORT_ANSWER_TOKENS = 150
"""A sentence or two, a label, one tool call."""
SMALL_PROMPT_TOKENS = 2_000
"""A page or two of text: no long chain of thought hangs on it."""
LEAST_STEPS = 5
"""Fewer such steps are no pattern."""
DEAR_PICO = 2_000_000
"""$2 per million input tokens: cheaper models are not worth replacing for small prompts."""
CHEAPER_TIMES = 5
"""A replacement must cost at most one part in so many, or testing it is not worth the work."""


def find_reasoning_on_simple_tasks(view: View) -> Iterator[Finding]:
    """Reasoning that is longer than a short answer to a short question."""
    rows = view.ask(
        "reasoning_on_simple_tasks",
        prompt_tokens=SMALL_PROMPT_TOKENS,
        answer_tokens=SHORT_ANSWER_TOKENS,
        steps=LEAST_STEPS,
    )
    for row in rows:
        simple, reasoning, output = row["simple"], row["reasoning_tokens"], row["output_tokens"]
        effort = f" (now {row['effort']})" if row["effort"] else ""
        yield Finding(
            kind="reasoning_on_simple_tasks",
            where=row["place"],
            cost_nano=row["nano"],
            evidence={
                "text": f"{simple:,} of {row['attempts']:,} steps had a short prompt, a short"
                f" answer of {output // simple:,} tokens and no tool, and {reasoning // simple:,}"
                " tokens of reasoning on average.",
                "steps": simple,
                "of_steps": row["attempts"],
                "reasoning_tokens": reasoning,
                "answer_tokens": output,
                "models": [row["model"]] if row["model"] else [],
                "top_sessions": view.top(row),
            },
            mend=f"Set the reasoning effort of {row['place']} to low or none{effort} for such"
            " steps, and compare the answers on a few dozen cases first.",
            basis=Basis.MODELLED,
        )


class _Swap(msgspec.Struct, frozen=True, kw_only=True):
    """One model of a place, and what a cheaper one would save there."""

    row: Row
    model: str
    saved_nano: int


def find_dear_model_on_simple_steps(view: View) -> Iterator[Finding]:
    """Small steps on a dear model that has a sibling at a fifth of the price or less."""
    if view.book is None:
        return
    used = view.ask("models_used")
    rows = view.ask(
        "dear_model_on_simple_steps",
        prompt_tokens=SMALL_PROMPT_TOKENS,
        answer_tokens=SHORT_ANSWER_TOKENS,
    )
    for place, group in by_place(rows).items():
        swaps = [swap for row in group if (swap := _swap(view, row, used)) is not None]
        if not swaps:
            continue
        kept = [swap.row for swap in swaps]
        saved, steps = sum(swap.saved_nano for swap in swaps), total(kept, "steps")
        dear, cheap = models(kept), list(dict.fromkeys(swap.model for swap in swaps))
        yield Finding(
            kind="dear_model_on_simple_steps",
            where=place,
            cost_nano=saved,
            evidence={
                "text": f"{steps:,} steps with a prompt under {SMALL_PROMPT_TOKENS:,} tokens, an"
                f" answer of {total(kept, 'output_tokens') // steps} tokens and at most one tool"
                f" ran on {dear[0]} for {money(total(kept, 'nano'))}; {cheap[0]} would take"
                f" {money(total(kept, 'nano') - saved)} for the same tokens.",
                "steps": steps,
                "models": dear,
                "cheaper": cheap,
                "prompt_tokens": sum(_prompt(row) for row in kept) // steps,
                "answer_tokens": total(kept, "output_tokens") // steps,
                "top_sessions": view.top(kept[0]),
            },
            mend=f"Send such steps of {place} to {cheap[0]} once a set of cases shows that its"
            " answers are as good.",
            basis=Basis.MODELLED,
        )


def _swap(view: View, row: Row, used: list[Row]) -> _Swap | None:
    rates = view.rates(row)
    if row["steps"] < LEAST_STEPS or rates is None or (rates.input or 0) < DEAR_PICO:
        return None
    own = [one["model"] for one in used if one["provider"] == row["provider"]]
    best: tuple[int, str] | None = None
    for name in own:
        price = _cheaper(view.rates(row, name), rates)
        if price is not None and (best is None or price < best[0]):
            best = (price, name)
    names = [best[1]] if best else candidates(row["provider"], row["model"])
    for name in names:
        cheap = view.rates(row, name)
        if cheap is None or _cheaper(cheap, rates) is None:
            continue
        saved = row["nano"] - _cost_nano(row, cheap)
        if saved > 0:
            return _Swap(row=row, model=name, saved_nano=saved)
    return None


def _cheaper(cheap: Rates | None, dear: Rates) -> int | None:
    """Its input rate, where both its rates are a fifth or less."""
    if cheap is None or not cheap.input or not cheap.output or not dear.input or not dear.output:
        return None
    less = cheap.input * CHEAPER_TIMES <= dear.input
    less = less and cheap.output * CHEAPER_TIMES <= dear.output
    return cheap.input if less else None


def _cost_nano(row: Row, rates: Rates) -> int:
    """The row's tokens at other rates. Its prompts are too small for any long-context price."""
    pico = 0
    for unit in ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output"):
        rate: int | None = getattr(rates, unit)
        pico += int(row[f"{unit}_tokens"] or 0) * (rate if rate is not None else rates.input or 0)
    return pico // 1000


def _prompt(row: Row) -> int:
    return sum(
        row[f"{unit}_tokens"] or 0
        for unit in ("input", "cache_read", "cache_write_5m", "cache_write_1h")
    )
