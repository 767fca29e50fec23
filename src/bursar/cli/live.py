"""The live run of `bursar demo`: provider, gateway and agent on this machine, then the report.

The gateway is `bursar serve` itself, in a process of its own and a home that is removed afterwards;
the provider is the simulator, in a thread; the agent calls with the real clients. Whatever ends the
run, the gateway is stopped and the home is gone. What is left is the ledger's word and the
simulator's invoice, which must agree to the nanodollar.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from rich.console import Console

from bursar.advisor.analysis import Analysis, analyse
from bursar.advisor.questions import dearest_sessions, waterfall
from bursar.cli.analyzing import WATERFALLS, write_page
from bursar.cli.opening import now
from bursar.cli.screen import Screen
from bursar.extras import missing_for_demo
from bursar.gateway.settings.keys import new_key
from bursar.gateway.settings.yaml_text import yaml_of
from bursar.ledger.engines.duck import Duck
from bursar.ledger.journal.keeper import take_in
from bursar.ledger.reports import Scope
from bursar.model.errors import BadInput
from bursar.model.money import usd
from bursar.price.book import Book, load_book
from bursar.simulator.agent.cast import FAULTS, SEED, TENANTS, script_of, tasks
from bursar.simulator.agent.work import work_off
from bursar.simulator.desk import Terms
from bursar.simulator.invoice import Totals
from bursar.simulator.server import Prices, Simulator

LABEL = "a generated live run"
LATENCY_MS = 15.0
EVENT_MS = 1.0
START_S = 30.0
STOP_S = 40.0
LOOK_S = 0.05
ADDRESS = re.compile(r"bursar serves on (http://\S+)")
LOG_CHARS = 600
CLIENT_VARIABLES = re.compile("OPENAI_.*|ANTHROPIC_.*|.*_PROXY", re.IGNORECASE)
"""What the real clients would read from the environment; the demo is not to depend on it."""
FAULT_CODE = 70


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider charges, beside what the ledger holds."""

    simulator_usd: str | None
    ledger_usd: str | None
    requests: int
    billed: int

    @property
    def agrees(self) -> bool:
        return self.simulator_usd == self.ledger_usd


def can_run() -> str | None:
    """None where the live run can be had, else what is in its way."""
    if not hasattr(os, "fork"):
        return "this system has no fork"
    missing = missing_for_demo()
    return f"{' and '.join(missing)} not installed" if missing else None


def run_live(html: Path | None, *, as_json: bool) -> int:
    """The whole run; the exit code."""
    reason = can_run()
    if reason is not None:
        raise BadInput(
            f"the live demo cannot run: {reason}",
            mend="pip install 'bursar[gateway,demo]', or see a generated log: bursar demo --sample",
        )
    with TemporaryDirectory(prefix="bursar-demo-") as folder, _stoppable():
        home = Path(folder)
        book = load_book(home=home, now=now())
        invoice = _drive(home, book)
        found, falls = _read(home, book, pages=html is not None)
    bill = Bill(
        simulator_usd=usd(invoice.cost_nano),
        ledger_usd=found.totals["cost_usd"],
        requests=invoice.requests,
        billed=invoice.billed,
    )
    if html is not None:
        write_page(found, falls, [LABEL], html)
    _print(found, bill, html, as_json=as_json)
    return 0 if bill.agrees else FAULT_CODE


def _drive(home: Path, book: Book) -> Totals:
    """Provider, gateway and agent, from start to stop; the provider's invoice."""
    work = tasks()
    provider = Simulator(
        seed=SEED,
        script=script_of(work),
        faults=FAULTS,
        terms=Terms(latency_ms=LATENCY_MS, event_ms=EVENT_MS),
        prices=Prices(book),
    )
    keys = {tenant: new_key(tenant) for tenant in TENANTS}
    with provider.running():
        (home / "bursar.yaml").write_text(_settings(provider, keys), encoding="utf-8")
        console = Console(stderr=True)
        with _gateway(home) as url, console.status("the agent begins") as status:
            done = 0

            def told() -> None:
                nonlocal done
                done += 1
                status.update(f"the agent has made {done} calls, {len(work)} tasks in all")

            texts = {tenant: text for tenant, (text, _) in keys.items()}
            with _without(CLIENT_VARIABLES):
                asyncio.run(work_off(url, texts, work, told))
            status.update(f"{done} calls; the gateway stops")
    return provider.invoice.total


def _settings(provider: Simulator, keys: Mapping[str, tuple[str, str]]) -> str:
    """`bursar.yaml`: everybody goes to the simulator, each tenant with a key of its own."""
    there = {"private": True, "key": "none"}
    return yaml_of(
        {
            "listen": {"host": "127.0.0.1", "port": 0},
            "providers": {
                "openai": {"base_url": provider.openai_url, **there},
                "anthropic": {"base_url": provider.url, **there},
            },
            "keys": {
                tenant: {"sha256": digest, "tenant": tenant, "tags": {"environment": "demo"}}
                for tenant, (_, digest) in keys.items()
            },
        }
    )


@contextmanager
def _gateway(home: Path) -> Generator[str]:
    """`bursar serve` on a free port; its address. Stopped at the end, all of it."""
    log = home / "gateway.log"
    command = [sys.executable, "-P", "-m", "bursar", "serve", str(home / "bursar.yaml")]
    environment = {**os.environ, "BURSAR_HOME": str(home)}
    with log.open("wb") as stream:
        run = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        yield _address(run, log)
    finally:
        run.terminate()
        with suppress(subprocess.TimeoutExpired):
            run.wait(STOP_S)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def _address(run: subprocess.Popen[bytes], log: Path) -> str:
    """Where the gateway listens, as it says itself."""
    until = time.monotonic() + START_S
    while True:
        said = log.read_text(encoding="utf-8", errors="replace")
        if found := ADDRESS.search(said):
            return found[1]
        if run.poll() is not None or time.monotonic() > until:
            raise BadInput(
                f"the demo's gateway did not start: {said.strip()[-LOG_CHARS:]}",
                mend="mend what it says, or run bursar demo --sample",
            )
        time.sleep(LOOK_S)


def _read(home: Path, book: Book, *, pages: bool) -> tuple[Analysis, list[dict[str, object]]]:
    """The ledger's word, and its dearest sessions where a page is to show them."""
    duck = Duck(home / "ledger.duckdb")
    try:
        take_in(home, duck, book)
        found = analyse(duck, book)
        dear = dearest_sessions(duck, Scope(), WATERFALLS) if pages else []
        return found, [waterfall(duck, one) for one in dear]
    finally:
        duck.close()


def _print(found: Analysis, bill: Bill, html: Path | None, *, as_json: bool) -> None:
    if as_json:
        whole = {"generated": True, "bill": bill, **msgspec.to_builtins(found)}
        sys.stdout.write(msgspec.json.encode(whole).decode() + "\n")
        return
    screen = Screen()
    screen.analysis(found)
    screen.heading("GENERATED, and checked")
    sign = "=" if bill.agrees else "is not"
    screen.line(
        f"simulator's invoice ${bill.simulator_usd} {sign} ledger ${bill.ledger_usd}"
        f" ({bill.requests} requests, {bill.billed} billed)"
    )
    if not bill.agrees:
        screen.line("They must agree: this is a fault in Bursar, please report it.")
    if html is not None:
        screen.line(f"Page written to {html}")


@contextmanager
def _without(names: re.Pattern[str]) -> Generator[None]:
    """The environment without some variables, while it lasts."""
    taken = {name: os.environ.pop(name) for name in list(os.environ) if names.fullmatch(name)}
    try:
        yield
    finally:
        os.environ.update(taken)


@contextmanager
def _stoppable() -> Generator[None]:
    """A request to end is taken like Ctrl-C, so that everything is cleared away."""
    names = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(name, _interrupt) for name in names]
    try:
        yield
    finally:
        for name, old in zip(names, before, strict=True):
            signal.signal(name, old)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
