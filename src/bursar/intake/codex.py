"""Codex CLI sessions: `~/.codex/sessions/YYYY/MM/DD/rollout-<time>-<id>.jsonl`.

One entry per response that the API counted: a `token_count` event whose total has changed. What
the model said since the count before is that call's answer; what came after it (tool results, the
next prompt) belongs to the next call. A file without any count is cut where the model begins to
speak again. A forked session opens with a copy of its parent's history: read as prompt, not paid
twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from bursar.dialects.lens import MessageReading, message_blocks, read_usage
from bursar.intake.codex_prompt import Conversation
from bursar.intake.lines import ABSENT, UNREAD, as_list, as_map, decode_line, why_unread
from bursar.intake.source import Head, Source
from bursar.intake.times import parse_time
from bursar.model.block import Block
from bursar.model.call import Call, Limits, Tags
from bursar.model.entry import Answer, Attempt, Entry, Flag, SessionFact, Skip
from bursar.model.errors import BadInput
from bursar.model.usage import Usage

NAME = "codex"
TITLE = "Codex CLI sessions"
DIALECT = "openai_responses"
APPLICATION = "codex"
PROVIDER = "openai"
"""Who serves a session that names no provider of its own."""
TYPES = ("session_meta", "turn_context", "response_item", "event_msg", "compacted")
SAID = re.compile(r"message|.*_output|agent_message")
"""Items without a role that are said to the model; every other one comes from it."""
COUNTS = b'"total_token_usage"'
REPLAY_GAP = timedelta(seconds=1)
"""A fork's copied lines are written in one go; a model takes longer than this to answer."""
Item = Entry | SessionFact | Skip | Flag
Json = dict[str, Any]


class Line(msgspec.Struct):
    """One line of the wrapped form."""

    type: str | None = None
    timestamp: Any = None
    payload: msgspec.Raw = ABSENT


_decode_line = msgspec.json.Decoder(Line).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def recognises(head: Head) -> bool:
    """Wrapped lines, or the bare items of the old form behind its first line."""
    for place, record in enumerate(head.records):
        if isinstance(record.get("payload"), dict) and record.get("type") in TYPES:
            return True
        if "record_type" in record or (place == 0 and _is_old_meta(record)):
            return True
    return not head.records and b'"type":"session_meta"' in head.raw[:400].replace(b" ", b"")


def _is_old_meta(record: Json) -> bool:
    return {"id", "timestamp", "instructions"} <= record.keys() and "messages" not in record


def read(source: Source) -> Iterator[Item]:
    """Entries of one session file, in the order of its calls."""
    reader = _Reader(source)
    for number, raw in source.lines():
        try:
            line = decode_line(_decode_line, raw)
            yield from reader.line(number, raw, line)
        except UNREAD as bad:
            source.skip(number, why_unread(raw, bad))
        except BadInput as bad:
            source.skip(number, bad.message)
    yield from reader.end()


class _Replay(msgspec.Struct):
    """Whether a line still belongs to the history that a fork copied from its parent."""

    possible: bool = False
    ended: bool = False
    start: datetime | None = None
    last: datetime | None = None

    def covers(self, at: datetime | None) -> bool:
        if not self.possible or self.ended or at is None:
            return self.possible and not self.ended
        if self.start is None or self.last is None:
            self.start = self.last = at
        elif at - self.last >= REPLAY_GAP and at >= self.start:
            self.ended = True
        self.last = max(at, self.last)
        return not self.ended


class _Reader:
    """One file on its way to entries."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.session = source.path.stem
        self.named = False
        self.counted = COUNTS in source.head.raw
        """Whether the file has counts: then a call ends at its count and nowhere else."""
        self.calls = 0
        self.total: Json = {}
        self.model: str | None = None
        self.effort: str | None = None
        self.provider = PROVIDER
        self.cwd: str | None = None
        self.other: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.talk = Conversation()
        self.replay = _Replay()

    def line(self, number: int, raw: bytes, line: Line) -> Iterator[Item]:
        """What one line completes."""
        at = parse_time(line.timestamp)[0]
        if line.payload is ABSENT:
            yield from self._bare(number, at, decode_line(_decode_object, raw))
            return
        payload = decode_line(_decode_object, line.payload)
        copied = self.replay.covers(at) if line.type != "session_meta" else True
        if line.type == "session_meta":
            self._meta(payload, at)
        elif line.type == "turn_context":
            self._context(payload)
        elif line.type == "compacted":
            self._compacted(payload)
        elif line.type == "response_item":
            yield from self._item(number, at, payload, copied)
        elif payload.get("type") == "token_count":
            yield from self._count(number, at, payload, copied)

    def end(self) -> Iterator[Item]:
        """A file without counts ends with a call; behind the last count nothing is paid yet."""
        if not self.counted and self.talk.answer:
            yield self._entry(None, None)

    # -- kinds of lines

    def _bare(self, number: int, at: datetime | None, item: Json) -> Iterator[Item]:
        kind = item.get("type")
        if isinstance(kind, str):
            yield from self._item(number, at, item, False)
        elif _is_old_meta(item):
            self._meta(item, at)
        elif "record_type" not in item:
            raise BadInput("is no line of a Codex session: it has neither a type nor a payload")

    def _meta(self, meta: Json, at: datetime | None) -> None:
        """The first one names the session; a second one is copied from the session's parent."""
        session = meta.get("id") or meta.get("session_id")
        if self.named:
            self.replay.possible |= session != self.session
            return
        if isinstance(session, str) and session:
            self.session = session
        self.named = True
        spawned = "subagent" in as_map(meta.get("source"))
        self.replay.possible = bool(meta.get("forked_from_id")) or spawned
        self.replay.covers(at)
        self.provider = _text(meta.get("model_provider")) or PROVIDER
        self.model = self.model or _text(meta.get("model"))
        self.cwd = _text(meta.get("cwd"))
        named = {
            "entrypoint": meta.get("originator"),
            "version": meta.get("cli_version"),
            "branch": as_map(meta.get("git")).get("branch"),
            "forked_from": meta.get("forked_from_id"),
        }
        self.other = {name: text for name, value in named.items() if (text := _text(value))}
        base = meta.get("base_instructions")
        text = as_map(base).get("text", base)
        if isinstance(text, str) and text:
            message = {"role": "system", "content": text}
            self.talk.head = message_blocks(message, {}).blocks

    def _context(self, context: Json) -> None:
        self.model = _text(context.get("model")) or self.model
        self.effort = _text(context.get("effort"))
        self.cwd = _text(context.get("cwd")) or self.cwd

    def _compacted(self, payload: Json) -> None:
        """The conversation so far is replaced by a summary."""
        history = payload.get("replacement_history")
        summary = {"role": "user", "content": payload.get("message") or ""}
        blocks: list[Block] = []
        for item in as_list(history) or [summary]:
            blocks.extend(self._reading(as_map(item)).blocks)
        self.talk.replace(blocks)

    def _item(self, number: int, at: datetime | None, item: Json, copied: bool) -> Iterator[Item]:
        reading = self._reading(item)
        if copied:
            self.talk.hear(reading)
        elif _is_said(item):
            self.talk.hear(reading)
        else:
            if not self.counted and self.talk.answer and self.talk.heard_since:
                yield self._entry(None, None)
            self.talk.speak(reading, number, at, _searches(item))

    def _reading(self, item: Json) -> MessageReading:
        return message_blocks(item, self.names)

    def _count(
        self, number: int, at: datetime | None, payload: Json, copied: bool
    ) -> Iterator[Item]:
        told = as_map(payload.get("info"))
        total, last = as_map(told.get("total_token_usage")), as_map(told.get("last_token_usage"))
        before, self.total = self.total, total or self.total
        if copied or not (total or last) or (total and _same(total, before)):
            return
        self.counted = True
        self.model = _text(told.get("model")) or self.model
        self.talk.mark(number, at)
        yield from self._paid(number, _step(total, last, before))

    # -- entries

    def _paid(self, number: int, step: Json) -> Iterator[Item]:
        searches = self.talk.searches
        try:
            usage, _ = read_usage(_as_response(step), DIALECT)
            if not usage.prompt and not usage.answer:
                return
            if searches:
                other = {**usage.other, "web_searches": searches}
                usage = msgspec.structs.replace(usage, other=other)
        except BadInput as bad:
            where = f"{self.source.label}:{number}"
            yield Flag(kind="usage_suspect", where=where, what=bad.message)
            yield self._entry(None, bad.message)
            return
        yield self._entry(usage, None)

    def _entry(self, usage: Usage | None, reason: str | None) -> Entry:
        turn = self.talk.end_turn(f"{self.session}:{self.calls}")
        key = f"codex:{self.session}:{self.calls}"
        self.calls += 1
        folder = re.split(r"[/\\]", self.cwd.rstrip("/\\"))[-1] if self.cwd else ""
        return Entry(
            call=Call(
                key=key,
                at=turn.at,
                dialect=DIALECT,
                provider=self.provider,
                model=self.model,
                blocks=turn.blocks,
                kept=turn.kept,
                tags=Tags(
                    application=APPLICATION,
                    route=folder or None,
                    session=self.session,
                    other=self.other,
                ),
                limits=Limits(effort=self.effort),
            ),
            attempts=(
                Attempt(
                    provider=self.provider,
                    model=self.model,
                    usage=usage,
                    unpriced_reason=reason,
                ),
            ),
            answer=Answer(blocks=turn.answer, tool_uses=turn.tool_uses),
            tool_outcomes=turn.tool_outcomes,
            origin=self.source.origin(turn.line, NAME),
        )


def _is_said(item: Json) -> bool:
    """Whether an item is said to the model rather than by it."""
    role = item.get("role")
    if isinstance(role, str):
        return role != "assistant"
    return SAID.fullmatch(str(item.get("type"))) is not None


def _searches(item: Json) -> int:
    """Searches are billed per call and counted only by their items."""
    if item.get("type") != "web_search_call":
        return 0
    return int(as_map(item.get("action")).get("type") in (None, "search"))


COUNTED = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_output_tokens",
)


def _same(total: Json, before: Json) -> bool:
    return all(total.get(name) == before.get(name) for name in COUNTED)


def _step(total: Json, last: Json, before: Json) -> Json:
    """The counts of one call: as told, else what the total has grown by."""
    if any(last.get(name) for name in COUNTED):
        return last
    if not before or not _grown(total, before):
        return total
    return {
        name: total[name] - (before.get(name) or 0)
        for name in COUNTED
        if type(total.get(name)) is int
    }


def _grown(total: Json, before: Json) -> bool:
    """Whether a total goes on from the one before, rather than from nothing."""
    pairs = [(total.get(name) or 0, before.get(name) or 0) for name in COUNTED]
    return all(type(a) is int and type(b) is int and a >= b for a, b in pairs)


def _as_response(counts: Json) -> Json:
    """The client's names as those of the API, whose conventions they keep: cached tokens are part
    of the input, reasoning tokens of the output."""
    return {
        "input_tokens": counts.get("input_tokens"),
        "output_tokens": counts.get("output_tokens"),
        "input_tokens_details": {
            "cached_tokens": counts.get("cached_input_tokens"),
            "cache_write_tokens": counts.get("cache_write_input_tokens"),
        },
        "output_tokens_details": {"reasoning_tokens": counts.get("reasoning_output_tokens")},
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
