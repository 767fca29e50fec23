"""The words of the page, and the check that words and code name the same things."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from bursar.model.errors import BursarError

Json = dict[str, object]
Words = dict[str, Any]


def words() -> Words:
    """The data of `words.toml`."""
    text = files("bursar.gateway.openapi").joinpath("words.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def matched(place: str, names: Iterable[str], told: Mapping[str, object]) -> None:
    """Both hold the same names, or BursarError says which do not."""
    wrong = sorted(set(names) ^ told.keys())
    if wrong:
        raise BursarError(
            f"{place}: {', '.join(wrong)} stands in the code or in the words alone",
            mend="edit src/bursar/gateway/openapi/words.toml",
        )


def ref(kind: str, name: str) -> Json:
    """What stands for a component of the page."""
    return {"$ref": f"#/components/{kind}/{name}"}
