"""One Anthropic answer in several paid passes: compaction, an advisor, a fallback model.

`usage.iterations` lists the passes, each with its own counts and sometimes with another model. The
top-level counts leave compaction out, so they are short; the passes are what is billed. They become
parts of the attempt, priced one by one, and the attempt's usage is their sum.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bursar.dialects.usages import Counted, counted
from bursar.dialects.wire import as_map, at, maps, text_of
from bursar.model.entry import Attempt
from bursar.model.usage import Usage

ANTHROPIC = "anthropic_messages"
OWN_PASS = "message"
"""The type of a pass that the top-level counts hold."""


def with_iterations(
    body: dict[str, Any],
    found: Counted | None,
    model: str | None,
    provider: str | None,
    notes: list[str],
) -> tuple[Usage | None, tuple[Attempt, ...]]:
    """The usage of all passes, and the passes as parts; no parts where there is only one pass."""
    if found is None:
        return None, ()
    passes: list[tuple[dict[str, Any], Usage]] = []
    for one in maps(at(body, ("usage", "iterations"))):
        if any(key in one for key in ("input_tokens", "output_tokens")):
            read = counted(one, ANTHROPIC)
            passes.append((as_map(one), read.usage))
            notes += read.notes
    extra = [one for one in passes if one[0].get("type") != OWN_PASS]
    if not extra:
        return found.usage, ()
    own = [one for one in passes if one[0].get("type") == OWN_PASS]
    if _size([usage for _, usage in passes]) == _size([found.usage]):
        notes.append("top-level usage already holds every iteration")
    elif own and _size([usage for _, usage in own]) != _size([found.usage]):
        notes.append("iterations of type message do not add up to the top-level usage")
        own = [({"type": OWN_PASS}, found.usage)]
    elif len(own) <= 1:
        own = [({"type": OWN_PASS}, found.usage)]
    elif found.usage.other:
        fields, usage = own[0]
        own[0] = (fields, msgspec.structs.replace(usage, other=found.usage.other))
    parts = tuple(
        Attempt(n=place, provider=provider, model=text_of(one.get("model")) or model, usage=usage)
        for place, (one, usage) in enumerate([*own, *extra])
    )
    total = sum((part.usage or Usage() for part in parts), Usage())
    return total, parts


def _size(usages: list[Usage]) -> tuple[int, int]:
    return sum(usage.prompt for usage in usages), sum(usage.answer for usage in usages)
