"""One session of Claude Code, put together again from its lines.

The API was called once per message id; the file has a line per content part, with results of
parallel tools between them. A turn therefore stays open until later turns have begun and its own
lines are far behind. The prompt of a turn is what the turn before sent, its answer, and what was
said since: `kept` and the fresh blocks. A compaction, or a prompt that was taken back and written
anew, goes on from an earlier place.
"""

from __future__ import annotations

from collections import deque

import msgspec

from bursar.dialects.lens import MessageReading
from bursar.intake.claude_lines import Line, Message, read_parts, unseen_block
from bursar.intake.lines import as_list, as_map
from bursar.model.block import Block, Role
from bursar.model.call import Tags
from bursar.model.entry import Entry, ToolOutcome, ToolUse

WINDOW_LINES = 64
"""A turn is complete when a later one has begun and no line of it came for this many lines."""
REMEMBERED = 200_000
"""Lines, and tool uses, that a session remembers; then it forgets them all and goes on."""
ROOT = (0, 0)
"""Before the first fresh block: what is left after a compaction is the unseen system prompt."""

Place = tuple[int, int]
"""A place in a prompt: (turn, number of its fresh blocks that come before)."""


class Fresh(msgspec.Struct):
    """What was said to the model since the answer before."""

    blocks: list[Block] = []
    outcomes: list[ToolOutcome] = []
    cut: Place | None = None
    """Where the prompt goes on from, when not from its end."""


class Turn(msgspec.Struct, kw_only=True):
    """One API call, while lines of it may still come."""

    message_id: str | None
    request_id: str | None
    key: str
    ordinal: int
    fresh: Fresh
    tags: Tags
    first_line: int
    last_line: int
    model: str | None = None
    effort: str | None = None
    stop: str | None = None
    usage: dict[str, object] | None = None
    cost_nano: int | None = None
    times: list[object] = []
    pieces: list[tuple[str, int, list[object]]] = []
    """(time, order of arrival, parts) of each line."""
    seen: set[str] = set()
    after_failure: bool = False

    def add(self, number: int, line: Line, message: Message) -> None:
        """One more line of this call. The counts of its last state are the true ones."""
        self.last_line = number
        self.request_id = self.request_id or line.request_id
        if line.uuid is not None:
            if line.uuid in self.seen:
                return
            self.seen.add(line.uuid)
        self.model = self.model or message.model
        self.effort = self.effort or (line.effort if isinstance(line.effort, str) else None)
        self.stop = message.stop_reason or self.stop
        self.times.append(line.timestamp)
        if message.content is not None:
            parts: list[object] = as_list(message.content) or [message.content]
            self.pieces.append((str(line.timestamp), len(self.pieces), parts))
        if message.usage is not None and _weight(message.usage) >= _weight(self.usage):
            self.usage = message.usage

    def answer(self, names: dict[str, str]) -> tuple[tuple[Block, ...], tuple[ToolUse, ...]]:
        """Blocks and tool uses, in the order of their times; a part logged twice counts once."""
        if not self.pieces:
            return (), ()
        parts: dict[object, object] = {}
        for _, _, held in sorted(self.pieces, key=lambda piece: piece[:2]):
            for part in held:
                part_id = as_map(part).get("id")
                same = part_id if isinstance(part_id, str) else msgspec.json.encode(part)
                parts.setdefault(same, part)
        reading = read_parts(list(parts.values()), Role.ASSISTANT, names)
        return reading.blocks, reading.tool_uses


class Prompt(msgspec.Struct, frozen=True):
    """The prompt of a turn, as `Call` has it."""

    blocks: tuple[Block, ...] | None
    kept: int | None


class Session:
    """The turns of one session that are still open, and where its prompt stands."""

    def __init__(self, name: str, agent: str) -> None:
        self.name = name
        self.queue: deque[Turn | Entry] = deque()
        self.failures = 0
        """Failed requests since the last answer."""
        self.tools: dict[str, str] = {}
        self.tag_source: tuple[object, ...] = ()
        self.tags = Tags(session=name)
        self._agent = agent
        self._fresh = Fresh()
        self._open: dict[str, Turn] = {}
        self._begun = 0
        self._starts: list[int] = []
        """For each emitted turn: the length of its prompt before its fresh blocks."""
        self._length = 0
        self._shown = False
        """Whether the file shows any content of this session, or only counts."""
        self._answer: tuple[Block, ...] = ()
        self._asked: dict[str, str] = {}
        self._places: dict[str, Place] = {}
        self._gone: list[tuple[Place, int]] = []
        """(place, turn): what came after the place and before the turn is on no later path."""

    # -- lines

    def hear(self, line: Line, reading: MessageReading) -> None:
        """Something was said to the model: a prompt, a tool result, a summary."""
        if line.is_compact_summary:
            self.compact()
        elif not reading.tool_outcomes and line.parent_uuid is not None:
            parent = self._places.get(line.parent_uuid)
            if parent is not None and parent[0] < self._begun and self._on_path(parent):
                self._go_back(parent)
        self._fresh.blocks.extend(reading.blocks)
        self._fresh.outcomes.extend(reading.tool_outcomes)
        self.remember(line)

    def attach(self, line: Line, blocks: tuple[Block, ...]) -> None:
        """The client put something beside the messages."""
        self._fresh.blocks.extend(blocks)
        self.remember(line)

    def compact(self) -> None:
        """All but the system prompt is replaced by what comes next."""
        self._go_back(ROOT)

    def open_turn(self, message_id: str | None, request_id: str | None) -> Turn | None:
        """The open turn that a line with these ids belongs to."""
        found = self._open.get(message_id) if message_id is not None else None
        if found is None or not found.request_id or not request_id:
            return found
        return found if found.request_id == request_id else None

    def begin(self, number: int, line: Line, message: Message, key: str) -> Turn:
        """A new API call, with everything that was said since the last."""
        fresh, self._fresh = self._fresh, Fresh()
        turn = Turn(
            message_id=message.id,
            request_id=line.request_id,
            key=key,
            ordinal=self._begun,
            fresh=fresh,
            tags=self.tags,
            first_line=number,
            last_line=number,
            after_failure=self.failures > 0,
        )
        self.failures = 0
        self._begun += 1
        self.queue.append(turn)
        if message.id is not None:
            self._open[message.id] = turn
        return turn

    def remember(self, line: Line, turn: Turn | None = None) -> None:
        """Where a line stands, so that a later one may name it as its parent."""
        if line.uuid is None:
            return
        if len(self._places) >= REMEMBERED:
            self._places.clear()
        if len(self.tools) >= REMEMBERED:
            self.tools.clear()
        here = (self._begun, len(self._fresh.blocks))
        self._places[line.uuid] = here if turn is None else (turn.ordinal + 1, 0)

    # -- turns

    def complete(self, number: int | None) -> Turn | Entry | None:
        """The next turn whose lines are all read, at a line of the file; None: none yet."""
        if not self.queue or (number is not None and len(self.queue) == 1):
            return None
        head = self.queue[0]
        if (
            isinstance(head, Turn)
            and number is not None
            and number - head.last_line <= WINDOW_LINES
        ):
            return None
        self.queue.popleft()
        if isinstance(head, Turn) and head.message_id is not None:
            self._open.pop(head.message_id, None)
        return head

    def prompt_of(self, turn: Turn, answer: tuple[Block, ...], uses: tuple[ToolUse, ...]) -> Prompt:
        """The prompt of the next completed turn; its answer joins the next one."""
        fresh = turn.fresh
        said = tuple(fresh.blocks)
        if not self._shown and not said and not answer:
            self._starts.append(0)
            return Prompt(blocks=None, kept=None)
        kept: int | None
        if not self._shown:
            kept, before = None, (unseen_block(self._agent),)
        elif fresh.cut is None:
            kept, before = self._length, (*self._answer, *self._unseen_results(turn))
        else:
            kept, before = self._position(fresh.cut), ()
        self._shown = True
        start = (kept or 0) + len(before)
        self._starts.append(start)
        self._length = start + len(said)
        self._answer = answer
        self._asked = {use.id: use.tool for use in uses if use.id is not None}
        return Prompt(blocks=before + said, kept=kept)

    def _unseen_results(self, turn: Turn) -> tuple[Block, ...]:
        """One block for what was sent between two answers and is not in the file."""
        answered = {outcome.id for outcome in turn.fresh.outcomes}
        missing = sorted(use for use in self._asked if use not in answered)
        if not missing and turn.fresh.blocks:
            return ()
        what = " ".join(missing) if missing else f"before {turn.key}"
        return (unseen_block(f"results of {what}", Role.TOOL),)

    def _position(self, place: Place) -> int:
        turn, fresh = place
        if turn >= len(self._starts):
            return self._length
        return min(self._starts[turn] + fresh, self._length)

    def _go_back(self, place: Place) -> None:
        if self._begun:
            self._gone.append((place, self._begun))
            self._fresh = Fresh(cut=place)

    def _on_path(self, place: Place) -> bool:
        return not any(start < place and place[0] < turn for start, turn in self._gone)


def _weight(usage: dict[str, object] | None) -> tuple[int, int]:
    """Orders the states of one call's usage: the later one has more output, then more fields."""
    if usage is None:
        return (-1, 0)
    output = usage.get("output_tokens")
    return (output if type(output) is int else -1, len(usage))
