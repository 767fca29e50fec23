"""The script that every batch runs: the files of `lua/`, one after the other.

One script and not one for each step, so that a batch may hold steps of any kind. It is sent once
and called by its SHA-1 from then on, until a server does not know it (any more).
"""

from __future__ import annotations

from hashlib import sha1
from importlib.resources import files

PARTS = ("1_accounts.lua", "2_reservations.lua", "3_steps.lua", "4_lives.lua")


def read_script() -> tuple[str, str]:
    """Its text, and the SHA-1 that the server knows it by."""
    folder = files("bursar.state.redis").joinpath("lua")
    text = "\n".join(folder.joinpath(part).read_text(encoding="utf-8") for part in PARTS)
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()
