"""A ledger that a keeper holds is read across its socket as if it were open here."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.ledger.engines.duck import Duck
from bursar.ledger.journal import asking
from bursar.ledger.journal.asking import Door
from bursar.ledger.journal.keeper import SOCKET
from bursar.ledger.journal.remote import RemoteDuck, kept_ledger
from bursar.ledger.journal.wire import Failed, Hello, Here, ask_of, receive, send
from bursar.ledger.journal.writer import Writer
from bursar.model.errors import LedgerError
from ledger.journal.writing import ANSWER, ATTEMPT, call
from trials import bursar, call_line, jsonl, take_in

LIMIT = 1 << 20


@pytest.fixture(name="kept")
def kept_fixture(tmp_path: Path) -> Iterator[tuple[Duck, RemoteDuck]]:
    """The same ledger, open here and asked across a door."""
    log = tmp_path / "log.jsonl"
    log.write_bytes(jsonl(call_line(f"s{n}") for n in range(20)))
    duck = Duck(tmp_path / "l.duckdb")
    take_in(duck, log)
    door = Door(tmp_path / SOCKET, duck)
    remote = kept_ledger(tmp_path / SOCKET, tmp_path / "l.duckdb", fresh=False)
    assert remote is not None
    yield duck, remote
    remote.close()
    door.close()
    duck.close()


def raw_line(tmp_path: Path) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(5)
    folder = os.open(tmp_path, os.O_RDONLY)
    line.connect(f"/proc/self/fd/{folder}/{SOCKET}")
    os.close(folder)
    return line


# -- answers


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM attempts ORDER BY call_id",
        "FROM sessions ORDER BY session",
        "SELECT sum(cost_nano), count(*), avg(cost_nano) FROM attempts",
        "SELECT [1, 2], {'a': TIMESTAMP '2026-01-02 03:04:05.000006'}, NULL, 'é', true",
        "SELECT DATE '2026-02-03', 1.50::DECIMAL(9, 2), 170141183460469231731687303715884105727,"
        " INTERVAL 3 HOURS, '\\x00\\xff'::BLOB",
        "SELECT 1 WHERE false",
    ],
)
def test_rows_are_the_same_as_here(sql: str, kept: tuple[Duck, RemoteDuck]) -> None:
    duck, remote = kept
    assert remote.rows(sql) == duck.rows(sql)
    assert remote.named(sql) == duck.named(sql)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    st.floats(allow_nan=False),
    st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1)),
    st.dates(date(1800, 1, 1), date(2200, 1, 1)),
    st.decimals(-1000, 1000, places=3),
    st.timedeltas(timedelta(0), timedelta(days=20)),
    st.lists(st.integers(-9, 9), min_size=1, max_size=3),
)


@settings(max_examples=60, deadline=None)
@given(value=VALUES)
def test_values_travel_both_ways(value: Any) -> None:
    duck, remote = _shared()
    assert remote.rows("SELECT ?", [value]) == duck.rows("SELECT ?", [value])


_SHARED: list[tuple[Duck, RemoteDuck]] = []


def _shared() -> tuple[Duck, RemoteDuck]:
    return _SHARED[0]


@pytest.fixture(autouse=True, scope="module")
def _one_for_values(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("values")
    duck = Duck(home / "l.duckdb")
    door = Door(home / SOCKET, duck)
    remote = kept_ledger(home / SOCKET, home / "l.duckdb", fresh=False)
    assert remote is not None
    _SHARED.append((duck, remote))
    yield
    remote.close()
    door.close()
    duck.close()
    _SHARED.clear()


def test_a_big_answer_comes_in_pieces(kept: tuple[Duck, RemoteDuck]) -> None:
    rows = kept[1].rows("SELECT range, 'x' || range FROM range(200000)")
    assert (len(rows), rows[-1]) == (200_000, (199_999, "x199999"))


def test_an_answer_beyond_the_bound_is_refused(
    kept: tuple[Duck, RemoteDuck], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "MOST_ROWS", 5_000)
    with pytest.raises(LedgerError, match="more than 5,000 rows"):
        kept[1].rows("SELECT * FROM range(6000)")
    assert kept[1].rows("SELECT 1") == [(1,)]


def test_all_questions_of_one_asker_see_one_moment(kept: tuple[Duck, RemoteDuck]) -> None:
    duck, remote = kept
    assert remote.rows("SELECT count(*) FROM attempts") == [(20,)]
    duck.run("INSERT INTO attempts (call_id) VALUES (1)")
    assert remote.rows("SELECT count(*) FROM attempts") == [(20,)]
    assert duck.rows("SELECT count(*) FROM attempts") == [(21,)]


# -- refusals


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM attempts",
        "INSERT INTO facts VALUES ('a', 'b')",
        "SELECT 1; DELETE FROM attempts",
        "COPY attempts TO '/tmp/never'",
        "ATTACH '/tmp/never' AS x",
        "SET threads = 1",
        "PRAGMA version",
        "COMMIT",
        "",
        "no sql at all",
        "SELECT * FROM nowhere",
    ],
)
def test_only_a_select_is_answered(sql: str, kept: tuple[Duck, RemoteDuck]) -> None:
    with pytest.raises(LedgerError, match="cannot answer"):
        kept[1].rows(sql)
    assert kept[1].rows("SELECT count(*) FROM attempts") == [(20,)]
    assert kept[0].rows("SELECT count(*) FROM attempts") == [(20,)]


def test_a_question_that_takes_too_long_is_stopped(kept: tuple[Duck, RemoteDuck]) -> None:
    remote = kept[1]
    remote.asker.limit_s = 0.2
    started = time.monotonic()
    with pytest.raises(LedgerError, match=r"longer than 0\.2 s"):
        remote.rows("SELECT count(*) FROM range(100000000) AS a, range(100000) AS b")
    assert time.monotonic() - started < 3
    remote.asker.limit_s = 9
    assert remote.rows("SELECT 1") == [(1,)]


def test_the_keeper_alone_changes_the_ledger(kept: tuple[Duck, RemoteDuck]) -> None:
    remote = kept[1]
    for change in (
        lambda: remote.run("DELETE FROM attempts"),
        lambda: remote.append("facts", {"name": ["a"], "value": ["b"]}),
        lambda: remote.load("facts", remote),  # type: ignore[arg-type]
        lambda: remote.transaction().__enter__(),
    ):
        with pytest.raises(LedgerError, match="kept by `bursar serve`"):
            change()


@pytest.mark.parametrize(
    "wrong",
    [
        struct.pack("<I", 2**31),
        struct.pack("<I", 4) + b"\xff\xff\xff\xff",
        struct.pack("<I", 3) + b"\x91\xa1x",
        struct.pack("<I", 0),
        struct.pack("<I", 2) + b"\x90",
    ],
)
def test_wrong_frames_end_the_talk_and_nothing_else(
    wrong: bytes, kept: tuple[Duck, RemoteDuck], tmp_path: Path
) -> None:
    with raw_line(tmp_path) as line:
        line.sendall(wrong)
        line.shutdown(socket.SHUT_WR)
        assert isinstance(receive(line, LIMIT), Failed)
        assert receive(line, LIMIT) is None
    assert kept[1].rows("SELECT 1") == [(1,)]


def test_another_version_is_told(kept: tuple[Duck, RemoteDuck], tmp_path: Path) -> None:
    with raw_line(tmp_path) as line:
        send(line, Hello(99, False))
        answer = receive(line, LIMIT)
        assert isinstance(answer, Failed)
        assert "version" in answer.why


def test_too_many_askers_are_told(kept: tuple[Duck, RemoteDuck], tmp_path: Path) -> None:
    lines = [raw_line(tmp_path) for _ in range(asking.MOST_ASKERS)]
    told = receive(lines[-1], LIMIT)
    assert isinstance(told, Failed)
    assert "too many" in told.why
    for line in lines:
        line.close()


def test_an_asker_that_goes_away_in_the_middle(
    kept: tuple[Duck, RemoteDuck], tmp_path: Path
) -> None:
    for _ in range(2 * asking.MOST_ASKERS):
        with raw_line(tmp_path) as line:
            send(line, Hello(fresh=False))
            assert isinstance(receive(line, LIMIT), Here)
            send(line, ask_of("SELECT * FROM range(1000000)", [], 9))
        time.sleep(0.02)
    assert kept[1].rows("SELECT 1") == [(1,)]


def test_only_the_owner_may_open_the_door(kept: tuple[Duck, RemoteDuck], tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / SOCKET).stat().st_mode) == 0o600


def test_a_door_to_another_ledger_or_to_nobody_is_no_door(
    kept: tuple[Duck, RemoteDuck], tmp_path: Path
) -> None:
    assert kept_ledger(tmp_path / SOCKET, tmp_path / "other.duckdb", fresh=False) is None
    assert kept_ledger(tmp_path / "nowhere.sock", tmp_path / "l.duckdb") is None
    (tmp_path / "dead.sock").write_text("")
    assert kept_ledger(tmp_path / "dead.sock", tmp_path / "l.duckdb") is None


# -- the commands while a keeper runs

KEEP = """
import sys
from pathlib import Path
from bursar.ledger.journal.duty import run_keeper
run_keeper(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.fixture(name="home")
def home_fixture(tmp_path: Path) -> Path:
    """A home with a long path, since a socket's address is short."""
    home = tmp_path / ("long" * 25)
    home.mkdir()
    return home


def recorded(home: Path, *numbers: int) -> None:
    async def run() -> None:
        writer = Writer(home, "n")
        for number in numbers:
            writer.begin(call(number))
            await writer.end(f"id:{number}", (ATTEMPT,), ANSWER)
        await writer.close()

    asyncio.run(run())


def keeper(home: Path) -> subprocess.Popen[bytes]:
    found = subprocess.Popen([sys.executable, "-c", KEEP, str(home), str(home / "ledger.duckdb")])
    until_opened(home)
    return found


def until_opened(home: Path) -> None:
    until_s = time.monotonic() + 20
    while (remote := kept_ledger(home / SOCKET, home / "ledger.duckdb", fresh=False)) is None:
        assert time.monotonic() < until_s
        time.sleep(0.05)
    remote.close()


def calls(home: Path) -> int:
    return sum(row["calls"] for row in bursar("report", "costs", "--json", home=home).json["rows"])


def test_commands_ask_the_keeper_while_it_runs(home: Path) -> None:
    recorded(home, 1, 2)
    kept = keeper(home)
    try:
        assert calls(home) == 2
        recorded(home, 3)
        assert calls(home) == 3, "what is in the journals is taken in before the answer"
        for command in ("suspects", "sessions"):
            assert bursar(command, "--json", home=home).code == 0
        session = bursar("sessions", "--json", home=home).json["sessions"][0]["session"]
        assert bursar("show", session, "--json", home=home).json["calls"] == 1
        log = home / "log.jsonl"
        log.write_bytes(jsonl([call_line("s")]))
        refused = bursar("import", log, home=home)
        assert refused.code == 2
        assert "kept by `bursar serve`" in refused.err
        assert bursar("prices", "reprice", home=home).code == 2
    finally:
        kept.send_signal(signal.SIGTERM)
        assert kept.wait(20) == 0
    assert not (home / SOCKET).exists()
    recorded(home, 4)
    assert calls(home) == 4, "without a keeper the next reader takes the journals in"
    assert not list(home.glob("journal/*/*.wal"))


def test_the_first_reader_makes_the_ledger(home: Path) -> None:
    assert bursar("sessions", home=home).code == 2
    recorded(home, 1)
    other = home / "other.duckdb"
    assert bursar("sessions", "--ledger", other, home=home).code == 2
    assert calls(home) == 1


def test_a_keeper_waits_for_the_one_before_it(home: Path) -> None:
    first = keeper(home)
    second = subprocess.Popen([sys.executable, "-c", KEEP, str(home), str(home / "ledger.duckdb")])
    time.sleep(1)
    assert second.poll() is None
    first.kill()
    first.wait()
    recorded(home, 1)
    until_opened(home)
    assert calls(home) == 1
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0


def test_decimals_stay_exact() -> None:
    assert _shared()[1].rows("SELECT 0.1::DECIMAL(4, 2)") == [(Decimal("0.10"),)]
