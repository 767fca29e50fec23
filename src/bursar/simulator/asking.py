"""A request as the simulated provider understands it, whatever wire it came over."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from bursar.dialects.requests import SCHEMA, Prompt
from bursar.dialects.wire import as_map, at, canonical, first, maps, parse_or_none, paths, text_of
from bursar.model.block import Role, digest_of

THINKING = paths("thinking.type", "additionalModelRequestFields.thinking.type")
EFFORT = paths("reasoning_effort", "reasoning.effort")
FORMATS = paths("response_format.type", "text.format.type")
CHOICES = paths("tool_choice", "toolConfig.toolChoice")
TOOLS = paths("tools", "toolConfig.tools")
UNSEEN = frozenset(("stream_options",))
"""What does not change the answer: a gateway may add it to the body."""
MOST_ANSWERS = 16


class Tool(NamedTuple):
    """A tool that the model may ask for."""

    name: str
    schema: dict[str, Any]


class Asked(msgspec.Struct, kw_only=True):
    """One request for an answer."""

    model: str
    body: dict[str, Any]
    prompt: Prompt
    digest: int
    """Of all that the answer depends on: the operation, the model, the body."""
    n: int = 0
    """How often the same request came before."""
    salt: bytes = b"0"
    """Of the simulator: what tells its ids from those of another one."""
    stream: bool = False
    wants_usage: bool = True
    """False: a stream that did not ask for its usage."""
    many: int = 1
    """Answers asked for."""
    headers: dict[str, str] = {}
    raw: bytes = b""

    @property
    def hex(self) -> str:
        """What the ids of the answer are made of."""
        return blake2b(b"%d %d" % (self.digest, self.n), digest_size=12, key=self.salt).hexdigest()

    @property
    def made_at_s(self) -> int:
        """When the answer says that it was made: the same for the same request."""
        return 1_790_000_000 + self.digest % 86_400

    @property
    def turn(self) -> int:
        """How many times the model spoke before, by the prompt's own account."""
        blocks = self.prompt.blocks
        said = [block.role is Role.ASSISTANT for block in blocks]
        return sum(now and not before for before, now in zip([False, *said], said, strict=False))


def digest_of_request(salt: bytes, operation: str, model: str, body: dict[str, Any]) -> int:
    """The identity of a request: what a gateway may add to it does not count."""
    seen = {key: value for key, value in body.items() if key not in UNSEEN}
    return digest_of(b"\0".join((operation.encode(), model.encode(), canonical(seen))), salt)


def tools_of(body: dict[str, Any]) -> list[Tool]:
    """The tools of any wire."""
    found: list[Tool] = []
    for tool in maps(first(body, TOOLS)):
        spec = as_map(tool.get("function")) or as_map(tool.get("toolSpec")) or tool
        name = text_of(spec.get("name"))
        schema = spec.get("parameters") or spec.get("input_schema") or at(spec, _JSON_SCHEMA)
        if name:
            found.append(Tool(name, as_map(schema)))
    return found


_JSON_SCHEMA = ("inputSchema", "json")


def choice_of(body: dict[str, Any]) -> tuple[bool | None, str | None]:
    """Whether a tool must be used (None: the model decides), and which."""
    asked = first(body, CHOICES)
    fields = as_map(asked)
    name = text_of(fields.get("name"))
    for key in ("function", "tool"):
        name = name or text_of(as_map(fields.get(key)).get("name"))
    word = text_of(asked) or text_of(fields.get("type")) or next(iter(fields), "auto")
    if name:
        return True, name
    return {"required": True, "any": True, "none": False}.get(word), None


def thinks(body: dict[str, Any]) -> bool:
    """Whether the request asks for thinking."""
    word = first(body, THINKING)
    effort = first(body, EFFORT)
    return word in ("enabled", "adaptive", "between_tools") or effort not in (
        *(None, "none"),
        "minimal",
    )


def answer_schema(body: dict[str, Any]) -> dict[str, Any] | None:
    """The JSON schema that the answer must obey; an empty one for any JSON; None for plain text."""
    schema = first(body, SCHEMA)
    if isinstance(schema, str):
        schema = parse_or_none(schema)
    if schema is None and first(body, FORMATS) == "json_object":
        return {}
    return as_map(schema) if schema is not None else None


def answers_asked(body: dict[str, Any]) -> int:
    """`n` of a chat request, within bounds."""
    many = body.get("n")
    return min(max(many, 1), MOST_ANSWERS) if type(many) is int else 1
