"""The small form that every crossing goes through: what a call asks for and what an answer holds.

A dialect is read into it and written from it, so that four dialects need four readers and not
twelve translators. `at` and `places` hold JSON pointers into the body that was read: they name a
thing when a target has to refuse it, and are no part of its meaning. In its normal form turns of
the same role are one turn, no text is empty, and a default of the wire is absent.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bursar.model.block import Mark
from bursar.model.usage import Usage

Json = dict[str, Any]

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"

END, MAX_TOKENS, TOOL_USE = "end", "max_tokens", "tool_use"
STOP_SEQUENCE, REFUSAL, FILTER, CONTEXT = "stop_sequence", "refusal", "filter", "context"
"""Why a model stopped. Finer than the lens: a stop sequence is not an end here."""

CONTINUED, ANSWERED = "continued", "answered"
"""What a model does with an assistant's turn that comes last: goes on with it, or replies to it."""


class Text(msgspec.Struct, frozen=True, omit_defaults=True):
    text: str
    mark: Mark = Mark.NONE
    at: str = ""


class Image(msgspec.Struct, frozen=True, omit_defaults=True):
    """Either the bytes in base64 with their media type, or an address."""

    media: str = ""
    b64: str = ""
    url: str = ""
    detail: str = ""
    mark: Mark = Mark.NONE
    at: str = ""


class ToolUse(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    name: str
    arguments: str
    """JSON text, as the model wrote it."""
    mark: Mark = Mark.NONE
    at: str = ""


class ToolResult(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    """Of the use that it answers."""
    parts: tuple[Text | Image, ...] = ()
    failed: bool = False
    mark: Mark = Mark.NONE
    at: str = ""


class Thinking(msgspec.Struct, frozen=True, omit_defaults=True):
    """Only the maker of a signature can read it; a `redacted` thought has no text."""

    text: str = ""
    signature: str = ""
    redacted: str = ""
    at: str = ""


Part = Text | Image | ToolUse | ToolResult | Thinking


class Turn(msgspec.Struct, frozen=True):
    role: str
    """`user` (tool results included), `assistant`, or `system` for one amid the conversation."""
    parts: tuple[Part, ...]


class Tool(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    schema: Json
    description: str = ""
    strict: bool | None = None
    mark: Mark = Mark.NONE
    at: str = ""


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    kind: str
    """`auto`, `any`, `none` or `tool`."""
    name: str = ""


class Schema(msgspec.Struct, frozen=True, omit_defaults=True):
    """The JSON schema that the answer must fit."""

    schema: Json
    name: str = ""
    description: str = ""
    strict: bool | None = None


class Neutral(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call, as asked."""

    model: str | None = None
    system: tuple[Text, ...] = ()
    turns: tuple[Turn, ...] = ()
    last: str = ""
    """`continued` or `answered` where the last turn is the assistant's, else ""."""
    tools: tuple[Tool, ...] = ()
    choice: Choice | None = None
    one_tool: bool = False
    """At most one tool use in an answer."""
    max_tokens: int | None = None
    stops: tuple[str, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    schema: Schema | None = None
    json_object: bool = False
    """The answer must be JSON of any shape."""
    effort: str | None = None
    thinking: Json | None = None
    """In Anthropic's words: `type`, `budget_tokens`, `display`."""
    tier: str | None = None
    """`default`, `flex`, `priority`, `fast`, `scale`, `reserved`; None: the provider's choice."""
    user: str | None = None
    metadata: dict[str, str] = {}
    automark: Mark = Mark.NONE
    """The provider sets a cache mark at the end of the prompt by itself."""
    hints: Json = {}
    """What only OpenAI's own dialects know, by its name there."""
    stream: bool = False
    wants_usage: bool = False
    """The client asked for usage in its stream."""
    notes: tuple[str, ...] = ()
    places: dict[str, str] = {}
    """Field of this struct -> JSON pointer of where it was read."""

    def at(self, field: str) -> str:
        return self.places.get(field, "/" + field)


class Written(msgspec.Struct, frozen=True):
    """A body in the target's dialect, and what it leaves out."""

    body: bytes
    notes: tuple[str, ...] = ()


class NeutralAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole answer."""

    id: str = ""
    model: str = ""
    parts: tuple[Text | ToolUse | Thinking, ...] = ()
    stop: str = END
    stop_text: str | None = None
    """The stop sequence that was met."""
    usage: Usage | None = None
    tier: str = "standard"
    """The price class that the answer says, in the lens's words."""


class Back(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an answer in the asked dialect needs and the target's answer may not have."""

    model: str = ""
    """The model to name where the answer names none."""
    answer_id: str = ""
    """The answer's id where it has none of its own."""
    at_s: int = 0
    """Unix time of the answer, for `created`."""
    elapsed_ms: int = 0
    """For Converse's `metrics.latencyMs`."""
    wants_usage: bool = False
    """Of a chat stream: the client asked for the usage chunk."""


class Begin(msgspec.Struct, frozen=True):
    id: str
    model: str


class Open(msgspec.Struct, frozen=True):
    """A part begins. `place` counts the parts of the answer from 0."""

    place: int
    kind: str
    """`text`, `tool_use` or `thinking`."""
    id: str = ""
    name: str = ""


class More(msgspec.Struct, frozen=True):
    """The next piece of a part: of its text, or of its arguments."""

    place: int
    text: str


class Seal(msgspec.Struct, frozen=True):
    """What stands beside a thought's text."""

    place: int
    signature: str = ""
    redacted: str = ""


class Close(msgspec.Struct, frozen=True):
    place: int


class Halt(msgspec.Struct, frozen=True):
    stop: str
    stop_text: str | None = None


class Done(msgspec.Struct, frozen=True):
    """The stream came to its proper end. `usage=None`: nobody counted."""

    usage: Usage | None = None
    tier: str = "standard"


class Broken(msgspec.Struct, frozen=True):
    """The stream ended with an error: a word of `refusals`, and what to say."""

    kind: str
    message: str


Delta = Begin | Open | More | Seal | Close | Halt | Done | Broken
