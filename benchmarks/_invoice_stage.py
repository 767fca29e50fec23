"""The stage of the invoice test: simulator and gateway as processes, and what is done to them.

Nothing is mocked: `bursar simulate` and `bursar serve` run as a user starts them. Meanwhile workers
and the keeper are killed and ended, the settings change, each segment of the journal gets a second
name so that it can be read after the keeper has removed it, and the memory of each child is noted.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

SETTINGS = """\
providers:
  openai: {{base_url: "http://127.0.0.1:{port}/v1", private: true, key: none}}
  anthropic: {{base_url: "http://127.0.0.1:{port}", private: true, key: none}}
  bedrock: {{base_url: "http://127.0.0.1:{port}", private: true, region: us-east-1}}
calls:
  large_request_tokens: {reload}
  timeouts: {{connect: 2s, first_byte: 3s, idle: 3s, total: 20s}}
routes:
  - {{name: hasty, when: {{tags: {{route: hasty}}}}, answer_within: 60ms, drain_for: 1s}}
  - {{name: hurried, when: {{tags: {{route: hurried}}}}, disconnect: cancel}}
  - {{name: brief, when: {{tags: {{route: brief}}}}, drain_for: 50ms}}
tags:
  many_values: [session, user, nonce]
"""
READY_S = 30.0
WATCH_S = 0.05
MEMORY_S = 1.0
YOUNG_S = 10.5
"""A child that dies younger counts as one that does not start; five such deaths end the gateway."""
MOST_YOUNG = 2
STOP_S = 60.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Stage:
    """Simulator and gateway. `with Stage(...)`: both are ready inside of it."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.kept = folder / "kept"
        self.invoice = folder / "invoice.jsonl"
        self.settings = folder / "bursar.yaml"
        self.port, self._simulator_port = free_port(), free_port()
        self.workers = workers
        self.exit_code: int | None = None
        self._reloads = 0
        self._processes: list[subprocess.Popen[bytes]] = []
        self._linked: set[str] = set()

    def __enter__(self) -> Stage:
        self.kept.mkdir()
        self.write_settings()
        self._start("simulate", "--port", str(self._simulator_port), "--invoice", self.invoice)
        self._start(
            "serve", self.settings, "--port", str(self.port), "--workers", str(self.workers)
        )
        try:
            self._wait(self._simulator_port, "/health")
            self._wait(self.port, "/ready")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self, *words: object) -> None:
        environ = os.environ | {
            "BURSAR_HOME": str(self.home),
            "AWS_ACCESS_KEY_ID": "AKIAINVOICE",
            "AWS_SECRET_ACCESS_KEY": "none",
        }
        with (self.folder / f"{words[0]}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "bursar", *map(str, words)],
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )

    def _wait(self, port: int, path: str) -> None:
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            try:
                with urlopen(f"http://127.0.0.1:{port}{path}", timeout=2):
                    return
            except (URLError, OSError):
                time.sleep(0.05)
        raise SystemExit(f"not ready in {READY_S:g} s; see {self.folder}/*.log")

    def stop(self) -> None:
        """The gateway first, so that what it drains still comes; then the simulator."""
        for one in reversed(self._processes):
            if one.poll() is None:
                one.send_signal(signal.SIGTERM)
            try:
                code = one.wait(STOP_S)
            except subprocess.TimeoutExpired:
                one.kill()
                code = one.wait()
            self.exit_code = code if self.exit_code is None else self.exit_code
            self.keep_journal()
        self._processes.clear()

    def deaths(self) -> list[str]:
        """What `bursar serve` said of children that ended, whoever wanted it."""
        lines = (self.folder / "serve.log").read_text().splitlines()
        return [line for line in lines if " ended (" in line]

    # -- what is done to it

    @property
    def gateway(self) -> int:
        return self._processes[1].pid

    @property
    def alive(self) -> bool:
        return all(one.poll() is None for one in self._processes)

    def children(self) -> tuple[list[int], int | None]:
        """The workers that record, and the keeper."""
        tasks = Path(f"/proc/{self.gateway}/task/{self.gateway}/children")
        pids = {int(word) for word in tasks.read_text().split()}
        folders = (self.home / "journal").glob("worker_*")
        workers = pids & {int(one.name.rpartition("-")[2]) for one in folders}
        keeper = next((pid for pid in pids - workers if _holds(pid, "keeper.lock")), None)
        return sorted(workers), keeper

    def write_settings(self) -> None:
        text = SETTINGS.format(port=self._simulator_port, reload=20_000 + self._reloads)
        self._reloads += 1
        spare = self.settings.with_suffix(".new")
        spare.write_text(text)
        spare.replace(self.settings)

    def reload(self) -> None:
        """Change the settings, as a person does."""
        self.write_settings()
        if self._reloads % 2 == 0:
            os.kill(self.gateway, signal.SIGHUP)

    # -- what is watched

    def keep_journal(self) -> None:
        """A second name for each segment, before the keeper removes it."""
        for path in (self.home / "journal").glob("*/*.wal"):
            name = f"{path.parent.name}/{path.name}"
            if name in self._linked:
                continue
            place = self.kept / name
            place.parent.mkdir(exist_ok=True)
            try:
                os.link(path, place)
            except FileNotFoundError:
                continue
            self._linked.add(name)


def _holds(pid: int, name: str) -> bool:
    try:
        return any(os.readlink(one).endswith(name) for one in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def rss_bytes(pid: int) -> int | None:
    """Memory that a process has in use now; None: it is gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Watch:
    """Notes the memory of children, keeps the journal."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.memory: dict[str, list[int]] = {}

    async def run(self) -> None:
        next_s = 0.0
        while True:
            self.stage.keep_journal()
            if time.monotonic() >= next_s:
                next_s = time.monotonic() + MEMORY_S
                workers, keeper = self.stage.children()
                named = [(f"worker {pid}", pid) for pid in workers]
                if keeper is not None:
                    named.append((f"keeper {keeper}", keeper))
                for name, pid in named:
                    used = rss_bytes(pid)
                    if used is not None:
                        self.memory.setdefault(name, []).append(used)
            await asyncio.sleep(WATCH_S)


DEEDS = ("kill worker", "kill keeper", "end worker", "reload")


class Trouble:
    """Kills and ends children, spread over the calls; as many kills as are asked for at most."""

    def __init__(self, stage: Stage, kills: int) -> None:
        self.stage = stage
        self.done = dict.fromkeys(DEEDS, 0)
        self._count = 2 * kills
        self._born: dict[int, float] = {}
        self._young: dict[str, int] = {"worker": 0, "keeper": 0}

    async def run(self, share: Callable[[], float]) -> None:
        """`share`: how much of the calls is made, 0 to 1."""
        for n in range(self._count):
            while share() < (n + 0.5) / self._count:
                self._look()
                await asyncio.sleep(0.01)
            deed = DEEDS[n % len(DEEDS)]
            while not self._do(deed):
                self._look()
                await asyncio.sleep(0.1)
            self.done[deed] += 1

    def _look(self) -> tuple[list[int], int | None]:
        workers, keeper = self.stage.children()
        for pid in (*workers, *([] if keeper is None else [keeper])):
            self._born.setdefault(pid, time.monotonic())
        return workers, keeper

    def _do(self, deed: str) -> bool:
        """Whether it could be done now."""
        if deed == "reload":
            self.stage.reload()
            return True
        workers, keeper = self._look()
        who = deed.rpartition(" ")[2]
        found = workers if who == "worker" else [one for one in [keeper] if one is not None]
        if who == "worker" and len(found) < self.stage.workers:
            return False
        for victim in sorted(found, key=lambda pid: self._born[pid])[:1]:
            if time.monotonic() - self._born[victim] < YOUNG_S:
                if self._young[who] >= MOST_YOUNG:
                    return False
                self._young[who] += 1
            number = signal.SIGKILL if deed.startswith("kill") else signal.SIGTERM
            os.kill(victim, number)
            return True
        return False
