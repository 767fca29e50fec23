"""Bytes of a file as plain UTF-8: gzip members unpacked, UTF-16 rewritten, in pieces.

A damaged compressed file gives every byte that stands before the damage: the step that failed is
taken again byte by byte. What is wrong is told to the caller, who knows the place.
"""

from __future__ import annotations

import codecs
import io
import zlib
from collections.abc import Iterator
from typing import Any

PACKED_BYTES = 1 << 16
PLAIN_BYTES = 1 << 20
GZIP = 31
"""zlib's word for: a deflate stream in a gzip frame."""
MAGIC = b"\x1f\x8b"
UTF_8_BOM = b"\xef\xbb\xbf"
UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
"""First bytes of a text that is not UTF-8, and its coding."""
DAMAGED = "the compressed file is damaged: {}; what stands before was read"


def pieces_of(packed: io.BufferedReader[Any], damages: list[str]) -> Iterator[bytes]:
    """The members of a gzip file one after the other, in pieces of bounded size."""
    member, opened = zlib.decompressobj(GZIP), False
    while piece := packed.read1(PACKED_BYTES):
        while piece:
            before = member.copy()
            try:
                plain = member.decompress(piece, PLAIN_BYTES)
            except zlib.error as bad:
                yield _before_damage(before, piece)
                strange = not opened and not piece.startswith(MAGIC)
                told = "something that is not gzip stands behind its end" if strange else bad
                damages.append(DAMAGED.format(told))
                return
            yield plain
            piece, opened = member.unconsumed_tail, True
            if member.eof:
                piece = member.unused_data.lstrip(b"\0")
                member, opened = zlib.decompressobj(GZIP), False
    if opened:
        damages.append(DAMAGED.format("it ends too early"))


def _before_damage(member: Any, piece: bytes) -> bytes:
    """What the bytes of a failed step still give."""
    found = bytearray()
    for place in range(len(piece)):
        try:
            found += member.decompress(piece[place : place + 1])
        except zlib.error:
            break
    return bytes(found)


def utf_8_pieces(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same text in UTF-8, where a byte order mark says that it is UTF-16."""
    first = next((piece for piece in pieces if piece), b"")
    coding = UTF_16.get(first[:2])
    if coding is None:
        yield first
        yield from pieces
        return
    decode = codecs.getincrementaldecoder(coding)("replace").decode
    yield decode(first[2:]).encode()
    for piece in pieces:
        yield decode(piece).encode()
    yield decode(b"", True).encode()


def plain_utf8(raw: bytes) -> bytes:
    """Without a byte order mark."""
    return raw.removeprefix(UTF_8_BOM)


class Pieces(io.RawIOBase):
    """An iterator of bytes as a file; closes what lies below."""

    def __init__(self, pieces: Iterator[bytes], below: io.BufferedReader[Any]) -> None:
        self._pieces = pieces
        self._below = below
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = piece
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        self._below.close()
        super().close()
