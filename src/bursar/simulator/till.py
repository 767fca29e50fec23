"""The till: counts a prompt, bills it by the provider's cache rules, and prices what was used.

One cache per account and model, as providers keep them. The rules are `price.billing`, the rates
the price book's; nothing is computed here that the meter could not compute as well.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from bursar.dialects.tokens import FAMILIES
from bursar.dialects.wire import as_map, first, paths, text_of
from bursar.model.block import Block, digest_of
from bursar.model.errors import Unpriced
from bursar.model.usage import Usage
from bursar.price.billing import Billing, Cache, Rule, Way, Wish, bill, pieces_of
from bursar.price.billing_rules import STANDARD, Rules
from bursar.price.book import Book
from bursar.simulator.asking import Asked
from bursar.simulator.families import family_of
from bursar.simulator.invoice import Line
from bursar.simulator.saying import Counted

NO_CACHE = Rule(way=Way.NONE, source="no rule is known")
LARGEST_CACHES = 10_000
"""Accounts and models; the one used longest ago goes first."""
EPOCH = datetime(1970, 1, 1)
LIVES = paths("prompt_cache_options.ttl", "prompt_cache_retention")
MODE = ("prompt_cache_options", "mode")


class Bill(msgspec.Struct, kw_only=True):
    """What one answer is charged."""

    usage: Usage
    price_class: str
    cost_nano: int | None
    unpriced_reason: str | None
    price_version: str | None


class Till:
    """Counts and charges. Holds the caches, and no clock."""

    def __init__(self, book: Book, rules: Rules) -> None:
        self.book = book
        self.rules = rules
        self._caches: OrderedDict[int, Cache] = OrderedDict()
        self._models: dict[tuple[str, str], tuple[Rule, str]] = {}
        self._classes: dict[tuple[str, str, str], str] = {}

    def clear(self) -> None:
        """Empty all caches."""
        self._caches.clear()

    def knows(self, provider: str, model: str) -> bool:
        """Whether the provider has this model, by its price list."""
        try:
            self.book.rates(provider, model)
        except Unpriced:
            return False
        return True

    def count(self, provider: str, model: str, blocks: tuple[Block, ...]) -> int:
        """Tokens of a prompt for a model."""
        share = FAMILIES[self.family(provider, model)]
        return sum(piece.tokens for piece in pieces_of(blocks, 0, share))

    def family(self, provider: str, model: str) -> str:
        """The tokenizer that the model is counted with."""
        return self._model(provider, model)[1]

    def prompt(
        self, provider: str, account: str, asked: Asked, at_ms: int
    ) -> tuple[Billing, Cache]:
        """How the prompt is billed now, and the cache that takes it. Raises BadInput for marks."""
        rule, family = self._model(provider, asked.model)
        root = digest_of(f"{provider}\0{account}\0{asked.model}")
        cache = self._caches.get(root)
        if cache is None:
            cache = self._caches[root] = Cache()
            if len(self._caches) > LARGEST_CACHES:
                self._caches.popitem(last=False)
        else:
            self._caches.move_to_end(root)
        pieces = pieces_of(asked.prompt.blocks, root, FAMILIES[family])
        return bill(cache, pieces, rule, at_ms, _wish(asked)), cache

    def price_class(self, provider: str, asked: Asked, at_ms: int, tier: str | None) -> str:
        """The class that the request gets: the plain one where the model has no price for it."""
        if tier is None:
            return STANDARD
        key = (provider, asked.model, tier)
        found = self._classes.get(key)
        if found is None:
            found = self.rules.price_class(provider, tier)
            try:
                self.book.rates(provider, asked.model, _moment(at_ms), found)
            except Unpriced:
                found = STANDARD
            if len(self._classes) < LARGEST_CACHES:
                self._classes[key] = found
        return found

    def charge(
        self, provider: str, model: str, usage: Usage, at_ms: int, price_class: str = STANDARD
    ) -> Bill:
        """The usage, priced."""
        cost_nano, rates, reason = self.book.cost_nano(
            provider, model, usage, _moment(at_ms), price_class
        )
        return Bill(
            usage=usage,
            price_class=price_class,
            cost_nano=cost_nano,
            unpriced_reason=reason,
            price_version=rates.version if rates is not None else None,
        )

    def _model(self, provider: str, model: str) -> tuple[Rule, str]:
        found = self._models.get((provider, model))
        if found is None:
            try:
                name = self.book.rates(provider, model).model
            except Unpriced:
                name = model
            rule = self.rules.rule(provider, model) or self.rules.rule(provider, name) or NO_CACHE
            found = (rule, family_of(name))
            if len(self._models) < LARGEST_CACHES:
                self._models[provider, model] = found
        return found


def used(prompt: Usage, answer: Counted, many: int = 1, *, reasoning_apart: bool = True) -> Usage:
    """The whole usage of an answer. Not `reasoning_apart`: the wire counts it as output."""
    output, reasoning = answer.output_tokens * many, answer.reasoning_tokens * many
    if not reasoning_apart:
        output, reasoning = output + reasoning, 0
    return msgspec.structs.replace(prompt, output=output, reasoning=reasoning)


def generated(usage: Usage, sent: int, events: int) -> Usage:
    """The usage of an answer that was given up after some of its events."""
    share = min(sent, events), max(events, 1)
    return msgspec.structs.replace(
        usage,
        output=usage.output * share[0] // share[1],
        reasoning=usage.reasoning * share[0] // share[1],
    )


def charged(line: Line, bill: Bill) -> None:
    """Put a bill on a line of the invoice."""
    line.billed = True
    line.usage = bill.usage
    line.cost_nano = bill.cost_nano
    line.unpriced_reason = bill.unpriced_reason
    line.price_version = bill.price_version


def _wish(asked: Asked) -> Wish:
    mode = as_map(asked.body.get(MODE[0])).get(MODE[1])
    return Wish(own_marks_only=mode == "explicit", life=text_of(first(asked.body, LIVES)))


def _moment(at_ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=at_ms)


Clock = Callable[[], float]
"""Seconds of Unix time."""
