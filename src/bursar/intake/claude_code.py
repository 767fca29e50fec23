"""Claude Code transcripts: `~/.claude/projects/<project>/<session>.jsonl` and sub-agents' files.

One entry per message id, never per line. Read line by line: `claude_lines` says what a line holds,
`claude_session` puts the turns of a session together again, and this module makes entries of
them. Also read: the `{"loglines": [...]}` export, and lines without `type` that carry a usage.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from bursar.intake.claude_bill import attempt_of
from bursar.intake.claude_lines import (
    DIALECT,
    Line,
    Message,
    attachment_blocks,
    decode_line_of,
    decode_message,
    learn_tools,
    read_parts,
    status_of,
)
from bursar.intake.claude_session import Session, Turn
from bursar.intake.documents import elements
from bursar.intake.lines import ABSENT, UNREAD, as_map, decode_line, why_unread
from bursar.intake.source import Head, Source
from bursar.intake.times import parse_time
from bursar.model.block import Role, digest_of
from bursar.model.call import Call, Limits, Tags
from bursar.model.entry import Answer, Attempt, Entry, Flag, SessionFact, Skip
from bursar.model.errors import BadInput
from bursar.model.money import nano_from_usd

NAME = "claude_code"
TITLE = "Claude Code transcripts"
APPLICATION = "claude-code"
SYNTHETIC = "<synthetic>"
"""The model of messages that the client wrote itself: they were never paid."""
STOPS = {"end_turn": "end", "stop_sequence": "end"}
OPEN_SESSIONS = 256
"""Sessions of one file that are read side by side; the least recently touched one is completed."""
LOGLINES = re.compile(rb'\s*\{\s*"loglines"\s*:\s*\[')
LONG_LINE = re.compile(rb'\{"(?:parentUuid|type"\s*:\s*"(?:user|assistant))"')
"""The start of a line that does not fit into the head."""
TYPES = ("user", "assistant")
BESIDE = ("summary", "system", "attachment", "progress", "queue-operation", "file-history-snapshot")
CHAIN = frozenset(("parentUuid", "leafUuid", "sessionId", "snapshot"))
"""One of these beside one of those types is no accident."""
Item = Entry | SessionFact | Skip | Flag


def recognises(head: Head) -> bool:
    """Typed messages in the shape that only this client writes, or its export."""
    if LOGLINES.match(head.raw):
        return True
    if any(_is_transcript(record) for record in head.records):
        return True
    one_long_line = not head.complete and b"\n" not in head.raw
    return one_long_line and LONG_LINE.match(head.raw) is not None


def _is_transcript(record: dict[str, Any]) -> bool:
    message = record.get("message")
    if record.get("type") in TYPES:
        return isinstance(message, dict) and "payload" not in record
    if "type" not in record and "usage" in as_map(message):
        return True
    return record.get("type") in BESIDE and not CHAIN.isdisjoint(record)


def read(source: Source) -> Iterator[Item]:
    """Entries of one transcript, in the order of their calls within each session."""
    reader = _Reader(source)
    for number, raw in _lines(source):
        yield from reader.line(number, raw)
    yield from reader.end()


def _lines(source: Source) -> Iterator[tuple[int, bytes]]:
    """(line, content) of a transcript, or of each element of an export."""
    if LOGLINES.match(source.head.raw):
        return elements(source, "loglines")
    return source.lines()


class _Reader:
    """One file on its way to entries."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.sessions: OrderedDict[str, Session] = OrderedDict()
        self.roots: dict[str, str] = {}
        self.done: set[int] = set()
        self.copies: list[int] = []
        self.unclosed: list[int] = []
        self.unzoned: list[int] = []

    def line(self, number: int, raw: bytes) -> Iterator[Item]:
        """What one line completes."""
        try:
            line = decode_line(decode_line_of, raw)
            message = self._message(line)
        except UNREAD as bad:
            self.source.skip(number, why_unread(raw, bad))
            return
        session = self._session(line)
        if message is not None:
            try:
                self._said(number, raw, line, message, session)
            except BadInput as bad:
                self.source.skip(number, bad.message)
        elif line.type is None:
            self.source.skip(number, "has neither a type nor a message: no line of a transcript")
        elif line.attachment is not ABSENT:
            session.attach(line, attachment_blocks(bytes(line.attachment), session.tools))
        else:
            self._event(number, raw, line, session)
        yield from self._completed(session, number)
        while len(self.sessions) > OPEN_SESSIONS:
            yield from self._completed(self.sessions.popitem(last=False)[1], None)

    def end(self) -> Iterator[Item]:
        """Everything that is still open, and what is to be said of the file as a whole."""
        for session in self.sessions.values():
            yield from self._completed(session, None)
        where = self.source.label
        if self.copies:
            what = f"{_places(self.copies)} repeat calls of this file; each is counted once"
            yield Flag(kind="duplicate_lines", where=where, what=what)
        if self.unclosed:
            what = (
                f"{_places(self.unclosed)}: the file holds no last line of these answers, so their"
                " output_tokens are those of the beginning and too low"
            )
            yield Flag(kind="usage_suspect", where=where, what=what)
        if self.unzoned:
            what = f"{_places(self.unzoned)}: times without a zone, read as UTC"
            yield Flag(kind="time_suspect", where=where, what=what)

    # -- one line

    @staticmethod
    def _message(line: Line) -> Message | None:
        if line.message is ABSENT or not (line.type is None or line.type in TYPES):
            return None
        return decode_line(decode_message, line.message)

    def _said(
        self, number: int, raw: bytes, line: Line, message: Message, session: Session
    ) -> None:
        if not _is_answer(line, message):
            session.hear(line, read_parts(message.content, Role.USER, session.tools))
            return
        if line.is_api_error_message:
            self._failed(number, raw, line, session)
        elif message.model == SYNTHETIC:
            session.remember(line)
        else:
            self._answered(number, raw, line, message, session)

    def _answered(
        self, number: int, raw: bytes, line: Line, message: Message, session: Session
    ) -> None:
        turn = session.open_turn(message.id, line.request_id)
        if turn is None:
            key = _key(line, message) or f"claude:line:{session.name}:{digest_of(raw):x}:{number}"
            if digest_of(key) in self.done:
                self.copies.append(number)
                return
            turn = session.begin(number, line, message, key)
        learn_tools(message.content, session.tools)
        turn.add(number, line, message)
        if line.cost_usd is not None:
            cost_nano = nano_from_usd(line.cost_usd, "costUSD")
            turn.cost_nano = max(cost_nano, turn.cost_nano or 0)
        session.remember(line, turn)

    def _event(self, number: int, raw: bytes, line: Line, session: Session) -> None:
        """A line that carries no message: of these, a compaction and a failure matter."""
        if line.subtype == "compact_boundary":
            session.compact()
        elif line.subtype == "api_error":
            self._failed(number, raw, line, session)
        session.remember(line)

    def _failed(self, number: int, raw: bytes, line: Line, session: Session) -> None:
        """A request that was refused: kept when its status is known, never charged."""
        session.remember(line)
        status = status_of(line)
        if status is None:
            return
        again = session.failures > 0
        session.failures += 1
        session.queue.append(
            Entry(
                call=Call(
                    key=f"claude:failed:{line.uuid or f'{digest_of(raw):x}:{number}'}",
                    at=parse_time(line.timestamp)[0],
                    dialect=DIALECT,
                    tags=session.tags,
                ),
                attempts=(
                    Attempt(
                        status=status,
                        is_retry=again,
                        retry_cause="provider" if again else None,
                    ),
                ),
                answer=Answer(status="failed"),
                origin=self.source.origin(number, NAME),
            )
        )

    # -- sessions

    def _session(self, line: Line) -> Session:
        name = line.session_id or self.source.path.stem
        part = line.agent_id or (self._root(line) if line.is_sidechain else None)
        if part is not None:
            name = f"{name}/{part}"
        session = self.sessions.get(name)
        if session is None:
            agent = "sub-agent" if part is not None else "main"
            kind = f"{APPLICATION}: system prompt and tools of {line.attribution_agent or agent}"
            session = self.sessions[name] = Session(name, kind)
        self.sessions.move_to_end(name)
        source = (line.cwd, line.version, line.entrypoint, line.git_branch, line.attribution_agent)
        if source != session.tag_source and any(source):
            session.tag_source = source
            session.tags = _tags(line, session.name)
        return session

    def _root(self, line: Line) -> str:
        """Older files mix sub-agents without id: each is the chain below its first line."""
        known = self.roots.get(line.parent_uuid or "")
        root = known or line.uuid or "sidechain"
        if line.uuid is not None:
            self.roots[line.uuid] = root
        return root

    # -- entries

    def _completed(self, session: Session, number: int | None) -> Iterator[Item]:
        while (one := session.complete(number)) is not None:
            if isinstance(one, Entry):
                yield one
            else:
                yield from self._entry(session, one)

    def _entry(self, session: Session, turn: Turn) -> Iterator[Item]:
        self.done.add(digest_of(turn.key))
        blocks, uses = turn.answer(session.tools)
        prompt = session.prompt_of(turn, blocks, uses)
        place = f"{self.source.label}:{turn.first_line}"
        attempt = attempt_of(turn)
        if attempt.usage is None and turn.usage:
            yield Flag(kind="usage_suspect", where=place, what=attempt.unpriced_reason or "")
        elif turn.stop is None and attempt.usage is not None:
            shown = sum(block.tokens or 0 for block in blocks)
            if shown > 2 * attempt.usage.answer + 20:
                self.unclosed.append(turn.first_line)
        at, zoned = parse_time(min(turn.times, key=str, default=None))
        if at is not None and not zoned:
            self.unzoned.append(turn.first_line)
        yield Entry(
            call=Call(
                key=turn.key,
                at=at,
                dialect=DIALECT,
                provider=attempt.provider,
                model=turn.model,
                blocks=prompt.blocks,
                kept=prompt.kept,
                tags=turn.tags,
                limits=Limits(effort=turn.effort),
            ),
            attempts=(attempt,),
            answer=Answer(
                blocks=blocks,
                tool_uses=uses,
                stop=STOPS.get(turn.stop, turn.stop) if turn.stop is not None else None,
            ),
            tool_outcomes=tuple(turn.fresh.outcomes),
            origin=self.source.origin(turn.first_line, NAME),
        )


def _is_answer(line: Line, message: Message) -> bool:
    if line.type is not None:
        return line.type == "assistant"
    return message.role == "assistant" or message.usage is not None


def _key(line: Line, message: Message) -> str | None:
    """The same in every file that the line was copied to; None for a line without any id."""
    if message.id is not None:
        return f"claude:{message.id}:{line.request_id or ''}"
    if line.request_id is not None:
        return f"claude:request:{line.request_id}"
    return f"claude:line:{line.uuid}" if line.uuid is not None else None


def _tags(line: Line, session: str) -> Tags:
    named = {
        "agent": line.attribution_agent,
        "entrypoint": line.entrypoint,
        "version": line.version,
        "branch": line.git_branch,
    }
    folder = re.split(r"[/\\]", line.cwd.rstrip("/\\"))[-1] if line.cwd else ""
    return Tags(
        application=APPLICATION,
        route=folder or None,
        workflow=line.attribution_agent,
        session=session,
        other={name: value for name, value in named.items() if value},
    )


def _places(lines: list[int]) -> str:
    """`lines 3, 9, 12 and 40 more`."""
    shown = ", ".join(map(str, lines[:3]))
    more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
    return f"lines {shown}{more}" if len(lines) > 1 else f"line {shown}"
