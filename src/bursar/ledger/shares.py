"""One attempt's bill laid over its prompt: ranges, and what each kind of block gets of them.

Exact integers come out: the tokens of the kinds add up to the prompt, their nanos to the cost.
What is shared out is keyed by small numbers, since a call has a handful of them and there are many
calls: a *side* is kind * 2 + (1 if an earlier call of the session had sent it), a *slot* is
side * 4 + bucket.
"""

from __future__ import annotations

import msgspec

from bursar.model.block import Kind
from bursar.model.money import apportion

KINDS = tuple(Kind)
KIND_NUMBER = {kind: number for number, kind in enumerate(KINDS)}
BUCKETS = ("fresh", "written", "read", "carried")
"""A block's dollars: sent first at the plain rate, written to the cache, read from it, sent again
at the plain rate."""
FRESH, WRITTEN, READ, CARRIED = range(4)
ANSWER = KIND_NUMBER[Kind.OUTPUT] * 2
ANSWER_SLOT = ANSWER * 4 + FRESH
UNSEEN = KIND_NUMBER[Kind.UNSEEN] * 2
UNSEEN_SLOT = UNSEEN * 4 + FRESH


class Charge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one attempt's prompt was billed as. Token counts, and their cost in pico."""

    read_tokens: int = 0
    written_tokens: int = 0
    plain_tokens: int = 0
    read_pico: int = 0
    written_pico: int = 0
    plain_pico: int = 0
    answer_tokens: int = 0
    answer_pico: int = 0
    """Output, reasoning and every further unit."""
    cost_nano: int | None = None
    """The attempt's cost. None: unpriced; then only tokens are shared out."""

    @property
    def prompt_tokens(self) -> int:
        return self.read_tokens + self.written_tokens + self.plain_tokens


class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The share of one kind in one attempt."""

    kind: Kind
    tokens: int
    carried_tokens: int
    fresh_nano: int | None
    """Of blocks that this session sends for the first time."""
    carried_nano: int | None
    """Of blocks that an earlier call of the session had sent."""


def ranges(charge: Charge, whole: int) -> list[tuple[float, float, int, int]]:
    """(low, high, cost in pico, bucket) of the billed ranges, on the scale of the blocks.

    `whole`: the tokens of all blocks, which need not be what the provider counted.
    """
    billed = charge.prompt_tokens
    if not whole:
        return []
    if not billed:
        return [(0.0, float(whole), 0, FRESH)]
    scale = whole / billed
    found: list[tuple[float, float, int, int]] = []
    low, counted = 0.0, 0
    for tokens, pico, bucket in (
        (charge.read_tokens, charge.read_pico, READ),
        (charge.written_tokens, charge.written_pico, WRITTEN),
        (charge.plain_tokens, charge.plain_pico, FRESH),
    ):
        if tokens:
            counted += tokens
            high = float(whole) if counted == billed else counted * scale
            if high > low:
                found.append((low, high, pico, bucket))
            low = high
    return found


def parts_of(
    weights: dict[int, float], tokens: dict[int, float], whole: int, charge: Charge
) -> tuple[tuple[Part, ...], dict[int, int]]:
    """What each kind gets, and the nanos of the prompt by slot.

    `weights`: pico of the prompt by slot, `tokens`: its tokens by side, `whole`: of all its blocks.
    """
    billed = charge.prompt_tokens
    if billed and not tokens:
        tokens = {UNSEEN: 1.0}
        weights[UNSEEN_SLOT] = float(charge.read_pico + charge.written_pico + charge.plain_pico)
    weights[ANSWER_SLOT] = float(charge.answer_pico)
    counts = dict(zip(tokens, apportion(billed or whole, list(tokens.values())), strict=True))
    counts[ANSWER] = charge.answer_tokens
    nanos: dict[int, int] = {}
    costs: dict[int, int] = {}
    nothing = None if charge.cost_nano is None else 0
    if charge.cost_nano is not None:
        shares = apportion(charge.cost_nano, list(weights.values()))
        nanos = dict(zip(weights, shares, strict=True))
        for slot, nano in nanos.items():
            side = slot // 4
            costs[side] = costs.get(side, 0) + nano
        del nanos[ANSWER_SLOT]
    found: list[Part] = []
    for kind in sorted({side // 2 for side in counts}):
        fresh, carried = kind * 2, kind * 2 + 1
        carried_tokens = counts.get(carried, 0)
        found.append(
            Part(
                kind=KINDS[kind],
                tokens=counts.get(fresh, 0) + carried_tokens,
                carried_tokens=carried_tokens,
                fresh_nano=costs.get(fresh, nothing),
                carried_nano=costs.get(carried, nothing),
            )
        )
    return tuple(found), nanos
