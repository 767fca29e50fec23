"""The parent of `bursar serve`: signals reach its children, at every moment of their lives."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest

from bursar.gateway import supervisor as supervisor_module
from bursar.gateway.standing import Standing, is_degraded
from bursar.gateway.supervisor import KEEPER, WORKER, Child, Supervisor
from bursar.gateway.tally import found

GRACE_S = 8.0
SLOW_BIRTH_S = 0.5


@contextmanager
def supervised(folder: Path) -> Generator[int]:
    """A supervisor of one child that sleeps; its pid. The child leaves its own in `folder`."""

    def sleep(_slot: int, _incarnation: int) -> None:
        (folder / "child").write_text(str(os.getpid()))
        time.sleep(60)

    def run() -> None:
        Supervisor([Child("a sleeper", 0, sleep)], lambda _: None, GRACE_S).run()

    parent = get_context("fork").Process(target=run)
    parent.start()
    assert parent.pid is not None
    try:
        yield parent.pid
    finally:
        parent.join(0.1)
        if parent.is_alive():
            parent.terminate()
            parent.join(3 * GRACE_S)


def soon(holds: Callable[[], bool], within_s: float = 5.0) -> bool:
    until = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_reload_ends_nobody_who_does_not_know_it(tmp_path: Path) -> None:
    with supervised(tmp_path) as parent:
        assert soon((tmp_path / "child").exists)
        assert soon(lambda: bool((tmp_path / "child").read_text()))
        first = int((tmp_path / "child").read_text())
        os.kill(parent, signal.SIGHUP)
        time.sleep(0.5)
        assert not is_gone(first)
        assert int((tmp_path / "child").read_text()) == first


def test_a_child_that_is_just_being_born_hears_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = supervisor_module._born

    def born(run: supervisor_module.Starts, slot: int, incarnation: int) -> None:
        (tmp_path / "born").touch()
        time.sleep(SLOW_BIRTH_S)
        real(run, slot, incarnation)

    monkeypatch.setattr(supervisor_module, "_born", born)
    with supervised(tmp_path) as parent:
        assert soon((tmp_path / "born").exists)
        begun = time.monotonic()
        os.kill(parent, signal.SIGTERM)
        with_children = Path(f"/proc/{parent}")
        assert soon(lambda: not with_children.exists() or _is_zombie(parent), GRACE_S)
        assert time.monotonic() - begun < GRACE_S / 2


def _is_zombie(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("vital", [True, False])
def test_a_child_that_dies_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vital: bool
) -> None:
    """A worker stops the whole; the keeper is tried again, said to be missing, and missed no more
    once it stays up."""
    monkeypatch.setattr(supervisor_module, "PAUSES_S", (0.0,))
    monkeypatch.setattr(supervisor_module, "QUICK_S", 1.0)
    monkeypatch.setattr(supervisor_module, "TICK_S", 0.05)
    deaths = supervisor_module.MOST_QUICK + 3

    def die(_slot: int, incarnation: int) -> None:
        with (tmp_path / "births").open("a") as births:
            births.write(f"{incarnation}\n")
        if len((tmp_path / "births").read_text().splitlines()) > deaths:
            time.sleep(60)

    def sleep(_slot: int, _incarnation: int) -> None:
        time.sleep(60)

    def run() -> None:
        def say(line: str) -> None:
            with (tmp_path / "log").open("a") as log:
                log.write(f"{line}\n")

        children = [
            Child("the keeper", 0, die, kind=WORKER if vital else KEEPER),
            Child("worker 0", 0, sleep),
        ]
        standing = Standing(tmp_path, say)
        os._exit(Supervisor(children, say, GRACE_S, standing).run())

    parent = get_context("fork").Process(target=run)
    parent.start()
    try:
        if vital:
            parent.join(GRACE_S)
            assert parent.exitcode == 1
            assert "the keeper does not stay up" in (tmp_path / "log").read_text()
            assert not is_degraded(tmp_path)
            return
        assert soon(lambda: is_degraded(tmp_path))
        assert soon(lambda: not is_degraded(tmp_path) and (tmp_path / "births").exists(), 10)
        log = (tmp_path / "log").read_text()
        assert log.count("does not stay up; calls go on") == 1
        assert log.count("stays up again") == 1
        assert log.count("the keeper ended") == deaths
        assert found(tmp_path / "supervisor.counts").restarts == {(KEEPER,): deaths}
        assert parent.is_alive()
    finally:
        if parent.is_alive():
            parent.terminate()
            parent.join(3 * GRACE_S)
