"""The stage of `caps_beside.py`: a simulated provider, a Redis, and processes that are waited for.

Everything listens on 127.0.0.1, lives in one folder and ends with the stage. The provider's invoice
is a file; `Stage.new_lines` gives what was added since the last look.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from urllib.error import URLError
from urllib.request import urlopen

import msgspec

from bursar.simulator.invoice import Line

HOST = "127.0.0.1"
READY_S = 90.0
STOP_S = 20.0
QUIET_S = 0.6
PATIENCE_S = 20.0
"""For lines of the invoice to stop coming."""
SCRIPT = """\
[terms]
when_gone = "generated"

[[fault]]
kind = "none"
output_tokens = {output_tokens}
latency_ms = {latency_ms}
"""
"""What every call gets that asks for nothing else."""


def free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


class Trouble(Exception):
    """A tool cannot be measured here; its words say why."""


class Stage:
    """`with Stage(...)`: the provider and, where there is one, Redis are ready inside of it."""

    def __init__(self, folder: Path, output_tokens: int, latency_ms: int) -> None:
        self.folder = folder
        self.invoice = folder / "invoice.jsonl"
        self.provider_port, self.redis_port = free_port(), free_port()
        self.redis_program = shutil.which("redis-server") or shutil.which("valkey-server")
        self.redis_client = shutil.which("redis-cli") or shutil.which("valkey-cli")
        self._script = SCRIPT.format(output_tokens=output_tokens, latency_ms=latency_ms)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._read_bytes = 0
        self._decode = msgspec.json.Decoder(Line).decode

    def __enter__(self) -> Stage:
        script = self.folder / "provider.toml"
        script.write_text(self._script)
        words = ["--port", str(self.provider_port), "--invoice", str(self.invoice)]
        try:
            self.start("provider", bursar("simulate", *words, "--script", str(script)))
            if self.redis_program is not None:
                keep = ["--save", "", "--appendonly", "no", "--dir", str(self.folder)]
                at = ["--bind", HOST, "--port", str(self.redis_port)]
                self.start("redis", [self.redis_program, *at, *keep])
            self.wait("provider", self.provider_port, "/health")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        bad: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def provider_url(self) -> str:
        return f"http://{HOST}:{self.provider_port}/v1"

    def start(
        self, name: str, command: list[str], more: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**os.environ, **(more or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)
        return process

    def wait(self, name: str, port: int, path: str) -> None:
        """Until the page answers 200."""
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            if any(one.poll() is not None for one in self._processes):
                break
            try:
                with urlopen(f"http://{HOST}:{port}{path}", timeout=2):
                    return
            except (URLError, OSError):
                time.sleep(0.1)
        told = (self.folder / f"{name}.log").read_text(errors="replace").strip().splitlines()
        last = next((line for line in reversed(told) if line.strip()), "it said nothing")
        raise Trouble(f"{name} is not ready: {last.strip()[:200]}")

    def end(self, *processes: subprocess.Popen[bytes]) -> None:
        for one in processes:
            if one in self._processes:
                self._processes.remove(one)
            if one.poll() is None:
                one.terminate()
        for one in processes:
            try:
                one.wait(STOP_S)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()

    def stop(self) -> None:
        self.end(*reversed(self._processes))

    # -- the invoice

    def new_lines(self) -> list[Line]:
        """The lines since the last look, once no more of them come."""
        quiet_since = begun = time.monotonic()
        size = self._size()
        while time.monotonic() - quiet_since < QUIET_S and time.monotonic() - begun < PATIENCE_S:
            time.sleep(0.05)
            if self._size() != size:
                size, quiet_since = self._size(), time.monotonic()
        with self.invoice.open("rb") as file:
            file.seek(self._read_bytes)
            raw = file.read()
        whole = raw[: raw.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        return [self._decode(line) for line in whole.splitlines()]

    def _size(self) -> int:
        return self.invoice.stat().st_size if self.invoice.exists() else 0

    # -- Redis

    def redis(self, *words: str) -> str:
        """One command of Redis, as its own client says it."""
        if self.redis_client is None:
            return ""
        command = [self.redis_client, "-p", str(self.redis_port), *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=False
        ).stdout.strip()


def bursar(*words: str) -> list[str]:
    return [sys.executable, "-m", "bursar", *words]
