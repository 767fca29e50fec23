"""What of an answer can be seen while it comes: whether it has texts at all, and all of its tokens.

A reasoning model is billed for tokens that its stream does not show, or shows in a summary only.
"""

from __future__ import annotations

import re

ANSWERLESS = frozenset({"openai_embeddings"})
"""Dialects whose answers hold no text."""
ENCODED = frozenset({"bedrock_invoke"})
"""Dialects whose streams carry another stream within, encoded."""
THINKERS = re.compile(r"(^|[./])(o\d|gpt-5|codex)")
"""Models that think whether they are asked to or not."""


def has_answer(dialect: str) -> bool:
    """Whether a call in this dialect is answered with tokens."""
    return dialect not in ANSWERLESS


def shows_all(dialect: str, model: str | None, *, thinks: bool) -> bool:
    """Whether a stream shows every token that is billed. `thinks`: the call asks for it."""
    hidden = thinks or dialect in ENCODED or THINKERS.search(model or "") is not None
    return has_answer(dialect) and not hidden
