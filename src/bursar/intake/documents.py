"""JSON documents of any size as a stream of elements, in bounded memory.

A file may hold one object a line, objects printed over many lines, one large array, or an object
with the array inside ("Records", "data", "resourceSpans"). All of them are a sequence of elements.
Lines are read as lines; everything else is cut at brackets by one regular expression, without
building values: only an element that a reader asks for is ever decoded. What does not hold
together is listed, and reading goes on behind it where a new element starts like the one before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from bursar.intake.lines import UNREAD, decode_line, why_unread
from bursar.intake.source import LONGEST_LINE, Source

PIECE_BYTES = 1 << 20
LONGEST_ELEMENT = LONGEST_LINE
CUT_OFF = "is JSON that ends too early"
NOT_JSON = "is not valid JSON: a string or a bracket does not hold together"
"""An element longer than this ends the reading of its document."""

_BODY = rb'(?:[^"{}\[\]]++|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+")*+'
"""Everything up to the next bracket that stands outside strings."""
_BRACKET = re.compile(_BODY + rb"[{}\[\]]")
_UP_TO_BRACKET = re.compile(_BODY)
_SPACE = re.compile(rb"[\s,\x1e]*+")
_STRING = re.compile(rb'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"')
_SCALAR = re.compile(rb"[^\s,:\[\]{}\"]++")
_INDENT = re.compile(rb"[ \t]*+")
_OPENING = b"{["
_LOOK_BACK = 256
"""Bytes before an element that are kept, to see how its line is indented."""

Decoded = dict[str, object]


def elements(source: Source, *names: str) -> Iterator[tuple[int, bytes]]:
    """(line where it starts, bytes) of every element of a file.

    An element is an item of a top-level array, an item of an array that stands under one of
    `names` in a top-level object, or else a whole top-level object.
    """
    if _is_lines(source):
        keys = [b'"%b"' % name.encode() for name in names]
        for line, raw in source.lines():
            if raw[:1] == b"[" or any(key in raw for key in keys):
                yield from _Cutter(iter((raw,)), source, names, line).cut()
            else:
                yield line, raw
        return
    yield from _Cutter(pieces(source), source, names, 1).cut()


def objects(source: Source, *names: str) -> Iterator[tuple[int, Decoded]]:
    """Like `elements`, decoded; what is no JSON object is listed as skipped."""
    decode = msgspec.json.Decoder(dict[str, object]).decode
    for line, raw in elements(source, *names):
        try:
            yield line, decode_line(decode, raw)
        except msgspec.ValidationError:
            source.skip(line, "is not a JSON object")
        except UNREAD as bad:
            source.skip(line, why_unread(raw, bad))


def pieces(source: Source) -> Iterator[bytes]:
    """The content in pieces, unpacked; a damaged compressed file gives all that stands before."""
    damages: list[str] = []
    with source._open(damages) as stream:  # pyright: ignore[reportPrivateUsage]
        piece = stream.read(PIECE_BYTES).removeprefix(b"\xef\xbb\xbf")
        while piece:
            yield piece
            piece = stream.read(PIECE_BYTES)
    for damage in damages:
        source.skip(None, damage)


def text_lines(source: Source) -> Iterator[str]:
    """Lines with their ends, decoded, for readers of tables. NUL bytes are left out."""
    rest: list[bytes] = []
    for piece in pieces(source):
        *lines, behind = piece.split(b"\n")
        for line in lines:
            whole = b"".join((*rest, line))
            rest.clear()
            yield whole.replace(b"\0", b"").decode("utf-8", "replace") + "\n"
        rest.append(behind)
    if last := b"".join(rest).replace(b"\0", b""):
        yield last.decode("utf-8", "replace")


def _is_lines(source: Source) -> bool:
    """Whether the first line that is not blank is a whole JSON value, or none at all."""
    head = source.head
    first, ended, _ = head.raw.lstrip().partition(b"\n")
    if not first or (not ended and not head.complete):
        return False
    try:
        msgspec.json.decode(first, type=msgspec.Raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return first[:1] not in (b"{", b"[")
    return True


class _Unfinished(Exception):
    """The text ends inside a value."""


class _Crooked(Exception):
    """The text cannot be JSON at this place."""


class _Cutter:
    """Finds where elements start and end. `text` holds what is read and not yet given out."""

    def __init__(
        self, stream: Iterator[bytes], source: Source, names: tuple[str, ...], line: int
    ) -> None:
        self.stream = stream
        self.source = source
        self.names = frozenset(b'"%b"' % name.encode() for name in names)
        self.text = b""
        self.at = 0
        self.held = 0
        """Where the element starts that is being cut: text before it may be forgotten."""
        self.indent = b""
        self.line = line
        self.counted = 0
        """Place in `text` up to which `line` has counted line ends."""
        self.ended = False
        self.lost = False
        """Whether the end of the text was listed as broken already."""

    def cut(self) -> Iterator[tuple[int, bytes]]:
        while self._peek():
            self.held = self.at
            if self.text[self.at] == ord("["):
                self.at += 1
                yield from self._array()
            elif self.text[self.at] == ord("{"):
                yield from self._object()
            else:
                self.source.skip(self._line_here(), "is not a JSON object")
                self._go_to(b"\n")

    def _array(self) -> Iterator[tuple[int, bytes]]:
        while True:
            self.held = self.at
            if not self._peek():
                if not self.lost:
                    self.lost = True
                    self.source.skip(self._line_here(), "the JSON array has no end: it is cut off")
                return
            if self.text[self.at] == ord("]"):
                self.at += 1
                return
            yield from self._value()

    def _object(self) -> Iterator[tuple[int, bytes]]:
        """The items of its named arrays; where it has none, the object itself."""
        if not self.names:
            yield from self._value()
            return
        start, named = self._begin(), False
        self.at += 1
        try:
            while self._peek() and self.text[self.at] != ord("}"):
                key = self._match(_STRING).group()
                if not self._peek():
                    raise _Unfinished(CUT_OFF)
                if self.text[self.at] != ord(":"):
                    raise _Crooked(NOT_JSON)
                self.at += 1
                if self._peek() and self.text[self.at] == ord("[") and key in self.names:
                    named = True
                    self.at += 1
                    yield from self._array()
                else:
                    self._pass_value()
                if named:
                    self.held = self.at
            if self.at >= len(self.text):
                raise _Unfinished(CUT_OFF)
        except (_Unfinished, _Crooked) as bad:
            self._give_up(start, bad)
            return
        self.at += 1
        if not named:
            yield start, self.text[self.held : self.at]

    def _value(self) -> Iterator[tuple[int, bytes]]:
        start = self._begin()
        try:
            self._pass_value()
        except (_Unfinished, _Crooked) as bad:
            self._give_up(start, bad)
            return
        yield start, self.text[self.held : self.at]

    def _begin(self) -> int:
        """An element starts here: hold it, and note its line and its indent."""
        self.held = self.at
        line_start = self.text.rfind(b"\n", max(0, self.at - _LOOK_BACK), self.at) + 1
        found = _INDENT.match(self.text, line_start, self.at)
        assert found is not None
        self.indent = found.group()
        return self._line_here()

    def _give_up(self, start: int, bad: _Unfinished | _Crooked) -> None:
        """List an element that cannot be cut, and go to the next that starts a line like it."""
        if self.lost:
            return
        self.source.skip(start, str(bad))
        self.at = self.held + 1
        self.held = len(self.text)
        self._go_to(b"\n" + self.indent + b"{")

    def _go_to(self, mark: bytes) -> None:
        """Behind the line end that starts `mark`, or to the end of the text."""
        while (found := self.text.find(mark, self.at)) < 0:
            self.at = self.held = max(self.at, len(self.text) - len(mark))
            if not self._more():
                self.at = len(self.text)
                self.lost = True
                return
        self.at = found + 1

    def _pass_value(self) -> None:
        """Move behind one value."""
        if not self._peek():
            raise _Unfinished(CUT_OFF)
        first = self.text[self.at]
        if first == ord('"'):
            self._match(_STRING)
        elif first in _OPENING:
            self._pass_brackets()
        else:
            self._match(_SCALAR)

    def _pass_brackets(self) -> None:
        """Move behind one array or object. Counts each kind of bracket; a decoder does the rest."""
        match, text, at = _BRACKET.match, self.text, self.at
        curly = square = 0
        while True:
            found = match(text, at)
            if found is None:
                self.at = at
                at = self._match(_BRACKET).end()
                text = self.text
            else:
                at = found.end()
            bracket = text[at - 1]
            if bracket == 123:
                curly += 1
                continue
            if bracket == 91:
                square += 1
                continue
            if bracket == 125:
                curly -= 1
            else:
                square -= 1
            if curly <= 0 and square <= 0:
                self.at = at
                if curly or square:
                    raise _Crooked(NOT_JSON)
                return
            if curly < 0 or square < 0:
                raise _Crooked(NOT_JSON)

    def _match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
        """The pattern here, after reading as much as it takes; moves behind it."""
        while True:
            found = pattern.match(self.text, self.at)
            if found and found.end() < len(self.text):
                break
            if not found and self._is_crooked(pattern):
                raise _Crooked(NOT_JSON)
            if self.at - self.held > LONGEST_ELEMENT:
                raise _Crooked(f"is longer than {LONGEST_ELEMENT >> 20} MB")
            if not self._more():
                if not found:
                    raise _Unfinished(CUT_OFF)
                break
        self.at = found.end()
        return found

    def _is_crooked(self, pattern: re.Pattern[bytes]) -> bool:
        """Whether no further text could complete what stands here."""
        if pattern is _BRACKET:
            found = _UP_TO_BRACKET.match(self.text, self.at)
            assert found is not None
            rest = found.end()
        else:
            rest = self.at
        if rest < len(self.text) and self.text[rest] != ord('"'):
            return True
        return self.text.find(b"\n", rest) >= 0

    def _peek(self) -> bool:
        """Move over white space and commas; whether anything follows."""
        while True:
            found = _SPACE.match(self.text, self.at)
            assert found is not None
            self.at = found.end()
            if self.at < len(self.text):
                return True
            if not self._more():
                return False

    def _more(self) -> bool:
        """Read on: at least as much again as the open element has, so that work stays linear."""
        if self.ended:
            return False
        keep = max(0, min(self.held, self.at) - _LOOK_BACK)
        self._line_of(keep)
        wanted = max(PIECE_BYTES, len(self.text) - keep)
        found = [self.text[keep:]]
        got = 0
        while got < wanted:
            piece = next(self.stream, None)
            if piece is None:
                self.ended = True
                break
            found.append(piece)
            got += len(piece)
        self.text = b"".join(found)
        self.at -= keep
        self.held -= keep
        self.counted -= keep
        return got > 0

    def _line_here(self) -> int:
        return self._line_of(self.at)

    def _line_of(self, place: int) -> int:
        if place > self.counted:
            self.line += self.text.count(b"\n", self.counted, place)
            self.counted = place
        return self.line
