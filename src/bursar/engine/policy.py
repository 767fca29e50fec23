"""Which levers are on, and how: one struct, the same for the gateway's routes and for a replay.

`levers_of` makes the levers of a policy in their one order, each with a memory of its own; a policy
that says nothing has none, and a call then goes the shortest way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from bursar.levers import fit, lean_context, model_route, no_progress, prompt_cache
from bursar.levers.fit import Effort, MaxTokens
from bursar.levers.lean_context import LeanContext
from bursar.levers.model_route import ModelRoute
from bursar.levers.no_progress import NoProgress
from bursar.levers.order import ORDER
from bursar.levers.ports import Lever
from bursar.levers.prompt_cache import PromptCache
from bursar.levers.response_cache import ResponseCache
from bursar.price.billing_rules import Rules
from bursar.price.book import Book


class Levers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change or refuse a call to make it cheaper. Each is off unless it stands here;
    `{}` turns it on as it is."""

    no_progress: NoProgress | None = None
    """Stop agents that go round in circles."""
    response_cache: ResponseCache | None = None
    """Answer the same call again from memory."""
    lean_context: LeanContext | None = None
    """Shorten long conversations where that pays."""
    max_tokens: MaxTokens | None = None
    """Fit the bound of answers to how long they get."""
    effort: Effort | None = None
    """Bound reasoning effort."""
    model_route: ModelRoute | None = None
    """Send easy calls to a cheaper model, by rules."""
    prompt_cache: PromptCache | None = None
    """Mark prompts for the provider's cache."""


class Market(msgspec.Struct, frozen=True):
    """What prompts cost, and how they are billed."""

    book: Book
    rules: Rules


MAKERS: Mapping[str, Callable[[Any, Market, bool], Lever]] = {
    no_progress.NAME: lambda wish, _market, _marks: no_progress.no_progress(wish),
    lean_context.NAME: lambda wish, market, marks: lean_context.lean_context(
        wish, market.book, market.rules, marks=marks
    ),
    fit.OUTPUT: lambda wish, _market, _marks: fit.max_tokens(wish),
    fit.EFFORT: lambda wish, _market, _marks: fit.effort(wish),
    model_route.NAME: lambda wish, _market, _marks: model_route.model_route(wish),
    prompt_cache.NAME: lambda wish, market, _marks: prompt_cache.prompt_cache(
        wish, market.book, market.rules
    ),
}
"""Name of a lever and of its settings -> what makes it."""


def wishes_of(levers: Levers) -> list[tuple[str, Any]]:
    """The levers that are on, with their settings, outermost first."""
    found = [(name, getattr(levers, name)) for name in ORDER]
    return [(name, wish) for name, wish in found if wish is not None]


def lever_of(name: str, wish: Any, market: Market, *, marks: bool = False) -> Lever:
    """One lever, new, with nothing remembered. `marks`: prompts are marked by `prompt_cache`."""
    return MAKERS[name](wish, market, marks)
