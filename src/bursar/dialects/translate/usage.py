"""Disjoint usage -> the usage object of each dialect, by that dialect's own arithmetic.

OpenAI's prompt count contains caches; Anthropic's and Converse's leave them out. What a dialect has
no place for is added where it would be billed alike, so that totals stay true: Converse has no
reasoning, chat does not tell lives of cache writes apart, and token units of other kinds count as
plain tokens outside OpenAI. The ledger reads the provider's own answer, never one of these.
"""

from __future__ import annotations

from bursar.dialects.translate.neutral import Json
from bursar.model.entry import STANDARD
from bursar.model.usage import Usage

WRITES = "cache_write_"
TIER_WORDS = {STANDARD: "default"}
"""OpenAI's and Bedrock's word for a price class; the others stand as they are."""
SPEEDS = ("fast",)
"""Price classes that Anthropic calls a speed."""


def tier_word(price_class: str) -> str:
    return TIER_WORDS.get(price_class, price_class)


def _extra(usage: Usage, side: str) -> int:
    """Tokens of other kinds (audio, images) on one side of an answer."""
    return sum(
        count
        for unit, count in usage.other.items()
        if unit.startswith(side) and unit.endswith("_tokens")
    )


def _other_writes(usage: Usage) -> dict[str, int]:
    """Cache writes whose lifetime has no field of its own, by lifetime."""
    return {
        unit.removeprefix(WRITES): count
        for unit, count in usage.other.items()
        if unit.startswith(WRITES)
    }


def _writes(usage: Usage) -> int:
    """All cache writes, whatever their lifetime."""
    return usage.cache_write_5m + usage.cache_write_1h + sum(_other_writes(usage).values())


def _prompt(usage: Usage) -> int:
    """The whole prompt, caches and tokens of every kind included."""
    return usage.input + _extra(usage, "input") + usage.cache_read + _writes(usage)


def _openai(usage: Usage) -> tuple[int, int, Json, Json]:
    """Prompt with caches inside, answer with reasoning inside, and their details."""
    into: Json = {
        "cached_tokens": usage.cache_read,
        "cache_write_tokens": _writes(usage),
    }
    out: Json = {"reasoning_tokens": usage.reasoning}
    for details, side in ((into, "input"), (out, "output")):
        if audio := usage.other.get(f"{side}_audio_tokens"):
            details["audio_tokens"] = audio
    return _prompt(usage), usage.answer + _extra(usage, "output"), into, out


def chat_usage(usage: Usage) -> Json:
    prompt, answer, into, out = _openai(usage)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": into,
        "completion_tokens_details": out,
    }


def responses_usage(usage: Usage) -> Json:
    prompt, answer, into, out = _openai(usage)
    return {
        "input_tokens": prompt,
        "input_tokens_details": into,
        "output_tokens": answer,
        "output_tokens_details": out,
        "total_tokens": prompt + answer,
    }


def anthropic_usage(usage: Usage, tier: str) -> Json:
    found: Json = {
        "input_tokens": usage.input + _extra(usage, "input"),
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation_input_tokens": _writes(usage),
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
            **{f"ephemeral_{life}_input_tokens": n for life, n in _other_writes(usage).items()},
        },
        "output_tokens": usage.answer + _extra(usage, "output"),
    }
    if usage.reasoning:
        found["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return found | ({"speed": tier} if tier in SPEEDS else {"service_tier": tier})


def converse_usage(usage: Usage) -> Json:
    prompt, answer = usage.input + _extra(usage, "input"), usage.answer + _extra(usage, "output")
    writes = _writes(usage)
    found: Json = {
        "inputTokens": prompt,
        "outputTokens": answer,
        "totalTokens": prompt + usage.cache_read + writes + answer,
    }
    if usage.cache_read or writes:
        found |= {"cacheReadInputTokens": usage.cache_read, "cacheWriteInputTokens": writes}
    short, long = usage.cache_write_5m, usage.cache_write_1h
    lives = (*_other_writes(usage).items(), ("1h", long), ("5m", short))
    details = [{"ttl": ttl, "inputTokens": count} for ttl, count in lives if count]
    return found | ({"cacheDetails": details} if details else {})
