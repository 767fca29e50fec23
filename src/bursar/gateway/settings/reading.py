"""`bursar.yaml` -> `Settings`: every error names the file, the line, the setting and the mend.

msgspec does the reading; where it refuses, the value is taken apart until the smallest part that is
wrong is found, since its own message does not name the entry of a map. What goes beyond types is
checked in `checking`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path as File
from typing import Any, cast, get_args, get_origin

import msgspec

from bursar.dialects.wire import as_list, as_map, is_map
from bursar.gateway.settings.caps_checking import check_caps
from bursar.gateway.settings.checking import Wrong, check
from bursar.gateway.settings.presets import with_presets
from bursar.gateway.settings.structs import Settings
from bursar.gateway.settings.values import read_value, written
from bursar.gateway.settings.yaml_text import Path, Tree, read_yaml, yaml_of
from bursar.model.errors import BadInput

KINDS = {
    "int": "a whole number",
    "str": "a text",
    "bool": "true or false",
    "float": "a number",
    "object": "names with values below it",
    "array": "a list",
    "null": "nothing",
}
REFERENCE = "docs/reference/bursar-yaml.md lists every setting"
_EXPECTED = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")


def load_settings(path: File | None, environ: Mapping[str, str]) -> Settings:
    """The settings of a file, or those without any file (None). Raises BadInput.

    `environ` gives the AWS region where the file does not; keys are looked up later.
    """
    if path is None:
        return parse_settings(b"", "the settings", environ)
    return parse_settings(read_file(path), str(path), environ)


def read_file(path: File) -> bytes:
    """The bytes of a settings file. Raises BadInput where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as bad:
        raise BadInput(
            f"{path}: cannot be read ({bad.strerror or bad})", mend="check the path and its rights"
        ) from bad


def parse_settings(content: bytes, name: str, environ: Mapping[str, str]) -> Settings:
    """The settings in `content`; `name` only names it in errors."""
    tree = read_yaml(content, name) if content.strip() else Tree({}, {})
    value: Any = {} if tree.value is None else tree.value
    try:
        settings = with_presets(msgspec.convert(value, Settings, dec_hook=read_value), environ)
        check(settings)
        check_caps(settings)
    except msgspec.ValidationError as bad:
        wrong = _located(value, Settings, ()) or Wrong((), _plain(str(bad)), REFERENCE)
        raise _bad_input(name, tree, wrong) from None
    except Wrong as wrong:
        raise _bad_input(name, tree, wrong) from None
    return settings


def dump_settings(settings: Settings) -> str:
    """Settings as a file that gives the same settings again."""
    plain = _without_defaults(settings)
    return yaml_of(plain) + "\n" if plain else ""


def _without_defaults(value: Any) -> Any:
    as_written = written(value)
    if as_written is not value:
        return as_written
    if isinstance(value, msgspec.Struct):
        found: dict[str, Any] = {}
        for field in msgspec.structs.fields(value):
            one = getattr(value, field.name)
            default = field.default
            if field.default_factory is not msgspec.NODEFAULT:
                default = field.default_factory()
            if default is msgspec.NODEFAULT or one != default:
                found[field.encode_name] = _without_defaults(one)
        return found
    if is_map(value):
        return {key: _without_defaults(one) for key, one in as_map(value).items()}
    if isinstance(value, tuple):
        return [_without_defaults(one) for one in cast("tuple[Any, ...]", value)]
    return value


def _bad_input(name: str, tree: Tree, wrong: Wrong) -> BadInput:
    line = tree.line(wrong.path)
    place = f"{name}:{line}" if line else name
    setting = ".".join(map(str, wrong.path))
    return BadInput(f"{place}: {setting + ' ' if setting else ''}{wrong.what}", mend=wrong.mend)


def _located(value: Any, kind: Any, path: Path) -> Wrong | None:
    """The smallest part of a value that is not of its kind; None where all is well."""
    try:
        msgspec.convert(value, kind, dec_hook=read_value)
        return None
    except msgspec.ValidationError as bad:
        text = str(bad)
    kind = _bare(kind)
    for part, below, step in _parts(value, kind):
        wrong = _located(part, below, (*path, step))
        if wrong is not None:
            return wrong
    known = _fields(kind)
    if known is not None and is_map(value):
        given = as_map(value)
        unknown = next((one for one in given if one not in known), None)
        if unknown is not None:
            return Wrong((*path, unknown), "is no setting", _closest(unknown, known))
        missing = [name for name, (_, need) in known.items() if need and name not in given]
        if missing:
            return Wrong(path, f"needs `{missing[0]}`", f"add {missing[0]}: ...")
    return Wrong(path, _plain(text, kind), REFERENCE)


def _bare(kind: Any) -> Any:
    """The part that may be left out (`Part | None`), or the kind as it is."""
    parts = [one for one in get_args(kind) if one is not type(None)]
    is_part = len(parts) == 1 and isinstance(parts[0], type)
    return parts[0] if is_part and issubclass(parts[0], msgspec.Struct) else kind


def _fields(kind: Any) -> dict[str, tuple[Any, bool]] | None:
    """Setting -> its kind and whether it must be there; None for what is no part."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return None
    return {one.encode_name: (one.type, one.required) for one in msgspec.structs.fields(kind)}


def _parts(value: Any, kind: Any) -> list[tuple[Any, Any, str | int]]:
    """What a value is made of: each part with the kind that it should be."""
    known = _fields(kind)
    if known is not None:
        given = as_map(value).items()
        return [(one, known[name][0], name) for name, one in given if name in known]
    arguments = get_args(kind)
    if get_origin(kind) is dict:
        return [(one, arguments[1], name) for name, one in as_map(value).items()]
    if get_origin(kind) is tuple:
        return [(one, arguments[0], number) for number, one in enumerate(as_list(value))]
    return []


def _closest(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"one of: {', '.join(known)}"


def _plain(text: str, kind: Any = None) -> str:
    """A message of msgspec in plain words."""
    text = text.partition(" - at ")[0]
    found = _EXPECTED.fullmatch(text)
    if found:
        wanted = " or ".join(KINDS.get(one, one) for one in found[1].split(" | ") if one != "null")
        return f"needs {wanted}, not {KINDS.get(found[2], found[2])}"
    if text.startswith("Invalid enum value"):
        choices = [str(one) for part in (kind, *get_args(kind)) for one in get_args(part)]
        plain = dict.fromkeys(
            one for one in choices if one.replace("_", "").replace("-", "").isalnum()
        )
        return f"needs one of: {', '.join(plain)}"
    return text
