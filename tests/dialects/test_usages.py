"""Golden usage objects, counts that cannot be true, and the laws of disjoint counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.dialects.lens import read_response, read_usage
from bursar.dialects.usages import SUSPECT, counted
from bursar.model.errors import BadUsage
from bursar.model.usage import Usage

GOLDEN = [
    json.loads(line) for line in Path(__file__).with_name("usages.jsonl").read_text().splitlines()
]
FEWEST_GOLDEN = 200


def test_there_are_enough_golden_shapes() -> None:
    assert len({json.dumps(row["raw"]) + row["dialect"] for row in GOLDEN}) >= FEWEST_GOLDEN


@pytest.mark.parametrize("row", GOLDEN, ids=range(len(GOLDEN)))
def test_golden(row: dict[str, Any]) -> None:
    """Each row: a raw usage object and its disjoint counts; what is not named is 0."""
    usage, dialect = read_usage(row["raw"], row["dialect"], provider=row.get("provider"))
    assert usage == Usage(**row["expected"]), row.get("why")
    assert dialect == row["dialect"]


@pytest.mark.parametrize("row", GOLDEN, ids=range(len(GOLDEN)))
def test_golden_recognised_by_keys(row: dict[str, Any]) -> None:
    """Without the dialect's name the counts are the same."""
    usage, _ = read_usage(row["raw"], provider=row.get("provider"))
    assert usage == Usage(**row["expected"]), row.get("why")


IMPOSSIBLE = (
    ({"prompt_tokens": 5, "completion_tokens": 1, "cached_tokens": 6}, "6 cached tokens"),
    ({"prompt_tokens": 5, "completion_tokens": 1, "reasoning_tokens": 2}, "2 reasoning tokens"),
    ({"prompt_tokens": -1, "completion_tokens": 1}, "prompt_tokens is negative"),
    ({"prompt_tokens": 1.5, "completion_tokens": 1}, "prompt_tokens is 1.5"),
    ({"prompt_tokens": True, "completion_tokens": 1}, "prompt_tokens is True"),
    ({"prompt_tokens": [1], "completion_tokens": 1}, "not a token count"),
    ({"prompt_tokens": 2**60, "completion_tokens": 1}, "beyond any real"),
    ({"input_tokens": "many", "output_tokens": 1}, "input_tokens is 'many'"),
    ({"inputTokens": 1, "outputTokens": float("nan")}, "outputTokens is nan"),
    ({"input_tokens": 1, "output_tokens": 3, "output_tokens_details": {"thinking_tokens": 4},
      "cache_read_input_tokens": 0}, "4 reasoning tokens"),
    ({"promptTokenCount": 3, "cachedContentTokenCount": 9}, "9 cached tokens"),
    ({}, "no keys"),
    ({"tokens_used": 3}, "tokens_used"),
    ({"prompt_tokens": None}, "without any known"),
)  # fmt: skip


@pytest.mark.parametrize(("raw", "said"), IMPOSSIBLE)
def test_counts_that_cannot_be_true_are_refused(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(BadUsage, match=said):
        read_usage(raw)


def test_the_place_of_a_bad_count_is_named() -> None:
    body = {"choices": [], "usage": {"prompt_tokens": -3, "completion_tokens": 1}}
    with pytest.raises(BadUsage, match="/usage of a openai_chat body") as bad:
        read_response(json.dumps(body))
    assert bad.value.mend


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 9}, "total 9 is not the sum"),
        (
            {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 3,
             "cache_creation": {"ephemeral_5m_input_tokens": 9}},
            "cache writes by lifetime",
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 1,
             "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 7}},
            "input_audio_tokens 7 is more than the 1 left",
        ),
    ],
)  # fmt: skip
def test_numbers_that_merely_disagree_are_noted(raw: dict[str, Any], said: str) -> None:
    assert said in " ".join(counted(raw).notes)


counts = st.integers(0, 3_000_000)


@given(counts, counts, counts, counts, counts)
def test_inclusive_totals_are_kept(i: int, r: int, w: int, o: int, g: int) -> None:
    raw = {
        "prompt_tokens": i + r + w,
        "completion_tokens": o + g,
        "total_tokens": i + r + w + o + g,
        "prompt_tokens_details": {"cached_tokens": r, "cache_write_tokens": w},
        "completion_tokens_details": {"reasoning_tokens": g},
    }
    usage, _ = read_usage(raw)
    assert (usage.prompt, usage.answer) == (raw["prompt_tokens"], raw["completion_tokens"])
    assert usage == Usage(input=i, cache_read=r, cache_write_5m=w, output=o, reasoning=g)


@given(counts, counts, counts, counts, counts)
def test_exclusive_counts_are_kept(i: int, r: int, short: int, long: int, o: int) -> None:
    raw = {
        "input_tokens": i,
        "output_tokens": o,
        "cache_read_input_tokens": r,
        "cache_creation_input_tokens": short + long,
        "cache_creation": {
            "ephemeral_5m_input_tokens": short,
            "ephemeral_1h_input_tokens": long,
        },
    }
    usage, _ = read_usage(raw)
    assert usage == Usage(
        input=i, cache_read=r, cache_write_5m=short, cache_write_1h=long, output=o
    )


lives = st.dictionaries(
    st.sampled_from(["5m", "1h", "30m", "12h", "24h", "forever", "9" * 40]), counts, max_size=5
)


def _places(split: dict[str, int], only: str | None) -> Usage:
    """Where each lifetime belongs: two have fields, the others are units of their own."""
    told = {life: number for life, number in split.items() if number}
    if set(told) == {only}:
        told = {"5m": sum(told.values())}
    other: dict[str, int] = {}
    for life in told.keys() - {"5m", "1h"}:
        unit = f"cache_write_{life if len(life) < 6 and life[0].isdigit() else 'unknown'}"
        other[unit] = other.get(unit, 0) + told[life]
    return Usage(cache_write_5m=told.get("5m", 0), cache_write_1h=told.get("1h", 0), other=other)


def _raws(
    split: dict[str, int], fresh: int, read: int, output: int, whole: bool
) -> Iterator[tuple[dict[str, Any], str | None]]:
    """The same counts as each dialect spells them that tells lifetimes apart."""
    written = sum(split.values())
    by_name = {f"ephemeral_{life}_input_tokens": number for life, number in split.items()}
    anthropic: dict[str, Any] = {
        "input_tokens": fresh,
        "output_tokens": output,
        "cache_read_input_tokens": read,
        "cache_creation": by_name,
    }
    converse: dict[str, Any] = {
        "inputTokens": fresh,
        "outputTokens": output,
        "totalTokens": fresh + read + written + output,
        "cacheReadInputTokens": read,
        "cacheDetails": [{"ttl": life, "inputTokens": n} for life, n in split.items()],
    }
    details: dict[str, Any] = {"cached_tokens": read, "cache_creation_token_details": by_name}
    if whole:
        anthropic["cache_creation_input_tokens"] = written
        converse["cacheWriteInputTokens"] = written
        details["cache_creation_tokens"] = written
    yield anthropic, None
    yield converse, "30m"
    prompt = fresh + read + written
    yield (
        {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "prompt_tokens_details": details,
        },
        None,
    )


@given(lives, counts, counts, counts, st.booleans())
def test_cache_writes_of_any_lifetime_are_told_apart_and_none_is_lost(
    split: dict[str, int], fresh: int, read: int, output: int, whole: bool
) -> None:
    for raw, only in _raws(split, fresh, read, output, whole):
        usage, _ = read_usage(raw)
        rest = Usage(input=fresh, cache_read=read, output=output)
        assert usage == rest + _places(split, only)


@given(lives, counts)
def test_writes_without_a_lifetime_have_the_usual_one(split: dict[str, int], more: int) -> None:
    for raw, only in _raws(split, 7, 0, 1, True):
        if "inputTokens" in raw:
            raw["cacheWriteInputTokens"] += more
            raw["totalTokens"] += more
        elif "input_tokens" in raw:
            raw["cache_creation_input_tokens"] += more
        else:
            raw["prompt_tokens_details"]["cache_creation_tokens"] += more
            raw["prompt_tokens"] += more
            raw["total_tokens"] += more
        usage, _ = read_usage(raw)
        told = _places(split, only) + Usage(cache_write_5m=more)
        assert usage == Usage(input=7, output=1) + told


def _texts(raw: Any) -> Any:
    """The same with each number in quotes."""
    if isinstance(raw, dict):
        return {key: _texts(value) for key, value in raw.items()}
    if isinstance(raw, list):
        return [_texts(one) for one in raw]
    return str(int(raw)) if type(raw) in (int, float) else raw


def _has_text(raw: Any) -> bool:
    parts = raw.values() if isinstance(raw, dict) else raw if isinstance(raw, list) else ()
    return (isinstance(raw, str) and raw.isdecimal()) or any(map(_has_text, parts))


@given(st.sampled_from(GOLDEN))
def test_digits_in_quotes_are_read_and_said_to_be_suspect(row: dict[str, Any]) -> None:
    named = {"provider": row.get("provider")}
    plain, quoted = (
        counted(raw, row["dialect"], **named) for raw in (row["raw"], _texts(row["raw"]))
    )
    assert quoted.usage == plain.usage
    assert any(note.startswith(SUSPECT) for note in quoted.notes)
    assert any(note.startswith(SUSPECT) for note in plain.notes) <= _has_text(row["raw"])


@pytest.mark.parametrize("text", ["1" * 40, "0" * 5_000, "1.0", "-1", "", " ", "1e3", "0x1"])
def test_other_texts_are_no_counts(text: str) -> None:
    with pytest.raises(BadUsage):
        counted({"prompt_tokens": text, "completion_tokens": 1})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted({k for row in GOLDEN for k in row["raw"]})), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(sorted({k for r in GOLDEN for k in r["raw"]})), json_values))
def test_any_usage_object_is_read_or_refused(raw: dict[str, Any]) -> None:
    """Never a traceback, never a negative count."""
    try:
        usage, _ = read_usage(raw)
    except BadUsage:
        return
    numbers = (usage.input, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h)
    assert min(*numbers, usage.output, usage.reasoning, *usage.other.values(), 0) == 0
