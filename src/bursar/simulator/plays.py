"""A play: all that will happen on the wire for one request, decided before the first byte.

Deciding first and sending afterwards keeps every choice under the seed: what a play holds depends
on the request, the script and the caches, and on nothing that the network does. Only how far it
came is found out while it is performed, and stands on its line of the invoice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bursar.price.billing import Billing, Cache
from bursar.simulator.faults import MESSAGE, NONE, Fault
from bursar.simulator.invoice import Line
from bursar.simulator.till import Bill
from bursar.simulator.wires.reply import Headers, Problem, Reply, Voice, Wire

GARBAGE = b"<html><body>502 Bad Gateway (simulated)</body></html>\x00\xff"
JSON = "application/json"


class Play:
    """One answer, or what becomes of it."""

    __slots__ = (
        "bill",
        "bytes_per_s",
        "cut_at",
        "event_s",
        "frames",
        "headers",
        "hold_s",
        "line",
        "silent",
        "status",
        "stream",
        "taken",
        "wait_s",
    )

    def __init__(self, status: int, headers: Headers, frames: list[bytes], line: Line) -> None:
        self.status = status
        self.headers = headers
        self.frames = frames
        self.line = line
        self.stream = False
        """Sent in chunks of unknown total length, frame by frame."""
        self.wait_s = 0.0
        """Before the first byte."""
        self.event_s = 0.0
        """Before each frame."""
        self.bytes_per_s = 0
        """0: as fast as the network takes it."""
        self.cut_at: int | None = None
        """After so many frames the connection is closed, the answer incomplete."""
        self.hold_s = 0.0
        """Silence before it is cut."""
        self.silent = False
        """Not even a head is sent."""
        self.bill: Bill | None = None
        """None: nothing is charged."""
        self.taken: tuple[Cache, Billing] | None = None
        """What the provider's cache holds once the work has begun."""
        line.status = status
        line.events = len(frames)

    @property
    def at_once(self) -> bool:
        """Nothing has to be waited for."""
        return not (self.wait_s or self.event_s or self.bytes_per_s or self.silent) and (
            self.cut_at is None
        )

    def begin(self) -> None:
        """The work begins: the cache holds the prompt."""
        if self.taken is not None:
            cache, billing = self.taken
            cache.take(billing)
            self.taken = None


def refused(voice: Voice, problem: Problem, line: Line) -> Play:
    """An error instead of an answer, for nothing."""
    headers, body = voice.problem(problem, line.request_id)
    line.fate = "refused"
    head = [("content-type", JSON), *voice.headers(line.request_id), *headers]
    return Play(problem.status, head, [body], line)


def plain(value: bytes, line: Line, headers: Headers) -> Play:
    """A body that is charged for nothing: lists, counts."""
    return Play(200, [("content-type", JSON), *headers], [value], line)


def answered(voice: Voice, wire: Wire, reply: Reply, line: Line) -> Play:
    """The whole answer, as it is when nothing goes wrong."""
    stream = reply.asked.stream
    frames = wire.events(reply) if stream else [wire.whole(reply)]
    head = [
        ("content-type", wire.stream_type if stream else wire.media_type),
        *voice.headers(line.request_id),
        *wire.headers(reply),
    ]
    play = Play(200, head, frames, line)
    play.stream = stream
    return play


class Broken:
    """What a fault is done with."""

    def __init__(self, voice: Voice, wire: Wire, fault: Fault) -> None:
        self.voice = voice
        self.wire = wire
        self.fault = fault

    def done_to(self, play: Play) -> Play:
        """The play as the fault leaves it."""
        if self.fault.kind == NONE.kind:
            return play
        play.line.fault = self.fault.kind
        change = _CHANGES.get(self.fault.kind)
        return change(self, play) if change is not None else play

    def problem(self, status: int) -> Problem:
        return Problem(status, f"{MESSAGE}: {self.fault.kind}")

    def error(self, play: Play, status: int, more: Headers | None = None) -> Play:
        line = play.line
        failed = refused(self.voice, self.problem(status), line)
        failed.headers += more or []
        line.fate = "complete"
        failed.bill, failed.taken = play.bill, play.taken
        return failed


def _rate_limit(broken: Broken, play: Play) -> Play:
    wait = broken.fault.retry_after_s
    return broken.error(play, 429, [("retry-after", str(wait))] if wait is not None else None)


def _error(broken: Broken, play: Play) -> Play:
    wait = broken.fault.retry_after_s
    more = [("retry-after", str(wait))] if wait is not None else None
    return broken.error(play, broken.fault.status, more)


def _error_body(broken: Broken, play: Play) -> Play:
    failed = broken.error(play, 500)
    failed.status = failed.line.status = 200
    return failed


def _garbage(broken: Broken, play: Play) -> Play:
    return _with_frames(play, [GARBAGE], stream=False)


def _error_event(broken: Broken, play: Play) -> Play:
    if not play.stream:
        return broken.error(play, 500)
    frames = play.frames[: broken.fault.at]
    frames.append(broken.voice.event_problem(broken.problem(500), play.line.request_id))
    return _with_frames(play, frames, stream=True)


def _cut(broken: Broken, play: Play) -> Play:
    if not play.stream:
        half = len(play.frames[0]) // 2
        play.frames = [play.frames[0][:half], play.frames[0][half:]]
        play.cut_at = 1
        return play
    play.cut_at = min(broken.fault.at, len(play.frames))
    return play


def _close(broken: Broken, play: Play) -> Play:
    play.silent = True
    play.status = play.line.status = 0
    return play


def _hang(broken: Broken, play: Play) -> Play:
    play.hold_s = broken.fault.wait_s
    if not play.stream or broken.fault.at <= 0:
        return _close(broken, play)
    play.cut_at = min(broken.fault.at, len(play.frames))
    return play


def _slow(broken: Broken, play: Play) -> Play:
    play.bytes_per_s = max(1, broken.fault.bytes_per_s)
    return play


def _huge_line(broken: Broken, play: Play) -> Play:
    size = broken.fault.size_bytes
    if not play.stream:
        return _with_frames(play, [b" " * size + play.frames[0]], stream=False)
    play.frames.insert(min(broken.fault.at, len(play.frames)), broken.wire.huge(size))
    return play


def _with_frames(play: Play, frames: list[bytes], *, stream: bool) -> Play:
    play.frames, play.stream = frames, stream
    play.line.events = len(frames)
    return play


_CHANGES: dict[str, Callable[[Broken, Play], Play]] = {
    "rate_limit": _rate_limit,
    "error": _error,
    "error_after": _error,
    "error_body": _error_body,
    "error_event": _error_event,
    "garbage": _garbage,
    "cut": _cut,
    "close": _close,
    "hang": _hang,
    "slow": _slow,
    "huge_line": _huge_line,
}
"""`no_usage` and `absurd` are not here: they change what the answer is written from."""


def shown_usage(usage: Any, fault: Fault, absurd: Callable[[Any, str], Any]) -> Any:
    """The usage object as it is sent."""
    if fault.kind == "no_usage":
        return None
    return absurd(usage, fault.how) if fault.kind == "absurd" else usage
