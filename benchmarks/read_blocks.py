"""How fast messages become blocks: digest, token estimate and kind, from decoded JSON.

    python benchmarks/read_blocks.py DATA

DATA is the folder of the shared data. Prints MB/s of message JSON, decoding excluded, for message
traces of tau-bench and for tool results of several sizes; best of five rounds, each of which has
seen none of the texts before.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from bursar.dialects import tokens
from bursar.dialects.lens import message_blocks

ROUNDS = 5


def measure(name: str, messages: list[dict[str, Any]]) -> None:
    size = len(msgspec.json.encode(messages))
    best = 1e9
    for _ in range(ROUNDS):
        names: dict[str, str] = {}
        tokens.forget()
        started = time.perf_counter()
        for message in messages:
            message_blocks(message, names)
        best = min(best, time.perf_counter() - started)
    each = size / len(messages)
    print(
        f"{name:24} {len(messages):7} messages of {each:8,.0f} bytes"
        f"  {size / best / 1e6:7.0f} MB/s  {1e6 * best / len(messages):6.1f} us each"
    )


def main() -> None:
    data = Path(sys.argv[1])
    runs = msgspec.json.decode((data / "taubench_gpt4o_airline/gpt-4o-airline.json").read_bytes())
    talks = [message for run in runs for message in run["traj"]]
    measure("tau-bench", talks)
    text = "".join(message.get("content") or "" for message in talks)
    for size in (200, 1_000, 4_000, 20_000, 200_000):
        pieces = [text[place : place + size] for place in range(0, min(len(text), 4_000_000), size)]
        measure(f"tool results {size}", [{"role": "tool", "content": one} for one in pieces])


if __name__ == "__main__":
    main()
