"""The meaning of each setting, read from the text under its field, where its struct is written.

Python forgets such texts, so they are taken from the module's source; that happens where pages are
written, never where calls are served. A field without a text is an error.
"""

from __future__ import annotations

import ast
import inspect
import sys
from typing import Any, cast, get_args, get_origin

import msgspec

from bursar.gateway.settings import structs
from bursar.gateway.settings.amounts import Amounts, Count, Every, Money, Percent, Words
from bursar.gateway.settings.values import Bytes, Moment, Seconds, written
from bursar.model.errors import BursarError

KINDS: dict[object, str] = {
    bool: "true or false",
    float: "number",
    int: "whole number",
    str: "text",
    Bytes: "size",
    Moment: "time",
    Seconds: "duration",
    Amounts: "amount, or list of amounts",
    Count: "whole number",
    Every: "window",
    Money: "dollars",
    Percent: "share",
    Words: "text, or list of text",
}


Texts = dict[str, tuple[str, dict[str, str]]]
"""Class -> its docstring, and the text under each of its fields."""

ENTRIES: dict[object, str] = {dict: ".NAME", tuple: "[]"}
"""How the entries of a map or a list are called in a path."""


PARTS: dict[object, str] = {
    dict: "NAME: settings, see below",
    tuple: "list of settings, see below",
}


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """One setting."""

    name: str
    kind: str
    default: str
    """As it would be written; "" where it must be given or is explained in the text."""
    says: str


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the file."""

    path: str
    """`keys.NAME` for the entries of a map, `routes[]` for those of a list, "" for the top."""
    says: str
    settings: tuple[Meaning, ...]


def sections(source: str | None = None) -> list[Section]:
    """All parts of the file, from the top down. Raises BursarError for a field without a text."""
    texts: dict[str, Texts] = {}
    if source is not None:
        texts[structs.__name__] = _texts(source)
    found: list[Section] = []
    queue: list[tuple[str, type[msgspec.Struct]]] = [("", structs.Settings)]
    while queue:
        path, kind = queue.pop(0)
        if kind.__module__ not in texts:
            texts[kind.__module__] = _texts(inspect.getsource(sys.modules[kind.__module__]))
        says, told = texts[kind.__module__][kind.__name__]
        fields = msgspec.structs.fields(kind)
        missing = [one.name for one in fields if one.name not in told]
        if missing:
            place = path or "the top"
            raise BursarError(
                f"{', '.join(missing)} of {place} has no meaning",
                mend="write it under the field, in gateway/settings, engine/policy or levers",
            )
        found.append(
            Section(
                path=path,
                says=says,
                settings=tuple(_meaning(one, told[one.name]) for one in fields),
            )
        )
        below = [(_joined(path, one), part) for one in fields if (part := _part(one.type))]
        queue = below + queue
    return found


def _texts(source: str) -> Texts:
    """Class -> its docstring, and field -> the text under it."""
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        told: dict[str, str] = {}
        for field, after in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                told[field.target.id] = " ".join(after.value.value.split())
        found[node.name] = (ast.get_docstring(node) or "", told)
    return found


def _meaning(field: Any, says: str) -> Meaning:
    return Meaning(
        name=field.encode_name, kind=_kind(field.type), default=_default(field), says=says
    )


def _joined(path: str, field: Any) -> str:
    more = ENTRIES.get(get_origin(field.type), "")
    return f"{path}.{field.encode_name}{more}" if path else f"{field.encode_name}{more}"


def _part(kind: Any) -> type[msgspec.Struct] | None:
    """The struct that a kind of value is made of; None for plain values."""
    for one in (kind, *get_args(kind)):
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            return one
    return None


def _kind(kind: Any) -> str:
    """A kind of value in plain words."""
    if kind in KINDS:
        return KINDS[kind]
    if _part(kind) is not None:
        return PARTS.get(get_origin(kind), "settings, see below")
    arguments = [one for one in get_args(kind) if one is not type(None) and one is not ...]
    if get_origin(kind) is dict:
        return f"NAME: {_kind(arguments[1])}"
    if get_origin(kind) is tuple:
        return f"list of {_kind(arguments[0])}"
    if arguments and all(isinstance(one, str) for one in arguments):
        return ", ".join(f"`{one}`" for one in arguments)
    return _kind(arguments[0])


def _default(field: Any) -> str:
    """A default as it is written in a file."""
    if field.default_factory is not msgspec.NODEFAULT or field.required:
        return ""
    value = field.default
    if isinstance(value, tuple) and value:
        return f"`{', '.join(str(written(one)) for one in cast('tuple[object, ...]', value))}`"
    if value is None or isinstance(value, (dict, tuple, msgspec.Struct)):
        return ""
    if isinstance(value, Seconds):
        return f"`{value:g}s`"
    if isinstance(value, Bytes):
        return f"`{size_text(value)}`"
    return f"`{str(written(value)).lower() if isinstance(value, bool) else written(value)}`"


def size_text(value: int) -> str:
    """Bytes as a person writes them."""
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= scale and value % scale == 0:
            return f"{value // scale}{unit}"
    return str(value)
