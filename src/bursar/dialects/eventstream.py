"""AWS event streams: binary frames with two checksums, as Bedrock's streams come.

A frame is a prelude (its size, the size of its headers, their checksum), headers, a payload and a
checksum over all. The one place that knows so: readers, splitters and writers of streams use it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from zlib import crc32

MEDIA_TYPE = "application/vnd.amazon.eventstream"
PRELUDE = struct.Struct(">III")
SIZES_BYTES = 8
"""What the prelude's checksum is over."""
LARGEST_FRAME_BYTES = 32 * 1024 * 1024
CHECKSUM_BYTES = 4
STRING = 7
"""The type of a header whose value is text."""
_SIZES = struct.Struct(">II")


def frame(kind: str, name: str, payload: bytes) -> bytes:
    """One frame. `kind`: `event` or `exception`; `name`: its type; `payload`: JSON."""
    headers = _headers(kind, name)
    size = PRELUDE.size + len(headers) + len(payload) + CHECKSUM_BYTES
    sizes = _SIZES.pack(size, len(headers))
    start = sizes + crc32(sizes).to_bytes(CHECKSUM_BYTES, "big")
    message = start + headers + payload
    return message + crc32(message).to_bytes(CHECKSUM_BYTES, "big")


@lru_cache(maxsize=64)
def _headers(kind: str, name: str) -> bytes:
    fields = (
        (f":{kind}-type".encode(), name.encode()),
        (b":content-type", b"application/json"),
        (b":message-type", kind.encode()),
    )
    return b"".join(
        bytes((len(key),)) + key + struct.pack(">BH", STRING, len(value)) + value
        for key, value in fields
    )


def frame_size(raw: bytes | bytearray, place: int = 0, most: int = LARGEST_FRAME_BYTES) -> int:
    """The size of the frame that begins at a place, whole or not; 0: none does."""
    if not 0 <= place <= len(raw) - PRELUDE.size:
        return 0
    size, headers_size, check = PRELUDE.unpack_from(raw, place)
    if not PRELUDE.size + headers_size + CHECKSUM_BYTES <= size <= most:
        return 0
    return size if crc32(raw[place : place + SIZES_BYTES]) == check else 0


def is_sound(whole: bytes) -> bool:
    """Whether a whole frame is what its checksum says."""
    return crc32(whole[:-CHECKSUM_BYTES]) == int.from_bytes(whole[-CHECKSUM_BYTES:], "big")


def opened(whole: bytes) -> tuple[dict[str, str], bytes]:
    """Headers and payload of a whole frame."""
    _, headers_size, _ = PRELUDE.unpack_from(whole)
    start = PRELUDE.size + headers_size
    return dict(_texts(whole[PRELUDE.size : start])), whole[start:-CHECKSUM_BYTES]


def _texts(raw: bytes) -> Iterator[tuple[str, str]]:
    """The headers that are text; another type ends the reading, since its length is its own."""
    place = 0
    while place < len(raw):
        end = place + 1 + raw[place]
        if raw[end : end + 1] != bytes((STRING,)):
            return
        size = int.from_bytes(raw[end + 1 : end + 3], "big")
        name, value = raw[place + 1 : end], raw[end + 3 : end + 3 + size]
        yield name.decode("utf-8", "replace"), value.decode("utf-8", "replace")
        place = end + 3 + size
