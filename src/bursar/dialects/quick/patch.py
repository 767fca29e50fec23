"""A request body asks for usage at the end of its stream, and no other byte of it changes.

A provider's prompt cache, and any signature of a caller, live on the exact bytes; so the option is
put into the text, and the text is never written anew.
"""

from __future__ import annotations

import json
import re

import msgspec

from bursar.dialects.quick.checks import fault
from bursar.model.errors import BadInput

OPTIONS = "stream_options"
OPTION = "include_usage"

_WHOLE = f'"{OPTIONS}":{{"{OPTION}":true}}'.encode()
_blanks = re.compile(r"[ \t\n\r]*").match
_scan = json.JSONDecoder().raw_decode
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def ask_for_usage(body: bytes) -> bytes:
    """An OpenAI chat body with `stream_options.include_usage` true.

    Raises BadInput when the body is no JSON object, or its `stream_options` is none.
    """
    if OPTIONS.encode() in body or b"\\u00" in body:
        try:
            named = OPTIONS in _decode(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise fault(body, "") from None
        if named:
            return _with_option(body)
    place = body.find(b"{") + 1
    if not place or body[: place - 1].strip(b" \t\n\r"):
        raise fault(body, "")
    rest = body[place : place + 64].lstrip() or body[place:].lstrip()
    comma = b"" if rest.startswith(b"}") else b","
    return body[:place] + _WHOLE + comma + body[place:]


def _with_option(body: bytes) -> bytes:
    """The same where the body has the field already."""
    try:
        text = body.decode()
        start, end = _place_of(text, OPTIONS, 0)
        if text[start:end] == "null":
            return f'{text[:start]}{{"{OPTION}":true}}{text[end:]}'.encode()
        if text[start] != "{":
            raise BadInput(f"/{OPTIONS} is not an object", mend="send an object, or leave it out")
        inner, after = _place_of(text, OPTION, start)
        if after < 0:
            comma = "" if text[_end_of_blanks(text, start + 1)] == "}" else ","
            return f'{text[: start + 1]}"{OPTION}":true{comma}{text[start + 1 :]}'.encode()
    except (ValueError, RecursionError):
        raise fault(body, "") from None
    return f"{text[:inner]}true{text[after:]}".encode()


def _place_of(text: str, name: str, start: int) -> tuple[int, int]:
    """Where the value of a field of the object at `start` begins and ends; (-1, -1): not there."""
    place = _end_of_blanks(text, start)
    while True:
        place = _end_of_blanks(text, place + 1)
        if text[place] == "}":
            return -1, -1
        key, place = _scan(text, place)
        first = _end_of_blanks(text, _end_of_blanks(text, place) + 1)
        _, last = _scan(text, first)
        if key == name:
            return first, last
        place = _end_of_blanks(text, last)
        if text[place] == "}":
            return -1, -1


def _end_of_blanks(text: str, place: int) -> int:
    found = _blanks(text, place)
    return place if found is None else found.end()
