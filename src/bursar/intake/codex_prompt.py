"""The conversation of one Codex session: what each call sent, and what came back.

The client resends everything, so a call's prompt is the prompt before it, its answer, and what was
heard since. What the model says while it is answering goes to the answer; a tool result that is
written before the count of the call that asked for it belongs to the next call all the same.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from bursar.dialects.lens import MessageReading
from bursar.model.block import Block, Kind, Role, digest_of
from bursar.model.entry import ToolOutcome, ToolUse

UNSEEN = Block(
    role=Role.SYSTEM,
    kind=Kind.UNSEEN,
    digest=digest_of("codex: system prompt and tools"),
    tokens=None,
)
"""Tool specifications are never in the file; the instructions only in newer ones."""


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """One finished call."""

    blocks: tuple[Block, ...] | None
    kept: int | None
    answer: tuple[Block, ...]
    tool_uses: tuple[ToolUse, ...]
    tool_outcomes: tuple[ToolOutcome, ...]
    at: datetime | None
    line: int | None


class Conversation:
    """Follows one file. A call begins when the model speaks and ends with `end_turn`."""

    def __init__(self) -> None:
        self.head: tuple[Block, ...] = ()
        """The instructions, where the file shows them."""
        self.answer: list[Block] = []
        self.searches = 0
        self.heard_since = False
        """Something was said to the model after it began to answer."""
        self._uses: list[ToolUse] = []
        self._speaking = False
        self._now: list[Block] = []
        self._now_outcomes: list[ToolOutcome] = []
        self._next: list[Block] = []
        self._next_outcomes: list[ToolOutcome] = []
        self._before: tuple[Block, ...] = ()
        """The answer before, which the next prompt carries."""
        self._asked: tuple[str, ...] = ()
        self._length = 0
        self._replaced = self._next_replaced = False
        self._shown = False
        self._at: datetime | None = None
        self._line: int | None = None

    def hear(self, reading: MessageReading) -> None:
        """Something is said to the model."""
        if self._speaking:
            self.heard_since = True
            self._next.extend(reading.blocks)
            self._next_outcomes.extend(reading.tool_outcomes)
        else:
            self._now.extend(reading.blocks)
            self._now_outcomes.extend(reading.tool_outcomes)

    def speak(self, reading: MessageReading, line: int, at: datetime | None, searches: int) -> None:
        """The model says something."""
        self.mark(line, at)
        self._speaking = True
        self.searches += searches
        self.answer.extend(reading.blocks)
        self._uses.extend(reading.tool_uses)

    def mark(self, line: int, at: datetime | None) -> None:
        """Where and when the call under way was first seen."""
        self._line = line if self._line is None else self._line
        self._at = at if self._at is None else self._at

    def replace(self, blocks: list[Block]) -> None:
        """Everything but the head is replaced by a summary."""
        if self._speaking:
            self._next, self._next_outcomes, self._next_replaced = list(blocks), [], True
        else:
            self._now, self._now_outcomes, self._replaced = list(blocks), [], True

    def end_turn(self, key: str) -> Spoken:
        """The call under way is complete."""
        said, answer = tuple(self._now), tuple(self.answer)
        outcomes, uses = tuple(self._now_outcomes), tuple(self._uses)
        blocks, kept = self._prompt(key, said, answer)
        found = Spoken(
            blocks=blocks,
            kept=kept,
            answer=answer,
            tool_uses=uses,
            tool_outcomes=outcomes,
            at=self._at,
            line=self._line,
        )
        self._before = answer
        self._asked = tuple(use.id for use in uses if use.id is not None)
        self._now, self._next = self._next, []
        self._now_outcomes, self._next_outcomes = self._next_outcomes, []
        self.answer, self._uses, self.searches = [], [], 0
        self._replaced, self._next_replaced = self._next_replaced, False
        self._speaking = self.heard_since = False
        self._at = self._line = None
        return found

    def _prompt(
        self, key: str, said: tuple[Block, ...], answer: tuple[Block, ...]
    ) -> tuple[tuple[Block, ...] | None, int | None]:
        if not self._shown and not said and not answer:
            return None, None
        head = (*self.head, UNSEEN)
        if not self._shown:
            kept, before = None, head
        elif self._replaced:
            kept, before = len(head), ()
        else:
            kept, before = self._length, (*self._before, *self._unseen_results(key, said))
        self._shown = True
        self._length = (kept or 0) + len(before) + len(said)
        return before + said, kept

    def _unseen_results(self, key: str, said: tuple[Block, ...]) -> tuple[Block, ...]:
        answered = {outcome.id for outcome in self._now_outcomes}
        missing = [use for use in self._asked if use not in answered]
        if not missing and said:
            return ()
        what = " ".join(missing) if missing else f"before {key}"
        digest = digest_of(f"results of {what}")
        return (Block(role=Role.TOOL, kind=Kind.UNSEEN, digest=digest, tokens=None),)
