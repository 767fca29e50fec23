"""Frames: how records lie in a segment file so that damage is seen and costs only what it hits.

A segment begins with 8 bytes (magic, version); frames follow. A frame is a mark, the length and the
CRC of its content, then the content. The CRC starts from a number that comes from the segment's
name, so that neither a frame of another segment nor one that a client has hidden in a tag can pass
for a frame of this one. Behind damage the next mark with a true CRC is looked for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

MAGIC = b"BURSAR"
VERSION = 1
HEADER = MAGIC + struct.pack("<H", VERSION)
MARK = b"\xb5\x4a"
HEAD = struct.Struct("<2sII")
LONGEST_BYTES = 64 * 1024 * 1024
"""No content is longer; a length beyond this is damage."""


class Found(NamedTuple):
    """A stretch of a segment."""

    start: int
    end: int
    content: bytes | None
    """None: damage, or a frame that was not written to its end."""


def seed_of(journal: str, segment: int) -> int:
    """Where the CRCs of a segment start from."""
    return crc32(f"{journal}/{segment}".encode())


def frame(content: bytes, seed: int) -> bytes:
    """One record, framed."""
    return HEAD.pack(MARK, len(content), crc32(content, seed)) + content


def frames(raw: bytes, seed: int, *, final: bool) -> Iterator[Found]:
    """The frames of `raw`, and the damage between them.

    Without `final` the end may be a frame that is still being written: it is not given. With it,
    whatever follows the last whole frame is given as damage.
    """
    at = 0
    while at < len(raw):
        found = _frame_at(raw, at, seed)
        if found is None:
            later = _next_frame(raw, at + 1, seed)
            if later is None:
                if final:
                    yield Found(at, len(raw), None)
                return
            yield Found(at, later.start, None)
            found = later
        yield found
        at = found.end


def _frame_at(raw: bytes, at: int, seed: int) -> Found | None:
    start = at + HEAD.size
    if start > len(raw):
        return None
    mark, length, crc = HEAD.unpack_from(raw, at)
    end = start + length
    if mark != MARK or length > LONGEST_BYTES or end > len(raw):
        return None
    content = raw[start:end]
    return Found(at, end, content) if crc32(content, seed) == crc else None


def _next_frame(raw: bytes, at: int, seed: int) -> Found | None:
    while (at := raw.find(MARK, at)) >= 0:
        if found := _frame_at(raw, at, seed):
            return found
        at += 1
    return None
