"""Throws damaged requests and answers at both readers. Only Bursar's own errors may come out.

    PYTHONPATH=src:. python benchmarks/fuzz_dialects.py --seconds 600 --seed 1

The seeds are the bodies that the tests generate. Each is damaged a few times: bytes are flipped,
cut, doubled, spliced or replaced by words that hurt, or a value inside the JSON is swapped. Besides
errors it looks for disagreement between the quick reader and the slow lens, and for inputs that
take long. Every finding is printed once, with the input that shows it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st
from hypothesis.errors import NonInteractiveExampleWarning
from tests.dialects.quick import answers, bodies

from bursar.dialects.lens import DIALECTS, read_request, read_response, sniff_dialect
from bursar.dialects.quick import (
    Bounds,
    Fold,
    QuickReader,
    UsageTap,
    ask_for_usage,
    hide_usage,
    settled,
)
from bursar.model.errors import BursarError

SEEDS = 150
LONGEST_BYTES = 20_000
SLOW_S = 0.25
"""An execution that takes longer is a finding."""
WORDS = (
    *(b"null", b"true", b"-1", b"1e400", b"NaN", b"1e15", b"9" * 400, b"0.1", b'""', b"{}", b"[]"),
    *(b'"\\ud800"', b'"\\u0000"', b"\xff", b"\xef\xbb\xbf", b"\x00", b"\\", b'"', b"{", b"[", b"]"),
    *(b"}", b",", b":", b"\n\n", b"\r\n\r\n", b"data: ", b"event: x\n", b"data: [DONE]\n\n"),
    *(b'"usage":', b'"choices":[]', b'"messages":', b'"content":', b'"role":', b'"type":', b'"n":'),
    *(b"[" * 200, b'{"a":' * 100, b'{"text":"a"}', b'{"type":"tool_result"}', b"\x1f\x8b"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 10**15, 2**70, "", "7", "many", [], {}, [[]], [None], {"a": None}),
    *([1, 2], {"text": "x"}, {"type": "text"}, "\ud800", float("inf"), {"cachePoint": {}}),
)


def damaged(raw: bytes, other: bytes, chance: random.Random) -> bytes:
    """The input after one change of its bytes."""
    place = chance.randrange(len(raw) + 1)
    end = min(len(raw), place + chance.randrange(1, 40))
    match chance.randrange(7):
        case 0:
            return raw[:place] + bytes([chance.randrange(256)]) + raw[place + 1 :]
        case 1:
            return raw[:place] + raw[end:]
        case 2:
            return raw[:end] + raw[place:end] * chance.randrange(1, 4) + raw[end:]
        case 3:
            return raw[:place] + chance.choice(WORDS) + raw[place:]
        case 4:
            return raw[:place] + chance.choice(WORDS) + raw[end:]
        case 5:
            return raw[:place] + other[chance.randrange(len(other) + 1) :]
        case _:
            return raw[:place]


def swapped(raw: bytes, chance: random.Random) -> bytes:
    """The input with one value inside its JSON swapped, or the input where it is no JSON."""
    try:
        tree = json.loads(raw)
    except (ValueError, RecursionError):
        return raw
    node = tree
    while isinstance(node, dict | list) and node:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = chance.choice(keys)
        if chance.random() < 0.4 or not isinstance(node[key], dict | list) or not node[key]:
            node[key] = chance.choice(VALUES)
            break
        node = node[key]
    return json.dumps(tree).encode()


def cut(raw: bytes, chance: random.Random) -> Iterator[bytes]:
    place = 0
    while place < len(raw):
        size = chance.choice((1, 7, 60, 500))
        yield raw[place : place + size]
        place += size


def ask(reader: QuickReader, dialect: str, raw: bytes) -> None:
    """A request through both readers."""
    quick = None
    with contextlib.suppress(BursarError):
        quick = reader.asking(dialect, raw, b"s")
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        assert quick is None, "quick read what is no JSON"
        fields = None
    if isinstance(fields, dict):
        try:
            slow = read_request(fields, salt=b"s")
        except BursarError:
            assert quick is None, "quick read what the slow lens refuses"
        else:
            same = quick is None or (
                (quick.blocks, quick.tool_outcomes, quick.limits, quick.metadata, quick.model)
                == (slow.blocks, slow.tool_outcomes, slow.limits, slow.metadata, slow.model)
            )
            assert same, "quick and slow read different blocks"
            sniff_dialect(fields)
    with contextlib.suppress(BursarError, ValueError, RecursionError):
        json.loads(ask_for_usage(raw))


def _outcome(read: Callable[[], object]) -> object:
    try:
        return read()
    except BursarError as bad:
        return type(bad).__name__


def answer(reader: QuickReader, dialect: str, raw: bytes) -> None:
    """An answer through both readers, without trust, and by content alone.

    Vectors are not decoded by the quick reader, so it may read past damage in them.
    """
    headers = {"openai-version": "1"} if len(raw) % 2 else {}
    quick = _outcome(lambda: reader.answered(dialect, raw, headers, None, b"s"))
    slow = _outcome(lambda: read_response(raw, dialect, headers=headers, salt=b"s"))
    unseen = dialect == "openai_embeddings" and slow == "BadInput"
    assert quick == slow or unseen, "quick and slow read different answers"
    found = settled(dialect, raw, headers, None)
    assert found.usage is None or min(found.usage.prompt, found.usage.answer) >= 0
    _outcome(lambda: read_response(raw, headers=headers))


def stream(dialect: str, raw: bytes, chance: random.Random) -> None:
    """An answer on its way: through the taps, and through a copy that is too small for it."""
    chunks = list(cut(raw, chance))
    tap = UsageTap(hide=False)
    assert b"".join([*map(tap.feed, chunks), tap.finish()]) == raw
    one = UsageTap(hide=True)
    assert b"".join(hide_usage(chunks)) == one.feed(raw) + one.finish(), "the cut decides"
    fold = Fold(max(2, len(raw) // 2))
    for chunk in chunks:
        fold.add(chunk)
    settled(dialect, fold.whole(), {}, None)


def seeds() -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
    """Requests and answers, as the tests draw them."""
    texts = st.lists(bodies.words, max_size=4)
    chat = st.builds(
        lambda t, u: ("openai_chat", answers.sse(answers.chat_events(t, u))),
        texts,
        answers.chat_usage(),
    )
    claude = st.builds(
        lambda t: ("anthropic_messages", answers.sse(answers.anthropic_events(t, 5), named=True)),
        texts,
    )
    said = st.builds(lambda pair: (pair[0], json.dumps(pair[1]).encode()), answers.bodies)
    aws = st.builds(
        lambda t: (
            "bedrock_converse",
            answers.frames(
                [
                    ("messageStart", {"role": "assistant"}),
                    *[("contentBlockDelta", {"delta": {"text": one}}) for one in t],
                    ("messageStop", {"stopReason": "end_turn"}),
                    ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2}}),
                ]
            ),
        ),
        texts,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonInteractiveExampleWarning)
        asked = [bodies.requests.example() for _ in range(SEEDS)]
        told = [st.one_of(said, said, chat, claude, aws).example() for _ in range(SEEDS)]
    return [(dialect, bodies.spelled(body, len(dialect))) for dialect, body in asked], told


def run(seconds: float, seed: int) -> int:
    """Fuzz for so many seconds. Returns the number of findings."""
    chance = random.Random(seed)
    asked, told = seeds()
    reader = QuickReader(Bounds(pieces=2_000))
    done: Counter[str] = Counter()
    findings: Counter[str] = Counter()
    slowest_s = 0.0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        side, pool = chance.choice((("request", asked), ("answer", told)))
        dialect, raw = chance.choice(pool)
        if chance.random() < 0.1:
            dialect = chance.choice(DIALECTS)
        for _ in range(chance.choice((1, 1, 2, 3, 6))):
            other = chance.choice(pool)[1]
            raw = swapped(raw, chance) if chance.random() < 0.4 else damaged(raw, other, chance)
        raw = raw[:LONGEST_BYTES]
        done[side] += 1
        started = time.perf_counter()
        try:
            if side == "request":
                ask(reader, dialect, raw)
            else:
                answer(reader, dialect, raw)
                stream(dialect, raw, chance)
        except Exception as bad:  # noqa: BLE001
            last = traceback.extract_tb(bad.__traceback__)[-1]
            place = f"{type(bad).__name__} {bad!s:.80} at {last.filename}:{last.lineno}"
            if not findings[place]:
                print(f"{side} {dialect}: {place}\n  {raw[:2_000]!r}", flush=True)
            findings[place] += 1
        spent = time.perf_counter() - started
        if spent > max(slowest_s, SLOW_S):
            print(f"{side} {dialect}: {spent:.3f} s\n  {raw[:2_000]!r}", flush=True)
        slowest_s = max(slowest_s, spent)
    for place, number in findings.most_common():
        print(f"{number:8} {place}")
    print(
        f"{done.total():,} executions ({done['request']:,} requests, {done['answer']:,} answers), "
        f"{len(findings)} findings, slowest {slowest_s * 1e3:.1f} ms, seed {seed}"
    )
    return len(findings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(1 if run(given.seconds, given.seed) else 0)


if __name__ == "__main__":
    main()
