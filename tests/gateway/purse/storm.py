"""Clients that go on whatever happens, and somebody who kills the gateway's processes."""

from __future__ import annotations

import http.client
import random
import signal
import threading
import time
from os import kill
from pathlib import Path

from tests.gateway.rig import Answered, Rig, until

ROLES = ("keeper", "purse", "worker 0", "worker 1")
PAUSE_S = 0.35
"""Between two kills of a process, so that it has lived before; the supervisor's own pauses grow."""


class Gang:
    """The gateway's children, by what they do."""

    def __init__(self, rig: Rig, roles: tuple[str, ...] = ROLES) -> None:
        self._rig = rig
        found = sorted(self._children())
        assert len(found) == len(roles), found
        self.pids = dict(zip(roles, found, strict=True))

    def _children(self) -> set[int]:
        assert self._rig.process is not None
        pid = self._rig.process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return {int(one) for one in text.split()}

    def kill(self, role: str) -> None:
        """Kill it at once, and wait for its successor."""
        kill(self.pids[role], signal.SIGKILL)
        others = {pid for name, pid in self.pids.items() if name != role} | {self.pids[role]}
        self.pids[role] = until(lambda: self._new(others), lambda: f"{role}; {self._rig.log()}")

    def _new(self, others: set[int]) -> int | None:
        return next(iter(self._children() - others), None)


class Clients:
    """Threads that ask and ask again, each with its own user. What they heard of is kept."""

    def __init__(self, rig: Rig, count: int, seed: int) -> None:
        self._rig = rig
        self._stop = threading.Event()
        self.answers: list[Answered] = []
        self.broken = 0
        self._threads = [
            threading.Thread(target=self._ask, args=(number, seed + number), daemon=True)
            for number in range(count)
        ]
        for one in self._threads:
            one.start()

    def _ask(self, number: int, seed: int) -> None:
        chance = random.Random(seed)
        turn = 0
        while not self._stop.is_set():
            turn += 1
            slow = f"none; latency_ms={chance.randint(5, 400)}; output_tokens=60"
            headers = {"x-bursar-user": f"user {number % 3}", "x-simulate": slow}
            try:
                got = self._rig.chat(
                    f"{number} {turn}", headers, max_tokens=100, stream=chance.random() < 0.5
                )
            except (OSError, http.client.HTTPException):
                self.broken += 1
                time.sleep(0.05)
                continue
            self.answers.append(got)
            if got.status != 200:
                time.sleep(0.1)

    def end(self) -> None:
        self._stop.set()
        for one in self._threads:
            one.join(60)
            assert not one.is_alive()

    @property
    def paid(self) -> list[Answered]:
        return [one for one in self.answers if one.status == 200]
