"""Least values of a lever's settings, said in one way."""

from __future__ import annotations

import msgspec


def at_least(wish: msgspec.Struct, **least: int) -> None:
    """Raises ValueError for a field that is given and below its least."""
    for name, value in least.items():
        given = getattr(wish, name)
        if given is not None and not given >= value:
            raise ValueError(f"{name} needs {value} or more")
