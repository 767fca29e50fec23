"""YAML as settings need it: plain values with the line of each, and values back as text.

Stricter than YAML itself, so that a file means one thing: a key stands once, words such as `no` and
`on` are words (YAML 1.2), there are no anchors, tags or second documents, and size and depth are
bounded. Values are built from the parser's events, so no depth of nesting can exhaust a stack.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from bursar import extras
from bursar.dialects.wire import as_list, as_map, is_map
from bursar.model.errors import BadInput

LARGEST_FILE = 1 << 20
DEEPEST = 20
Path = tuple[str | int, ...]
_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,18}\.[0-9]{0,18}|\.[0-9]{1,18})(?:[eE][-+]?[0-9]{1,3})?")
_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")


class Tree(msgspec.Struct, frozen=True):
    """A file's content."""

    value: Any
    lines: dict[Path, int]
    """Where each value stands, from 1."""

    def line(self, path: Path) -> int | None:
        """The line of a value, or of the nearest that holds it."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None


class _Open:
    """A mapping or a list that is being read."""

    def __init__(self, path: Path, value: dict[str, Any] | list[Any]) -> None:
        self.path = path
        self.value = value
        self.key: str | None = None
        """Of a mapping: the key whose value comes next."""


def read_yaml(content: bytes, name: str) -> Tree:
    """The content of a file that is called `name` in errors. Raises BadInput with line and mend."""
    if len(content) > LARGEST_FILE:
        raise BadInput(f"{name}: larger than 1 MiB", mend="is this the settings file?")
    parse, error = extras.yaml_events()
    try:
        text = content.decode("utf-8-sig")
        return _Reader(name).read(parse(text))
    except UnicodeDecodeError as bad:
        line = content.count(b"\n", 0, bad.start) + 1
        raise BadInput(f"{name}:{line}: is not UTF-8", mend="save it as UTF-8") from bad
    except error as bad:
        mark = getattr(bad, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark else name
        what = getattr(bad, "problem", None) or getattr(bad, "reason", None) or "cannot be read"
        mend = "mend that line; indent with spaces, and quote texts that hold `: ` or ` #`"
        raise BadInput(f"{place}: is no YAML: {what}", mend=mend) from bad


class _Reader:
    """Builds values from events."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[Path, int] = {}
        self.open: list[_Open] = []
        self.documents = 0
        self.top: Any = None

    def read(self, events: Any) -> Tree:
        for event in events:
            kind = type(event).__name__
            self._refuse_fancy(kind, event)
            if kind == "ScalarEvent":
                self._take(event, self._scalar(event))
            elif kind == "MappingStartEvent":
                self._begin(event, {})
            elif kind == "SequenceStartEvent":
                self._begin(event, [])
            elif kind in ("MappingEndEvent", "SequenceEndEvent"):
                self.open.pop()
        return Tree(self.top, self.lines)

    def _bad(self, event: Any, what: str, mend: str) -> BadInput:
        return BadInput(f"{self.name}:{event.start_mark.line + 1}: {what}", mend=mend)

    def _refuse_fancy(self, kind: str, event: Any) -> None:
        if kind == "DocumentStartEvent":
            self.documents += 1
            if self.documents > 1:
                raise self._bad(event, "a second document", "keep one, without `---` between")
        elif kind == "AliasEvent" or getattr(event, "anchor", None):
            raise self._bad(event, "anchors (&) and aliases (*) are not read", "write it out")
        elif getattr(event, "tag", None) not in (None, "!"):
            raise self._bad(event, "tags (!) are not read", "remove the tag")

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.style or event.tag == "!":
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _WHOLE.fullmatch(text):
            return int(text)
        return float(text) if _NUMBER.fullmatch(text) else text

    def _begin(self, event: Any, value: dict[str, Any] | list[Any]) -> None:
        if len(self.open) >= DEEPEST:
            raise self._bad(event, "nested too deeply", f"nest no deeper than {DEEPEST} levels")
        path = self._take(event, value)
        self.open.append(_Open(path, value))

    def _take(self, event: Any, value: Any) -> Path:
        """Put a value, or a key, where it belongs."""
        line = event.start_mark.line + 1
        if not self.open:
            self.top = value
            self.lines[()] = line
            return ()
        holder = self.open[-1]
        if isinstance(holder.value, list):
            path = (*holder.path, len(holder.value))
            holder.value.append(value)
        elif holder.key is None:
            return self._take_key(event, holder)
        else:
            path = (*holder.path, holder.key)
            holder.value[holder.key] = value
            holder.key = None
        self.lines.setdefault(path, line)
        return path

    def _take_key(self, event: Any, holder: _Open) -> Path:
        key = getattr(event, "value", None)
        if not isinstance(key, str):
            raise self._bad(event, "a key that is no word", "write NAME: VALUE")
        if key in holder.value:
            raise self._bad(event, f"{key!r} stands twice", "keep one of the two")
        holder.key = key
        self.lines[(*holder.path, key)] = event.start_mark.line + 1
        return holder.path


def yaml_of(value: Any, indent: str = "") -> str:
    """Plain values as YAML that reads back as the same. YAML bounds keys to 1,024 characters."""
    if is_map(value) and value:
        named = as_map(value).items()
        return "\n".join(f"{indent}{_text(key)}:{_below(one, indent)}" for key, one in named)
    if as_list(value):
        return "\n".join(f"{indent}-{_below(one, indent)}" for one in as_list(value))
    return indent + _text(value)


def _below(value: Any, indent: str) -> str:
    if isinstance(value, (dict, list)) and value:
        return "\n" + yaml_of(value, indent + "  ")
    return " " + _text(value)


def _text(value: Any) -> str:
    """A scalar, quoted wherever it could be taken for anything else."""
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value not in _WORDS:
            return value
        return '"' + "".join(map(_escaped, value)) + '"'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:.9f}"
    return {"{}": "{}", "[]": "[]"}.get(str(value), str(value))


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if " " <= char <= "~":
        return char
    return f"\\U{ord(char):08x}"
