"""The least that a conversation can cost by trimming: every choice of moments, all being known."""

from __future__ import annotations

from bursar.levers.keeping import WHOLE, Script, Shape, turn_starts
from bursar.levers.lean_tariff import Tariff
from bursar.levers.lean_thinning import Thinning
from bursar.model.block import Mark
from levers.world import BOOK, RULES, Turn, World


def least_pico(turns: list[Turn], keep: int, mark: Mark) -> int:
    """Of the prompts of one conversation, from a cold cache, dropping turns alone. At every call
    it may trim to the last `keep` turns, or go on with the shape that it has."""
    call = turns[-1].call
    rule = RULES.rule(call.provider or "", call.model or "")
    assert rule is not None
    tariff = Tariff(rule, BOOK.rates(call.provider, call.model), mark)
    thinning = Thinning(result_tokens=None, result_fields={}, gone=())
    blocks = call.blocks or ()
    script = Script(blocks, turn_starts(blocks), thinning.seen_in(World()))
    costs: dict[Shape, int] = {WHOLE: 0}
    for n in range(script.count + 1):
        drop = script.droppable(n, keep)
        target = Shape(drop, script.pinned(n, drop))
        after: dict[Shape, int] = {}
        for shape, cost in costs.items():
            before = script.tokens(shape, n - 1) if n else 0
            paid = tariff.cost_pico(script.tokens(shape, n), before)
            after[shape] = min(after.get(shape, cost + paid), cost + paid)
            if target == shape:
                continue
            same, turn = script.common(target, shape, n)
            held, _ = tariff.held(
                min(same, before),
                script.head_tokens,
                script.opening_tokens,
                script.blocks_from(turn, target, n),
            )
            paid = tariff.cost_pico(script.tokens(target, n), held)
            after[target] = min(after.get(target, cost + paid), cost + paid)
        costs = after
    return min(costs.values())
