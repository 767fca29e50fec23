"""The script of a simulated provider as a TOML file: its terms, its answers, its faults.

    [terms]
    latency_ms = 300

    [[answer]]
    contains = "refund"
    text = "Your refund is on its way."

    [[fault]]
    kind = "rate_limit"
    probability = 0.05
    first = 1

What the tables may hold are the fields of `Terms`, `Answer` and `Fault`. The first that fits holds.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from bursar.model.errors import BadInput
from bursar.simulator.desk import Terms
from bursar.simulator.faults import Fault, checked
from bursar.simulator.saying import Answer


class ScriptFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole file."""

    terms: Terms = Terms()
    answer: tuple[Answer, ...] = ()
    fault: tuple[Fault, ...] = ()


def read_script(path: Path) -> ScriptFile:
    """The file, checked. Raises BadInput with its place and mend."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        found = msgspec.convert(table, ScriptFile)
    except OSError as gone:
        raise BadInput(f"{path}: cannot be read ({gone.strerror})", mend="check the path") from gone
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as bad:
        raise BadInput(f"{path}: is no TOML ({bad})", mend="mend that place") from bad
    except msgspec.ValidationError as bad:
        raise BadInput(
            f"{path}: {bad}", mend="the tables are [terms], [[answer]] and [[fault]]"
        ) from bad
    for n, fault in enumerate(found.fault):
        checked(fault, f"{path}: fault[{n}]")
    return found
