"""Terms of a crossing that the settings decide, and rules that several targets share."""

from __future__ import annotations

import re
from hashlib import blake2b

import msgspec

from bursar.dialects.translate.fields import not_carried
from bursar.dialects.translate.neutral import (
    ANSWERED,
    ASSISTANT,
    SYSTEM,
    USER,
    Image,
    Neutral,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Turn,
)
from bursar.model.block import Mark

IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
PLAIN_ID = r"[a-zA-Z0-9_-]+"
LONGEST_ID = 64


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider's settings say about calls that cross to it."""

    default_max_tokens: int = 4096
    """For a target that must be told a limit (Anthropic), where the client set none."""
    chat_limit: str = "max_completion_tokens"
    """The field of the limit at a provider that speaks chat; some know only `max_tokens`."""


class Ids:
    """Ids of tool uses that fit a target: one that does not is replaced by its hash, each time."""

    def __init__(self, longest: int, pattern: str) -> None:
        self._longest = longest
        self._fits = re.compile(pattern) if pattern else None
        self.notes: list[str] = []

    def fit(self, name: str) -> str:
        if len(name) <= self._longest and (self._fits is None or self._fits.fullmatch(name)):
            return name
        if not self.notes:
            self.notes.append("tool ids that the target does not take are replaced by their hash")
        return "t_" + blake2b(name.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def claude_turns(asked: Neutral, notes: list[str]) -> list[Turn]:
    """The turns as Anthropic and Converse want them: no blank text, and the user's first."""
    turns: list[Turn] = []
    for turn in asked.turns:
        parts = tuple(
            part for part in turn.parts if not isinstance(part, Text) or part.text.strip()
        )
        if len(parts) < len(turn.parts):
            notes.append("blank texts dropped: the target refuses them")
        if parts and turns and turns[-1].role == turn.role:
            turns[-1] = Turn(turn.role, (*turns[-1].parts, *parts))
        elif parts:
            turns.append(Turn(turn.role, parts))
    if not turns or all(turn.role == SYSTEM for turn in turns):
        raise not_carried(asked.at("turns"), "the target needs a message of the user")
    if turns[0].role != USER:
        raise not_carried(_place(turns[0], asked), "the target's first message must be the user's")
    if turns[-1].role == ASSISTANT and asked.last == ANSWERED:
        where = _place(turns[-1], asked)
        raise not_carried(where, "the target would go on with the assistant's last message")
    return turns


def _place(turn: Turn, asked: Neutral) -> str:
    return turn.parts[0].at or asked.at("turns")


def check_claude(asked: Neutral, target: str) -> None:
    """What neither Anthropic nor Converse can carry."""
    if asked.temperature is not None and not 0 <= asked.temperature <= 1:
        raise not_carried(asked.at("temperature"), f"{target} takes 0 to 1")
    if asked.json_object:
        raise not_carried(asked.at("json_object"), f"{target} needs a schema for JSON")
    if asked.effort == "minimal":
        raise not_carried(asked.at("effort"), f"{target} has no effort below low")
    if "verbosity" in asked.hints and asked.hints["verbosity"] != "medium":
        raise not_carried("/verbosity", f"{target} has no such setting")
    if asked.schema is not None and asked.schema.strict is False:
        raise not_carried(asked.at("schema"), f"{target} holds every schema strictly")
    for tool in asked.tools:
        if not re.fullmatch(PLAIN_ID, tool.name) or len(tool.name) > LONGEST_ID:
            raise not_carried(tool.at, f"{target} takes tool names of 1 to 64 of [a-zA-Z0-9_-]")


def drop_hints(asked: Neutral, notes: list[str]) -> None:
    notes += [f"/{name} dropped: only OpenAI knows it" for name in asked.hints]


def check_image(image: Image, target: str) -> None:
    if not image.url and image.media not in IMAGES:
        raise not_carried(image.at, f"{target} takes PNG, JPEG, GIF and WebP, not {image.media!r}")


def uses_tools(turns: list[Turn]) -> str | None:
    """Where the first tool use or result stands."""
    for turn in turns:
        for part in turn.parts:
            if isinstance(part, ToolUse | ToolResult):
                return part.at or "/messages"
    return None


def is_claude(model: str) -> bool:
    """Whether a model of Bedrock is Anthropic's, by its name."""
    return "claude" in model.lower()


def mark_of(part: object) -> Mark:
    return Mark.NONE if isinstance(part, Thinking) else getattr(part, "mark", Mark.NONE)
