"""Small ledgers made through the real path: exchange lines, imported, recorded, asked."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from bursar.advisor.flags import find_flags
from bursar.advisor.suspects import Suspect, find_suspects
from bursar.intake.importing import import_paths
from bursar.ledger.engines.duck import Duck
from bursar.ledger.recorder import Recorder
from bursar.ledger.reports import Scope
from bursar.model.entry import Flag
from bursar.price.book import Book

Line = dict[str, Any]

START = datetime(2026, 11, 2, 9)
NOW = datetime(2026, 11, 20)
MINI: Line = {"provider": "openai", "model": "gpt-4o-mini"}
"""$0.15 in, $0.075 cached, $0.60 out per million tokens."""
GPT: Line = {"provider": "openai", "model": "gpt-4o"}
"""$2.50 in, $1.25 cached, $10 out."""
SONNET: Line = {"provider": "anthropic", "model": "claude-sonnet-4-6"}
"""$3 in, $0.30 read, $3.75 and $6 written, $15 out."""


def at(seconds: int) -> str:
    """A moment of the planted traffic."""
    return (START + timedelta(seconds=seconds)).isoformat() + "Z"


def text(words: int, seed: str = "order") -> str:
    """A text of about so many tokens, different for each seed."""
    return " ".join(f"{seed}{n % 7}" if n % 9 == 0 else "parcel" for n in range(words))


def call(n: int, session: str | None, usage: Line | None, **more: Any) -> Line:
    """One call line: prompt and answer differ from call to call unless `messages` is given."""
    messages = more.pop(
        "messages",
        [
            {"role": "user", "content": f"question {n} of {session}"},
            {"role": "assistant", "content": f"answer {n}"},
        ],
    )
    line: Line = {"kind": "call", "id": f"{session}-{n}", "at": at(10 * n), "messages": messages}
    if session is not None:
        line |= {"session": session, "step_index": n}
    if usage is not None:
        line["usage"] = usage
    return {**GPT, **line, **more}


def use(tool: str, arguments: str, use_id: str) -> Line:
    """An assistant message that asks for a tool."""
    function = {"name": tool, "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": use_id, "type": "function", "function": function}],
    }


def result(use_id: str, content: str) -> Line:
    return {"role": "tool", "tool_call_id": use_id, "content": content}


def schema(name: str, words: int) -> Line:
    function = {"name": name, "description": text(words, name), "parameters": {"type": "object"}}
    return {"type": "function", "function": function}


class Ledger:
    """A ledger in memory that holds the given lines."""

    def __init__(self, lines: list[Line], folder: Path, book: Book) -> None:
        self.duck = Duck()
        self.book = book
        self.folder = folder
        self.add(lines, "planted.jsonl")

    def add(self, lines: list[Line], name: str) -> None:
        if not lines:
            return
        file = self.folder / name
        file.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        done = import_paths([file], Recorder(self.duck, self.book, NOW))
        assert not done.skips, done.skips
        assert done.added

    def suspects(self, scope: Scope | None = None) -> list[Suspect]:
        return find_suspects(self.duck, scope, self.book)

    def kinds(self) -> set[str]:
        return {one.kind for one in self.suspects()}

    def suspect(self, kind: str, where: str) -> Suspect:
        found = {(one.kind, one.where): one for one in self.suspects()}
        assert (kind, where) in found, sorted(found)
        return found[kind, where]

    def flags(self) -> list[Flag]:
        return find_flags(self.duck)

    def flag(self, kind: str) -> Flag:
        found = [one for one in self.flags() if one.kind == kind]
        assert len(found) == 1, self.flags()
        return found[0]
