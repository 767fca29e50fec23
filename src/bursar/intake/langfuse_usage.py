"""Langfuse's `usageDetails`: free-form counts, disjoint by convention, often not in fact.

Keys that are paths into a provider's object (`prompt_details.cache_read`) come from
instrumentations whose input contains them; keys of Langfuse's own (`input_cache_read`) are apart.
The total, where there is one, overrules both. Counts in a provider's own spelling are read as
that provider's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bursar.dialects.usages import counted
from bursar.model.errors import BadUsage
from bursar.model.usage import Usage, count

KEYS: dict[str, tuple[str, ...]] = {
    "input": ("input", "prompt", "promptTokens", "inputTokens"),
    "output": ("output", "completion", "completionTokens", "outputTokens"),
    "total": ("total", "totalTokens", "total_tokens"),
    "cache_read": (
        "input_cache_read",
        "cache_read_input_tokens",
        "input_cached_tokens",
        "input_cache_read_tokens",
        "cache_read",
        "cached_content_token_count",
    ),
    "cache_write": (
        "input_cache_creation",
        "cache_creation_input_tokens",
        "input_cache_write",
        "input_cache_write_tokens",
        "cache_creation",
        "cache_write",
    ),
    "cache_write_5m": ("input_cache_creation_5m", "cache_write_5m"),
    "cache_write_1h": ("input_cache_creation_1h", "cache_write_1h"),
    "reasoning": (
        "output_reasoning",
        "output_reasoning_tokens",
        "reasoning",
        "reasoning_tokens",
        "thoughts_token_count",
    ),
    "input_audio_tokens": ("input_audio", "input_audio_tokens"),
    "output_audio_tokens": ("output_audio", "output_audio_tokens"),
}
INSIDE_KEYS: dict[str, tuple[str, ...]] = {
    "cache_read": ("prompt_details.cache_read", "prompt_details.cached_tokens"),
    "cache_write": ("prompt_details.cache_write", "prompt_details.cache_creation"),
    "reasoning": ("completion_details.reasoning",),
    "input_audio_tokens": ("prompt_details.audio",),
    "output_audio_tokens": ("completion_details.audio",),
}
"""Counts that are parts of `input` and `output`, unless the total says otherwise."""


def usage_of_details(details: Mapping[str, Any]) -> tuple[Usage, tuple[str, ...]]:
    """Disjoint counts, and what is odd about them. Raises BadUsage when they cannot be true."""
    if "input" not in details and "output" not in details and "total" not in details:
        found = counted(details)
        return found.usage, found.notes
    counts = _found(details, KEYS)
    inside = _found(details, INSIDE_KEYS)
    if not {"input", "output", "cache_read"} & counts.keys():
        raise BadUsage("usage that has a total only")
    if any(inside.values()):
        return _read_inside(counts, {**counts, **inside})
    return _read_apart(counts)


def _found(details: Mapping[str, Any], keys: dict[str, tuple[str, ...]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, spellings in keys.items():
        for key in spellings:
            if details.get(key) is not None:
                found[name] = count(details[key], key)
                break
    return found


def _read_inside(
    counts: dict[str, int], all_counts: dict[str, int]
) -> tuple[Usage, tuple[str, ...]]:
    get = all_counts.get
    found = counted(
        {
            "prompt_tokens": counts.get("input", 0),
            "completion_tokens": counts.get("output", 0),
            "total_tokens": counts.get("total"),
            "prompt_tokens_details": {
                "cached_tokens": get("cache_read"),
                "cache_write_tokens": get("cache_write"),
                "audio_tokens": get("input_audio_tokens"),
            },
            "completion_tokens_details": {
                "reasoning_tokens": get("reasoning"),
                "audio_tokens": get("output_audio_tokens"),
            },
        },
        "openai_chat",
    )
    return found.usage, found.notes


def _read_apart(counts: dict[str, int]) -> tuple[Usage, tuple[str, ...]]:
    """Langfuse's own keys. Audio stands beside the text, so the total covers it too."""
    audio = {
        unit: counts[unit]
        for unit in ("input_audio_tokens", "output_audio_tokens")
        if counts.get(unit)
    }
    split = counts.get("cache_write_5m", 0) + counts.get("cache_write_1h", 0)
    short = counts.get("cache_write_5m", max(0, counts.get("cache_write", 0) - split))
    body: dict[str, Any] = {
        "input": counts.get("input", 0),
        "output": counts.get("output", 0),
        "cache_read": counts.get("cache_read", 0),
        "cache_write_5m": short,
        "cache_write_1h": counts.get("cache_write_1h", 0),
        "reasoning": counts.get("reasoning", 0),
        "other": audio,
    }
    if "total" in counts:
        body["total"] = max(0, counts["total"] - sum(audio.values()))
    found = counted(body, "bursar")
    return found.usage, found.notes
