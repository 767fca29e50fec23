"""The least that a session can cost: every placement of marks tried, all that comes being known.

A session whose prompts only grow gains by marks at the ends of its prompts alone, each for five
minutes, an hour or not at all. All of these choices together are tried by their states: how much is
held, for how long, since when.
"""

from __future__ import annotations

from collections.abc import Sequence

from levers.world import BOOK, RULES, Turn


def least_nano(turns: Sequence[Turn]) -> int:
    """Over one session, alone, from an empty cache."""
    call = turns[0].call
    rates = BOOK.rates(call.provider, call.model)
    rule = RULES.rule(call.provider or "", call.model or "")
    assert rule is not None
    plain, read = rates.input or 0, rates.cache_read or 0
    writes = {300_000: rates.cache_write_5m or 0, 3_600_000: rates.cache_write_1h or 0}
    states = {(0, 0, 0): 0}
    for turn in turns:
        tokens = sum(block.tokens or 0 for block in turn.call.blocks or ())
        after: dict[tuple[int, int, int], int] = {}
        for (held, life_ms, since_ms), cost in states.items():
            if turn.at_ms - since_ms >= life_ms:
                held = 0
            fresh = tokens - held
            choices = {(held, life_ms if held else 0, turn.at_ms): fresh * plain}
            if tokens >= rule.minimum_tokens:
                for life in writes:
                    choices[tokens, life, turn.at_ms] = fresh * writes[life]
            for state, paid in choices.items():
                whole = cost + held * read + paid
                after[state] = min(after.get(state, whole), whole)
        states = after
    answers = sum(turn.output_tokens for turn in turns) * (rates.output or 0)
    return (min(states.values()) + answers) // 1_000
