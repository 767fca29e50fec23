"""Requests that cost nothing: model lists, token counts. Passed on with our key, not recorded."""

from __future__ import annotations

from bursar.dialects.patching import model_of, with_fields
from bursar.dialects.refusals import refusal_body
from bursar.gateway.endpoints import Entrance, path_at
from bursar.gateway.forward import answer_headers, head_of
from bursar.gateway.http.messages import Asked
from bursar.gateway.http.upstream import UpstreamError
from bursar.gateway.kit import Kit
from bursar.gateway.settings import Holder
from bursar.model.call import Tags
from bursar.model.errors import Refused

MOST_BYTES = 8 * 1024 * 1024
TIMEOUT = "timeout"


async def pass_through(kit: Kit, asked: Asked, entrance: Entrance, holder: Holder) -> None:
    """Ask the provider of this dialect and hand on its answer. Raises Refused."""
    dialect = entrance.endpoint.dialect
    model = entrance.model or (model_of(asked.body) if asked.body else None)
    plan = kit.desk.plan(holder, dialect, model, Tags(), asked.target, asked.headers)
    if plan.dialect != dialect:
        raise Refused(
            400,
            "dialect_not_spoken",
            f"the provider {plan.provider.name} does not count tokens of {dialect}",
            mend="ask the provider that the model belongs to",
        )
    asking = asked.body
    if entrance.model is None and model not in (None, plan.model):
        asking = with_fields(asking, {("model",): plan.model})
    path = path_at(dialect, entrance.endpoint, plan.model, stream=False)
    way = kit.ways[plan.provider.name]
    head = await head_of(way, asked.method, path + _query(asked.target), asked.headers, asking)
    try:
        incoming = await kit.pool.send(way.origin, head, asking, plan.waits)
        try:
            body = await incoming.body(MOST_BYTES)
        finally:
            incoming.close()
    except UpstreamError as bad:
        status = 504 if bad.kind == TIMEOUT else 502
        words = f"the provider {plan.provider.name} did not answer: {bad.kind}"
        asked.reply(status, *refusal_body(dialect, status, f"upstream_{bad.kind}", words))
        return
    asked.reply(incoming.status, answer_headers(incoming.headers, None), body)


def _query(target: bytes) -> str:
    _, mark, query = target.partition(b"?")
    return (mark + query).decode("latin-1")
