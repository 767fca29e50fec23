"""A value that obeys a JSON schema, made under a seed: arguments of tools, structured answers."""

from __future__ import annotations

from random import Random
from typing import Any, cast

from bursar.dialects.wire import as_list, as_map

DEEPEST = 8
"""At this depth what is optional is left out; below it, everything is null."""
MOST_REFERENCES = 3
"""References followed one inside of the other; a schema may name itself."""


def made_value(schema: object, rng: Random, words: tuple[str, ...], depth: int = 0) -> Any:
    """One value. Keywords that are not known are passed over."""
    fields = as_map(schema)
    if "const" in fields:
        return fields["const"]
    if as_list(fields.get("enum")):
        return rng.choice(as_list(fields["enum"]))
    for word in ("anyOf", "oneOf", "allOf"):
        if as_list(fields.get(word)):
            return made_value(as_list(fields[word])[0], rng, words, depth)
    if depth > DEEPEST:
        return None
    kind = fields.get("type")
    if isinstance(kind, list):
        kind = next((one for one in as_list(fields["type"]) if one != "null"), "null")
    maker = _MAKERS.get(str(kind))
    if maker is None:
        maker = _an_object if "properties" in fields else _a_text
    return maker(fields, rng, words, depth)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its local references put in, as deep as `MOST_REFERENCES` lead."""
    shared = as_map(schema.get("$defs")) or as_map(schema.get("definitions"))
    return as_map(_with_shared(schema, shared, 0))


def _with_shared(node: object, shared: dict[str, Any], followed: int) -> Any:
    if isinstance(node, dict):
        fields = as_map(cast("object", node))
        reference = fields.get("$ref")
        if isinstance(reference, str):
            if followed >= MOST_REFERENCES:
                return {"type": "null"}
            return _with_shared(shared.get(reference.rpartition("/")[2], {}), shared, followed + 1)
        return {
            key: _with_shared(value, shared, followed)
            for key, value in fields.items()
            if key not in ("$defs", "definitions")
        }
    if isinstance(node, list):
        return [_with_shared(one, shared, followed) for one in as_list(cast("object", node))]
    return node


def _an_object(fields: dict[str, Any], rng: Random, words: tuple[str, ...], depth: int) -> Any:
    wanted = as_map(fields.get("properties"))
    if depth >= DEEPEST:
        needed = as_list(fields.get("required"))
        wanted = {key: value for key, value in wanted.items() if key in needed}
    return {key: made_value(value, rng, words, depth + 1) for key, value in wanted.items()}


def _an_array(fields: dict[str, Any], rng: Random, words: tuple[str, ...], depth: int) -> Any:
    least = fields.get("minItems")
    count = least if type(least) is int else 1
    return [made_value(fields.get("items"), rng, words, depth + 1) for _ in range(min(count, 8))]


def _a_number(fields: dict[str, Any], rng: Random, words: tuple[str, ...], depth: int) -> Any:
    least, most = fields.get("minimum", 1), fields.get("maximum", 1_000)
    if type(least) is int and type(most) is int and least <= most:
        return rng.randint(least, most)
    return least


def _a_truth(fields: dict[str, Any], rng: Random, words: tuple[str, ...], depth: int) -> Any:
    return rng.random() < 0.5


def _a_text(fields: dict[str, Any], rng: Random, words: tuple[str, ...], depth: int) -> Any:
    return f"{rng.choice(words)}-{rng.randint(100, 999)}"


def _nothing(fields: dict[str, Any], rng: Random, words: tuple[str, ...], depth: int) -> Any:
    return None


_MAKERS = {
    "object": _an_object,
    "array": _an_array,
    "integer": _a_number,
    "number": _a_number,
    "boolean": _a_truth,
    "string": _a_text,
    "null": _nothing,
}
