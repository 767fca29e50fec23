"""The ledger's door: questions from other processes of the same user, while the keeper keeps it.

A socket that only its owner may open; SELECT statements only, in a read-only transaction that sees
one moment of the ledger for as long as the asker stays. Questions have a time limit and answers a
bound; rows go out as they come.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import BoundedSemaphore, Condition, Event, Lock, Thread, Timer, current_thread
from typing import Any

import duckdb

from bursar.ledger.engines.duck import Duck
from bursar.ledger.journal.wire import (
    LONGEST_QUESTION_BYTES,
    VERSION,
    Ask,
    Columns,
    Done,
    Failed,
    Hello,
    Here,
    Message,
    Rows,
    address_of,
    packed,
    receive,
    send,
)
from bursar.model.errors import BadInput

MOST_ASKERS = 8
MOST_ROWS = 2_000_000
ROWS_AT_ONCE = 1_000
LONGEST_S = 300.0
"""No question takes longer."""
IDLE_S = 120.0
CLOSE_S = 2.0
"""How long a talk may take to end when the door closes."""
NEWS_S = 3.0
"""How long an asker waits for the journals to be taken in."""
PLAIN = frozenset(
    "TINYINT SMALLINT INTEGER BIGINT UTINYINT USMALLINT UINTEGER UBIGINT VARCHAR DOUBLE FLOAT"
    " BOOLEAN BLOB".split()
)
"""Types whose values travel as they are."""


class Door:
    """Answers on a socket until it is closed."""

    def __init__(
        self, path: Path, duck: Duck, on_asked: Callable[[bool], None] = lambda _: None
    ) -> None:
        """`on_asked`: told True when the first asker comes, False when the last one has gone."""
        self.path = path
        self._duck = duck
        self._on_asked = on_asked
        self._askers = 0
        self._count = Lock()
        self._places = BoundedSemaphore(MOST_ASKERS)
        self._closed = False
        self._talks: dict[Thread, socket.socket] = {}
        self._news = Condition()
        self._wanted = 0
        self._given = 0
        self._call = Event()
        self._line = self._bind()
        Thread(target=self._listen, name="door", daemon=True).start()

    def _bind(self) -> socket.socket:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.path.unlink(missing_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        before = os.umask(0o177)
        try:
            line.bind(address_of(str(self.path), folder))
        finally:
            os.umask(before)
            os.close(folder)
        line.listen(MOST_ASKERS)
        return line

    def close(self) -> None:
        self._closed = True
        self.path.unlink(missing_ok=True)
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        self._line.close()
        for thread, asker in list(self._talks.items()):
            with suppress(OSError):
                asker.shutdown(socket.SHUT_RDWR)
            thread.join(CLOSE_S)

    # -- news: journals are taken in before a question is answered

    def wanted(self) -> int:
        """How many askers have asked for news so far."""
        return self._wanted

    def give(self, wanted: int) -> None:
        """The journals are taken in for the first `wanted` askers."""
        with self._news:
            self._given = wanted
            self._news.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the next asker; whether one came."""
        came = self._call.wait(timeout_s)
        self._call.clear()
        return came

    def _want(self) -> bool:
        """Have the journals taken in; whether they are."""
        with self._news:
            self._wanted += 1
            mine = self._wanted
            self._call.set()
            self._news.wait_for(lambda: self._given >= mine or self._closed, NEWS_S)
            return self._given >= mine

    # -- askers

    def _listen(self) -> None:
        while True:
            try:
                asker, _ = self._line.accept()
            except OSError:
                return
            asker.settimeout(IDLE_S)
            if self._places.acquire(blocking=False):
                talk = Thread(target=self._meet, args=(asker,), name="asker", daemon=True)
                self._talks[talk] = asker
                talk.start()
            else:
                with asker, suppress(OSError):
                    send(asker, Failed("too many ask at once", "ask again in a moment"))

    def _meet(self, asker: socket.socket) -> None:
        self._counted(1)
        cursor = self._duck.beside()
        try:
            with asker, suppress(OSError):
                self._talk(asker, cursor)
        finally:
            with suppress(duckdb.Error):
                cursor.close()
            self._counted(-1)
            self._talks.pop(current_thread(), None)
            self._places.release()

    def _counted(self, more: int) -> None:
        with self._count:
            before = self._askers
            self._askers += more
            if not before or not self._askers:
                self._on_asked(self._askers > 0)

    def _talk(self, asker: socket.socket, cursor: duckdb.DuckDBPyConnection) -> None:
        begun = False
        while True:
            try:
                message = receive(asker, LONGEST_QUESTION_BYTES)
            except BadInput as bad:
                send(asker, Failed(bad.message))
                return
            if message is None:
                return
            if isinstance(message, Hello):
                send(asker, self._greet(message))
            elif isinstance(message, Ask):
                if not begun:
                    cursor.execute("BEGIN TRANSACTION READ ONLY").fetchall()
                begun = _answer(asker, cursor, message)
            else:
                send(asker, Failed("that is no question"))
                return

    def _greet(self, hello: Hello) -> Message:
        if hello.version != VERSION:
            return Failed(
                f"the keeper speaks version {VERSION}, not {hello.version}",
                "use the same version of Bursar for both",
            )
        fresh = not hello.fresh or self._want()
        return Here(str(self._duck.path), os.getpid(), fresh)


def _answer(asker: socket.socket, cursor: duckdb.DuckDBPyConnection, ask: Ask) -> bool:
    """Answer one question; whether the transaction goes on."""
    if why := _refusal(ask.sql):
        send(asker, Failed(why, "ask with one SELECT"))
        return True
    alarm = Timer(min(max(ask.limit_s, 0.001), LONGEST_S), cursor.interrupt)
    alarm.start()
    try:
        _stream(asker, cursor, ask)
        return True
    except duckdb.InterruptException:
        why = f"the question took longer than {min(ask.limit_s, LONGEST_S):g} s"
        send(asker, Failed(why, "narrow it with --since and --until"))
    except (duckdb.Error, BadInput) as bad:
        send(asker, Failed(str(bad).splitlines()[0]))
    finally:
        alarm.cancel()
    with suppress(duckdb.Error):
        cursor.execute("ROLLBACK").fetchall()
    return False


def _stream(asker: socket.socket, cursor: duckdb.DuckDBPyConnection, ask: Ask) -> None:
    cursor.execute(ask.sql, ask.values)
    description = cursor.description or []
    names, kinds = [one[0] for one in description], [str(one[1]) for one in description]
    odd = not PLAIN.issuperset(kinds)
    send(asker, Columns(names))
    count = 0
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        count += len(rows)
        if count > MOST_ROWS:
            raise BadInput(f"the answer has more than {MOST_ROWS:,} rows")
        given: list[tuple[Any, ...]] = rows
        send(asker, Rows([tuple(packed(row)) for row in given] if odd else given))
    send(asker, Done(count))


def _refusal(sql: str) -> str | None:
    """Why a text is no question; None for one SELECT."""
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as bad:
        return str(bad).splitlines()[0]
    if len(statements) != 1:
        return f"{len(statements)} statements, not one"
    if statements[0].type != duckdb.StatementType.SELECT:
        return "only SELECT is answered here"
    return None
