"""What one turn of a transcript was billed as: the last state of its usage, and its price class."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from bursar.dialects.lens import price_class_of, read_response, read_usage
from bursar.intake.claude_lines import DIALECT, provider_of
from bursar.intake.claude_session import Turn
from bursar.intake.lines import as_list, as_map
from bursar.model.entry import Attempt
from bursar.model.errors import BadInput, BadUsage

OWN = "message"
"""The type of a pass that the top-level counts hold."""


def attempt_of(turn: Turn) -> Attempt:
    """The paid request of a turn. Counts that cannot be true leave `usage` None and a reason."""
    attempt = Attempt(
        provider=provider_of(turn.model, turn.message_id),
        model=turn.model,
        recorded_cost_nano=turn.cost_nano,
        is_retry=turn.after_failure,
        retry_cause="provider" if turn.after_failure else None,
        provider_request_id=turn.request_id,
    )
    if not turn.usage:
        return attempt
    try:
        return _counted(attempt, turn.usage)
    except BadInput as bad:
        return msgspec.structs.replace(attempt, unpriced_reason=bad.message)


def _counted(attempt: Attempt, body: dict[str, Any]) -> Attempt:
    price_class = _price_class(body)
    if _in_several_passes(body):
        response = {"type": "message", "model": attempt.model, "usage": body}
        reading = read_response(response, DIALECT, model=attempt.model)
        usage = reading.usage
        parts = tuple(
            msgspec.structs.replace(part, provider=attempt.provider, price_class=price_class)
            for part in reading.iterations
        )
    else:
        usage, parts = read_usage(body, DIALECT)[0], ()
    if usage is None or not (usage.prompt or usage.answer or usage.other):
        raise BadUsage("every token count of an answered call is 0")
    return msgspec.structs.replace(attempt, usage=usage, parts=parts, price_class=price_class)


def _in_several_passes(body: dict[str, Any]) -> bool:
    """Compaction, an advisor or a fallback took part: such passes are billed one by one."""
    return any(as_map(one).get("type", OWN) != OWN for one in as_list(body.get("iterations")))


def _price_class(body: dict[str, Any]) -> str:
    tier, speed = body.get("service_tier"), body.get("speed")
    plain = isinstance(tier, str | None) and isinstance(speed, str | None)
    return _known_class(tier, speed) if plain else price_class_of({"usage": body}, DIALECT)


@lru_cache(maxsize=64)
def _known_class(tier: str | None, speed: str | None) -> str:
    return price_class_of({"usage": {"service_tier": tier, "speed": speed}}, DIALECT)
