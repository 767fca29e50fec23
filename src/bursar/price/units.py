"""What a price list charges for, and which general unit stands in for one that it does not list.

Six units are the fields of `Usage`; the rest live in `Usage.other` under the names of genai-prices.
A price list that gives no rate of its own for a special kind of token bills it as the more general
token ("cached audio" as "cached", "reasoning" as "output"): `STAND_INS` holds that order, nearest
first. Units that are no tokens (searches, pages, seconds) stand in for nothing but their own kind.
"""

from __future__ import annotations

TEXT_UNITS = (
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "output",
    "reasoning",
)
"""The fields of `Usage`, in the order in which a bill lists them."""

REQUESTS = "requests"
"""Charged once per attempt where a price list has a rate for it."""

SOURCE_UNITS = {
    "input_tokens": "input",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "cache_write_5m_tokens": "cache_write_5m",
    "cache_write_1h_tokens": "cache_write_1h",
    "output_tokens": "output",
    "output_reasoning_tokens": "reasoning",
}
"""Our name of a unit of genai-prices; any other unit keeps its own name."""

_PLAIN: dict[str, tuple[str, ...]] = {
    "cache_read": ("input",),
    "cache_write": ("input",),
    "cache_write_5m": ("cache_write", "input"),
    "cache_write_1h": ("cache_write", "cache_write_5m", "input"),
    "reasoning": ("output",),
    "input_tool_tokens": ("input",),
    "output_citation_tokens": ("output",),
    "input_audio_seconds": ("audio_seconds",),
    "output_audio_seconds": ("audio_seconds",),
    "input_annotated_document_pages": ("input_document_pages",),
}


def _modalities() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for kind in ("text", "audio", "image", "video"):
        plain, answer = f"input_{kind}_tokens", f"output_{kind}_tokens"
        written = f"cache_{kind}_write_tokens"
        found[plain] = ("input",)
        found[answer] = ("output",)
        found[f"cache_{kind}_read_tokens"] = (plain, "cache_read", "input")
        found[written] = (plain, "cache_write", "cache_write_5m", "input")
        found[f"cache_{kind}_write_5m_tokens"] = (written, *found[written])
        found[f"cache_{kind}_write_1h_tokens"] = (
            written,
            plain,
            "cache_write_1h",
            "cache_write",
            "input",
        )
        found[f"input_{kind}_tool_tokens"] = (plain, "input_tool_tokens", "input")
        found[f"output_{kind}_reasoning_tokens"] = (answer, "reasoning", "output")
        found[f"output_{kind}_citation_tokens"] = (answer, "output_citation_tokens", "output")
    return found


STAND_INS = _PLAIN | _modalities()
"""By unit: the units whose rate bills it where its own is not listed, nearest first."""

PROMPT_UNITS = frozenset(
    unit
    for unit in STAND_INS
    if unit.endswith("_tokens") and not unit.startswith("output_") and "_tool_" not in unit
) | {"input_tool_tokens"}
"""Units of `Usage.other` that count towards the long-context threshold: tokens of the prompt."""


WRITES = "cache_write_"
"""How the units of cache writes by lifetime begin. A lifetime that is no field of `Usage`
(`cache_write_12h`) has the price that a list gives it under that name, and no stand-in: how long a
prefix is kept is what such a price is for."""


def is_token(unit: str) -> bool:
    """Whether a unit counts tokens, so that its list price is per million."""
    plain = unit in TEXT_UNITS or unit == "cache_write" or unit in _TOKEN_UNITS
    return plain or unit.startswith(WRITES)


_TOKEN_UNITS = frozenset(unit for unit in STAND_INS if unit.endswith("_tokens"))
