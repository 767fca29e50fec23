"""What the simulated provider charges: one line for each request, in integer nanodollars.

A line is written when its request has ended, however it ended. Requests that cost nothing have a
line too, with `cost_nano = 0` and no usage, so that nobody has to guess whether one is missing.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bursar.model.errors import BadInput
from bursar.model.money import usd
from bursar.model.usage import Usage

LARGEST_COUNT = 1_000_000
"""Lines kept in memory; older ones remain in the totals and in the file."""


class Line(msgspec.Struct, kw_only=True):
    """One request."""

    request_id: str
    """What the answer's header says: `x-request-id`, `request-id` or `x-amzn-requestid`."""
    response_id: str | None = None
    """The id inside of the answer's body, where the wire has one."""
    client_request_id: str | None = None
    """What the client called it, by `x-client-request-id`; known even if no answer was sent."""
    at_ms: int
    """When it came, in milliseconds of Unix time."""
    provider: str
    dialect: str
    operation: str
    model: str
    account: str = ""
    """A hash of the key that was sent: whose cache it was."""
    stream: bool = False
    price_class: str = "standard"
    status: int = 200
    """0: no status was sent."""
    fate: str = "complete"
    """`complete`, `refused`, `cut_by_client` or `cut_by_fault`."""
    fault: str | None = None
    events: int = 0
    """Events, or bodies, that the whole answer has."""
    sent: int = 0
    """Of these, given to the network."""
    billed: bool = False
    usage: Usage | None = None
    """What is charged. None: nothing is."""
    cost_nano: int | None = 0
    """None: no price is known."""
    unpriced_reason: str | None = None
    price_version: str | None = None
    body_digest: int = 0
    """Of the request's body, byte for byte."""


class Totals(msgspec.Struct, kw_only=True):
    """Sums over lines."""

    requests: int = 0
    billed: int = 0
    unpriced: int = 0
    usage: Usage = Usage()
    cost_nano: int = 0

    def add(self, line: Line) -> None:
        self.requests += 1
        if line.billed:
            self.billed += 1
            self.unpriced += line.cost_nano is None
            self.cost_nano += line.cost_nano or 0
            if line.usage is not None:
                self.usage += line.usage


class Invoice:
    """All lines. Written to only by the simulator."""

    def __init__(self, path: Path | None = None, largest_count: int = LARGEST_COUNT) -> None:
        self.path = path
        self.lines: deque[Line] = deque(maxlen=largest_count)
        self.by_model: dict[str, Totals] = {}
        self.total = Totals()
        self._encode = msgspec.json.Encoder().encode
        self._file: int | None = None
        if path is not None:
            try:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
                self._file = os.open(path, flags, 0o600)
            except OSError as bad:
                raise BadInput(
                    f"the invoice file {path} cannot be written: {bad.strerror}",
                    mend="name a file in a folder that exists",
                ) from bad

    @property
    def total_nano(self) -> int:
        return self.total.cost_nano

    def add(self, line: Line) -> None:
        """One more line; on disk at once, in one write, so that processes may share a file."""
        self.lines.append(line)
        self.total.add(line)
        self.by_model.setdefault(f"{line.provider}/{line.model}", Totals()).add(line)
        if self._file is not None:
            os.write(self._file, self._encode(line) + b"\n")

    def billed(self) -> Iterator[Line]:
        """The lines that are charged."""
        return (line for line in self.lines if line.billed)

    def by_request(self) -> dict[str, Line]:
        """Lines by the id of their request."""
        return {line.request_id: line for line in self.lines}

    def summary(self, *, lines: bool = False) -> dict[str, Any]:
        """As `/invoice` serves it."""
        found: dict[str, Any] = {
            "total_nano": self.total.cost_nano,
            "total_usd": usd(self.total.cost_nano),
            "total": self.total,
            "by_model": self.by_model,
        }
        if lines:
            found["lines"] = list(self.lines)
        return found

    def clear(self) -> None:
        """Forget all lines in memory. The file keeps what it has."""
        self.lines.clear()
        self.by_model.clear()
        self.total = Totals()

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
