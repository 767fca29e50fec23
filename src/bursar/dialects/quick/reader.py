"""The lens for the hot path: the same blocks as the slow lens, at the price of a lookup per piece.

A body is cut into pieces without decoding them: each message, the tools, the system prompt, and all
other fields together. A piece that was read before is known by its hash (`pieces`); any other is
checked once (`checks`, `bounds`) and then read by the slow lens itself, so that the two cannot
disagree. What is done for every body is only the cutting, the search for duplicate fields, and the
joining of what depends on several pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bursar.dialects.kinds import ROLES
from bursar.dialects.lens import Reading
from bursar.dialects.messages import mark_end
from bursar.dialects.quick.answers import read_answer_quickly
from bursar.dialects.quick.bounds import (
    NEEDED,
    OBJECTS,
    Bounds,
    check_count,
    check_fields,
    check_turn,
    nothing_asked,
)
from bursar.dialects.quick.checks import DEEPEST, fault, value_of
from bursar.dialects.quick.pieces import Heard, Piece, Pieces
from bursar.dialects.requests import (
    DOCUMENTS,
    SYSTEM,
    TEXTS,
    TOOLS,
    TURNS,
    placed,
    prompt_blocks,
    read_request,
    turn_blocks,
)
from bursar.dialects.sheet import Sheet, mark_of
from bursar.dialects.wire import as_list, as_map, at
from bursar.model.block import Block, Mark, Role
from bursar.model.call import Limits
from bursar.model.entry import ToolOutcome
from bursar.model.errors import BadInput


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """A request body, read. Everything in it is shared with other readings: read it only."""

    model: str | None
    stream: bool
    limits: Limits
    n: int
    """Answers asked for to the one prompt."""
    metadata: dict[str, str]
    blocks: tuple[Block, ...]
    tool_outcomes: tuple[ToolOutcome, ...]
    """All tool results in the prompt, oldest first."""
    schema_digest: int | None
    wants_usage: bool
    """The client asked for the usage chunk of an OpenAI chat stream."""


class _Rest(msgspec.Struct, frozen=True, gc=False):
    """What the fields beside the prompt say, read once."""

    model: str | None
    stream: bool
    limits: Limits
    n: int
    metadata: dict[str, str]
    schema_digest: int | None
    wants_usage: bool
    mark: Mark


class _Key(str):
    """A field's name as the decoder meets it, which lets duplicates be counted."""

    __slots__ = ()


RANKS = {
    path[0]: rank
    for rank, path in reversed(list(enumerate((*TOOLS, *SYSTEM, *DOCUMENTS, *TURNS, *TEXTS))))
}
"""The fields that hold the prompt, in the order of the blocks they give."""
RANKS["input"] = len(TOOLS) + len(SYSTEM) + len(DOCUMENTS) + len(TURNS) + TEXTS.index(("input",))
SPOKEN = frozenset(path[0] for path in (*TURNS, *TEXTS))
"""Those of them that may be lists of messages."""
LISTS = frozenset(("messages",))
"""Those that must be."""
PLAIN_ROLES = {word: role for word, role in ROLES.items() if role is not Role.TOOL}
"""Roles whose messages are texts."""
MOST_RESTS = 4_096
"""Different settings of requests that are remembered; beyond them all are forgotten."""
MOST_LETTERS = 4_096
"""Letters of a model's name and metadata; settings with more are not remembered."""

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class QuickReader:
    """One per worker: not for use by several threads at the same time.

    `bounds` says what is refused and how much is remembered.
    """

    __slots__ = ("_bounds", "_decode", "_names", "_pieces", "_rests")

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._pieces = Pieces(self._bounds.pieces)
        self._rests: dict[tuple[int, int], _Rest] = {}
        self._names: list[str] = []
        names = self._names

        def named(_: type, name: str) -> _Key:
            names.append(name)
            return _Key(name)

        self._decode = msgspec.json.Decoder(dict[_Key, msgspec.Raw], dec_hook=named).decode

    def asking(self, dialect: str, body: bytes, salt: bytes = b"") -> Asking:
        """Read a request body. `salt` (at most 64 bytes) keeps the digests of tenants apart.

        Raises BadInput with the JSON pointer to what is wrong, and the mend.
        """
        self._names.clear()
        try:
            fields = self._decode(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise fault(body, "") from None
        if len(fields) != len(self._names):
            raise fault(body, "")
        prompt: list[tuple[int, str, msgspec.Raw]] = []
        others: list[str | bytes] = [dialect]
        for name, raw in fields.items():
            rank = RANKS.get(name)
            if rank is None:
                others.append(name)
                others.append(bytes(raw))
            else:
                prompt.append((rank, name, raw))
        rest = self._rest(others, salt)
        if not fields.keys() & NEEDED.get(dialect, fields.keys()):
            raise nothing_asked(dialect)
        if "input" in fields and "prompt" in fields:
            blocks, outcomes = self._whole(prompt, salt)
        else:
            prompt.sort()
            blocks, outcomes = self._prompt(prompt, salt)
        return Asking(
            model=rest.model,
            stream=rest.stream,
            limits=rest.limits,
            n=rest.n,
            metadata=rest.metadata,
            blocks=blocks if rest.mark is Mark.NONE else mark_end(blocks, rest.mark),
            tool_outcomes=outcomes,
            schema_digest=rest.schema_digest,
            wants_usage=rest.wants_usage,
        )

    def answered(
        self,
        dialect: str,
        raw: bytes,
        headers: Mapping[str, str],
        model: str | None,
        salt: bytes = b"",
    ) -> Reading:
        """Read a provider's answer, as `lens.read_response` does. Raises BadInput, BadUsage."""
        return read_answer_quickly(dialect, raw, headers, model, salt)

    def _rest(self, others: list[str | bytes], salt: bytes) -> _Rest:
        """The fields beside the prompt: dialect, then names and raw values in turn."""
        key = (hash((salt, *others)), len(others))
        found = self._rests.get(key)
        if found is None:
            found = self._read_rest(others, salt)
            if _letters(found) <= MOST_LETTERS:
                if len(self._rests) >= MOST_RESTS:
                    self._rests.clear()
                self._rests[key] = found
        return found

    def _read_rest(self, others: list[str | bytes], salt: bytes) -> _Rest:
        dialect = str(others[0])
        fields: dict[str, Any] = {}
        for name, raw in zip(others[1::2], others[2::2], strict=True):
            if isinstance(raw, bytes):
                fields[str(name)] = value_of(raw, f"/{name}", DEEPEST - 1)
        n = check_fields(fields, dialect, self._bounds)
        read = read_request(fields, dialect, salt=salt)
        return _Rest(
            model=read.model,
            stream=read.stream is True,
            limits=read.limits,
            n=n,
            metadata=read.metadata,
            schema_digest=read.schema_digest,
            wants_usage=at(fields, ("stream_options", "include_usage")) is True,
            mark=mark_of(fields),
        )

    def _prompt(
        self, prompt: list[tuple[int, str, msgspec.Raw]], salt: bytes
    ) -> tuple[tuple[Block, ...], tuple[ToolOutcome, ...]]:
        blocks: list[Block] = []
        outcomes: list[ToolOutcome] = []
        names: dict[str, str] = {}
        young = self._pieces.young
        for _, name, raw in prompt:
            pieces: list[msgspec.Raw] = [raw]
            first = -1
            if name in SPOKEN:
                pieces, first = self._cut(name, raw)
            lane = hash((salt, name))
            for place, one in enumerate(pieces, first):
                spelled = bytes(one)
                key = (lane, place, hash(spelled), len(spelled))
                piece = young.get(key)
                if piece is None:
                    piece = self._pieces.again(key)
                    young = self._pieces.young
                wants = () if piece is None else piece.wants
                if piece is None or (wants and piece.given != tuple(map(names.get, wants))):
                    piece = self._read(spelled, name, place, names, salt)
                    self._pieces.keep(key, piece)
                    young = self._pieces.young
                blocks += piece.blocks
                if piece.adds is not None:
                    names.update(piece.adds)
                if piece.outcomes:
                    outcomes += piece.outcomes
        return tuple(blocks), tuple(outcomes)

    def _cut(self, name: str, raw: msgspec.Raw) -> tuple[list[msgspec.Raw], int]:
        """The items of a list of messages and the place of the first; -1: it is one piece."""
        if name not in LISTS and bytes(raw)[:1] != b"[":
            return [raw], -1
        try:
            items = _decode_list(raw)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise fault(bytes(raw), f"/{name}", DEEPEST - 1) from None
        check_count(len(items), name, self._bounds)
        if items and bytes(items[0])[:1] not in b'{["' and name not in OBJECTS:
            whole = bytes(raw)
            if b"{" not in whole and b'"' not in whole:
                return [raw], -1
        return items, 0

    def _whole(
        self, prompt: list[tuple[int, str, msgspec.Raw]], salt: bytes
    ) -> tuple[tuple[Block, ...], tuple[ToolOutcome, ...]]:
        """The prompt of a body in which one field gives blocks before and after another's."""
        values: dict[str, Any] = {}
        for _, name, raw in prompt:
            values[name] = value = value_of(bytes(raw), f"/{name}", DEEPEST - 1)
            if name not in SPOKEN:
                continue
            if self._cut(name, raw)[1] < 0:
                check_turn(value, f"/{name}", "")
            else:
                for place, item in enumerate(as_list(value)):
                    check_turn(item, f"/{name}/{place}", name)
        return prompt_blocks(values, {}, salt=salt)

    def _read(
        self, spelled: bytes, name: str, place: int, names: dict[str, str], salt: bytes
    ) -> Piece:
        """Check and read a piece that is not known."""
        if place < 0:
            where = f"/{name}"
            value = value_of(spelled, where, DEEPEST - 1)
        else:
            where = f"/{name}/{place}"
            value = value_of(spelled, where, DEEPEST - 2)
        if name in SPOKEN:
            check_turn(value, where, name if place >= 0 else "")
        if place >= 0 and (plain := _plain(value, salt)) is not None:
            return Piece(tuple(placed(plain, (name, str(place)))))
        heard = Heard(names)
        try:
            if place < 0:
                blocks, outcomes = prompt_blocks({name: value}, heard, salt=salt)
            else:
                said, outcomes = turn_blocks(value, heard, salt=salt)
                blocks = tuple(placed(said, (name, str(place))))
        except BadInput as bad:
            raise BadInput(f"{where}: {bad.message}", mend=bad.mend) from bad
        adds = dict(heard) if heard else None
        if heard.wants is None:
            return Piece(blocks, outcomes, adds)
        return Piece(blocks, outcomes, adds, tuple(heard.wants), tuple(heard.wants.values()))


def _plain(value: object, salt: bytes) -> tuple[Block, ...] | None:
    """The block of a message that is a role and a text and nothing else, as most are."""
    fields = as_map(value)
    content = fields.get("content")
    if len(fields) != 2 or type(content) is not str:
        return None
    role = PLAIN_ROLES.get(fields.get("role", ""))
    if role is None:
        return None
    sheet = Sheet({}, salt=salt)
    sheet.text(role, content)
    return tuple(sheet.blocks)


def _letters(rest: _Rest) -> int:
    texts = (rest.model or "", rest.limits.effort or "", *rest.metadata, *rest.metadata.values())
    return sum(map(len, texts))
