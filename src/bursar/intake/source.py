"""A file as a stream of records, whatever its size, compression or damage.

Lines and array elements are read one at a time, so memory does not grow with the file. Whatever
cannot be read is put on `skips` with its line and its reason, and reading goes on behind it.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bursar.intake.unpacking import UTF_16, Pieces, pieces_of, plain_utf8, utf_8_pieces
from bursar.model.entry import Origin, Skip

HEAD_BYTES = 256 * 1024
FIRST_LINE_BYTES = 64 * 1024 * 1024
"""A first line may be longer than the head, since it may hold a whole session."""
MOST_SKIPS = 1_000
"""Places of one file that are listed one by one; what is beyond is counted."""
LONGEST_LINE = 256 * 1024 * 1024
PIECE_BYTES = 1 << 20
WHOLE_LIMIT = 512 * 1024 * 1024
"""A single JSON document larger than this is refused with a mend; JSONL has no such bound."""
GZIP_MAGIC = b"\x1f\x8b"
ESCAPES = re.compile(
    rb"\\(?:(?P<pair>u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
NOT_NUMBERS = re.compile(rb"[:,\[]\s*-?(?:NaN|Infinity)\b")
T = TypeVar("T")


class Source:
    """One file. `label` is the name that a person sees in messages."""

    def __init__(self, path: Path, label: str | None = None) -> None:
        self.path = path
        self.label = label or printable(path)
        self.skips: list[Skip] = []
        self.unlisted = 0
        """How many places were not understood beyond those on `skips`."""
        self.size_bytes = path.stat().st_size
        self.read_bytes = 0
        """Bytes of the file (compressed, if it is) that have been read: for progress."""
        self.head = self._head()

    def skip(self, line: int | None, reason: str) -> None:
        if len(self.skips) < MOST_SKIPS:
            self.skips.append(Skip(file=self.label, line=line, reason=reason))
        else:
            self.unlisted += 1

    def origin(self, line: int | None, form: str) -> Origin:
        return Origin(file=self.label, line=line, format=form)

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """(line number from 1, content) of every line that is not blank."""
        damages: list[str] = []
        with self._open(damages) as stream:
            number = 0
            while line := stream.readline(LONGEST_LINE):
                number += 1
                if len(line) >= LONGEST_LINE:
                    self.skip(number, f"a line longer than {LONGEST_LINE >> 20} MB")
                    while line and not line.endswith(b"\n"):
                        line = stream.readline(PIECE_BYTES)
                    continue
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                line = line.strip()
                if line:
                    yield number, line
        for damage in damages:  # told however many lines were
            self.skips.append(Skip(file=self.label, line=number + 1, reason=damage))

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
        damages: list[str] = []
        with self._open(damages) as stream:
            while piece := stream.read(PIECE_BYTES):
                found += piece
                if len(found) > WHOLE_LIMIT:
                    self.skip(
                        None,
                        f"one JSON document of more than {WHOLE_LIMIT >> 20} MB;"
                        " convert it to one object per line",
                    )
                    return b""
        for damage in damages:
            self.skip(None, damage)
        return plain_utf8(bytes(found))

    def _open(self, damages: list[str]) -> io.BufferedReader[Any]:
        """The plain content. What is wrong with a compressed file is told to `damages`."""
        raw = io.BufferedReader(_Counted(self.path.open("rb", buffering=0), self), PIECE_BYTES)
        start = raw.peek(2)[:2]
        if start == GZIP_MAGIC:
            return io.BufferedReader(
                Pieces(utf_8_pieces(pieces_of(raw, damages)), raw), PIECE_BYTES
            )
        if start in UTF_16:
            plain = iter(lambda: raw.read1(PIECE_BYTES), b"")
            return io.BufferedReader(Pieces(utf_8_pieces(plain), raw), PIECE_BYTES)
        return raw

    def _head(self) -> Head:
        damages: list[str] = []
        with self._open(damages) as stream:
            found = stream.read(HEAD_BYTES)
            complete = len(found) < HEAD_BYTES
            longer = b""
            if not complete and b"\n" not in found:
                longer = found + stream.readline(FIRST_LINE_BYTES) + stream.read(HEAD_BYTES)
        self.read_bytes = 0
        damage = damages[0] if damages else None
        return Head(plain_utf8(found), complete=complete, longer=longer, damage=damage)


def printable(path: Path) -> str:
    """A path as a text; bytes of it that are no UTF-8 show as U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


class Head:
    """The first part of a file, enough to recognise what it is."""

    def __init__(
        self, raw: bytes, *, complete: bool, longer: bytes = b"", damage: str | None = None
    ) -> None:
        self.raw = raw
        self.complete = complete
        self.damage = damage
        """What is wrong with a compressed file that ends inside its head."""
        self.records = self._records(plain_utf8(longer) or raw)
        """The first JSON objects, if the file is one object a line."""
        self.document = self._document()
        """The JSON document, if the file is one and fits into the head."""

    def _records(self, raw: bytes) -> list[dict[str, object]]:
        """`raw`: the head, or more where the first line is longer than it."""
        lines = raw.split(b"\n")
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
    if isinstance(bad, RecursionError):
        return "is nested too deeply"
    if not line.startswith(b"{"):
        return "is not a JSON object"
    if not line.endswith(b"}"):
        return "is JSON that ends too early"
    if NOT_NUMBERS.search(line):
        return "holds NaN or Infinity, which JSON does not allow; write null instead"
    return f"is not valid JSON: {str(bad)[:120]}"


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
