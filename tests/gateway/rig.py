"""The real `bursar serve` in a process of its own, in front of a real simulator.

A `Rig` is a gateway, the simulator behind it and a twin of that simulator under the same seed,
which clients ask directly: what comes through the gateway must be what the twin says.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bursar.gateway.settings.keys import new_key
from bursar.ledger.journal.keeper import SOCKET
from bursar.ledger.journal.remote import kept_ledger
from bursar.ledger.schema import request_digest
from bursar.simulator.desk import Terms
from bursar.simulator.invoice import Line
from bursar.simulator.server import Simulator
from simulator.asks import Got, prices

HOST = "127.0.0.1"
SEED = 7
PATIENCE_S = 20.0
TENANT = "acme"
KEY, KEY_DIGEST = new_key("tests")
UPSTREAM_KEYS = {"sk-upstream": "", "sk-ant-upstream": "", "AKIDUPSTREAM": "upstream-secret"}
"""The provider's own keys: the simulator behind the gateway takes nothing else, and checks AWS
signatures with their secret."""
ENVIRON = {
    "OPENAI_API_KEY": "sk-upstream",
    "ANTHROPIC_API_KEY": "sk-ant-upstream",
    "AWS_ACCESS_KEY_ID": "AKIDUPSTREAM",
    "AWS_SECRET_ACCESS_KEY": UPSTREAM_KEYS["AKIDUPSTREAM"],
    "AWS_REGION": "us-east-1",
}
SERVES = re.compile(r"bursar serves on http://[^:]+:(\d+)")
BODILESS = frozenset({"models", "count_tokens", "count-tokens", "none"})
"""Operations that cost nothing and are not recorded."""


class Answered(NamedTuple):
    """One HTTP answer, its headers in the order of arrival."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)

    def json(self) -> Any:
        return json.loads(self.body)


class Rig:
    """One running gateway."""

    def __init__(self, home: Path, sim: Simulator, twin: Simulator) -> None:
        self.home = home
        self.sim = sim
        self.twin = twin
        self.port = 0
        self.settings_file = home / "bursar.yaml"
        self.log_file = home / "serve.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    def start(self, settings: Mapping[str, Any]) -> None:
        self.write(settings)
        environ = {
            **os.environ,
            **ENVIRON,
            "BURSAR_HOME": str(self.home),
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        command = [sys.executable, "-m", "bursar", "serve", str(self.settings_file), "--port", "0"]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        found = until(lambda: SERVES.search(self.log()), self.log)
        self.port = int(found[1])
        until(self.is_ready, self.log)

    def write(self, settings: Mapping[str, Any]) -> None:
        """The settings; JSON is YAML too. Replaced at once, as an editor would."""
        spare = self.settings_file.with_suffix(".new")
        spare.write_text(json.dumps(settings))
        spare.replace(self.settings_file)

    def is_ready(self) -> bool:
        try:
            return self.get("/ready").status == 200
        except OSError:
            return False

    def log(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""

    def stop(self) -> int:
        """End it as a service would be ended. Its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    # -- asking

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Any = None
    ) -> Answered:
        return ask(self.port, method, path, body, headers)

    def get(self, path: str, headers: Any = None) -> Answered:
        return self.ask("GET", path, None, headers)

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Answered:
        """With the gateway's key, unless `headers` have one."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", path, raw, {**BEARER, **JSON_TYPE, **(headers or {})})

    def chat(self, text: str = "hello", headers: Any = None, **more: Any) -> Answered:
        return self.post("/v1/chat/completions", chat_body(text, **more), headers)

    def direct(self, path: str, body: Any) -> None:
        """The same of the twin, with no gateway between."""
        port = int(self.twin.url.rpartition(":")[2])
        assert ask(port, "POST", path, json.dumps(body).encode(), JSON_TYPE).status == 200

    # -- what was written down

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Asked while the keeper runs, as the CLI does."""
        place = self.home / SOCKET, self.home / "ledger.duckdb"
        ledger = until(lambda: kept_ledger(*place), lambda: f"no keeper; {self.log()}")
        try:
            return ledger.named(sql)
        finally:
            ledger.close()

    def attempts(self, count: int) -> dict[int, dict[str, Any]]:
        """All attempts by the digest of the provider's request id, once there are so many."""

        def enough() -> list[dict[str, Any]] | None:
            rows = self.rows("SELECT * FROM attempts ORDER BY call_id")
            return rows if len(rows) >= count else None

        rows = until(enough, lambda: f"{count} attempts; {self.log()}")
        assert len(rows) == count
        return {row["request_digest"] or -row["call_id"]: row for row in rows}

    def attempt_of(self, line: Line) -> dict[str, Any]:
        """What the ledger has of one line of the invoice."""
        digest = request_digest(line.request_id)
        sql = f"SELECT * FROM attempts WHERE request_digest = {digest}"
        (row,) = until(lambda: self.rows(sql), self.log)
        return row

    def paid(self) -> list[Line]:
        """The lines of metered calls."""
        return [line for line in self.sim.invoice.lines if line.operation not in BODILESS]


BEARER = {"authorization": f"Bearer {KEY}"}
JSON_TYPE = {"content-type": "application/json"}


def chat_body(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}


def message_body(text: str = "hello", **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "claude-sonnet-4-6", "max_tokens": 300, "messages": messages, **more}


def converse_body(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"text": text}]}], **more}


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: Any = None
) -> Answered:
    """One request over a connection of its own. A broken answer raises what http.client raises."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, headers or {})
        with connection.getresponse() as answer:
            named = [(name.lower(), value) for name, value in answer.getheaders()]
            return Answered(answer.status, named, answer.read())
    finally:
        connection.close()


def until(probe: Callable[[], Any], told: Callable[[], str]) -> Any:
    """The first truth that `probe` tells, within the patience."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        if found := probe():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain: {told()}")


def settings_for(sim: Simulator, **more: Any) -> dict[str, Any]:
    """Three providers that are one simulator, one key, and models that cross dialects."""
    near = {"private": True}
    return {
        "providers": {
            "openai": {"base_url": sim.openai_url, **near},
            "anthropic": {"base_url": sim.url, **near},
            "bedrock": {"base_url": sim.url, "region": "us-east-1", **near},
        },
        "models": [
            {"match": "over-there", "provider": "anthropic", "model": "claude-sonnet-4-6"},
            {
                "match": "over-the-hills",
                "provider": "bedrock",
                "model": "us.anthropic.claude-sonnet-4-6",
            },
            {"match": "over-here", "provider": "openai", "model": "gpt-4o-mini"},
        ],
        "keys": {"tests": {"sha256": KEY_DIGEST, "tenant": TENANT}},
        **more,
    }


@contextmanager
def running(
    home: Path, settings: Callable[[Simulator], dict[str, Any]] = settings_for, **terms: Any
) -> Generator[Rig]:
    """A gateway with its simulator and the twin, stopped at the end."""
    at_s = time.time()
    behind = Simulator(
        seed=SEED,
        prices=prices(),
        terms=Terms(keys=UPSTREAM_KEYS, **terms),
        clock=lambda: at_s,
    )
    beside = Simulator(seed=SEED, prices=prices(), clock=lambda: at_s)
    with behind.running() as sim, beside.running() as twin:
        rig = Rig(home, sim, twin)
        rig.start(settings(sim))
        try:
            yield rig
        finally:
            code = rig.stop()
        assert code == 0, rig.log()


def as_answered(got: Got) -> Answered:
    return Answered(got.status, list(got.headers.items()), got.body)
