"""A prompt is a list of blocks; the ledger prices each of them, in every call that carries it.

A block is the smallest part of a prompt that a person can act on: one system text, one tool
specification, one message part, one tool result. Its digest is its identity inside a session, so
that a tool result which is sent again in twenty later calls is one block with twenty re-carries.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b

import msgspec


class Role(StrEnum):
    """Who speaks, as the wire says it."""

    SYSTEM = "system"
    TOOL_SPEC = "tool_spec"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Kind(StrEnum):
    """Our reading of what a block is for. Stable names: reports and users rely on them."""

    SYSTEM = "system"
    """Instructions of the application."""
    TOOLS = "tools"
    """One tool specification, as sent with the call."""
    HISTORY = "history"
    """What the model itself said in earlier turns, its tool calls included."""
    RAG = "rag"
    """Retrieved documents put into the prompt."""
    USER = "user"
    """What a person, or the application on a person's behalf, said."""
    TOOL_RESULT = "tool_result"
    """What a tool answered."""
    OUTPUT = "output"
    """What the model produced in this call."""
    UNSEEN = "unseen"
    """Tokens that the provider counted and that the source does not show."""


class Mark(StrEnum):
    """A cache mark that ends at a block."""

    NONE = "none"
    M5 = "5m"
    H1 = "1h"


KIND_OF_ROLE = {
    Role.SYSTEM: Kind.SYSTEM,
    Role.TOOL_SPEC: Kind.TOOLS,
    Role.USER: Kind.USER,
    Role.ASSISTANT: Kind.HISTORY,
    Role.TOOL: Kind.TOOL_RESULT,
}

CLASSIFIER_VERSION = 1
"""Version of the reading that gives a block its kind; stored with the ledger."""


class Block(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One part of a prompt."""

    role: Role
    kind: Kind
    digest: int
    """63-bit content hash, see `digest_of`."""
    tokens: int | None = None
    """Estimated tokens. None: takes whatever the provider counted beyond the other blocks."""
    size_bytes: int = 0
    name: str | None = None
    """The tool that a specification describes or that a result comes from."""
    mark: Mark = Mark.NONE
    path: str | None = None
    """JSON pointer into the raw body, where there is one."""
    body: str | None = None
    """The text; None unless content capture is on."""


def digest_of(content: bytes | str, salt: bytes = b"") -> int:
    """63-bit BLAKE2b hash. `salt` keeps tenants apart. Lone surrogates are hashed as they are."""
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return int.from_bytes(blake2b(raw, digest_size=8, key=salt).digest(), "big") >> 1
