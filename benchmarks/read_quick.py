"""How fast the quick reader is beside the slow lens, on requests and on answers.

    python benchmarks/read_quick.py BODIES

BODIES is a folder with `small.json` and `big.json`, chat requests of about 2 and 40 KB. Prints
microseconds per body, best of several rounds. Warm: the same body again. Next turn: the same talk
and two new messages. Cold: no text was seen before, since each reading has another salt.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from bursar.dialects.lens import read_request, read_response
from bursar.dialects.quick import QuickReader, UsageTap, ask_for_usage

ROUNDS = 9
ROUND_S = 0.15
SAID = (
    "The order 4471 was shipped on Monday and should arrive within two days. You can track it with"
    " the link that we sent to your email address; tell me if it does not arrive by then."
)
CHAT_USAGE = {
    "prompt_tokens": 400,
    "completion_tokens": 40,
    "total_tokens": 440,
    "prompt_tokens_details": {"cached_tokens": 128, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
HEADERS = {
    "content-type": "application/json",
    "date": "Sun, 22 Nov 2026 10:00:00 GMT",
    "openai-organization": "acme",
    "openai-version": "2020-10-01",
    "openai-processing-ms": "420",
    "x-request-id": "req_1",
    "x-ratelimit-limit-requests": "5000",
    "x-ratelimit-remaining-requests": "4999",
    "server": "cloudflare",
    "connection": "keep-alive",
}


def best_us(call: Callable[..., object], *given: object) -> float:
    """Microseconds of one call with what is given: the best round of several."""
    best = 1e9
    for _ in range(ROUNDS):
        done = 0
        started = time.perf_counter()
        while (spent := time.perf_counter() - started) < ROUND_S:
            for _ in range(5):
                call(*given)
            done += 5
        best = min(best, spent / done)
    return best * 1e6


def requests(folder: Path) -> None:
    decode = msgspec.json.Decoder().decode
    salts = (b"%d" % number for number in count())
    print(f"{'request':24} {'warm':>9} {'next turn':>9} {'cold':>9} {'slow cold':>9}   us")
    for name in ("small", "big"):
        raw = (folder / f"{name}.json").read_bytes()
        reader = QuickReader()
        warm = best_us(reader.asking, "openai_chat", raw, b"s")
        turns = (_next_turn(raw, number) for number in count())
        turn = best_us(lambda r, t: r.asking("openai_chat", next(t), b"s"), reader, turns)
        made = best_us(next, turns)
        cold = best_us(lambda r, b: r.asking("openai_chat", b, next(salts)), reader, raw)
        slow = best_us(lambda b: read_request(decode(b), salt=next(salts)), raw)
        title = f"{name}, {len(raw):,} bytes"
        print(f"{title:24} {warm:9.1f} {turn - made:9.1f} {cold:9.1f} {slow:9.1f}")
        asked = best_us(ask_for_usage, raw)
        print(f"{'  ask for usage':24} {asked:9.1f}")


def _next_turn(raw: bytes, number: int) -> bytes:
    """The same talk with two messages more, which nobody sent before."""
    said = b'{"role": "assistant", "content": "%d. %s"}' % (number, SAID.encode())
    asked = b'{"role": "user", "content": "%d. And where is my order now?"}' % number
    place = raw.rindex(b'"messages": [') + len(b'"messages": [')
    end = raw.index(b"}], ", place) + 1
    return raw[:end] + b", " + said + b", " + asked + raw[end:]


def bodies() -> list[tuple[str, str, bytes]]:
    message = {"role": "assistant", "content": SAID, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    head = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
    chat = {"object": "chat.completion", "choices": [choice], "usage": CHAT_USAGE} | head
    claude = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": [{"type": "text", "text": SAID}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 400, "output_tokens": 40, "cache_read_input_tokens": 128},
    }
    converse = {
        "output": {"message": {"role": "assistant", "content": [{"text": SAID}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 400, "outputTokens": 40, "totalTokens": 440},
        "metrics": {"latencyMs": 420},
    }
    chunk = head | {"object": "chat.completion.chunk", "usage": None}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": f"{word} "} for word in SAID.split()[:30]]
    events = [chunk | {"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    events.append(chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events.append(chunk | {"choices": [], "usage": CHAT_USAGE})
    stream = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    return [
        ("chat", "openai_chat", json.dumps(chat).encode()),
        ("anthropic", "anthropic_messages", json.dumps(claude).encode()),
        ("converse", "bedrock_converse", json.dumps(converse).encode()),
        (f"chat, {len(events)} events", "openai_chat", stream + b"data: [DONE]\n\n"),
    ]


def answers() -> None:
    reader = QuickReader()
    print(f"{'answer':24} {'quick':>9} {'slow':>19}   us")
    for name, dialect, raw in bodies():
        quick = best_us(reader.answered, dialect, raw, HEADERS, None, b"s")
        slow = best_us(partial(read_response, headers=HEADERS, salt=b"s"), raw, dialect)
        print(f"{name:24} {quick:9.1f} {slow:19.1f}")
    chunks = [piece + b"\n\n" for piece in bodies()[-1][2].split(b"\n\n")[:-1]]
    for hide in (True, False):
        each = best_us(pass_on, chunks, hide) / len(chunks)
        print(f"{f'tap, hide={hide}':24} {each:9.2f} each event")


def pass_on(chunks: list[bytes], hide: bool) -> None:
    tap = UsageTap(hide=hide)
    for chunk in chunks:
        tap.feed(chunk)


def main() -> None:
    requests(Path(sys.argv[1]))
    answers()


if __name__ == "__main__":
    main()
