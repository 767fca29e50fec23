"""An order, as the levers of its route left the call: only what they changed is written anew.

The record keeps the call as it was asked, since that is what a replay begins with, and beside it
what each lever did. A change that the provider's dialect has no place for is left out, and said.
"""

from __future__ import annotations

from msgspec.structs import replace

from bursar.dialects.patching import limited, with_effort
from bursar.dialects.rewriting import rewritten
from bursar.gateway.order import Order
from bursar.levers.ports import PASS
from bursar.model.call import Call
from bursar.model.entry import Decision
from bursar.model.errors import BadInput, Refused

WRITING = "writing"
"""Stands behind what a lever wished and nobody could write."""


def seen_by_levers(order: Order) -> Call:
    """The call as levers see it: with the model that is really asked."""
    return replace(order.call, model=order.plan.model or order.call.model)


def changed(order: Order, before: Call, after: Call, told: tuple[Decision, ...]) -> Order:
    """The order for `after`, which was `before`. `told`: what the levers said on the way."""
    if after is before:
        return replace(order, decisions=told)
    body, asking, notes = order.body, order.asking, list(told)
    dialect = order.plan.dialect
    most = after.limits.max_tokens
    if most is not None and most != before.limits.max_tokens:
        body = limited(body, dialect, most, before.limits.max_tokens)
        asking = replace(asking, limits=replace(asking.limits, max_tokens=most))
    effort = after.limits.effort
    if effort is not None and effort != before.limits.effort:
        written = with_effort(body, dialect, effort)
        if written is None:
            notes.append(_left_out(f"{dialect} has no place for an effort"))
        body = written or body
    if after.blocks is not before.blocks:
        body = _prompt(order, body, before, after, notes)
    return replace(order, body=body, asking=asking, decisions=tuple(notes))


def _prompt(order: Order, body: bytes, before: Call, after: Call, notes: list[Decision]) -> bytes:
    if order.back is not None:
        notes.append(_left_out("the call goes over in another dialect; its prompt stays"))
        return body
    try:
        return rewritten(body, order.plan.dialect, before.blocks or (), after.blocks or ())
    except BadInput as bad:
        notes.append(_left_out(f"the prompt stays: {bad.message}"))
        return body


def not_routed(call: Call, refused: Refused) -> Decision:
    """A lever chose a model that this key, or this gateway, cannot ask: it goes as it was asked."""
    return _left_out(f"the model {call.model} cannot be asked here: {refused.message}")


def _left_out(why: str) -> Decision:
    return Decision(lever=WRITING, verdict=PASS, why=why)
