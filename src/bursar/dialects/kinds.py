"""What a part of a prompt is for: our reading, beside the role that the wire states.

The role decides, with one exception: retrieved text. It is `rag` when it comes as a document or a
search result, or when a user's text opens with the words or tags that retrieval puts there. A short
text is never taken for a document.
"""

from __future__ import annotations

import re

from bursar.model.block import KIND_OF_ROLE, Kind, Role

SHORTEST_DOCUMENT = 200
"""Characters below which a user's text is not searched for signs of retrieval."""
HEAD = 160
"""Characters of its beginning that are searched."""

_RETRIEVED = re.compile(
    r"\s*(?:<(?:documents?|context|search_results?|retrieved[a-z_ -]*|sources?|knowledge)\b"
    r"|(?:#+\s*|\**)?(?:retrieved |relevant |supporting )?"
    r"(?:documents?|context|passages?|search results|sources|excerpts)"
    r"(?: \d+| information| below)?\**\s*:"
    r"|(?:use|using|given|based on) the following (?:pieces? of )?"
    r"(?:retrieved |relevant )?(?:context|documents?|passages|sources|excerpts|search results)\b)",
    re.IGNORECASE,
)

ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "human": Role.USER,
    "assistant": Role.ASSISTANT,
    "model": Role.ASSISTANT,
    "ai": Role.ASSISTANT,
    "chatbot": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
    "ipython": Role.TOOL,
}
"""Every spelling of a role; an unknown one is a user's."""


def role_of(word: object) -> Role:
    """The role of a message by the wire's word."""
    if not isinstance(word, str):
        return Role.USER
    return ROLES.get(word) or ROLES.get(word.lower(), Role.USER)


def kind_of_text(role: Role, text: str) -> Kind:
    """The kind of one text part."""
    if role is Role.USER and len(text) >= SHORTEST_DOCUMENT and _RETRIEVED.match(text, 0, HEAD):
        return Kind.RAG
    return KIND_OF_ROLE[role]
