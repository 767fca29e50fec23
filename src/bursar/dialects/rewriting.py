"""A prompt written anew where its blocks say otherwise, and only there.

`rewritten` holds the blocks of a body against those that it should have: a block with another mark,
a block with a text of its own (`body`) in place of what was there, a block that is missing. The
message, tool or system text that such a block stands in is decoded, changed and encoded; every
other byte of the body stays as it came. Nothing to change: the very same body comes back.

Which part of a message a block is, is found by reading its parts as the lens reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from bursar.dialects.messages import message_blocks
from bursar.dialects.parts import read_part
from bursar.dialects.sheet import Sheet
from bursar.dialects.wire import as_list, as_map, is_map
from bursar.model.block import Block, Mark, Role
from bursar.model.errors import BadInput

Json = Any
Slot = tuple[str, int]
"""Field of a message and place in it; -1: the field as a whole."""
ITEM = "item"
"""Stands for the field where a message is one part itself, as the items of Responses are."""

CONTROL = "cache_control"
CONTROLLED = frozenset({"anthropic_messages", "bedrock_invoke"})
"""Dialects whose marks are a field of the part..."""
POINTED = frozenset({"bedrock_converse"})
"""...and those whose marks are a part of their own."""
MARKED = CONTROLLED | POINTED
"""Dialects in which a client can mark."""
UNMARKABLE = frozenset({"thinking", "redacted_thinking"})
"""Parts that no mark may stand on."""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.encode


class Change(NamedTuple):
    """What becomes of one block: None is as before."""

    is_gone: bool = False
    mark: Mark | None = None
    text: str | None = None


SAME = Change()


def rewritten(body: bytes, dialect: str, before: Sequence[Block], after: Sequence[Block]) -> bytes:
    """The body with the blocks `after`, which was read as `before`.

    Each of `after` is one of `before`, in the same order and at the same path, where need be with
    another `mark`, or with a `body` that is its new text. Raises BadInput where a block cannot be
    found in the body, or cannot be changed so.
    """
    if after is before:
        return body
    if len(before) == len(after):
        changed = _replaced(before, after)
    else:
        changed = {
            path: changes
            for path, changes in _changes(before, after)
            if any(one is not SAME for one in changes)
        }
    if not changed:
        return body
    fields: dict[str, bytes | msgspec.Raw] = dict(_fields(body))
    tops: dict[str, dict[str, list[Change]]] = {}
    for path, changes in changed.items():
        tops.setdefault(path.split("/")[1], {})[path] = changes
    for name, places in tops.items():
        written = _field(fields[name], f"/{name}", places, dialect)
        if written is None:
            del fields[name]
        else:
            fields[name] = written
    pieces = [_encode(name) + b":" + bytes(raw) for name, raw in fields.items()]
    return b"{" + b",".join(pieces) + b"}"


def _replaced(before: Sequence[Block], after: Sequence[Block]) -> dict[str, list[Change]]:
    """The same where no block is missing, which is so for marks: few blocks are looked at."""
    places = {
        _path(old)
        for old, new in zip(before, after, strict=True)
        if old is not new and _change(old, new) is not SAME
    }
    found: dict[str, list[Change]] = {path: [] for path in places}
    for old, new in zip(before, after, strict=True) if places else ():
        if old.path in places:
            found[old.path].append(_change(old, new))
    return found


def _changes(before: Sequence[Block], after: Sequence[Block]) -> Iterator[tuple[str, list[Change]]]:
    """Path -> what becomes of each of its blocks."""
    rest = {path: list(group) for path, group in groupby(after, key=_path)}
    for path, group in groupby(before, key=_path):
        was, now = list(group), rest.get(path, [])
        if len(was) == len(now):
            yield path, [_change(old, new) for old, new in zip(was, now, strict=True)]
            continue
        left = iter(now)
        ahead = next(left, None)
        found: list[Change] = []
        for old in was:
            if ahead is not None and ahead.digest == old.digest:
                found.append(_change(old, ahead))
                ahead = next(left, None)
            else:
                found.append(Change(is_gone=True))
        if ahead is not None:
            raise BadInput(
                f"{path}: a block that was not there cannot be put in", mend="change blocks only"
            )
        yield path, found


def _path(block: Block) -> str:
    if block.path is None:
        raise BadInput("a block has no place in the body", mend="change blocks that were read")
    return block.path


def _change(old: Block, new: Block) -> Change:
    mark = new.mark if new.mark is not old.mark else None
    text = new.body if new.digest != old.digest else None
    return SAME if mark is None and text is None else Change(mark=mark, text=text)


def _field(
    raw: bytes | msgspec.Raw, path: str, places: Mapping[str, list[Change]], dialect: str
) -> bytes | None:
    """A field of the body, with changes at some paths in it; None: nothing of it is left."""
    if path in places:
        if all(one.is_gone for one in places[path]):
            return None
        value = msgspec.json.decode(raw)
        return _encode(_whole(value, path, places[path], dialect))
    if bytes(raw).lstrip()[:1] == b"{":
        inner: dict[str, bytes | msgspec.Raw] = dict(_fields(raw))
        for name in {place[len(path) + 1 :].split("/")[0] for place in places}:
            written = _field(inner[name], f"{path}/{name}", places, dialect)
            if written is None:
                return None
            inner[name] = written
        return b"{" + b",".join(_encode(n) + b":" + bytes(r) for n, r in inner.items()) + b"}"
    kept: list[bytes] = []
    for place, item in enumerate(_items(raw)):
        changes = places.get(f"{path}/{place}")
        if changes is None:
            kept.append(bytes(item))
        elif not all(one.is_gone for one in changes):
            kept.append(_encode(_message(msgspec.json.decode(item), changes, dialect)))
    return b"[" + b",".join(kept) + b"]"


def _whole(value: Json, path: str, changes: Sequence[Change], dialect: str) -> Json:
    """Tools, or a system prompt."""
    if isinstance(value, str):
        parts: list[Json] = [{"type": "text", "text": value}]
        if dialect in POINTED or not any(one.mark for one in changes):
            return changes[0].text if changes[0].text is not None else value
        return _parts(parts, [(0, changes[0])], dialect)
    parts = as_list(value)
    slots = _tool_slots(parts) if path.endswith("tools") else _part_slots(parts, Role.SYSTEM)
    if len(slots) != len(changes):
        raise BadInput(f"{path} does not hold the blocks that were read", mend="report this body")
    return _parts(parts, list(zip(slots, changes, strict=True)), dialect)


def _message(message: Json, changes: Sequence[Change], dialect: str) -> Json:
    """A message with its blocks changed."""
    found = as_map(message)
    slots = _slots(found)
    if len(slots) != len(changes):
        raise BadInput("a message does not hold the blocks that were read", mend="report this body")
    if slots and slots[0][0] == ITEM:
        text = changes[0].text
        return found if text is None else _with_text(found, text)
    of_content = [
        (place, change)
        for (name, place), change in zip(slots, changes, strict=True)
        if name == "content"
    ]
    others = [
        (place, change)
        for (name, place), change in zip(slots, changes, strict=True)
        if name != "content" and change.is_gone
    ]
    fields = dict(found)
    if others:
        gone = {place for place, _ in others}
        kept = [one for n, one in enumerate(as_list(fields["tool_calls"])) if n not in gone]
        fields["tool_calls"] = kept
        if not kept:
            del fields["tool_calls"]
    content = fields.get("content")
    if isinstance(content, str):
        fields["content"] = _text(content, of_content, dialect)
    elif content is not None and of_content:
        fields["content"] = _parts(as_list(content), of_content, dialect)
    return fields


def _text(content: str, changes: Sequence[tuple[int, Change]], dialect: str) -> Json:
    change = changes[0][1] if changes else SAME
    if change.is_gone:
        return ""
    text = content if change.text is None else change.text
    if change.mark in (None, Mark.NONE) or dialect not in CONTROLLED:
        return text
    return _parts([{"type": "text", "text": text}], [(0, Change(mark=change.mark))], dialect)


def _parts(
    parts: Sequence[Json], changes: Sequence[tuple[int, Change]], dialect: str
) -> list[Json]:
    """The parts of a message, a system prompt, or tools, with those at some places changed."""
    at = dict(changes)
    found: list[Json] = []
    for place, part in enumerate(parts):
        change = at.get(place, SAME)
        if change.is_gone:
            continue
        one = part if change.text is None else _with_text(part, change.text)
        found.append(one)
        if change.mark is not None and change.mark is not Mark.NONE:
            _mark(found, change.mark, dialect)
    return found


def _mark(parts: list[Json], mark: Mark, dialect: str) -> None:
    """A mark at the last of the parts that can bear one."""
    if dialect in POINTED:
        point = {"type": "default"} if mark is Mark.M5 else {"type": "default", "ttl": mark.value}
        parts.append({"cachePoint": point})
        return
    control = {"type": "ephemeral"} if mark is Mark.M5 else {"type": "ephemeral", "ttl": mark.value}
    for place in range(len(parts) - 1, -1, -1):
        part = parts[place]
        if is_map(part) and as_map(part).get("type") not in UNMARKABLE:
            parts[place] = {**as_map(part), CONTROL: control}
            return


def _with_text(part: Json, text: str) -> Json:
    """The part with another text: a text, or the result of a tool."""
    fields = as_map(part)
    if isinstance(part, str):
        return text
    if "toolResult" in fields:
        return {
            **fields,
            "toolResult": {**as_map(fields["toolResult"]), "content": [{"text": text}]},
        }
    for name in ("text", "content", "output"):
        if name in fields:
            return {**fields, name: text}
    raise BadInput("the text of such a part cannot be changed", mend="report this body")


def _slots(message: Mapping[str, Json]) -> list[Slot]:
    """Where each block of a message stands in it."""
    content = message.get("content")
    if isinstance(content, str) and content and len(message) == 2 and "role" in message:
        return [("content", 0)]
    if content is None and "role" not in message:
        return [(ITEM, 0)] * len(message_blocks(message, {}).blocks)
    uses = [("tool_calls", n) for n in range(len(as_list(message.get("tool_calls"))))]
    whole = len(message_blocks(message, {}).blocks) - len(uses)
    if isinstance(content, str) or message.get("role") == "tool":
        return [("content", 0)] * whole + uses
    slots = [("content", n) for n in _part_slots(as_list(content), Role.USER)]
    return slots + uses


def _part_slots(parts: Sequence[Json], role: Role) -> list[int]:
    """For each block, the part that it comes from."""
    sheet = Sheet({})
    found: list[int] = []
    for place, part in enumerate(parts):
        read_part(sheet, role, part)
        found += [place] * (len(sheet.blocks) - len(found))
    return found


def _tool_slots(tools: Sequence[Json]) -> list[int]:
    """For each tool specification, where it stands; cache points are none."""
    return [place for place, tool in enumerate(tools) if set(as_map(tool)) != {"cachePoint"}]
