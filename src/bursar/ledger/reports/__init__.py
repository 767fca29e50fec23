"""The questions that a ledger answers, written once as portable SQL files beside this module.

A file has places in braces: `{scope}` is a predicate on the attempts `a` in question, others are
column names from an allow-list. Values never enter the text; they go in as `?` parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from importlib.resources import files

import msgspec

from bursar.ledger.schema import TAG_COLUMNS
from bursar.model.errors import BadInput

DIMENSIONS: dict[str, str] = {
    **{name: f"a.{name}" for name in TAG_COLUMNS if name != "user_id"},
    "user": "a.user_id",
    "provider": "a.provider",
    "model": "a.model",
    "tool": "a.tool",
    "day": "strftime(a.at, '%Y-%m-%d')",
    "hour": "strftime(a.at, '%Y-%m-%d %H:00')",
    "price_class": "a.price_class",
    "dialect": "a.dialect",
    "session": "(SELECT id FROM sessions WHERE sessions.session = a.session)",
    "retry_cause": "a.retry_cause",
    "stop": "a.stop",
    "status": "CAST(a.status AS VARCHAR)",
    "effort": "a.effort",
}
"""What costs can be grouped and filtered by: name -> expression. Any other tag is `tag:NAME`."""


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Which attempts a question is about."""

    where: str = "TRUE"
    """A predicate on the alias `a` of attempts."""
    values: tuple[object, ...] = ()
    """What fills its `?` places, in order. A file that uses the scope twice needs them twice."""


def dimension(name: str) -> str:
    """The expression of a dimension. Raises BadInput for a name that is none."""
    if name in DIMENSIONS:
        return DIMENSIONS[name]
    if name.startswith("tag:") and name[4:].replace("_", "").replace("-", "").isalnum():
        return f"json_extract_string(a.other_tags, '$.\"{name[4:]}\"')"
    raise BadInput(
        f"{name!r} is nothing to group or filter by",
        mend=f"use one of {', '.join(DIMENSIONS)}, or tag:NAME for a tag of your own",
    )


def scope_of(
    since: datetime | None = None,
    until: datetime | None = None,
    filters: Iterable[tuple[str, str]] = (),
) -> Scope:
    """Attempts from `since` (inclusive) until `until` (exclusive) whose dimensions match."""
    wheres: list[str] = []
    values: list[object] = []
    for sign, moment in ((">=", since), ("<", until)):
        if moment is not None:
            wheres.append(f"a.at {sign} ?")
            values.append(moment)
    for name, value in filters:
        wheres.append(f"{dimension(name)} = ?")
        values.append(value)
    return Scope(where=" AND ".join(wheres) or "TRUE", values=tuple(values))


@cache
def _text(name: str) -> str:
    return files("bursar.ledger.reports").joinpath(f"{name}.sql").read_text(encoding="utf-8")


def load_sql(name: str, **places: str) -> str:
    """The SQL of a report with its places filled."""
    text = _text(name)
    for place, value in places.items():
        text = text.replace("{" + place + "}", value)
    return text
