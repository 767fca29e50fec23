"""What a prompt costs while the provider still holds the beginning of it.

The rules of `price/billing` without their clock: the cache is taken as warm, which is the case in
which trimming gains least and costs most. So what is found to pay here pays at least as much in a
session that pauses.
"""

from __future__ import annotations

from typing import NamedTuple

from bursar.model.block import Mark
from bursar.price.billing import Rule, Way
from bursar.price.rates import Rates

ROOM = 1.25
"""A prompt is not cut to less than the cache minimum times this: sizes are estimates."""


class Tariff(NamedTuple):
    """The rules and rates of one model. Costs are in picodollars."""

    rule: Rule
    rates: Rates
    mark: Mark
    """The longest-lived of the prompt's marks; where only what is marked is cached, NONE is no
    cache at all."""

    @property
    def caches(self) -> bool:
        way = self.rule.way
        return way is not Way.NONE and (way is not Way.MARKS or self.mark is not Mark.NONE)

    @property
    def least_tokens(self) -> int:
        """A prompt below this might be dearer than a longer one."""
        return round(self.rule.minimum_tokens * ROOM) if self.caches else 0

    def cost_pico(self, tokens: int, held: int = 0) -> int:
        """Of a prompt of which the first `held` tokens are in the cache."""
        rates = self.rates.for_prompt(tokens) if self.rates.tiers else self.rates
        plain = rates.input or 0
        rule = self.rule
        if not self.caches or tokens < rule.minimum_tokens:
            return tokens * plain
        if rule.largest_tokens is not None:
            held = min(held, rule.largest_tokens)
        read = held - held % rule.step_tokens if held >= rule.minimum_tokens else 0
        read_rate = plain if rates.cache_read is None else rates.cache_read
        write = rates.cache_write_1h if self.mark is Mark.H1 else rates.cache_write_5m
        if rule.way is Way.STEPS or write is None:
            write = plain
        return read * read_rate + (tokens - read) * write

    def held(self, same: int, head: int, opening: int, blocks: int) -> tuple[int, int]:
        """Of `same` tokens that begin this prompt and the last one: how many are found in the
        cache, as is likely and at the least.

        Where only ends of prompts are held, that is the head (the end of the first prompt), seen
        from at most so many blocks behind it, or the marked opening.
        """
        if self.rule.way is Way.STEPS:
            return same, same
        if same < head:
            return 0, 0
        is_seen = blocks < self.rule.lookback_blocks
        sure = opening if self.rule.way is Way.MARKS else 0
        return (head if is_seen else sure), sure
