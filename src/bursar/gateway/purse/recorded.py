"""What caps look at and the ledger has no column for, kept among a call's tags.

The names begin with `@`, which no tag of a client can. Written only where a column does not say the
same, so that most calls carry none of it, and a cap that is added later still knows what was spent.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from bursar.gateway.settings import Plan
from bursar.gateway.settings.checking import DEFAULT_ROUTE
from bursar.ledger.counting import MODEL, PROVIDER, ROUTE, SESSION
from bursar.ledger.schema import INFERRED
from bursar.model.call import Tags

LOOSE = frozenset({"step_index", "is_retry", "retry_cause", "inference_type"})
"""Tags that the ledger does not keep, or not as they were said: written where a cap looks."""


def recorded(tags: Tags, plan: Plan, asked: str | None, billed: str, scopes: Sequence[str]) -> Tags:
    """The tags with all that must be known again. `asked`: the model that the client named;
    `billed`: the provider as the ledger names it; `scopes`: those of all caps."""
    more: dict[str, str] = {}
    if plan.route.name != DEFAULT_ROUTE:
        more[ROUTE] = plan.route.name
    if plan.provider.name != billed:
        more[PROVIDER] = plan.provider.name
    if plan.model is not None and plan.model != asked:
        more[MODEL] = plan.model
    if tags.session is not None and tags.session.startswith(INFERRED):
        more["@" + SESSION] = tags.session
    for scope in scopes:
        if scope in LOOSE and (value := text_of(getattr(tags, scope))) is not None:
            more["@" + scope] = value
    return replace(tags, other={**tags.other, **more}) if more else tags


def text_of(value: object) -> str | None:
    """A scope's value as accounts are named by it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None or value == "" else str(value)
