"""Appends calls to this process's journal; the end of a call returns when it is durable.

Records are framed in the event loop and written in groups: a write and a sync for all that came
meanwhile, in the loop itself while the disk is quick, else by one thread. Everything has a bound.
What happens at a full buffer, or on a disk that refuses, is declared in `Rules` and counted in
`Tally`; a record is never lost silently. After a fork the child begins a journal of its own.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from weakref import WeakSet

from bursar.ledger.journal.committing import Committer
from bursar.ledger.journal.framing import Framer
from bursar.ledger.journal.records import Ended, Held, Lost, textless
from bursar.ledger.journal.rules import RULES, Rules, Tally, not_kept, refusal
from bursar.ledger.journal.segment import End, Group, release
from bursar.model.call import Call
from bursar.model.entry import Answer, Attempt, Decision, ToolOutcome

BEGUN_S = 0.003
"""How long the beginning of a call waits for company before it is written."""
CROWD = 4
"""Ends in one group from which on the next group gathers."""
FIRST_RETRY_S, LAST_RETRY_S = 0.05, 2.0


_WRITERS: WeakSet[Writer] = WeakSet()


class Writer:
    """The journal of one process. Not for use from several threads."""

    def __init__(self, home: Path, node: str, rules: Rules = RULES) -> None:
        self.rules = rules
        self._home = home
        self._node = node
        self._begin_afresh()
        _WRITERS.add(self)

    def _begin_afresh(self) -> None:
        self.tally = Tally()
        self.trouble: str | None = None
        """Why the disk refuses; None while it does not."""
        self._committer = Committer(self.done, in_loop=self.rules.in_loop)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._framer = Framer(self._home, self._node, self.rules, self.tally)
        self._ends: list[End] = []
        self._open: dict[str, Call] = {}
        self._held: dict[str, Held] = {}
        self._unwritten: set[str] = set()
        """Open calls whose beginning found no place."""
        self._group: Group | None = None
        self._timer: asyncio.Handle | None = None
        self._urgent = False
        self._crowd = 0
        """Ends of the last group."""
        self._patience: asyncio.TimerHandle | None = None
        self._given_up = False
        self._retry_s = FIRST_RETRY_S
        self._synced_s = 0.0
        self._lost = 0
        self._waiters: list[asyncio.Future[None]] = []
        """Calls that wait for room."""
        self._through = 0
        """Frames that are in the file."""
        self._watchers: list[asyncio.Future[None]] = []
        """Calls that wait until their beginning is written."""
        self._writes = False
        """They are written for when this turn of the loop is over, all at once."""

    @property
    def node(self) -> str:
        return self._node

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are framed and not yet written."""
        return self._framer.waiting_bytes

    # -- what callers use

    async def room(self) -> None:
        """Wait until a new call may begin. Raises Refused, as the rules say."""
        rules = self.rules
        while self.trouble is not None or self.waiting_bytes > rules.buffer_bytes:
            if not self._must_wait():
                return
            waiter = self._here().create_future()
            self._waiters.append(waiter)
            try:
                await asyncio.wait_for(waiter, rules.patience_s)
            except TimeoutError:
                raise refusal(self.tally, "journal_full", "the journal is full") from None

    def begin(self, call: Call, held: tuple[int, int] | None = None) -> None:
        """A call goes on its way. Raises Refused, as the rules say; ask `room` first.

        `held`: what it holds of its caps, in nanodollars and tokens.
        """
        if self.trouble is not None or self.waiting_bytes > self.rules.buffer_bytes:
            self._must_wait()
        self.tally.begun += 1
        self._open[call.key] = call
        if held is not None:
            self._held[call.key] = Held(call.key, *held)
        if self._has_no_place():
            self._unwritten.add(call.key)
            return
        self._add_begun(call)
        if self._timer is None and self._group is None:
            self._timer = self._here().call_later(BEGUN_S, self._flush)

    def hold(self, key: str, nano: int, tokens: int) -> None:
        """A call under way holds more of its caps now. Written along with what comes next."""
        held = self._held[key] = Held(key, nano, tokens)
        if key in self._open and key not in self._unwritten and self.trouble is None:
            self._framer.add(held)
            if self._timer is None and self._group is None:
                self._timer = self._here().call_later(BEGUN_S, self._flush)

    def _add_begun(self, call: Call) -> None:
        self._framer.add_begun(call)
        held = self._held.get(call.key)
        if held is not None:
            self._framer.add(held)

    async def written(self) -> None:
        """Return when all that has begun is in the file, though not yet on the disk.

        From then on a call leaves a trace even if this process is killed while it is under way.
        """
        mark = self._framer.made
        while self._through < mark and self.trouble is None:
            waiter = self._here().create_future()
            self._watchers.append(waiter)
            if not self._writes:
                self._writes = True
                self._here().call_soon(self._write_begun)
            await waiter

    async def end(
        self,
        key: str,
        attempts: tuple[Attempt, ...],
        answer: Answer | None,
        tool_outcomes: tuple[ToolOutcome, ...] = (),
        decisions: tuple[Decision, ...] = (),
    ) -> None:
        """A call has ended. Returns when that is durable; raises LedgerError if it cannot be."""
        loop = self._here()
        call = self._open.pop(key, None)
        self._held.pop(key, None)
        ended = Ended(key, attempts, textless(answer), tool_outcomes, decisions)
        self.tally.ended += 1
        if key in self._unwritten:
            self._unwritten.discard(key)
            if self._has_no_place():
                self._lost += 1
                self.tally.lost_records += 1
                return
            if call is not None:
                self._framer.add_begun(call)
        self._framer.add(ended)
        if self.trouble is not None and (self._given_up or self.rules.unwritable == "degrade"):
            self._ends.append((ended, call, None))
            if self.rules.unwritable == "closed":
                raise not_kept(self.trouble)
            self.tally.undurable_records += 1
            return
        done = loop.create_future()
        self._ends.append((ended, call, done))
        if self._group is None and not self._urgent:
            self._gather()
        await done

    async def close(self) -> None:
        """Write what waits, and leave the journal to its readers."""
        loop = self._here()
        until_s = loop.time() + self.rules.patience_s
        while (
            self._framer.frames or self._ends or self._group is not None
        ) and loop.time() < until_s:
            if self._group is None and not self._urgent:
                self._soon()
            await asyncio.sleep(0.001)
        for timer in (self._timer, self._patience):
            if timer is not None:
                timer.cancel()
        self._committer.close(self.rules.patience_s)
        self._framer.close()

    # -- the rules at a bound

    def _must_wait(self) -> bool:
        """At a bound: False to go on, True to wait; raises Refused."""
        rules = self.rules
        if self.trouble is not None:
            if rules.unwritable == "closed":
                raise refusal(
                    self.tally, "journal_unwritable", f"no call can be kept: {self.trouble}"
                )
            return False
        if rules.full == "refuse" or self.waiting_bytes > 4 * rules.buffer_bytes:
            raise refusal(self.tally, "journal_full", "the journal is full")
        return rules.full == "wait"

    def _has_no_place(self) -> bool:
        return (
            self.trouble is not None
            and self.rules.unwritable == "degrade"
            and self.waiting_bytes > self.rules.buffer_bytes
        )

    # -- groups

    def _here(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def _soon(self) -> None:
        """Flush when this turn of the loop is over, so that calls that end together go together."""
        if self._timer is not None:
            self._timer.cancel()
        self._urgent = True
        self._timer = self._here().call_soon(self._flush)

    def _flush(self) -> None:
        """Hand everything that waits to the thread."""
        self._timer, self._urgent = None, False
        if self._group is None and (self._framer.frames or self._ends):
            ends, self._ends = self._ends, []
            self._hand_over(self._grouped(ends))

    def _grouped(self, ends: list[End], *, early: bool = False) -> Group:
        """All frames that wait. `early`: the ends among them wait on, for a sync of their own."""
        rules, now_s = self.rules, self._here().time()
        segment, raw = self._framer.take()
        upto = self._framer.made
        if early:
            return Group(segment, raw, ends, upto=upto, sync=False, last=False)
        sync = bool(ends)
        if rules.sync == "interval":
            sync = now_s - self._synced_s >= rules.interval_s
            self._synced_s = now_s if sync else self._synced_s
        last = self._framer.turns_over(now_s)
        return Group(segment, raw, ends, upto=upto, sync=sync, last=last)

    def _write_begun(self) -> None:
        """Write what began in this turn of the loop. None of it waits for a sync under way."""
        self._writes = False
        if self.trouble is not None:
            self._wake_watchers()
        elif self._group is None:
            self._hand_over(self._grouped([], early=True))
        elif self.rules.in_loop and self._group.written:
            early = self._grouped([], early=True)
            if early.write() is None:
                self._is_through(early)
            else:  # the next group meets the same disk, and says so
                self._framer.put_back(early.raw, early.written_bytes)

    def _hand_over(self, group: Group) -> None:
        self._group = group
        self._committer.take(group, self._here(), healthy=self.trouble is None)

    def done(self, group: Group, bad: OSError | None) -> None:
        """A group is through."""
        if group is not self._group:
            return
        if bad is not None:
            self._failed(group, bad)
            return
        self._group = None
        if group.ends:
            self._crowd = len(group.ends)
        if self.trouble is not None:
            self._recovered()
        self._is_through(group)
        for _, _, done in group.ends:
            if done is not None and not done.done():
                done.set_result(None)
        if self._waiters and self.waiting_bytes <= self.rules.buffer_bytes // 2:
            self._let_in()
        if self._ends and not self._urgent:
            self._gather()
        elif self._framer.frames and self._timer is None:
            self._timer = self._here().call_later(BEGUN_S, self._flush)

    def _is_through(self, group: Group) -> None:
        self._through = max(self._through, group.upto)
        self._wake_watchers()
        self._framer.waiting_bytes -= len(group.raw)
        self.tally.groups += 1
        self.tally.written_bytes += len(group.raw)

    def _gather(self) -> None:
        if self._crowd < CROWD:
            self._soon()
            return
        if self._timer is not None:
            self._timer.cancel()
        self._urgent = True
        self._timer = self._here().call_later(self.rules.gather_s, self._flush)

    def _let_in(self) -> None:
        waiters, self._waiters = self._waiters, []
        _wake(waiters)

    def _wake_watchers(self) -> None:
        watchers, self._watchers = self._watchers, []
        _wake(watchers)

    # -- a disk that refuses

    def _failed(self, group: Group, bad: OSError) -> None:
        loop = self._here()
        self.tally.failures += 1
        self.trouble = bad.strerror or str(bad)
        self._let_in()
        self._wake_watchers()
        if group.written:
            group = self._write_again(group)
        self._group = group
        if self.rules.unwritable == "degrade":
            self.tally.undurable_records += release((*group.ends, *self._ends), None)
        elif self._patience is None:
            self._patience = loop.call_later(self.rules.patience_s, self._give_up)
        loop.call_later(self._retry_s, self._retry, group)
        self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)

    def _retry(self, group: Group) -> None:
        if self._group is group:
            self._hand_over(group)

    def _write_again(self, group: Group) -> Group:
        """After a failed sync nobody knows what the disk has: all that is not done, anew."""
        group.segment.close()
        ends, self._ends = [*group.ends, *self._ends], []
        self._framer.begin_again()
        for ended, call, _ in ends:
            if call is not None:
                self._framer.add_begun(call)
            self._framer.add(ended)
        for call in self._open.values():
            if call.key not in self._unwritten:
                self._add_begun(call)
        segment, raw = self._framer.take()
        return Group(segment, raw, ends, upto=self._framer.made, sync=True, last=False)

    def _give_up(self) -> None:
        """Ends that have waited long enough fail; their records stay, and are tried again."""
        self._given_up = True
        ends = [*(self._group.ends if self._group else ()), *self._ends]
        release(ends, not_kept(self.trouble or ""))

    def _recovered(self) -> None:
        self._retry_s = FIRST_RETRY_S
        if self._patience is not None:
            self._patience.cancel()
        self._patience, self._given_up = None, False
        if self._lost:
            why = self.trouble or ""
            self.trouble = None
            self._framer.add(Lost(self._lost, why))
            self._lost = 0
        self.trouble = None

    def forget(self) -> None:
        """In a child after a fork: what is open and waits belongs to the parent."""
        if self._group is not None:
            self._group.segment.close()
        self._framer.close()
        self._begin_afresh()


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for one in waiters:
        if not one.done():
            one.set_result(None)


def _forked() -> None:
    for writer in _WRITERS:
        writer.forget()


os.register_at_fork(after_in_child=_forked)
