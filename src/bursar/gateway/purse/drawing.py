"""What a call draws on: whose it is, and which of its claims can refuse money or tokens."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bursar.gateway.order import Order
from bursar.state.claims import Drawn, Mark, Who
from bursar.state.holds import Hold
from bursar.state.terms import Claim

SPENT = frozenset({"usd", "tokens"})


def who_of(order: Order) -> Who:
    plan = order.plan
    return Who(
        tags=order.call.tags,
        key=order.holder.key_id,
        route=plan.route.name,
        model=plan.model,
        provider=plan.provider.name,
    )


def spending(drawn: Drawn) -> Iterator[tuple[Claim, Mark]]:
    """Claims on money and tokens that can refuse."""
    for claim, mark in zip(drawn.claims, drawn.marks, strict=True):
        if claim.limit is not None and mark.limit.unit in SPENT:
            yield claim, mark


def spared(drawn: Drawn, hold: Hold) -> Drawn:
    """The same, leaving room for the calls under way to be longer than the mean."""
    if not hold.margin_nano and not hold.margin_tokens:
        return drawn
    spare = {"usd": hold.margin_nano, "tokens": hold.margin_tokens}
    claims = [
        msgspec.structs.replace(claim, spare=spare.get(mark.limit.unit, 0))
        for claim, mark in zip(drawn.claims, drawn.marks, strict=True)
    ]
    return msgspec.structs.replace(drawn, claims=tuple(claims))
