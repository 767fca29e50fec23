"""The gateway as a process of its own: `bursar serve` becomes it once the command line is read.

It loads neither the command line nor the database, which would be half of its memory.
"""

from __future__ import annotations

import os
import sys

import msgspec

from bursar.gateway.serving import run_gateway
from bursar.gateway.wishes import Wishes
from bursar.model.errors import BursarError

CANNOT = 2


def main() -> int:
    """Serve. Exit codes as those of the command line."""
    try:
        wishes = msgspec.json.decode(sys.argv[1], type=Wishes)
        return run_gateway(wishes, os.environ, _say)
    except BursarError as bad:
        _say(f"bursar: {bad}")
        return CANNOT


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
