"""A provider's usage object -> disjoint counts.

`shapes` says where each count stands and what contains what by default. Where the object has a
total, the total is the judge: of the ways in which caches and reasoning can lie inside or beside
the prompt and the answer, the first that adds up to the total is taken, the default first. Counts
that no reading can make true are refused (BadUsage); a total that fits nothing is only a note,
since the parts are what is billed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from bursar.dialects.shapes import REASONING_APART, SHAPES, SHAPES_OF, Modality, Shape
from bursar.dialects.wire import Paths, as_map, at, first, maps
from bursar.model.errors import BadUsage
from bursar.model.usage import Usage, count

SHORT, LONG = "5m", "1h"
FIELDS = frozenset((SHORT, LONG))
"""Lifetimes of cache writes with a field of their own in `Usage`. Any other is a unit
`cache_write_<lifetime>` of `Usage.other`, which costs what a price list says of it, and has no
price where none does."""
LIFE = re.compile(r"\d{1,4}[smhd]")
NAMELESS = "unknown"
"""A lifetime that is none."""
LIFE_PREFIX = "ephemeral_"
LONGEST_TEXT = 32
"""Letters of a count that is given as a text."""
SUSPECT = "usage_suspect"
"""How a note begins on counts that are read though something is odd about them."""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """A usage object, read."""

    usage: Usage
    dialect: str
    notes: tuple[str, ...] = ()


class _Counts(msgspec.Struct, kw_only=True):
    """The provider's numbers, before it is settled what contains what."""

    prompt: int
    answer: int
    read: int
    writes: dict[str, int]
    """Cache writes by lifetime; `5m` stands for the only or the usual lifetime as well."""
    reasoning: int
    more: int
    total: int | None

    @property
    def cached(self) -> int:
        return self.read + sum(self.writes.values())


def read_usage(
    usage: Mapping[str, Any],
    dialect: str | None = None,
    *,
    provider: str | None = None,
    model: str | None = None,
) -> tuple[Usage, str]:
    """Disjoint counts of a provider's bare usage object, and the dialect that it speaks.

    Recognised by its keys, or named by `dialect`. Raises BadUsage when it holds no count that is
    known, or counts that cannot be true. `model` only makes the error easier to place.
    """
    try:
        found = counted(usage, dialect, provider=provider)
    except BadUsage as bad:
        if model is None:
            raise
        raise BadUsage(f"{bad.message} (model {model})", mend=bad.mend) from bad
    return found.usage, found.dialect


def counted(
    usage: Mapping[str, Any], dialect: str | None = None, *, provider: str | None = None
) -> Counted:
    """As `read_usage`, with the notes of the reading."""
    body = as_map(usage)
    shape = _shape_of(body, dialect)
    if shape is None:
        keys = ", ".join(sorted(map(str, body))[:8]) or "no keys"
        raise BadUsage(
            f"usage object without any known token count ({keys})",
            mend="name its dialect, or give the provider's object unchanged",
        )
    named = _name_of(body, shape, dialect)
    notes: list[str] = []
    counts = _counts(body, shape, notes)
    apart = provider is not None and provider.lower() in REASONING_APART
    cache_inside, reasoning_inside = _nesting(counts, shape, apart, notes)
    return Counted(
        usage=_disjoint(body, shape, counts, (cache_inside, reasoning_inside), notes),
        dialect=named,
        notes=tuple(dict.fromkeys(notes)),
    )


def holds_counts(usage: object, dialect: str | None = None) -> bool:
    """Whether there is a count that is known (to the dialect, where one is named) and not null."""
    shapes = SHAPES if dialect is None else SHAPES_OF.get(dialect, ())
    body = as_map(usage)
    return any(_fits(body, shape) for shape in shapes)


def _shape_of(body: dict[str, Any], dialect: str | None) -> Shape | None:
    for shape in SHAPES_OF.get(dialect or "", ()):
        if _fits(body, shape):
            return shape
    for shape in SHAPES:
        if _fits(body, shape) and (not shape.also or _any_of(body, shape.also)):
            return shape
    return None


def _any_of(body: dict[str, Any], keys: tuple[str, ...]) -> bool:
    return any(body.get(key) is not None for key in keys)


def _fits(body: dict[str, Any], shape: Shape) -> bool:
    return _any_of(body, shape.signs) and not any(key in body for key in shape.without)


def _name_of(body: dict[str, Any], shape: Shape, dialect: str | None) -> str:
    if dialect is not None and shape in SHAPES_OF.get(dialect, ()):
        return dialect
    embeds = shape.dialect == "openai_chat" and "completion_tokens" not in body
    return "openai_embeddings" if embeds else shape.dialect


def _tally(body: dict[str, Any], places: Paths, notes: list[str]) -> int | None:
    for path in places:
        found = at(body, path)
        if found is not None:
            return number_of(found, ".".join(path), notes)
    return None


def number_of(value: object, name: str, notes: list[str]) -> int:
    """A count of a usage object. Digits in quotes are read, and noted as suspect.

    Some writers of JSON put every 64-bit number in quotes, so such a count is most likely the one
    that is billed, and closer to the bill than an estimate in its place. It is still not what a
    provider is known to send, so that somebody should look: the note is the one place that says so,
    for the quick reader as well, which leaves texts to this one. Raises BadUsage.
    """
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise BadUsage(f"{name} is a text of {len(value)} letters, not a token count")
        notes.append(f"{SUSPECT}: {name} is the text {value!r}")
    return count(value, name)


def _counts(body: dict[str, Any], shape: Shape, notes: list[str]) -> _Counts:
    return _Counts(
        prompt=_tally(body, shape.prompt, notes) or 0,
        answer=_tally(body, shape.answer, notes) or 0,
        read=_tally(body, shape.cache_read, notes) or 0,
        writes=_writes(body, shape, notes),
        reasoning=_tally(body, shape.reasoning, notes) or 0,
        more=sum(_tally(body, (path,), notes) or 0 for path in shape.more_prompt),
        total=_tally(body, shape.total, notes),
    )


def _writes(body: dict[str, Any], shape: Shape, notes: list[str]) -> dict[str, int]:
    """Cache writes by lifetime. What no lifetime is named for has the usual one."""
    lives: dict[str, int] = {}
    for life, number in _lives(body, shape, notes):
        lives[life] = lives.get(life, 0) + number
    if lives.keys() == {shape.only_life}:
        lives = {SHORT: sum(lives.values())}
    whole, split = _tally(body, shape.cache_write, notes), sum(lives.values())
    if not whole or whole == split:
        return lives
    if split:
        notes.append(f"cache writes by lifetime add up to {split}, not to {whole}")
    told: dict[str, int] = {}
    for life in (LONG, *sorted(lives.keys() - FIELDS)):
        told[life] = min(lives.get(life, 0), whole - sum(told.values()))
    told[SHORT] = whole - sum(told.values())
    return {life: number for life, number in told.items() if number}


def _lives(body: dict[str, Any], shape: Shape, notes: list[str]) -> Iterator[tuple[str, int]]:
    """(lifetime, count) of what is above 0, as the provider splits it."""
    found: list[tuple[object, object, str]] = [
        (SHORT, first(body, shape.write_5m), "cache_write_5m"),
        (LONG, first(body, shape.write_1h), "cache_write_1h"),
    ]
    for name, value in as_map(first(body, shape.write_lives)).items():
        if name.startswith(LIFE_PREFIX):
            found.append((name.removeprefix(LIFE_PREFIX).partition("_")[0], value, name))
    listed = maps(at(body, shape.write_list)) if shape.write_list else []
    found += [(one.get("ttl", SHORT), one.get("inputTokens"), "cacheDetails") for one in listed]
    for life, value, name in found:
        number = 0 if value is None else number_of(value, name, notes)
        if number:
            known = isinstance(life, str) and LIFE.fullmatch(life)
            yield (str(life) if known else NAMELESS), number


def _nesting(counts: _Counts, shape: Shape, apart: bool, notes: list[str]) -> tuple[bool, bool]:
    """Whether caches lie in the prompt count and reasoning in the answer count."""
    cached = counts.cached
    default = (shape.cache_inside, shape.reasoning_inside and not apart)
    possible = [
        way
        for way in _ways(*default)
        if not (way[0] and cached > counts.prompt + counts.more)
        and not (way[1] and counts.reasoning > counts.answer)
    ]
    fitting = [way for way in possible if _sum(counts, *way) == counts.total]
    if fitting:
        return fitting[0]
    if counts.total is not None:
        notes.append(f"total {counts.total} is not the sum of its parts ({_sum(counts, *default)})")
    if default not in possible:
        if default[0] and cached > counts.prompt + counts.more:
            raise BadUsage(
                f"{cached} cached tokens in a prompt of {counts.prompt + counts.more}",
                mend="check whether the prompt count leaves cached tokens out",
            )
        raise BadUsage(
            f"{counts.reasoning} reasoning tokens in an answer of {counts.answer}",
            mend="check whether the answer count leaves reasoning out",
        )
    return default


def _ways(cache_inside: bool, reasoning_inside: bool) -> Iterator[tuple[bool, bool]]:
    yield cache_inside, reasoning_inside
    yield cache_inside, not reasoning_inside
    yield not cache_inside, reasoning_inside
    yield not cache_inside, not reasoning_inside


def _sum(counts: _Counts, cache_inside: bool, reasoning_inside: bool) -> int:
    cached = 0 if cache_inside else counts.cached
    thought = 0 if reasoning_inside else counts.reasoning
    return counts.prompt + counts.more + counts.answer + cached + thought


def _disjoint(
    body: dict[str, Any],
    shape: Shape,
    counts: _Counts,
    inside: tuple[bool, bool],
    notes: list[str],
) -> Usage:
    cached = counts.cached
    left = {
        "prompt": counts.prompt + counts.more - (cached if inside[0] else 0),
        "answer": counts.answer - (counts.reasoning if inside[1] else 0),
        "cache_read": counts.read,
    }
    other = {f"cache_write_{life}": n for life, n in counts.writes.items() if life not in FIELDS}
    cached_parts = {
        unit: number
        for row in shape.modalities
        if row.whole == "cache_read"
        for unit, number in _modality(body, row, notes)
    }
    for unit, number, whole in _parts(body, shape, notes):
        if whole == "prompt" and inside[0]:
            number -= min(number, cached_parts.get(_cached_name(unit), 0))
        if whole and number > left[whole]:
            notes.append(f"{unit} {number} is more than the {left[whole]} left of its {whole}")
            number = left[whole]
        if whole:
            left[whole] -= number
        if number:
            other[unit] = other.get(unit, 0) + number
    return Usage(
        input=left["prompt"],
        cache_read=left["cache_read"],
        cache_write_5m=counts.writes.get(SHORT, 0),
        cache_write_1h=counts.writes.get(LONG, 0),
        output=left["answer"],
        reasoning=counts.reasoning,
        other=other,
    )


def _cached_name(unit: str) -> str:
    """`input_audio_tokens` -> `cache_audio_read_tokens`."""
    return f"cache_{unit.removeprefix('input_').removesuffix('_tokens')}_read_tokens"


def _parts(body: dict[str, Any], shape: Shape, notes: list[str]) -> Iterator[tuple[str, int, str]]:
    for part in shape.parts:
        number = _tally(body, part.places, notes)
        if number:
            yield part.unit, number, part.whole
    for row in shape.modalities:
        for unit, number in _modality(body, row, notes):
            yield unit, number, row.whole
    extra = as_map(body.get("other")) if shape.extra else {}
    for unit, value in extra.items():
        yield unit, number_of(value, unit, notes), ""


def _modality(body: dict[str, Any], row: Modality, notes: list[str]) -> Iterator[tuple[str, int]]:
    for entry in maps(at(body, row.path)):
        unit = row.units.get(str(entry.get("modality")))
        number = entry.get("tokenCount")
        if unit is not None and number is not None:
            yield unit, number_of(number, f"{row.path[-1]}.tokenCount", notes)


def filled(usage: dict[str, Any], dialect: str, measured: dict[str, Any]) -> dict[str, Any]:
    """The usage object, with a prompt or answer count that it lacks from Bedrock's metrics."""
    shape = _shape_of(usage, dialect)
    if shape is None:
        return measured
    missing = {
        places[0][0]: measured[name]
        for places, name in ((shape.prompt, "inputTokenCount"), (shape.answer, "outputTokenCount"))
        if len(places[0]) == 1 and first(usage, places) is None and name in measured
    }
    return usage | missing
