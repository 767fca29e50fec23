"""Cheaper models of the same provider that a simple step may be tried on: a table, newest first.

A row says: models whose name holds the first word may be replaced by the second. Whether the
second is really cheaper is asked of the price book, so an outdated row proposes nothing.
"""

from __future__ import annotations

SIBLINGS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("anthropic", "claude", ("claude-haiku-5-5", "claude-haiku-4-5")),
    (
        "aws",
        "claude",
        (
            "us.anthropic.claude-haiku-5-5",
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        ),
    ),
    ("aws", "nova", ("amazon.nova-micro-v1:0", "amazon.nova-lite-v1:0")),
    ("openai", "gpt-6", ("gpt-6-luna",)),
    ("openai", "gpt-5", ("gpt-5.6-luna", "gpt-5-mini")),
    ("openai", "gpt-4", ("gpt-4o-mini",)),
    ("openai", "o", ("gpt-5-mini",)),
    ("azure", "gpt", ("gpt-5-mini", "gpt-4o-mini")),
    ("google", "gemini", ("gemini-2.5-flash-lite", "gemini-2.5-flash")),
)
"""(provider, word in the model's name, candidates)."""


def candidates(provider: str | None, model: str | None) -> list[str]:
    """Models to ask the price of, in order of preference."""
    found: list[str] = []
    for owner, word, cheaper in SIBLINGS:
        if owner == provider and model is not None and word in model:
            found.extend(one for one in cheaper if one not in found)
    return found
