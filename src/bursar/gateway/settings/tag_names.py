"""Names and values that tags may have: at most 64 of them, 128 bytes each, printable, NFC."""

from __future__ import annotations

import re
import unicodedata

from bursar.model.call import Tags

FIELDS = tuple(name for name in Tags.__struct_fields__ if name != "other")
"""Tags that the ledger knows by name; any other goes along as one of your own."""
WHOLE = ("step_index",)
FLAGS = ("is_retry",)
TEXTS = tuple(name for name in FIELDS if name not in (*WHOLE, *FLAGS))
MOST_TAGS = 64
LONGEST_BYTES = 128
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
TRUTH = {"true": True, "1": True, "false": False, "0": False}
MOST_STEPS = 1_000_000
_WHOLE = re.compile(r"[0-9]{1,7}")
OTHER = "__other__"
"""What a value becomes that is one too many."""
KEY = "key"
"""The tag that says with which virtual key a call came; nobody else can say it."""
QUARANTINE = "quarantine"
"""The tag that says why a call is kept apart."""


def tag_name(name: str) -> str:
    """The name of a tag, from how it is written in a header."""
    field = name.replace("-", "_")
    return field if field in FIELDS else name


def name_problem(name: str) -> str | None:
    """What is wrong with a tag's name; None for nothing."""
    if not NAME.fullmatch(name):
        return "is no name of a tag: lower-case letters, digits, . _ -, at most 64"
    return "is set by the gateway itself" if name == QUARANTINE else None


def problem_of(tag: str, value: str) -> str | None:
    """What is wrong with a value of this tag; None for nothing."""
    if tag in WHOLE:
        fits = _WHOLE.fullmatch(value) and int(value) <= MOST_STEPS
        return None if fits else f"must be a whole number up to {MOST_STEPS}"
    if tag in FLAGS:
        return None if value in TRUTH else "must be true or false"
    return value_problem(value)


def value_problem(value: str) -> str | None:
    """What is wrong with a tag's value; None for nothing."""
    if not value:
        return "is empty"
    if not value.isprintable():
        return "holds a character that cannot be printed"
    if value.isascii():
        return None if len(value) <= LONGEST_BYTES else f"is longer than {LONGEST_BYTES} bytes"
    if len(value.encode("utf-8", "replace")) > LONGEST_BYTES:
        return f"is longer than {LONGEST_BYTES} bytes"
    if not unicodedata.is_normalized("NFC", value):
        return "is not in Unicode's normal form NFC"
    return None


def mended(value: str) -> str:
    """A foreign value as a tag may have it: normal form, printable, cut to its bytes."""
    if value.isascii() and value.isprintable():
        return value[:LONGEST_BYTES]
    value = unicodedata.normalize("NFC", value[: LONGEST_BYTES * 4])
    value = "".join(one if one.isprintable() else "\ufffd" for one in value)
    return value.encode("utf-8", "replace")[:LONGEST_BYTES].decode("utf-8", "ignore")
