"""AWS event streams: binary frames with two checksums, as Bedrock's streams are written."""

from __future__ import annotations

import struct
from functools import lru_cache
from zlib import crc32

MEDIA_TYPE = "application/vnd.amazon.eventstream"
STRING = 7
_PRELUDE = struct.Struct(">II")


def frame(kind: str, name: str, payload: bytes) -> bytes:
    """One message. `kind`: `event` or `exception`; `name`: its type."""
    headers = _headers(kind, name)
    size = 16 + len(headers) + len(payload)
    prelude = _PRELUDE.pack(size, len(headers))
    start = prelude + crc32(prelude).to_bytes(4, "big")
    message = start + headers + payload
    return message + crc32(message).to_bytes(4, "big")


@lru_cache(maxsize=64)
def _headers(kind: str, name: str) -> bytes:
    fields = (
        (f":{kind}-type", name),
        (":content-type", "application/json"),
        (":message-type", kind),
    )
    return b"".join(
        bytes((len(key),)) + key.encode() + struct.pack(">BH", STRING, len(value)) + value.encode()
        for key, value in fields
    )
