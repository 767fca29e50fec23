"""A world for levers: a provider that bills by the rules, and a clock that each call sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bursar.engine.chain import at_once, run
from bursar.levers.ports import Lever
from bursar.model.call import Call
from bursar.model.entry import Answer, Attempt, Decision
from bursar.model.usage import Usage
from bursar.price.billing import Cache, bill, pieces_of
from bursar.price.billing_rules import Rules, load_rules
from bursar.price.book import Book, load_book

BOOK: Book = load_book()
RULES: Rules = load_rules()


class Turn(NamedTuple):
    """One call of a session."""

    at_ms: int
    call: Call
    output_tokens: int = 0


class World:
    """Sends by answering nothing and billing everything. Holds one provider's cache."""

    def __init__(
        self, book: Book = BOOK, rules: Rules = RULES, *, is_forgetful: bool = False
    ) -> None:
        self.book, self.rules = book, rules
        self.is_forgetful = is_forgetful
        """Bills every write and reads nothing back, as a provider behind a blind balancer does."""
        self.cache = Cache()
        self.now_ms = 0
        self.attempts: list[Attempt] = []
        self.decisions: list[Decision] = []
        self.sent: list[Call] = []
        self.output_tokens = 0

    def note(self, decision: Decision) -> None:
        self.decisions.append(decision)

    async def send(self, call: Call) -> Answer:
        rule = self.rules.rule(call.provider or "", call.model or "")
        assert rule is not None
        pieces = pieces_of(call.blocks or (), hash((call.tags.tenant, call.model)))
        billing = bill(self.cache, pieces, rule, self.now_ms)
        if not self.is_forgetful:
            self.cache.take(billing)
        used = billing.usage + Usage(output=self.output_tokens)
        cost = self.book.cost_nano(call.provider, call.model, used)[0]
        self.attempts.append(
            Attempt(provider=call.provider, model=call.model, usage=used, cost_nano=cost)
        )
        self.sent.append(call)
        return Answer()

    def play(self, turns: Iterable[Turn], levers: Sequence[Lever] = ()) -> int:
        """Let the calls happen; their whole cost in nanodollars."""
        begun = len(self.attempts)
        for turn in turns:
            self.now_ms, self.output_tokens = turn.at_ms, turn.output_tokens
            at_once(run(levers, turn.call, self))
        return sum(one.cost_nano or 0 for one in self.attempts[begun:])
