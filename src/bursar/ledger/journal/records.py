"""What a journal says, as frames: a block once, a call when it begins, its attempts when it ends.

A call is two records, since a worker can be killed between them. Prompts do not go to disk: a
record holds digests, sizes and estimated tokens. A block that is sent again and again is defined
once in each segment and named by its number from then on.
"""

from __future__ import annotations

import msgspec

from bursar.model.block import Block, Kind, Mark, Role
from bursar.model.call import Call
from bursar.model.entry import Answer, Attempt, Decision, ToolOutcome


class Record(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Fields are stored by position: new ones come last, with a default."""


class Opened(Record, frozen=True, tag="O"):
    """The first record of a segment."""

    journal: str
    segment: int
    node: str
    pid: int
    before_bytes: int | None = None
    """Bytes of the segment before this one, so that a shortened file is seen."""


class Define(Record, frozen=True, tag="D"):
    """A block of a prompt, without its text."""

    number: int
    role: Role
    kind: Kind
    digest: int
    tokens: int | None = None
    size_bytes: int = 0
    name: str | None = None
    mark: Mark = Mark.NONE

    def block(self) -> Block:
        return Block(
            role=self.role,
            kind=self.kind,
            digest=self.digest,
            tokens=self.tokens,
            size_bytes=self.size_bytes,
            name=self.name,
            mark=self.mark,
        )


class Begun(Record, frozen=True, tag="B"):
    """A call was sent on its way."""

    call: Call
    """Without its blocks..."""
    blocks: tuple[int, ...] | None = None
    """... which are these numbers. None: the prompt is not known."""


class Held(Record, frozen=True, tag="H"):
    """What a call that has begun holds of its caps, from now on."""

    key: str
    nano: int
    tokens: int


class Ended(Record, frozen=True, tag="E"):
    """A call came to its end, whatever that was."""

    key: str
    attempts: tuple[Attempt, ...]
    answer: Answer | None = None
    tool_outcomes: tuple[ToolOutcome, ...] = ()
    decisions: tuple[Decision, ...] = ()


class Lost(Record, frozen=True, tag="L"):
    """Records that could not be kept while the disk refused to take them."""

    calls: int
    why: str


Any = Opened | Define | Begun | Held | Ended | Lost

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Any).decode


def defined(number: int, block: Block) -> Define:
    """The definition of a block."""
    return Define(
        number,
        block.role,
        block.kind,
        block.digest,
        block.tokens,
        block.size_bytes,
        block.name,
        block.mark,
    )


def alike(one: Block, other: Block) -> bool:
    """Whether two blocks of one digest have the same definition."""
    return (
        one.mark is other.mark
        and one.tokens == other.tokens
        and one.kind is other.kind
        and one.role is other.role
        and one.name == other.name
        and one.size_bytes == other.size_bytes
    )


def textless(answer: Answer | None) -> Answer | None:
    """An answer whose blocks have neither their texts nor their places."""
    if answer is None or all(one.body is None and one.path is None for one in answer.blocks):
        return answer
    blocks = (msgspec.structs.replace(one, body=None, path=None) for one in answer.blocks)
    return msgspec.structs.replace(answer, blocks=tuple(blocks))
