"""Traces while they are read: which of their model spans are calls, and what stands around them.

Frameworks nest: a span of the framework, one of the kit and one of the SDK may describe the same
call, and agents report sums. Only leaves count: a model span with a counted model span below it
is a wrapper. So the spans of a trace are held until its file ends or `HELD_SPANS` are held; then
the trace that was touched longest ago is taken as it is. Calls reported twice are told by their
response id.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

import msgspec

from bursar.intake.labels import with_labels
from bursar.intake.ordering import Item
from bursar.model.block import digest_of
from bursar.model.entry import Entry, Flag, ToolOutcome

HELD_SPANS = 200_000
"""Spans held at a time, without their texts. A trace that is spread wider over its file may have a
wrapper counted as a call where the response has no id."""
DEEPEST = 500
"""Spans above one another that are followed."""


class Node(msgspec.Struct, kw_only=True):
    """What is kept of a span."""

    parent: str
    start_nano: int
    end_nano: int
    session: str | None
    labels: tuple[tuple[str, object], ...]
    entry: Entry | None = None
    flags: list[Flag] = []
    tool: ToolOutcome | None = None
    retried: bool = False
    """A tool that asked the model to try again."""

    @property
    def counted(self) -> bool:
        return self.entry is not None and self.entry.attempts[0].usage is not None

    @property
    def failed(self) -> bool:
        return self.entry is not None and (self.entry.attempts[0].status or 200) >= 400


_Trace = dict[str, Node]


class Traces:
    """The traces of one file, while their spans come in."""

    def __init__(self) -> None:
        self.held = 0
        self.taken = 0
        self.given = 0
        self._open: OrderedDict[str, _Trace] = OrderedDict()
        self._keys: set[int] = set()
        """Calls that were given, by the hash of their key."""

    def take(self, trace: str, span: str, node: Node) -> Iterator[Item]:
        """Hold one span; give the calls of a trace where too many are held."""
        spans = self._open.setdefault(trace, {})
        self._open.move_to_end(trace)
        self.taken += 1
        span = span or f"unnamed {self.taken}"
        if span in spans:
            return
        self.held += 1
        spans[span] = node
        if self.held > HELD_SPANS:
            yield from self._give([self._open.popitem(last=False)])

    def end(self) -> Iterator[Item]:
        """The calls of all traces that are still held."""
        traces = list(self._open.items())
        self._open.clear()
        yield from self._give(traces)

    def _give(self, traces: list[tuple[str, _Trace]]) -> Iterator[Item]:
        """The calls of these traces, earliest first, each key once."""
        found: dict[str, _Given] = {}
        by_response: dict[str, str] = {}
        for name, trace in traces:
            self.held -= len(trace)
            for node, entry in _calls(name, trace):
                call = _Given(node.start_nano, node.end_nano, entry, list(node.flags))
                response = entry.attempts[0].provider_request_id or entry.call.key
                twin = found.get(by_response.get(response, ""))
                if twin is not None and twin.is_same(call):
                    twin.merge(call)
                    continue
                by_response[response] = entry.call.key
                found[entry.call.key] = call
        for call in sorted(found.values(), key=lambda one: one.start_nano):
            key = digest_of(call.entry.call.key)
            if key in self._keys:
                continue
            self._keys.add(key)
            self.given += 1
            yield call.entry
            yield from call.flags


class _Given(msgspec.Struct):
    """A call that is about to be given, and a span that may report it again."""

    start_nano: int
    end_nano: int
    entry: Entry
    flags: list[Flag]

    def is_same(self, other: _Given) -> bool:
        """One key; or, where response ids are not unique, one id, one time and one count."""
        mine, theirs = self.entry, other.entry
        if mine.call.key == theirs.call.key:
            return True
        overlap = self.start_nano <= other.end_nano and other.start_nano <= self.end_nano
        return overlap and mine.attempts[0].usage == theirs.attempts[0].usage

    def merge(self, other: _Given) -> None:
        """Keep the fuller report under the key that is known, and say where they contradict."""
        mine, theirs = self.entry, other.entry
        best = max((mine, theirs), key=_fullness)
        call = msgspec.structs.replace(best.call, key=mine.call.key)
        self.entry = msgspec.structs.replace(best, call=call)
        self.start_nano = min(self.start_nano, other.start_nano)
        self.flags += other.flags
        counts = [mine.attempts[0].usage, theirs.attempts[0].usage]
        if None not in counts and counts[0] != counts[1] and theirs.origin is not None:
            where = f"{theirs.origin.file}:{theirs.origin.line}"
            what = f"two spans of call {mine.call.key} count {counts[0]} and {counts[1]}"
            self.flags.append(Flag(kind="contradiction", where=where, what=what))


def _fullness(entry: Entry) -> tuple[bool, bool, bool]:
    answered = entry.answer is not None and bool(entry.answer.blocks)
    return entry.attempts[0].usage is not None, entry.call.blocks is not None, answered


def _above(trace: _Trace, node: Node) -> Iterator[Node]:
    """The spans around a span, nearest first."""
    for _ in range(DEEPEST):
        parent = trace.get(node.parent)
        if parent is None or parent is node:
            return
        yield parent
        node = parent


def _leaves(trace: _Trace) -> list[Node]:
    """Model spans that are calls, in the order of their start."""
    models = [node for node in trace.values() if node.entry is not None]
    over_any: set[int] = set()
    over_counted: set[int] = set()
    under_counted: set[int] = set()
    for node in models:
        for above in _above(trace, node):
            over_any.add(id(above))
            if node.counted:
                over_counted.add(id(above))
            if above.counted:
                under_counted.add(id(node))
    leaves = [
        node
        for node in models
        if id(node) not in over_counted
        and (node.counted or id(node) not in over_any)
        and (node.counted or node.failed or id(node) not in under_counted)
    ]
    return sorted(leaves, key=lambda node: node.start_nano)


def _calls(name: str, trace: _Trace) -> Iterator[tuple[Node, Entry]]:
    """The calls of a trace with the sessions, labels and tools of the spans around them."""
    tools = sorted(
        (node for node in trace.values() if node.tool is not None), key=lambda node: node.end_nano
    )
    leaves = _leaves(trace)
    shown = {
        outcome.id
        for node in leaves
        if node.entry is not None
        for outcome in node.entry.tool_outcomes
    }
    unseen = [node for node in tools if node.tool and node.tool.id not in shown]
    by_id: dict[str | None, Node] = {
        node.tool.id: node for node in tools if node.tool and node.tool.id is not None
    }
    for node in leaves:
        assert node.entry is not None
        around = [node, *_above(trace, node)]
        tags = node.entry.call.tags
        for one in around:
            tags = with_labels(tags, one.labels)
        session = next((one.session for one in around if one.session), None) or name
        before = [tool for tool in unseen if tool.end_nano <= node.start_nano]
        unseen = [tool for tool in unseen if tool.end_nano > node.start_nano]
        outcomes, retried = _joined(node.entry.tool_outcomes, by_id, before)
        cause = "tool" if retried and not tags.is_retry else tags.retry_cause
        tags = msgspec.structs.replace(
            tags,
            session=session or None,
            is_retry=tags.is_retry or retried,
            retry_cause=cause,
        )
        call = msgspec.structs.replace(node.entry.call, tags=tags)
        yield node, msgspec.structs.replace(node.entry, call=call, tool_outcomes=outcomes)


def _joined(
    shown: tuple[ToolOutcome, ...], by_id: dict[str | None, Node], unseen: Iterable[Node]
) -> tuple[tuple[ToolOutcome, ...], bool]:
    """Outcomes in the prompt with what their spans know, then those that no prompt shows."""
    found: list[ToolOutcome] = []
    retried = False
    for outcome in shown:
        node = by_id.get(outcome.id) if outcome.id is not None else None
        if node is not None and node.tool is not None:
            retried = retried or node.retried
            failed = outcome.failed if node.tool.failed is None else node.tool.failed
            tool = outcome.tool or node.tool.tool
            outcome = msgspec.structs.replace(outcome, failed=failed, tool=tool)
        found.append(outcome)
    for node in unseen:
        if node.tool is not None:
            found.append(node.tool)
            retried = retried or node.retried
    return tuple(found), retried
