"""Recorded HTTP exchanges of the shared data, decoded; nothing here knows our readers."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml


class Exchange(NamedTuple):
    place: str
    uri: str
    request: bytes
    status: int
    headers: dict[str, str]
    body: bytes


def _bytes(body: Any) -> bytes:
    if isinstance(body, dict):
        if "base64_string" in body:
            body = base64.b64decode(body["base64_string"])
        else:
            body = body.get("string")
    if body is None:
        return b""
    raw = body.encode("utf-8", "surrogateescape") if isinstance(body, str) else body
    return zlib.decompressobj(31).decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def _header(value: Any) -> str:
    return str(value[0] if isinstance(value, list) and value else value)


def exchanges(root: Path) -> Iterator[Exchange]:
    for path in sorted(root.rglob("*.yaml")):
        recorded = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
        for number, one in enumerate(recorded["interactions"]):
            answer = one["response"]
            status = answer.get("status", answer.get("status_code"))
            yield Exchange(
                place=f"{path.relative_to(root)}#{number}",
                uri=one["request"].get("uri") or "",
                request=_bytes(one["request"].get("body")),
                status=int(status["code"] if isinstance(status, dict) else status or 0),
                headers={k.lower(): _header(v) for k, v in (answer.get("headers") or {}).items()},
                body=_bytes(answer.get("body")),
            )
