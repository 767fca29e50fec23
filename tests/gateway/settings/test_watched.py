"""Settings that change while the gateway runs: taken, refused, and what a key does not follow."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from bursar.gateway.settings.holders import Holder
from bursar.gateway.settings.watched import NEXT_START, Watched
from bursar.model.call import Tags
from bursar.model.errors import BadInput
from bursar.state.claims import Who, claims_of
from bursar.state.memory import Memory
from bursar.state.terms import Ask
from gateway.settings.desks import ENVIRON, bearer, digest, holder, planned, token

ROOT = Path(__file__).resolve().parents[3]
KEYS = f"keys: {{a: {{sha256: {digest('a')}}}}}\n"


class File:
    """A settings file whose every change has a time of its own."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.now_ns = 1_000_000_000_000_000_000
        self.write(text)

    def write(self, text: str) -> None:
        self.now_ns += 10_000_000_000
        self.path.write_text(text, encoding="utf-8")
        os.utime(self.path, ns=(self.now_ns, self.now_ns))

    def watched(self, environ: dict[str, str] | None = None) -> Watched:
        self.now_ns += 10_000_000_000
        return Watched(self.path, ENVIRON if environ is None else environ, now_ns=self.clock)

    def clock(self) -> int:
        return self.now_ns + 5_000_000_000


@pytest.fixture(name="file")
def file_fixture(tmp_path: Path) -> File:
    return File(tmp_path / "bursar.yaml", KEYS)


def test_a_good_change_is_a_new_desk(file: File) -> None:
    watched = file.watched()
    before = watched.desk
    assert watched.look() is None
    assert isinstance(holder(watched.desk, *bearer(token("a"))), Holder)
    file.write(KEYS.replace("}}", ", blocked: true}}"))
    assert "was read again" in str(watched.look())
    assert watched.desk is not before
    assert holder(watched.desk, *bearer(token("a"))) == (401, "blocked_key")
    assert watched.look() is None


def test_a_bad_change_is_told_once_and_not_taken(file: File) -> None:
    watched = file.watched()
    before = watched.desk
    file.write("listen: {port: x}")
    told = str(watched.look())
    assert "the settings stay as they were" in told
    assert "bursar.yaml:1: listen.port" in told
    assert watched.desk is before
    assert watched.look() is None
    file.write(KEYS + "calls: {drain_for: 1s}")
    assert "was read again" in str(watched.look())
    assert watched.settings.calls.drain_s == 1


def test_a_file_that_goes_away(file: File) -> None:
    watched = file.watched()
    file.path.unlink()
    assert "cannot be read" in str(watched.look())
    assert watched.look() is None
    file.write(KEYS + "listen: {port: 1}")
    assert "listen: from the next start on" in str(watched.look())


CHANGES = {
    "listen": "listen: {workers: 3}",
    "journal": "journal: {space: 1GiB}",
    "limits": "limits: {headers: 50}",
    "telemetry": "telemetry: {otlp: {most_waiting: 5}}",
    "state": "state: {name: other}",
    "metrics.labels": "metrics: {labels: [team]}",
    "metrics.most_series": "metrics: {most_series: 7}",
}


@pytest.mark.parametrize("name", NEXT_START)
def test_what_waits_for_the_next_start_is_said(file: File, name: str) -> None:
    """And is marked where the settings are described; no other change is said to wait."""
    watched = file.watched()
    file.write(KEYS + CHANGES[name])
    told = str(watched.look())
    assert f"; {name}: from the next start on" in told
    file.write(KEYS + CHANGES[name] + "\ncalls: {drain_for: 1s}")
    assert "next start" not in str(watched.look())
    page = (ROOT / "docs" / "reference" / "bursar-yaml.md").read_text()
    part, _, field = name.rpartition(".")
    section = page.split(f"## `{part}`\n" if part else "## The file\n")[1].split("\n## ")[0]
    assert f"| `{field}` † |" in section
    assert "| `calls` |" in page


def test_the_same_text_again_is_no_change(file: File) -> None:
    watched = file.watched()
    desk = watched.desk
    file.write(KEYS)
    assert watched.look() is None
    assert watched.desk is desk
    watched.forget()
    assert "was read again" in str(watched.look())


def test_a_change_within_the_same_tick_of_the_clock_is_seen(file: File) -> None:
    file.now_ns += 20_000_000_000
    os.utime(file.path, ns=(file.now_ns, file.now_ns))
    watched = Watched(file.path, ENVIRON, now_ns=lambda: file.now_ns + 1)
    stat = file.path.stat()
    with file.path.open("r+") as stream:
        stream.write(KEYS.replace(digest("a"), digest("b")))
    os.utime(file.path, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    assert "was read again" in str(watched.look())


def test_a_file_swapped_for_another(file: File) -> None:
    watched = file.watched()
    other = file.path.with_suffix(".new")
    other.write_text(KEYS + "calls: {drain_for: 2s}", encoding="utf-8")
    os.replace(other, file.path)
    assert "was read again" in str(watched.look())


def test_no_file_never_changes() -> None:
    watched = Watched(None, ENVIRON)
    assert watched.look() is None
    with pytest.raises(BadInput):
        Watched(Path("/nowhere/bursar.yaml"), ENVIRON)


def mine(host: str, key: str = "env:OPENAI_API_KEY") -> str:
    return f"providers: {{openai: {{base_url: 'https://{host}/v1', key: '{key}'}}}}\n"


def test_a_key_does_not_follow_a_changed_base_url(file: File) -> None:
    file.write(mine("api.openai.com"))
    watched = file.watched()
    file.write(mine("evil.example.com"))
    assert "openai cannot be called: its base_url changed" in str(watched.look())
    assert watched.desk.providers["openai"].secret is None
    assert planned(watched.desk, "gpt-5") == "503 provider_not_ready"
    file.write(mine("evil.example.com") + "calls: {drain_for: 3s}")
    watched.look()
    assert watched.desk.providers["openai"].secret is None
    file.write(mine("api.openai.com"))
    watched.look()
    assert planned(watched.desk, "gpt-5") == "openai gpt-5 default"


def test_nor_does_it_under_another_name(file: File) -> None:
    file.write(mine("api.openai.com"))
    watched = file.watched()
    file.write(mine("evil.example.com").replace("openai:", "second:"))
    watched.look()
    assert watched.desk.providers["second"].secret is None


def test_another_key_may_go_to_another_place(file: File) -> None:
    file.write(mine("api.openai.com"))
    watched = file.watched({**ENVIRON, "OTHER": "k2"})
    file.write(mine("other.example.com", "env:OTHER"))
    watched.look()
    secret = watched.desk.providers["openai"].secret
    assert secret is not None
    assert secret.reveal() == "k2"


def test_a_key_file_that_is_rotated(file: File, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("k1\n", encoding="utf-8")
    os.utime(key, ns=(5, 5))
    file.write(mine("api.openai.com", f"file:{key}"))
    watched = file.watched()
    assert watched.look() is None
    key.write_text("k2\n", encoding="utf-8")
    os.utime(key, ns=(6, 6))
    watched.look()
    secret = watched.desk.providers["openai"].secret
    assert secret is not None
    assert secret.reveal() == "k2"


def test_tag_values_are_remembered_across_a_change(file: File) -> None:
    file.write("tags: {most_values: 1}")
    watched = file.watched()

    def team(value: bytes) -> str | None:
        desk = watched.desk
        return desk.tags(desk.holder([]), [(b"x-bursar-team", value)], {}).tags.team

    assert team(b"a") == "a"
    file.write("tags: {most_values: 1}\ncalls: {drain_for: 1s}")
    watched.look()
    assert (team(b"b"), team(b"a")) == ("__other__", "a")


USD = 1_000_000_000


async def spend(store: Memory, watched: Watched, key: str, dollars: int) -> bool:
    """Whether a call of so many dollars fits by the settings in force."""
    found = claims_of(watched.desk.caps, Who(Tags(tenant="acme")), dollars * USD, 10, 5_000)
    ask = Ask(key, 5_000, 60_000, found.claims, found.rates)
    return await store.reserve(ask) is None


async def posted(store: Memory, watched: Watched) -> list[tuple[int, int]]:
    found = claims_of(watched.desk.caps, Who(Tags(tenant="acme")), 0, 0, 5_000)
    return [(one.posted, one.held) for one in await store.standings(found.claims)]


def test_another_limit_holds_for_the_next_call(file: File) -> None:
    file.write("budgets: {b: {limit: $600/day, each: tenant}}")
    watched, store = file.watched(), Memory()

    async def lived() -> None:
        for number in range(500):
            assert await spend(store, watched, f"{number}.0", 1)
        file.write("budgets: {b: {limit: $400/day, each: tenant}}")
        watched.look()
        assert not await spend(store, watched, "a.0", 1)
        for number in range(500):
            await store.settle(f"{number}.0", (0,), 6_000)
        assert await posted(store, watched) == [(0, 0)]
        assert await spend(store, watched, "b.0", 400)
        assert not await spend(store, watched, "c.0", 1)
        file.write("budgets: {b: {limit: $400/day, raise: [{to: $500, until: 2030-01-01}]}}")
        watched.look()
        assert await spend(store, watched, "d.0", 500)

    asyncio.run(lived())


def test_a_budget_that_is_taken_away_stops_counting(file: File) -> None:
    file.write("budgets: {b: {limit: $1/day}}\nrates: {r: {limit: 1 calls/day}}")
    watched, store = file.watched(), Memory()

    async def lived() -> None:
        assert await spend(store, watched, "a.0", 1)
        assert not await spend(store, watched, "b.0", 1)
        file.write("calls: {drain_for: 1s}")
        watched.look()
        assert await spend(store, watched, "c.0", 1_000)
        file.write("budgets: {b: {limit: $1/day}}")
        watched.look()
        assert await posted(store, watched) == [(0, USD)]

    asyncio.run(lived())


def test_a_bad_budget_leaves_the_old_ones_in_force(file: File) -> None:
    file.write("budgets: {b: {limit: $1/day}}")
    watched, store = file.watched(), Memory()
    file.write("budgets: {b: {limit: $-1/day}}")
    assert "is below zero" in str(watched.look())
    assert not asyncio.run(spend(store, watched, "a.0", 2))


def test_another_store_waits_for_the_next_start(file: File) -> None:
    watched = file.watched()
    file.write(KEYS + "state: {store: 'redis://h:6379/0'}")
    assert "state: from the next start on" in str(watched.look())
