"""How fast coding-agent transcripts are read and imported, in MB/s on one core.

Writes a generated transcript (nothing of it is anybody's) with the line sizes of real ones: answers
of 1.2 to 2 KB whose thinking is hidden in a signature, tool results of 2 to 20 KB that stand on
their line twice. Measures the reader alone, then the whole import into a new ledger.

    python benchmarks/import_transcripts.py [--mb 60] [--form claude_code|codex] [--reader-only]
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bursar.intake import claude_code, codex
from bursar.intake.importing import import_paths
from bursar.intake.source import Source
from bursar.ledger.engines.duck import Duck
from bursar.ledger.recorder import Recorder
from bursar.model.entry import Entry
from bursar.price.book import load_book

WORDS = (
    "def return import self value error test build ledger price token block session report the of"
    " and a to in is that it for on with as this from by at which be are was not or an all can"
).split()
SESSION_CALLS = 120
CACHE_START = 18_000


class Made:
    """Generated texts and ids, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        lines = [self._code_line() for _ in range(20_000)]
        self.text = "\n".join(lines)
        self.at = datetime(2026, 5, 1, tzinfo=UTC)

    def _code_line(self) -> str:
        pick = self.random
        indent = "    " * pick.randrange(4)
        return indent + " ".join(pick.choice(WORDS) for _ in range(pick.randrange(3, 12))) + ':"x"'

    def code(self, size: int) -> str:
        start = self.random.randrange(len(self.text) - size)
        return self.text[start : start + size]

    def id(self, prefix: str) -> str:
        return f"{prefix}_{self.random.getrandbits(96):024x}"

    def signature(self, size: int) -> str:
        return f"{self.random.getrandbits(size * 4):x}"

    def now(self) -> str:
        self.at += timedelta(milliseconds=self.random.randrange(300, 6_000))
        return self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def claude_lines(made: Made) -> Iterator[str]:
    """Sessions without end, line by line."""
    while True:
        session = made.id("session")
        base = {
            "isSidechain": False,
            "userType": "external",
            "entrypoint": "cli",
            "cwd": "/home/someone/code/project",
            "sessionId": session,
            "version": "2.1.220",
            "gitBranch": "main",
        }
        yield _line(base, made, "user", {"role": "user", "content": made.code(400)})
        cached, fresh = 0, CACHE_START
        for _ in range(SESSION_CALLS):
            size, lines = _claude_call(base, made, cached, fresh)
            cached, fresh = cached + fresh, size // 4
            yield from lines


def _claude_call(base: dict, made: Made, cached: int, fresh: int) -> tuple[int, list[str]]:
    pick = made.random
    usage = {
        "input_tokens": 2,
        "cache_creation_input_tokens": fresh,
        "cache_read_input_tokens": cached,
        "cache_creation": {"ephemeral_5m_input_tokens": fresh, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 3,
        "service_tier": "standard",
    }
    head = {"model": "claude-opus-4-6", "id": made.id("msg"), "type": "message"}
    request = {**base, "requestId": made.id("req"), "effort": "high"}
    uses = [made.id("toolu") for _ in range(pick.randrange(1, 4))]
    parts = [{"type": "thinking", "thinking": "", "signature": made.signature(600)}]
    parts += [
        {
            "type": "tool_use",
            "id": use,
            "name": pick.choice(("Read", "Bash", "Edit")),
            "input": {"file_path": f"/src/{made.code(20)}", "text": made.code(300)},
        }
        for use in uses
    ]
    lines, size = [], 0
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        body = {
            **head,
            "role": "assistant",
            "content": [part],
            "stop_reason": "tool_use" if last else None,
            "usage": {**usage, "output_tokens": 400, "speed": "standard"} if last else usage,
        }
        lines.append(_line(request, made, "assistant", body))
    for use in uses:
        text = made.code(pick.randrange(2_000, 20_000))
        size += len(text)
        content = [{"tool_use_id": use, "type": "tool_result", "content": text}]
        extra = {"toolUseResult": {"stdout": text, "stderr": "", "interrupted": False}}
        lines.append(_line({**base, **extra}, made, "user", {"role": "user", "content": content}))
    return size, lines


def _line(base: dict, made: Made, kind: str, message: dict) -> str:
    line = {"parentUuid": made.id("u"), **base, "type": kind, "message": message}
    return json.dumps(line | {"uuid": made.id("u"), "timestamp": made.now()}) + "\n"


def codex_lines(made: Made) -> Iterator[str]:
    """One endless session."""

    def line(kind: str, payload: dict) -> str:
        return json.dumps({"timestamp": made.now(), "type": kind, "payload": payload}) + "\n"

    yield line("session_meta", {"id": made.id("s"), "cwd": "/home/someone/project"})
    yield line("turn_context", {"model": "gpt-5.2-codex", "effort": "high"})
    total = {"input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0}
    while True:
        call = made.id("call")
        arguments = json.dumps({"cmd": made.code(200)})
        yield line(
            "response_item",
            {
                "type": "function_call",
                "name": "exec_command",
                "arguments": arguments,
                "call_id": call,
            },
        )
        last = {"input_tokens": 9_000, "cached_input_tokens": 8_000, "output_tokens": 300}
        total = {name: total[name] + last[name] for name in total}
        info = {"last_token_usage": last, "total_token_usage": total}
        yield line("event_msg", {"type": "token_count", "info": info})
        output = made.code(made.random.randrange(2_000, 20_000))
        yield line(
            "response_item", {"type": "function_call_output", "call_id": call, "output": output}
        )


FORMS = {"claude_code": (claude_lines, claude_code), "codex": (codex_lines, codex)}


def write(path: Path, form: str, size_mb: int) -> None:
    left = size_mb * 1_000_000
    with path.open("w", encoding="utf-8") as stream:
        for line in FORMS[form][0](Made(7)):
            stream.write(line)
            left -= len(line)
            if left <= 0:
                return


class Taken:
    """Seconds on the clock and of processor time: "per core" is the second."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def line(self, what: str, size_mb: float) -> str:
        wall = time.perf_counter() - self._wall
        cpu = time.process_time() - self._cpu
        return f"{what}  {size_mb / cpu:7.1f} MB per core and second  {size_mb / wall:7.1f} MB/s"


def read_alone(path: Path, form: str) -> int:
    """Calls that the reader finds, without the ledger."""
    source = Source(path)
    reader = FORMS[form][1]
    assert reader.recognises(source.head), "the transcript is not recognised"
    return sum(isinstance(item, Entry) for item in reader.read(source))


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--mb", type=int, default=60)
    ask.add_argument("--form", choices=sorted(FORMS), default="claude_code")
    ask.add_argument("--reader-only", action="store_true")
    asked = ask.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "transcript.jsonl"
        write(path, asked.form, asked.mb)
        size_mb = path.stat().st_size / 1e6
        read_alone(path, asked.form)
        taken = Taken()
        calls = read_alone(path, asked.form)
        print(taken.line("reader alone", size_mb))
        print(f"{asked.form}: {size_mb:.1f} MB, {calls} calls")
        if asked.reader_only:
            return
        now = datetime(2026, 11, 22)
        book = load_book(now=now)
        taken = Taken()
        duck = Duck(Path(folder) / "ledger.duckdb")
        done = import_paths([path], Recorder(duck, book, now))
        duck.close()
        print(taken.line("whole import", size_mb))
        assert done.added == calls, f"{done.added} of {calls} calls were imported"


if __name__ == "__main__":
    main()
