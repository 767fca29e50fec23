"""Everything that is decided about a call before it is sent: who, what, where to, in which bytes.

`order_of` raises Refused or BadInput, and nothing has then been sent, recorded or paid. The body
goes on as it was received, unless the model has another name at the provider, its answer is to be
bounded, the usage of a stream must be asked for, or the provider speaks another dialect.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from bursar.dialects.patching import limited, with_fields
from bursar.dialects.quick import Asking, ask_for_usage
from bursar.dialects.translate.crossing import Back, cross
from bursar.gateway.endpoints import Entrance, path_at
from bursar.gateway.http.messages import Asked
from bursar.gateway.kit import Kit
from bursar.gateway.order import Order
from bursar.gateway.purse.recorded import recorded
from bursar.gateway.settings import Holder, Plan
from bursar.gateway.tracing import HEADER, Trace, continued, trace_of
from bursar.ledger.journal.ids import key_of
from bursar.ledger.journal.spans import FLAGS_TAG, PARENT_TAG, TRACE_TAG
from bursar.model.call import Call, Tags
from bursar.model.errors import Refused
from bursar.model.usage import Usage

EPOCH = datetime(1970, 1, 1)
HIDING_DIALECTS = frozenset({"openai_chat"})
"""Dialects whose streams tell their usage only when asked."""
NS_PER_US, NS_PER_MS = 1_000, 1_000_000
TOO_LARGE = 413
DENY = "deny"


class Routed(NamedTuple):
    """A lever sends an order elsewhere."""

    order: Order
    model: str


def order_of(
    kit: Kit, asked: Asked, entrance: Entrance, holder: Holder, routed: Routed | None = None
) -> Order:
    """Decide. `routed`: the call was decided before, and now goes to another model, by the rules of
    the same route. Raises Refused or BadInput."""
    spoken = entrance.endpoint.dialect
    asking = kit.reader.asking(spoken, asked.body, holder.salt)
    model = entrance.model or asking.model
    tagged = kit.desk.tags(holder, asked.headers, asking.metadata)
    wanted = model if routed is None else routed.model
    plan = kit.desk.plan(holder, spoken, wanted, tagged.tags, asked.target, asked.headers)
    if routed is not None:
        plan = replace(plan, route=routed.order.plan.route)
    _check(kit, asked, asking, plan)
    stream = _streams(asking, entrance)
    call_id = kit.ids.next(asked.at_ns // NS_PER_MS) if routed is None else routed.order.call_id
    written = _written(asked, asking, entrance, plan, call_id)
    if tagged.quarantined and routed is None:
        kit.tally.add("quarantined", (plan.route.name,))
    trace = trace_of(asked.header(HEADER))
    billed = kit.book.provider_id(plan.provider.prices)
    tags = recorded(tagged.tags, plan, model, billed, kit.desk.caps.scopes)
    return Order(
        call=Call(
            key=key_of(call_id),
            at=EPOCH + timedelta(microseconds=asked.at_ns // NS_PER_US),
            dialect=spoken,
            provider=plan.provider.prices,
            model=model,
            blocks=asking.blocks,
            tags=_traced(tags, trace),
            limits=asking.limits,
            stream=stream,
            schema_digest=asking.schema_digest,
        ),
        asking=asking,
        plan=plan,
        way=kit.ways[plan.provider.name],
        holder=holder,
        path=path_at(plan.dialect, entrance.endpoint, plan.model, stream=stream),
        body=written.body,
        hide_usage=written.hide_usage,
        back=written.back,
        trace=None if trace is None else continued(trace, call_id),
        call_id=call_id,
        changes=written.changes,
    )


class Written(NamedTuple):
    """The body as the provider gets it."""

    body: bytes
    back: Back | None = None
    hide_usage: bool = False
    changes: tuple[str, ...] = ()


def _written(asked: Asked, asking: Asking, entrance: Entrance, plan: Plan, call_id: int) -> Written:
    """The body as it was received, or with what must be otherwise."""
    spoken, stream = entrance.endpoint.dialect, _streams(asking, entrance)
    body, back, changes = asked.body, None, ()
    if plan.dialect != spoken:
        crossed = cross(body, spoken, plan.dialect, plan.model or "", stream=stream)
        body = crossed.body
        changes = (f"{spoken} went over as {plan.dialect}", *crossed.notes)
        back = Back(
            model=plan.model or "",
            answer_id=f"bursar_{call_id}",
            at_s=asked.at_ns // (NS_PER_MS * 1_000),
            wants_usage=crossed.wants_usage,
        )
    elif plan.model != (entrance.model or asking.model) and entrance.model is None:
        body = with_fields(body, {("model",): plan.model})
    most = _most_output(plan, asking)
    if most is not None:
        body = limited(body, plan.dialect, most, asking.limits.max_tokens)
    hide = False
    if stream and plan.dialect in HIDING_DIALECTS and not (asking.wants_usage and back is None):
        body, hide = ask_for_usage(body), back is None
    return Written(body, back, hide, changes)


def _streams(asking: Asking, entrance: Entrance) -> bool:
    told = entrance.endpoint.stream
    return asking.stream if told is None else told


def _traced(tags: Tags, trace: Trace | None) -> Tags:
    if trace is None:
        return tags
    other = {**tags.other, TRACE_TAG: trace.trace_id, PARENT_TAG: trace.parent_id}
    if not trace.is_recorded:
        other[FLAGS_TAG] = trace.flags
    return replace(tags, other=other)


def check_price(kit: Kit, plan: Plan) -> None:
    """The route's policy for a model without a price. Nothing is ever booked at zero for it."""
    usage = Usage(input=1, output=1)
    if kit.book.cost_nano(plan.provider.prices, plan.model, usage, None)[0] is None:
        raise Refused(
            400,
            "unpriced_model",
            f"no price is known for the model {plan.model!r}, and this route denies such calls",
            mend="add its price (docs/howto/negotiated-prices.md), or ask for another model",
        )


def _most_output(plan: Plan, asking: Asking) -> int | None:
    """The bound that the route sets on the answer."""
    route = plan.route
    if asking.limits.max_tokens is not None or route.default_output_tokens is None:
        return route.max_output_tokens
    if route.max_output_tokens is None:
        return route.default_output_tokens
    return min(route.default_output_tokens, route.max_output_tokens)


def _check(kit: Kit, asked: Asked, asking: Asking, plan: Plan) -> None:
    """What the route says of prices and sizes."""
    route = plan.route
    if route.unpriced == DENY:
        check_price(kit, plan)
    most = route.max_prompt_bytes
    if most is not None and len(asked.body) > most:
        raise Refused(
            TOO_LARGE,
            "prompt_too_large",
            f"the body has {len(asked.body)} bytes; the route {route.name} takes {most}",
            mend="send less, or raise max_prompt_bytes in bursar.yaml",
        )
    if route.max_prompt_tokens is None:
        return
    tokens = sum([block.tokens or 0 for block in asking.blocks])
    if tokens > route.max_prompt_tokens:
        raise Refused(
            TOO_LARGE,
            "prompt_too_large",
            f"the prompt has about {tokens} tokens;"
            f" the route {route.name} takes {route.max_prompt_tokens}",
            mend="send less, or raise max_prompt_tokens in bursar.yaml",
        )
