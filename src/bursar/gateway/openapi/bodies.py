"""What the gateway asks of a request body, as a JSON schema: as much as it looks at, and no more.

Made from the tables by which bodies are judged, so that the two cannot part. What no schema can say
stands in the words: duplicate keys, torn characters, depth, and `5.0` where `5` is meant.
"""

from __future__ import annotations

from typing import Any

from bursar.dialects.kinds import ROLES
from bursar.dialects.quick.bounds import (
    ANSWERS,
    FORBIDDEN,
    NEEDED,
    NEVER_EMPTY,
    OBJECTS,
    PREWARMING,
    SWITCHES,
    Bounds,
)
from bursar.dialects.quick.checks import DEEPEST
from bursar.dialects.quick.reader import LISTS, SPOKEN
from bursar.dialects.requests import MAX_TOKENS, MODEL
from bursar.dialects.wire import Path
from bursar.gateway.endpoints import BEDROCK, LONGEST_MODEL_ID
from bursar.gateway.openapi.words import Json

TURN, SAID = "#/components/schemas/turn", "#/components/schemas/said"
IN_PATH = frozenset(endpoint.dialect for endpoint in BEDROCK.values())
"""Dialects whose model stands in the path; one in the body does not count."""


def body_schema(dialect: str, bounds: Bounds | None = None) -> Json:
    """The schema of a metered call's body."""
    most = bounds or Bounds()
    properties: dict[str, Any] = {}
    for path in MODEL:
        _put(properties, path, {"type": ["string", "null"]})
    if dialect not in IN_PATH:
        _put(properties, ("model",), _model())
    for name in sorted(SPOKEN):
        properties[name] = _turns(name, most)
    for path in MAX_TOKENS:
        least = 0 if path in PREWARMING.get(dialect, ()) else 1
        _put(properties, path, _whole(least, most.max_tokens))
    for path in ANSWERS:
        _put(properties, path, _whole(1, most.answers))
    for path in SWITCHES:
        _put(properties, path, {"type": ["boolean", "null"]})
    for name in sorted(FORBIDDEN):
        properties[name] = False
    made: Json = {
        "type": "object",
        "description": f"Any JSON object of at most {DEEPEST} levels, with each key once. Fields"
        " that are not here go on as they are. Whole numbers have no fraction, not even `.0`.",
        "minProperties": 1,
        "properties": properties,
    }
    needed = NEEDED.get(dialect)
    if needed:
        made["anyOf"] = [{"required": [name]} for name in sorted(needed)]
    return made


def _put(properties: dict[str, Any], path: Path, schema: Json) -> None:
    """Place a schema at a path. An object on the way there may be anything else as well."""
    for step in path[:-1]:
        properties = properties.setdefault(step, {"properties": {}})["properties"]
    properties[path[-1]] = schema


def _model() -> Json:
    return {"type": ["string", "null"], "minLength": 1, "maxLength": LONGEST_MODEL_ID}


def _whole(least: int, most: int) -> Json:
    return {"type": ["integer", "null"], "minimum": least, "maximum": most}


def turn_schemas() -> Json:
    """The parts that the bodies share: `turn`, which must have a role, and `said`, which may."""
    role: Json = {"enum": list(ROLES), "description": "In capitals as well."}
    return {
        "turn": {"type": "object", "properties": {"role": role}, "required": ["role"]},
        "said": {"properties": {"role": {"enum": [*ROLES, None]}}},
    }


def _turns(name: str, bounds: Bounds) -> Json:
    """A field of the prompt: what stands in it as a message has a role that is known, or none."""
    listed: Json = {"maxItems": bounds.messages}
    if name in NEVER_EMPTY:
        listed["minItems"] = 1
    if name in LISTS:
        return {"type": "array", "items": {"$ref": TURN}, **listed}
    item: Json = {"$ref": SAID}
    if name in OBJECTS:
        item["type"] = ["object", "string"]
    return {"$ref": SAID, "items": item, **listed}
