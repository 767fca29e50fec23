"""A generated week of a support agent, with the faults that real agents have.

Seeded, so that it is the same sample every time but for its dates, which end at the given day.
Written in the exchange format, with the usage that a provider would have reported for its texts.
Four routes: `orders` re-sends a long system prompt uncached and drags large tool results along;
`invoices` retries answers that do not parse; `search` has one session that never stops; `triage`
uses a dear model for one-word answers. One tenant is most of the bill.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from bursar.dialects.tokens import estimate_tokens

SEED = 20261122
DAYS = 7
TOOL_CALL_TOKENS = 12
TENANTS = ("northwind", "tenant-b", "tenant-c", "tenant-d", "tenant-e")
TENANT_WEIGHTS = (60, 12, 11, 9, 8)
WORDS = (
    "order parcel refund address invoice customer warehouse carrier delay label stock price item"
    " account email policy window exchange receipt status pending shipped returned partial note"
    " request agent review region currency total discount payment card transfer limit check"
).split()
Message = dict[str, Any]


def write_sample(file: Path, now: datetime) -> None:
    """Write the sample to `file`, its last day being the day before `now`."""
    encode = msgspec.json.encode
    with file.open("wb") as stream:
        for line in sample_lines(now):
            stream.write(encode(line) + b"\n")


def sample_lines(now: datetime) -> Iterator[Message]:
    """The sessions of the sample, in the order of their time."""
    rng = random.Random(SEED)
    first = datetime(now.year, now.month, now.day) - timedelta(days=DAYS)
    lines: list[Message] = []
    for day in range(DAYS):
        start = first + timedelta(days=day, hours=8)
        lines += [_orders(rng, start, n, day) for n in range(4)]
        lines += [_invoices(rng, start, n, day) for n in range(12)]
        lines += [_search(rng, start, n, day, 4 + n) for n in range(4)]
        lines += [_triage(rng, start, n, day) for n in range(45)]
    lines.append(_search(rng, first + timedelta(days=DAYS - 2, hours=15), 4, DAYS - 2, 38))
    lines.sort(key=lambda line: line["at"])
    yield from lines


class _Session:
    """Builds one transcript and the usage of each of its calls."""

    def __init__(self, rng: random.Random, at: datetime, head: Message, *, cached: bool) -> None:
        self.rng = rng
        self.at = at
        self.cached = cached
        self.line: Message = {
            **head,
            "tenant": rng.choices(TENANTS, TENANT_WEIGHTS)[0],
            "environment": "production",
            "at": _iso(at),
            "messages": [],
        }
        self.prompt = sum(_tokens(tool) for tool in head.get("tools", []))
        self.written = 0

    def say(self, role: str, content: str, **more: object) -> None:
        self.line["messages"].append({"role": role, "content": content, **more})
        self.prompt += _tokens(content)

    def answer(self, content: str, **more: object) -> None:
        """End a call: the prompt so far is what it sent."""
        written = _tokens(content) + (TOOL_CALL_TOKENS if "tool_calls" in more else 0)
        latency_ms = self.rng.randint(700, 4200)
        self.at += timedelta(milliseconds=latency_ms + self.rng.randint(200, 9000))
        message: Message = {
            "role": "assistant",
            "content": content,
            "usage": self._usage(written),
            "stop": "tool_use" if "tool_calls" in more else "end_turn",
            "at": _iso(self.at),
            "latency_ms": latency_ms,
            **more,
        }
        self.line["messages"].append(message)
        self.prompt += written

    def call_tool(self, name: str, arguments: Message, result: str, **more: object) -> None:
        """One call that asks for a tool, and the tool's answer."""
        use = f"use_{len(self.line['messages'])}"
        function = {"name": name, "arguments": msgspec.json.encode(arguments).decode()}
        self.answer("", tool_calls=[{"id": use, "type": "function", "function": function}], **more)
        self.say("tool", result, tool_call_id=use)

    def done(self, success: bool) -> Message:
        return self.line | {"outcome": {"success": success}}

    def _usage(self, output: int) -> Message:
        if not self.cached:
            return {"input": self.prompt, "output": output}
        read, self.written = self.written, self.prompt
        return {
            "input": 0,
            "cache_read": read,
            "cache_write_5m": self.prompt - read,
            "output": output,
        }


def _orders(rng: random.Random, day: datetime, n: int, d: int) -> Message:
    """A long system prompt, uncached, and whole order records as tool results."""
    head = {
        "session": f"orders-{d}-{n}",
        "route": "orders",
        "workflow": "support",
        "provider": "anthropic",
        "model": "claude-sonnet-4-6",
        "tools": [_tool(name) for name in ("get_order", "get_customer", "refund", "escalate")],
    }
    session = _Session(rng, day + timedelta(minutes=37 * n), head, cached=False)
    session.say("system", "You are a support agent. " + _text(_fixed("orders"), 2600))
    session.say("user", _text(rng, 40))
    for _ in range(rng.randint(4, 9)):
        record = {"id": rng.randint(10_000, 99_999), "history": _text(rng, 900)}
        session.call_tool(
            rng.choice(("get_order", "get_customer")),
            {"id": record["id"]},
            msgspec.json.encode(record).decode(),
        )
    session.answer(_text(rng, 90))
    return session.done(success=rng.random() < 0.85)


def _invoices(rng: random.Random, day: datetime, n: int, d: int) -> Message:
    """Structured answers that often do not parse and are asked for again."""
    head = {
        "session": f"invoices-{d}-{n}",
        "route": "invoices",
        "workflow": "back-office",
        "provider": "openai",
        "model": "gpt-5",
    }
    session = _Session(rng, day + timedelta(minutes=31 * n), head, cached=False)
    session.say("system", "Extract the invoice as JSON. " + _text(_fixed("invoices"), 350))
    session.say("user", _text(rng, 1400))
    tries = rng.choice((1, 1, 2, 3))
    for attempt in range(tries):
        last = attempt == tries - 1
        answer = msgspec.json.encode({"total": rng.randint(10, 900), "note": _text(rng, 60)})
        text = answer.decode() if last else answer.decode()[:-9]
        more: Message = {"is_retry": True, "retry_cause": "parse"} if attempt else {}
        session.answer(text, **more)
        if not last:
            session.say("user", "That is not valid JSON. Answer with the JSON object alone.")
    return session.done(success=rng.random() < 0.95)


def _search(rng: random.Random, day: datetime, n: int, d: int, steps: int) -> Message:
    """A cached agent that is well kept, but for the one that asks the same again and again."""
    head = {
        "session": f"search-{d}-{n}",
        "route": "search",
        "workflow": "support",
        "provider": "anthropic",
        "model": "claude-haiku-4-5",
        "tools": [_tool(name) for name in ("search_articles", "open_article")],
    }
    session = _Session(rng, day + timedelta(minutes=41 * n), head, cached=True)
    session.say("system", "Find the article that answers. " + _text(_fixed("search"), 3400))
    session.say("user", _text(rng, 25))
    stuck = steps > 20
    query = _text(rng, 4)
    for _ in range(steps):
        if not stuck:
            query = _text(rng, 4)
        result = "no article matches" if stuck else _text(rng, 260)
        session.call_tool("search_articles", {"query": query}, result)
    session.answer("I could not find it." if stuck else _text(rng, 70))
    return session.done(success=not stuck)


def _triage(rng: random.Random, day: datetime, n: int, d: int) -> Message:
    """One word from the dearest model."""
    head = {
        "session": f"triage-{d}-{n}",
        "route": "triage",
        "workflow": "support",
        "provider": "anthropic",
        "model": "claude-opus-4-8",
    }
    session = _Session(rng, day + timedelta(minutes=9 * n), head, cached=False)
    session.say(
        "system", "Name the queue of this message in one word. " + _text(_fixed("triage"), 60)
    )
    session.say("user", _text(rng, 60))
    session.answer(rng.choice(("orders", "invoices", "search")))
    return session.done(success=True)


def _tool(name: str) -> Message:
    about = f"{name.replace('_', ' ')}: " + _text(_fixed(name), 45)
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": about,
            "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
        },
    }


def _fixed(name: str) -> random.Random:
    """The same words for the same name in every session."""
    return random.Random(f"{SEED}:{name}")


def _text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def _tokens(value: object) -> int:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return estimate_tokens(text)


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds") + "Z"
