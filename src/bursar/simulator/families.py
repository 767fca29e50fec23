"""Which tokenizer a model is counted with. The first pattern that fits the model's id holds."""

from __future__ import annotations

import re
from functools import lru_cache

FAMILY_OF = tuple(
    (re.compile(pattern), family)
    for pattern, family in (
        (r"claude-[a-z]+-(4-[78]|[5-9])\b", "claude_new"),
        ("claude", "claude"),
        (r"\bnova-", "nova"),
        ("llama", "llama"),
        ("mistral|mixtral", "mistral"),
        ("cohere|command", "cohere"),
        ("deepseek", "deepseek"),
        ("gemini", "gemini"),
        (r"^(gpt-(4o|4\.1|[5-9])|o\d|chatgpt-)|gpt-oss", "o200k"),
    )
)
"""Models named `claude-FAMILY-5` and later came with a new tokenizer, as did Opus 4.7 and 4.8."""


@lru_cache(maxsize=4_096)
def family_of(model: str) -> str:
    """The name of a family in `dialects.tokens.FAMILIES`; cl100k for what is not known."""
    name = model.lower()
    return next((family for pattern, family in FAMILY_OF if pattern.search(name)), "cl100k")
