"""The same call twice, by its `idempotency-key`: asked once, answered as often as it is asked.

The first call with a key is carried, and its answer copied in memory. The same call again waits for
that answer, or gets it at once while it is kept; another call under the same key is refused. A key
counts for its holder and path. Only a good answer is kept, so that a retry after a failure is a new
call. A key that another worker of this machine has is asked for there. Everything is bounded; what
finds no room is simply not kept.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Protocol

from bursar.dialects.streams import closes
from bursar.dialects.wire import as_map, parse_or_none
from bursar.gateway.http.messages import Asked
from bursar.gateway.neighbours import SUFFIX, UNKNOWN, Neighbours, Said, Told
from bursar.model.errors import Refused

HEADER = b"idempotency-key"
REPEATED = (b"x-bursar-repeated", b"1")
LONGEST_KEY = 255
KEPT_S = 600.0
"""How long a good answer is kept."""
ANSWER_BYTES = 1 << 20
"""The longest answer that is copied."""
MOST_BYTES = 16 << 20
"""All answers that are kept, per worker."""
MOST_KEYS = 10_000
TRIES, PAUSE_S = 20, 0.05
"""How often a key that another worker has is asked for, where it hangs up or knows nothing of it,
since it has just ended or forgotten it."""
BAD = 400
AGAIN = ((b"retry-after", b"1"),)
FOLDER = "repeats"
Headers = Sequence[tuple[bytes, bytes]]


class Client(Protocol):
    """Where an answer goes: a request, or its copy."""

    @property
    def gone(self) -> bool: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def is_fresh(self) -> bool: ...
    @property
    def is_over(self) -> bool: ...
    @property
    def keeps_up(self) -> bool: ...
    def reply(self, status: int, headers: Headers, body: bytes) -> None: ...
    def start(self, status: int, headers: Headers) -> None: ...
    def send(self, chunk: bytes) -> None: ...
    def finish(self) -> None: ...
    async def room(self) -> None: ...
    def when_gone(self, call: Callable[[], None]) -> None: ...


class Copied:
    """A request whose answer is copied on its way, also for others when its own client has left."""

    __slots__ = ("_asked", "_head", "_pieces", "_size", "headers", "is_fresh", "is_over", "said")

    def __init__(self, asked: Client) -> None:
        self._asked = asked
        self._head: tuple[int, tuple[tuple[bytes, bytes], ...]] = (0, ())
        self._pieces: list[bytes] | None = []
        """None: there is more than is copied."""
        self._size = 0
        self.headers: Headers = asked.headers
        self.is_fresh = True
        self.is_over = False
        self.said: Said | None = None

    @property
    def gone(self) -> bool:
        """Nobody can want the answer any more."""
        return self._asked.gone and self._pieces is None

    @property
    def keeps_up(self) -> bool:
        """Its own client reads as fast as it is sent, and nothing else has to be looked at."""
        return self._asked.keeps_up

    def reply(self, status: int, headers: Headers, body: bytes) -> None:
        self.is_fresh, self.is_over = False, True
        if len(body) <= ANSWER_BYTES:
            self.said = Said(status, tuple(headers), body, streamed=False)
        if self._asked.is_fresh and not self._asked.gone:
            self._asked.reply(status, headers, body)

    def start(self, status: int, headers: Headers) -> None:
        self.is_fresh = False
        self._head = (status, tuple(headers))
        if not self._asked.gone:
            self._asked.start(status, headers)

    def send(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > ANSWER_BYTES:
            self._pieces = None
        elif self._pieces is not None:
            self._pieces.append(chunk)
        if not self._asked.is_fresh and not self._asked.is_over:
            self._asked.send(chunk)

    def finish(self) -> None:
        self.is_over = True
        if self._pieces is not None:
            self.said = Said(*self._head, b"".join(self._pieces), streamed=True)
        if not self._asked.is_fresh and not self._asked.is_over:
            self._asked.finish()

    async def room(self) -> None:
        await self._asked.room()

    def when_gone(self, call: Callable[[], None]) -> None:
        self._asked.when_gone(call)


class Entry:
    """One key."""

    __slots__ = ("done", "said", "sent", "until_s")

    def __init__(self, sent: bytes, done: asyncio.Future[None]) -> None:
        self.sent = sent
        """Digest of the call."""
        self.done = done
        self.said: Said | None = None
        self.until_s = float("inf")


class Repeats:
    """The keys of one worker. `folder`: where several workers see each other's; None: there is
    one."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._kept: OrderedDict[bytes, Entry] = OrderedDict()
        self._size = 0
        self._neighbours: Neighbours | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._neighbours = Neighbours(folder, self._told)
            for place in folder.iterdir():
                if _is_left_over(place):
                    place.unlink(missing_ok=True)

    async def open(self) -> None:
        """From now on other workers may ask for answers."""
        if self._neighbours is not None:
            await self._neighbours.open()

    def close(self) -> None:
        if self._neighbours is not None:
            self._neighbours.close()

    async def carry(
        self,
        asked: Asked,
        key_id: str,
        dialect: str,
        run: Callable[[Client], Awaitable[None]],
    ) -> None:
        """Carry a call, or answer it from the one before. Raises Refused: 400, 409, 422."""
        named = asked.header(HEADER)
        if not named:
            await run(asked)
            return
        if len(named) > LONGEST_KEY:
            raise Refused(400, "bad_request", f"idempotency-key is longer than {LONGEST_KEY} bytes")
        path = asked.target.partition(b"?")[0]
        key = _digest(key_id.encode(), path, named)
        sent = _digest(asked.target, asked.body)
        now_s = asyncio.get_running_loop().time()
        self._forget(now_s)
        entry = self._kept.get(key)
        if entry is None:
            told = await self._elsewhere(key, sent)
            if told.known:
                _say_again(asked, told.said)
                return
            entry = self._kept.get(key)
        if entry is not None:
            await self._repeat(asked, entry, sent)
            return
        entry = self._kept[key] = Entry(sent, asyncio.get_running_loop().create_future())
        copied = Copied(asked)
        try:
            await run(copied)
        finally:
            entry.said = copied.said
            entry.done.set_result(None)
            self._settle(key, entry, dialect)

    async def _repeat(self, asked: Asked, entry: Entry, sent: bytes) -> None:
        if entry.sent != sent:
            raise _other()
        await asyncio.shield(entry.done)
        _say_again(asked, entry.said)

    def _settle(self, key: bytes, entry: Entry, dialect: str) -> None:
        """Keep a good answer; of any other only who waits already hears."""
        said = entry.said
        if said is None or not _is_good(said, dialect):
            self._drop(key)
            return
        entry.until_s = asyncio.get_running_loop().time() + KEPT_S
        self._kept.move_to_end(key)
        self._size += len(said.body)
        for old in tuple(self._kept):
            if self._size <= MOST_BYTES and len(self._kept) <= MOST_KEYS:
                break
            if self._kept[old].done.done():
                self._drop(old)

    def _forget(self, now_s: float) -> None:
        for key, entry in tuple(islice(self._kept.items(), 8)):
            if entry.until_s <= now_s:
                self._drop(key)

    def _drop(self, key: bytes) -> None:
        entry = self._kept.pop(key)
        if entry.until_s != float("inf") and entry.said is not None:
            self._size -= len(entry.said.body)
        if self._folder is not None:
            (self._folder / key.hex()).unlink(missing_ok=True)

    # -- between workers

    async def _told(self, key: bytes) -> Told:
        """What another worker hears of a key."""
        entry = self._kept.get(key)
        if entry is None:
            return UNKNOWN
        await asyncio.shield(entry.done)
        return Told(known=True, said=entry.said)

    async def _elsewhere(self, key: bytes, sent: bytes) -> Told:
        """What the worker that has the key tells; unknown: it is ours now. Raises Refused where
        that worker lives, and does not tell."""
        if self._neighbours is None:
            return UNKNOWN
        for _ in range(TRIES):
            pid = None if key in self._kept else self._claim(key, sent)
            if pid is None:
                return UNKNOWN
            told = await self._neighbours.ask(pid, key)
            if told.known:
                return told
            await asyncio.sleep(PAUSE_S)
        raise Refused(
            409,
            "idempotency_elsewhere",
            "a call with this idempotency-key is under way or was answered a short while ago",
            mend="wait for its answer, or ask with another key",
            headers=AGAIN,
        )

    def _claim(self, key: bytes, sent: bytes) -> int | None:
        """Make the key ours; else the process that has it. Raises Refused where that has it for
        another call."""
        assert self._folder is not None
        place = self._folder / key.hex()
        while not _made(place, b"%d %b" % (os.getpid(), sent.hex().encode())):
            theirs = _holder_of(place)
            if theirs is None:
                place.unlink(missing_ok=True)
                continue
            pid, other = theirs
            if other != sent.hex():
                raise _other()
            return pid
        return None


def _say_again(asked: Asked, said: Said | None) -> None:
    if said is None:
        raise Refused(
            409,
            "idempotency_lost",
            "the first call with this idempotency-key has no answer that could be repeated",
            mend="ask again",
            headers=AGAIN,
        )
    if not asked.gone:
        asked.reply(said.status, (*said.headers, REPEATED), said.body)


def _is_good(said: Said, dialect: str) -> bool:
    if said.status >= BAD:
        return False
    if said.streamed:
        return closes(dialect, said.body)
    body = as_map(parse_or_none(said.body))
    return bool(body) and not body.get("error")


def _other() -> Refused:
    return Refused(
        422,
        "idempotency_mismatch",
        "this idempotency-key was sent with another request",
        mend="use a new key for each request",
    )


def _digest(*parts: bytes) -> bytes:
    found = blake2b(digest_size=16)
    for part in parts:
        found.update(b"%d:" % len(part))
        found.update(part)
    return found.digest()


def _made(place: Path, content: bytes) -> bool:
    """Whether the file is new, with this content from its first moment. A disk that refuses is the
    journal's matter: the key then counts in this worker alone."""
    spare = place.with_suffix(f".{os.getpid()}")
    try:
        spare.write_bytes(content)
        os.link(spare, place)
    except FileExistsError:
        return False
    except OSError:
        return True
    finally:
        spare.unlink(missing_ok=True)
    return True


def _is_left_over(place: Path) -> bool:
    """Whether a file is of no worker that lives but this one."""
    if place.suffix == SUFFIX:
        return not (place.stem.isdecimal() and _lives(int(place.stem)))
    return _holder_of(place) is None


def _holder_of(place: Path) -> tuple[int, str] | None:
    """The other worker, which lives, that holds a key, and for which call; None where there is
    none."""
    try:
        pid, _, sent = place.read_text(encoding="utf-8", errors="replace").partition(" ")
    except FileNotFoundError:
        return None
    mine = not pid.isdecimal() or int(pid) == os.getpid()
    return None if mine or not _lives(int(pid)) else (int(pid), sent)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
