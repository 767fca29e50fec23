"""Bad input and bad moments where caps are in force: nothing is exceeded, nothing stays held.

The cases that need no cap (43 to 45, 57, 58) stand in test_cases.py as well, and 58 at two workers
in test_neighbours.py.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bursar.gateway.settings.reading import parse_settings
from bursar.model.call import Tags
from bursar.model.errors import BadInput
from bursar.simulator.server import Simulator
from bursar.state.claims import Who
from bursar.state.terms import Standing, StoreLost
from state.redis.rig import Server, a_server
from tests.gateway.purse.accounts import caps_of, standings
from tests.gateway.rig import (
    BEARER,
    ENVIRON,
    HOST,
    JSON_TYPE,
    TENANT,
    Rig,
    chat_body,
    running,
    settings_for,
    until,
)

CENT = 10_000_000
CENTS = {"model": "gpt-4.1", "max_tokens": 1_250}
"""An answer of so many tokens costs a cent, and its prompt a little more."""
A_CENT = {"x-simulate": "none; output_tokens=1250"}
MINI, DEAR = "gpt-4o-mini", "gpt-4.1"
WHO = Who(Tags(tenant=TENANT), "tests", "default", DEAR, "openai")


def _two(sim: Simulator, **more: Any) -> dict[str, Any]:
    return settings_for(sim, listen={"workers": 2}, **more)


async def _ask(port: int, body: dict[str, Any], headers: dict[str, str]) -> int:
    """The status of one call, by a connection of its own."""
    raw = json.dumps(body).encode()
    head = {"host": "gw", "content-length": str(len(raw)), "connection": "close"}
    lines = [f"{name}: {value}\r\n" for name, value in {**head, **BEARER, **headers}.items()]
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(f"POST /v1/chat/completions HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + raw)
        status = await reader.readuntil(b"\r\n")
        await reader.read()
        return int(status[9:12])
    finally:
        writer.close()


def _at_once(rig: Rig, calls: int, headers: dict[str, str], **more: Any) -> Counter[int]:
    """So many calls in parallel: how many had which status."""

    async def run() -> list[int]:
        bodies = [chat_body(f"call {n}", **more) for n in range(calls)]
        sent = {**JSON_TYPE, **headers}
        return await asyncio.gather(*(_ask(rig.port, body, sent) for body in bodies))

    return Counter(asyncio.run(run()))


def _accounts(rig: Rig, settings: dict[str, Any], redis: str = "") -> dict[str, Standing]:
    return standings(rig.home, caps_of(settings), [WHO], redis)


def _settled(rig: Rig, settings: dict[str, Any], redis: str = "") -> dict[str, Standing]:
    """Once nothing is held, nothing is suspect, and the ledger has the same in dollars."""

    def quiet() -> dict[str, Standing] | None:
        try:
            found = _accounts(rig, settings, redis)
        except (OSError, AssertionError, StoreLost):
            return None
        (row,) = rig.rows("SELECT coalesce(sum(cost_nano), 0)::BIGINT AS nano FROM attempts")
        usd = [one for name, one in found.items() if "/usd/" in name]
        still = any(one.held or one.suspect for one in found.values())
        return None if still or {one.posted for one in usd} != {row["nano"]} else found

    return until(quiet, lambda: f"{_accounts(rig, settings, redis)}; {rig.log()}")


def _billed(rig: Rig) -> int:
    return sum(line.cost_nano or 0 for line in rig.paid())


# -- 43 to 45: numbers


@pytest.fixture(scope="module", name="rig")
def rig_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A budget of five cents, and answers of at most 4,000 tokens."""
    with running(tmp_path_factory.mktemp("capped"), _five_cents) as one:
        yield one


def _five_cents(sim: Simulator) -> dict[str, Any]:
    budgets = {"all": {"limit": "$0.05/day", "warn": []}}
    return _two(sim, budgets=budgets, calls={"max_output_tokens": 4_000})


def test_43_what_is_refused_for_its_numbers_holds_nothing(rig: Rig) -> None:
    """Case 43: -1, 0, 1.5, "100" and true are 400; null is absent, and is admitted."""
    before = len(rig.paid())
    for bad in (-1, 0, 1.5, "100", True, 10**7, 10**12):
        assert rig.chat("odd", max_tokens=bad).status == 400
    assert rig.chat("none", max_tokens=None).status == 200
    assert len(rig.paid()) == before + 1
    _settled(rig, _five_cents(rig.sim))


@pytest.mark.parametrize("most", [50_000, 10**6])
def test_44_a_huge_bound_does_not_hold_the_whole_budget(rig: Rig, most: int) -> None:
    """Case 44: 10^7 and more is 400. Below, what the settings allow is held and sent, and no more;
    so while such a call is under way, others are admitted."""
    slow = {"x-simulate": "none; latency_ms=700; output_tokens=50"}
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(rig.chat("huge", slow, max_tokens=most).status)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: statuses or _accounts(rig, _five_cents(rig.sim))[DAY].held, rig.log)
    assert rig.chat("small").status == 200
    asking.join()
    assert statuses == [200]
    _settled(rig, _five_cents(rig.sim))


DAY = "budgets.all/usd/day"


def test_45_every_answer_is_held_and_paid(rig: Rig) -> None:
    """Case 45: eight answers cost eight times as much, and hold it; a thousand are 400."""
    settings = _five_cents(rig.sim)
    before = _settled(rig, settings)[DAY].posted
    held: list[int] = []
    for many in (1, 8):
        slow = {"x-simulate": "none; latency_ms=700; output_tokens=200"}
        asking = threading.Thread(
            target=rig.chat, args=("many", slow), kwargs={"n": many, "max_tokens": 200}
        )
        asking.start()
        held.append(until(lambda: _accounts(rig, settings)[DAY].held, rig.log))
        asking.join()
        _settled(rig, settings)
    answer_nano = 200 * 600
    assert held[1] - held[0] >= 7 * answer_nano * 9 // 10
    assert _settled(rig, settings)[DAY].posted - before >= 9 * answer_nano
    assert rig.chat("thousand", n=1_000).status == 400


# -- 57: clients that leave


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("seen", [0, 400])
def test_57_a_client_that_leaves_has_spent_and_holds_nothing(
    rig: Rig, stream: bool, seen: int
) -> None:
    """Case 57: before the first byte, and in the middle; the account has what is billed."""
    before = len(rig.sim.invoice.lines)
    body = json.dumps(chat_body(f"leaves {stream} {seen}", stream=stream)).encode()
    named = {"host": "gw", "content-length": str(len(body)), **BEARER}
    named["x-simulate"] = "none; latency_ms=150; event_ms=5"
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    with socket.create_connection((HOST, rig.port), 5) as line:
        line.sendall(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + body)
        if seen:
            assert line.recv(seen)
        else:
            time.sleep(0.05)
    until(lambda: len(rig.sim.invoice.lines) > before, rig.log)
    assert _settled(rig, _five_cents(rig.sim))[DAY].posted == _billed(rig)


# -- 59: a burst


@pytest.mark.parametrize("workers", [1, 2])
def test_59_a_thousand_calls_in_parallel(tmp_path: Path, workers: int) -> None:
    """Case 59: of a dollar, at most a hundred cents are spent, and all but a few of them. The last
    answers may be limited to what is left, so there may be more than a hundred."""

    def dollar(sim: Simulator) -> dict[str, Any]:
        budgets = {"all": {"limit": "$1/day", "warn": []}}
        return settings_for(sim, listen={"workers": workers}, budgets=budgets)

    with running(tmp_path, dollar) as rig:
        found = _at_once(rig, 1_000, A_CENT, **CENTS)
        assert set(found) == {200, 402}
        assert found[200] + found[402] == 1_000
        assert _billed(rig) <= 100 * CENT
        assert len(rig.paid()) == found[200]
        if workers == 2:
            assert _settled(rig, dollar(rig.sim))[DAY].posted == _billed(rig)
        while rig.chat("the rest", A_CENT, **CENTS).status == 200:
            pass
        assert 98 * CENT <= _billed(rig) <= 100 * CENT


# -- 76: Redis


@contextmanager
def _paused(server: Server) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.go_on()


@contextmanager
def _read_only(server: Server) -> Iterator[None]:
    """A replica of nobody."""
    server.say("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        server.say("REPLICAOF", "NO", "ONE")


@contextmanager
def _gone(server: Server) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()


FAILS = ("closed", "local", "open")


@pytest.mark.parametrize("how", [_paused, _read_only, _gone])
def test_76_without_redis_each_budget_does_as_it_says(
    tmp_path: Path, how: Callable[[Server], Any]
) -> None:
    """Case 76: paused, read-only, or started again without its data. Afterwards the accounts are
    what the ledger has, with what was spent meanwhile."""
    teams = {
        fail: {"limit": "$5/day", "fail": fail, "where": {"tags": {"team": fail}}} for fail in FAILS
    }

    with a_server() as server:

        def settings(sim: Simulator) -> dict[str, Any]:
            all_of_it = {"limit": "$9/day", "fail": "open", "warn": []}
            return _two(sim, state={"store": server.url}, budgets={**teams, "all": all_of_it})

        with running(tmp_path, settings) as rig:
            for fail in FAILS:
                assert rig.chat("before", {"x-bursar-team": fail}).status == 200
            with how(server):
                until(lambda: rig.get("/ready").status == 503, rig.log)
                for _ in range(4):
                    found = [rig.chat("away", {"x-bursar-team": fail}).status for fail in FAILS]
                    assert found == [503, 200, 200]
            until(lambda: rig.chat("after", {"x-bursar-team": "closed"}).status == 200, rig.log)
            one = _settled_all(rig, settings(rig.sim), server.url)
            assert one.posted == _billed(rig)


def _settled_all(rig: Rig, settings: dict[str, Any], redis: str) -> Standing:
    """The account of all calls, once it has what the ledger has."""
    everything = {**settings, "budgets": {"all": settings["budgets"]["all"]}}
    return _settled(rig, everything, redis)[DAY]


def test_76_redis_that_is_wiped_is_told_what_the_ledger_has(tmp_path: Path) -> None:
    """Case 76: with calls under way, which count once; and no call passes on an empty account."""
    with a_server() as server:

        def settings(sim: Simulator) -> dict[str, Any]:
            budgets = {"all": {"limit": "$0.049/day", "fail": "closed", "clamp": False}}
            return _two(sim, state={"store": server.url}, budgets=budgets)

        with running(tmp_path, settings) as rig:
            for _ in range(3):
                assert rig.chat("before", A_CENT, **CENTS).status == 200
            slow = {"x-simulate": "none; output_tokens=1250; latency_ms=2500"}
            under_way = threading.Thread(target=rig.chat, args=("slow", slow), kwargs=CENTS)
            under_way.start()
            until(lambda: _accounts(rig, settings(rig.sim), server.url)[DAY].held, rig.log)
            server.say("FLUSHALL")
            statuses = {rig.chat("meanwhile", A_CENT, **CENTS).status for _ in range(10)}
            assert statuses <= {503, 402}, "one more would be beyond the limit"
            under_way.join()
            until(lambda: rig.get("/ready").status == 200, rig.log)
            assert rig.chat("after", A_CENT, **CENTS).status == 402
            assert _settled(rig, settings(rig.sim), server.url)[DAY].posted == _billed(rig)


# -- 78: limits of nothing


def test_78_nothing_no_limit_and_less_than_nothing(tmp_path: Path) -> None:
    """Case 78: 0 refuses always, no limit never; below 0 the settings are refused."""

    def settings(sim: Simulator) -> dict[str, Any]:
        zero = {"limit": "$0/day", "where": {"tags": {"team": "zero"}}}
        return settings_for(sim, budgets={"zero": zero, "counted": {"every": "day"}})

    with running(tmp_path, settings) as rig:
        for _ in range(3):
            assert rig.chat("zero", {"x-bursar-team": "zero"}).status == 402
            assert rig.chat("free", A_CENT, **CENTS).status == 200
        assert len(rig.paid()) == 3
        bad = settings(rig.sim)
        bad["budgets"]["zero"]["limit"] = "$-1/day"
        rig.write(bad)
        until(lambda: "the settings stay as they were" in rig.log(), rig.log)
        assert rig.chat("zero", {"x-bursar-team": "zero"}).status == 402
    for limit in ("$-1/day", "-5 calls/day", "-1"):
        given = msgspec.json.encode({"budgets": {"all": {"limit": limit, "every": "day"}}})
        with pytest.raises(BadInput, match=r"budgets\.all"):
            parse_settings(given, "settings", ENVIRON)


# -- 79: a limit that changes


@pytest.mark.parametrize("stream", [False, True])
def test_79_another_limit_while_500_calls_are_under_way(tmp_path: Path, stream: bool) -> None:
    """Case 79: the next call is judged by the new limit; nothing is negative at any moment."""

    def settings(sim: Simulator, limit: str = "$9/day") -> dict[str, Any]:
        return _two(sim, budgets={"all": {"limit": limit, "warn": []}})

    with running(tmp_path, settings) as rig:
        slow = {"x-simulate": "none; output_tokens=100; latency_ms=6000"}
        found: Counter[int] = Counter()
        asked = {"model": DEAR, "max_tokens": 200, "stream": stream}
        asking = threading.Thread(target=lambda: found.update(_at_once(rig, 500, slow, **asked)))
        asking.start()
        seen: list[Standing] = []

        def held() -> Standing:
            seen.append(_accounts(rig, settings(rig.sim))[DAY])
            return seen[-1]

        until(lambda: held().held and _open_calls(rig) >= 200, rig.log)
        rig.write(settings(rig.sim, "$0.01/day"))
        until(lambda: rig.chat("too much", **CENTS).status == 402, rig.log)
        assert held().held > CENT, "still under way, and above the new limit"
        rig.write(settings(rig.sim, "$9/day"))
        until(lambda: rig.chat("fits again", **CENTS).status == 200, rig.log)
        while asking.is_alive():
            held()
            time.sleep(0.2)
        asking.join()
        assert set(found) <= {200, 402}
        assert all(one.held >= 0 and one.posted >= 0 and one.suspect >= 0 for one in seen)
        assert _settled(rig, settings(rig.sim))[DAY].posted == _billed(rig)


def _open_calls(rig: Rig) -> int:
    """Under way in the worker that answers."""
    page = rig.get("/metrics").body.decode()
    return int(float(page.partition("\nbursar_open_calls ")[2].split()[0]))
