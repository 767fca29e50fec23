"""A file as a stream of records, whatever its size, compression or damage.

Lines and array elements are read one at a time, so memory does not grow with the file. Whatever
cannot be read is put on `skips` with its line and its reason, and reading goes on behind it.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bursar.model.entry import Origin, Skip

HEAD_BYTES = 256 * 1024
LONGEST_LINE = 256 * 1024 * 1024
WHOLE_LIMIT = 512 * 1024 * 1024
"""A single JSON document larger than this is refused with a mend; JSONL has no such bound."""
GZIP_MAGIC = b"\x1f\x8b"
ESCAPES = re.compile(
    rb"\\(?:(?P<pair>u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
T = TypeVar("T")
BOMS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


class Source:
    """One file. `label` is the name that a person sees in messages."""

    def __init__(self, path: Path, label: str | None = None) -> None:
        self.path = path
        self.label = label or str(path)
        self.skips: list[Skip] = []
        self.size_bytes = path.stat().st_size
        self.read_bytes = 0
        """Bytes of the file (compressed, if it is) that have been read: for progress."""
        self.head = self._head()

    def skip(self, line: int | None, reason: str) -> None:
        self.skips.append(Skip(file=self.label, line=line, reason=reason))

    def origin(self, line: int | None, form: str) -> Origin:
        return Origin(file=self.label, line=line, format=form)

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """(line number from 1, content) of every line that is not blank."""
        with self._open() as stream:
            number = 0
            while True:
                try:
                    line = stream.readline(LONGEST_LINE)
                except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as bad:
                    self.skip(number + 1, f"the compressed file is damaged from here on: {bad}")
                    return
                if not line:
                    return
                number += 1
                if len(line) >= LONGEST_LINE:
                    self.skip(number, f"a line longer than {LONGEST_LINE >> 20} MB")
                    while line and not line.endswith(b"\n"):
                        line = stream.readline(LONGEST_LINE)
                    continue
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                line = line.strip()
                if line:
                    yield number, line

    def json_lines(self) -> Iterator[tuple[int, dict[str, object]]]:
        """(line number, object) of every line that is a JSON object; the others are skipped."""
        decode = msgspec.json.Decoder(dict[str, object]).decode
        for number, line in self.lines():
            try:
                yield number, decode_line(decode, line)
            except (msgspec.DecodeError, ValueError, RecursionError) as bad:
                self.skip(number, why_not_json(line, bad))

    def whole(self) -> bytes:
        """The whole content, bounded; what a damaged compressed file still gives."""
        found = bytearray()
        with self._open() as stream:
            while True:
                try:
                    piece = stream.read(1 << 20)
                except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as bad:
                    self.skip(None, f"the compressed file is damaged: {bad}")
                    break
                if not piece:
                    break
                found += piece
                if len(found) > WHOLE_LIMIT:
                    self.skip(
                        None,
                        f"one JSON document of more than {WHOLE_LIMIT >> 20} MB;"
                        " convert it to one object per line",
                    )
                    return b""
        return _plain_utf8(bytes(found))

    def _open(self) -> io.BufferedReader[Any]:
        raw = self.path.open("rb", buffering=0)
        counted = io.BufferedReader(_Counted(raw, self), 1 << 20)
        if self.path.stat().st_size >= 2 and self._magic() == GZIP_MAGIC:
            return io.BufferedReader(gzip.GzipFile(fileobj=counted), 1 << 20)
        return counted

    def _magic(self) -> bytes:
        with self.path.open("rb") as stream:
            return stream.read(2)

    def _head(self) -> Head:
        with self._open() as stream:
            found = b""
            try:
                while len(found) < HEAD_BYTES:
                    piece = stream.read1(HEAD_BYTES - len(found))
                    if not piece:
                        break
                    found += piece
            except (EOFError, zlib.error, gzip.BadGzipFile, OSError):
                pass
        self.read_bytes = 0
        return Head(_plain_utf8(found), complete=len(found) < HEAD_BYTES)


class Head:
    """The first part of a file, enough to recognise what it is."""

    def __init__(self, raw: bytes, *, complete: bool) -> None:
        self.raw = raw
        self.complete = complete
        self.records = self._records()
        """The first JSON objects, if the file is one object a line."""
        self.document = self._document()
        """The JSON document, if the file is one and fits into the head."""

    def _records(self) -> list[dict[str, object]]:
        lines = self.raw.split(b"\n")
        if not self.complete and len(lines) > 1:
            lines = lines[:-1]
        found: list[dict[str, object]] = []
        for line in lines[:200]:
            if not line.strip().startswith(b"{"):
                continue
            try:
                value = msgspec.json.decode(line)
            except (msgspec.DecodeError, ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                found.append(value)  # type: ignore[arg-type]
            if len(found) >= 20:
                break
        return found

    def _document(self) -> object:
        if not self.complete or self.raw.lstrip()[:1] not in (b"{", b"["):
            return None
        try:
            return msgspec.json.decode(self.raw)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None


def decode_line(decode: Callable[[bytes], T], line: bytes) -> T:
    """Decode JSON; a text that was cut inside a character is mended (U+FFFD) and read as well.

    JavaScript tools cut long outputs in the middle of an emoji and write half of it: the call
    beside it was paid all the same.
    """
    try:
        return decode(line)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        mended = _without_halves(line.decode("utf-8", "replace").encode())
        if mended == line:
            raise
        return decode(mended)


def _without_halves(line: bytes) -> bytes:
    """Escaped halves of surrogate pairs replaced; whole pairs and escaped backslashes kept."""

    def one(match: re.Match[bytes]) -> bytes:
        text = match.group()
        if text[1:2] != b"u" or match.group("pair"):
            return text
        return b"\\ufffd" if match.group("half") else text

    return ESCAPES.sub(one, line)


def why_not_json(line: bytes, bad: Exception) -> str:
    """A reason that a person understands."""
    if b"\x00" in line:
        return "holds NUL bytes, which JSON does not allow"
    if not line.startswith(b"{"):
        return "is not a JSON object"
    if not line.endswith(b"}"):
        return "is JSON that ends too early"
    return f"is not valid JSON: {str(bad)[:120]}"


def _plain_utf8(raw: bytes) -> bytes:
    """UTF-8 without a byte order mark."""
    for bom, coding in BOMS.items():
        if raw.startswith(bom):
            body = raw[len(bom) :]
            return body if coding == "utf-8" else body.decode(coding, "replace").encode()
    return raw


class _Counted(io.RawIOBase):
    """Counts what is read, so that progress can be shown."""

    def __init__(self, raw: io.FileIO, source: Source) -> None:
        self._raw = raw
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count = self._raw.readinto(buffer)
        self._source.read_bytes += count or 0
        return count or 0

    def close(self) -> None:
        self._raw.close()
        super().close()
