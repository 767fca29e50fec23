"""How fast message traces that need token counts are imported, in MB/s on one core.

Writes generated sessions (nothing of them is anybody's) of the sizes that tau-bench has: a policy
of 6 KB that all share, tools, then messages of 60 to 800 bytes, no two of them the same. `exchange`
shows each session once; the other forms show the whole history again with every call, as gateways
and observability tools do. Beside each form the same lines are decoded by `json.loads` in the same
run: the ratio holds on any machine. Each form is imported twice, since the first time pays for
everything that is done once; the known token counts are forgotten in between.

    python benchmarks/import_messages.py [--mb 20] [--form exchange|calls|otlp|langfuse]
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from bursar.dialects import tokens
from bursar.intake.importing import import_paths
from bursar.ledger.engines.duck import Duck
from bursar.ledger.recorder import Recorder
from bursar.price.book import Book, load_book

GOAL_MB_S = 15
YOUNG_OBJECTS = 100_000
"""As `bursar import` sets it."""
CALLS = 12
"""Of one session: what tau-bench has in the middle."""
WORDS = (
    "the reservation flight user payment please confirm cancel baggage insurance economy basic"
    " gift card certificate would like to change my from New York Seattle on May and is are you"
    " can not have been with id passenger refund total $ 152 288 within 24 hours, membership gold"
).split()
START_NANO = 1_780_000_000_000_000_000
Message = dict[str, Any]
Session = list[Message]


class Made:
    """Generated sessions, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.policy = self.text(6_000)
        self.tools = [
            {"type": "function", "function": {"name": name, "description": self.text(300)}}
            for name in ("find_flights", "book", "cancel", "think")
        ]

    def text(self, size: int) -> str:
        pick, words, length = self.random, [f"{self.random.getrandbits(32):x}"], 9
        while length < size:
            words.append(pick.choice(WORDS))
            length += len(words[-1]) + 1
        return " ".join(words)

    def session(self) -> Session:
        """A policy, then user and assistant, or a tool and its result, in turn."""
        pick = self.random
        messages: Session = [{"role": "system", "content": self.policy}]
        use = ""
        for _ in range(CALLS):
            result = {"role": "tool", "tool_call_id": use, "content": f'{{"found": "{use}"'}
            result["content"] += f', "text": "{self.text(pick.randrange(60, 800))}"}}'
            asked = {"role": "user", "content": self.text(pick.randrange(60, 300))}
            messages.append(result if use else asked)
            use = f"call_{pick.getrandbits(64):x}" if pick.random() < 0.5 else ""
            said: Message = {"role": "assistant", "content": self.text(pick.randrange(60, 500))}
            if use:
                arguments = json.dumps({"user": self.text(20), "number": pick.randrange(10**6)})
                call = {"name": pick.choice(("book", "cancel")), "arguments": arguments}
                uses = [{"id": use, "type": "function", "function": call}]
                said = {"role": "assistant", "content": None, "tool_calls": uses}
            messages.append(said)
        return messages


def prompts(session: Session) -> Iterator[tuple[int, Session, Message]]:
    """(number, prompt, answer) of each call."""
    ends = [place for place, one in enumerate(session) if one["role"] == "assistant"]
    for number, end in enumerate(ends):
        yield number, session[:end], session[end]


def exchange(made: Made, name: str, session: Session) -> Iterator[dict[str, Any]]:
    head = {"session": name, "provider": "openai", "model": "gpt-4o", "tools": made.tools}
    yield {**head, "messages": session}


def calls(made: Made, name: str, session: Session) -> Iterator[dict[str, Any]]:
    for number, prompt, answer in prompts(session):
        yield {
            "kind": "call",
            "id": f"{name}-{number}",
            "session": name,
            "step_index": number,
            "provider": "openai",
            "model": "gpt-4o",
            "tools": made.tools,
            "messages": [*prompt, answer],
        }


def otlp(made: Made, name: str, session: Session) -> Iterator[dict[str, Any]]:
    for number, prompt, answer in prompts(session):
        texts = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.conversation.id": name,
            "gen_ai.input.messages": json.dumps(prompt),
            "gen_ai.output.messages": json.dumps([answer]),
        }
        at = START_NANO + number * 10**9
        span = {
            "traceId": f"{made.random.getrandbits(128):032x}",
            "spanId": f"{made.random.getrandbits(64):016x}",
            "name": "chat",
            "kind": 3,
            "status": {},
            "startTimeUnixNano": str(at),
            "endTimeUnixNano": str(at + 10**9),
            "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in texts.items()],
        }
        scope = {"scope": {"name": "own", "version": "1"}, "spans": [span]}
        yield {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [scope]}]}


def langfuse(made: Made, name: str, session: Session) -> Iterator[dict[str, Any]]:
    for number, prompt, answer in prompts(session):
        yield {
            "id": f"{made.random.getrandbits(64):x}",
            "traceId": name,
            "type": "GENERATION",
            "name": "answer",
            "model": "gpt-4o",
            "sessionId": name,
            "startTime": f"2026-05-01T10:00:{number:02d}.000Z",
            "level": "DEFAULT",
            "endTime": f"2026-05-01T10:00:{number:02d}.900Z",
            "input": prompt,
            "output": answer,
        }


FORMS: dict[str, Callable[[Made, str, Session], Iterator[dict[str, Any]]]] = {
    "exchange": exchange,
    "calls": calls,
    "otlp": otlp,
    "langfuse": langfuse,
}


def write(path: Path, form: str, size_mb: float) -> int:
    """How many calls were written."""
    made, left, sessions = Made(7), size_mb * 1_000_000, 0
    with path.open("w", encoding="utf-8") as stream:
        while left > 0:
            sessions += 1
            for line in FORMS[form](made, f"s{sessions}", made.session()):
                left -= stream.write(json.dumps(line) + "\n")
    return sessions * CALLS


def decoded_s(path: Path) -> float:
    """Seconds of processor that `json.loads` takes for the same lines."""
    lines = path.read_bytes().splitlines()
    started = time.process_time()
    for line in lines:
        json.loads(line)
    return time.process_time() - started


def imported_s(path: Path, book: Book, now: datetime, calls: int) -> float:
    """Seconds of processor for the whole import into a new ledger in memory."""
    tokens.forget()
    started = time.process_time()
    done = import_paths([path], Recorder(Duck(None), book, now))
    taken_s = time.process_time() - started
    assert done.added == calls, f"{done.added} of {calls} calls were imported"
    return taken_s


def measure(form: str, size_mb: float, book: Book, now: datetime) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "messages.jsonl"
        calls = write(path, form, size_mb)
        size_mb = path.stat().st_size / 1e6
        first, second = (imported_s(path, book, now, calls) for _ in range(2))
        loads_s = min(decoded_s(path) for _ in range(3))
    print(
        f"{form:9} {size_mb:5.1f} MB {calls:6} calls of {size_mb * 1e3 / calls:5.1f} KB"
        f"  first {size_mb / first:6.1f}  then {size_mb / second:6.1f} MB per core and second"
        f"  {second / calls * 1e6:6.1f} us a call"
        f"  json.loads {size_mb / loads_s:6.1f} MB/s: {second / loads_s:5.1f} times as long"
    )


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--mb", type=float, default=20)
    ask.add_argument("--form", choices=list(FORMS))
    asked = ask.parse_args()
    gc.set_threshold(YOUNG_OBJECTS, 50, 50)
    now = datetime(2026, 11, 22)
    book = load_book(now=now)
    print(f"goal: {GOAL_MB_S} MB per core and second")
    for form in [asked.form] if asked.form else FORMS:
        measure(form, asked.mb, book, now)


if __name__ == "__main__":
    main()
