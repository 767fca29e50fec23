"""The sheet that blocks are written on while a message is read.

One text, tool call, tool result or attachment becomes one block. Its digest covers what the model
sees and nothing else: not the id of a tool call, not a cache mark, not the wire's spelling of a
text, so that the same content has the same identity in every dialect and in every later call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bursar.dialects.failures import failed_by_text
from bursar.dialects.kinds import kind_of_text
from bursar.dialects.tokens import estimate_tokens, known_tokens
from bursar.dialects.wire import as_list, as_map, canonical, parse_or_none, text_of
from bursar.model.block import KIND_OF_ROLE, Block, Kind, Mark, Role, digest_of
from bursar.model.entry import ToolOutcome, ToolUse

MESSAGE_TOKENS = 4
"""What a message costs beside its content: the wire's role and separators, as OpenAI documents."""
IMAGE_TOKENS = {"openai": 765, "openai_low": 85, "anthropic": 1_600, "gemini": 258}
"""An image of unknown size: OpenAI high detail 1024 x 1024; Anthropic's largest; a Gemini tile."""
DOCUMENT_TOKENS = 2_000
"""A document whose text is not in the body, such as a PDF."""
AUDIO_TOKENS = 300
"""A clip of unknown length: about half a minute at 10 tokens per second."""
VIDEO_TOKENS = 2_600
"""A clip of unknown length: about ten seconds at 263 tokens per second."""


class Sheet:
    """Collects the blocks of one message. Mutable, and private to this folder."""

    __slots__ = (
        *("answering", "blocks", "capture", "names", "outcomes", "overhead", "salt", "uses"),
    )

    def __init__(
        self,
        names: dict[str, str],
        *,
        capture: bool = False,
        answering: bool = False,
        salt: bytes = b"",
    ) -> None:
        self.names = names
        self.salt = salt
        """Of all digests: keeps tenants apart."""
        self.capture = capture
        self.answering = answering
        """The message is this call's answer, so what the model says is `output`, not `history`."""
        self.overhead = 0 if answering else MESSAGE_TOKENS
        self.blocks: list[Block] = []
        self.uses: list[ToolUse] = []
        self.outcomes: list[ToolOutcome] = []

    def kind_of(self, role: Role) -> Kind:
        if self.answering and role is Role.ASSISTANT:
            return Kind.OUTPUT
        return KIND_OF_ROLE[role]

    def text(self, role: Role, text: str, mark: Mark = Mark.NONE, kind: Kind | None = None) -> None:
        """One text part; an empty one is no block."""
        if not text:
            return
        raw = text.encode("utf-8", "surrogatepass")
        if kind is None:
            kind = kind_of_text(role, text) if role is Role.USER else self.kind_of(role)
        overhead, self.overhead = self.overhead, 0
        digest = digest_of(raw, self.salt)
        self.blocks.append(
            Block(
                role=role,
                kind=kind,
                digest=digest,
                tokens=known_tokens(digest, raw) + overhead,
                size_bytes=len(raw),
                mark=mark,
                body=text if self.capture else None,
            )
        )

    def raw(
        self,
        role: Role,
        raw: bytes,
        *,
        tokens: int | None = None,
        kind: Kind | None = None,
        name: str | None = None,
        mark: Mark = Mark.NONE,
    ) -> Block:
        """A part that is not plain text, by its canonical bytes."""
        overhead, self.overhead = self.overhead, 0
        digest = digest_of(raw, self.salt)
        block = Block(
            role=role,
            kind=kind or self.kind_of(role),
            digest=digest,
            tokens=(known_tokens(digest, raw) if tokens is None else tokens) + overhead,
            size_bytes=len(raw),
            name=name,
            mark=mark,
            body=raw.decode("utf-8", "replace") if self.capture else None,
        )
        self.blocks.append(block)
        return block

    def tool_use(
        self, use_id: object, name: object, arguments: object, mark: Mark = Mark.NONE
    ) -> None:
        """A tool call of the model. Arguments may be a JSON value or its text."""
        tool = name if isinstance(name, str) and name else "?"
        known = text_of(use_id)
        value = arguments_of(arguments)
        spelled = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else None
        spelled = canonical(value) if spelled is None else spelled
        if known:
            self.names[known] = tool
        digest = digest_of(spelled, self.salt)
        self.uses.append(ToolUse(id=known, tool=tool, arguments_digest=digest))
        name_raw = tool.encode("utf-8", "surrogatepass")
        self.raw(Role.ASSISTANT, name_raw + b"\n" + spelled, name=tool, mark=mark)

    def tool_result(
        self,
        use_id: object,
        content: object,
        *,
        name: object = None,
        failed: bool | None = None,
        mark: Mark = Mark.NONE,
        kind: Kind = Kind.TOOL_RESULT,
    ) -> None:
        """What a tool answered. `failed=None`: the text may tell."""
        known = text_of(use_id)
        tool = text_of(name) or (self.names.get(known) if known else None)
        text, attached = result_text(content)
        raw = text.encode("utf-8", "surrogatepass")
        tokens = estimate_tokens(raw) + attached if attached else None
        block = self.raw(Role.TOOL, raw, tokens=tokens, kind=kind, name=tool, mark=mark)
        self.outcomes.append(
            ToolOutcome(
                id=known,
                tool=tool,
                result_digest=block.digest,
                failed=failed_by_text(text) if failed is None else failed,
                tokens=block.tokens,
            )
        )

    def mark_last(self, mark: Mark) -> None:
        """A cache mark that stands after the block it ends at."""
        if self.blocks:
            self.blocks[-1] = msgspec.structs.replace(self.blocks[-1], mark=mark)


def arguments_of(arguments: object) -> object:
    """Arguments as a JSON value; a text that is no JSON stays the text; none is an empty object."""
    if isinstance(arguments, str):
        if not arguments.strip():
            return {}
        parsed = parse_or_none(arguments)
        return arguments if parsed is None else parsed
    return {} if arguments is None else arguments


def mark_of(part: Mapping[str, Any]) -> Mark:
    """The cache mark that a part, a tool or a request carries."""
    control = part.get("cache_control") or part.get("cachePoint")
    if control is None and "prompt_cache_breakpoint" not in part:
        return Mark.NONE
    return Mark.H1 if as_map(control).get("ttl") == "1h" else Mark.M5


def unmarked(part: dict[str, Any]) -> dict[str, Any]:
    """The part as the model sees it, without its cache mark."""
    if "cache_control" in part or "prompt_cache_breakpoint" in part:
        marks = ("cache_control", "prompt_cache_breakpoint")
        return {key: value for key, value in part.items() if key not in marks}
    return part


def result_text(content: object) -> tuple[str, int]:
    """A tool result as one text, and the estimated tokens of images and files in it."""
    if isinstance(content, str):
        return content, 0
    if content is None:
        return "", 0
    parts = as_list(content)
    if not parts:
        return canonical(content).decode("utf-8", "replace"), 0
    texts: list[str] = []
    attached = 0
    for part in parts:
        fields = as_map(part)
        said = text_of(part) or text_of(fields.get("text")) or text_of(fields.get("content"))
        if said is None:
            said = canonical(fields.get("json", unmarked(fields)) if fields else part).decode()
            if fields.get("type") in ("image", "image_url", "input_image") or "image" in fields:
                attached += IMAGE_TOKENS["anthropic"]
                said = f"[image {digest_of(said):x}]"
        texts.append(said)
    return "\n".join(texts), attached
