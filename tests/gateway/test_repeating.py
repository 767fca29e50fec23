"""Idempotency keys: one carriage per key and call, whatever the order; bounds; other workers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.gateway import repeating
from bursar.gateway.repeating import Client, Repeats
from bursar.model.errors import Refused

CHAT = "openai_chat"
Headers = list[tuple[bytes, bytes]]


class Asked:
    """A request as the gateway sees it."""

    def __init__(self, key: str, body: str) -> None:
        self.headers: Headers = [(b"idempotency-key", key.encode())]
        self.target, self.body = b"/v1/chat/completions", body.encode()
        self.gone = self.is_over = False
        self.is_fresh = True
        self.heard: tuple[int, bytes] | None = None

    def header(self, name: bytes) -> bytes | None:
        return dict(self.headers).get(name)

    def reply(self, status: int, _headers: object, body: bytes) -> None:
        assert self.is_fresh
        self.is_fresh, self.is_over, self.heard = False, True, (status, body)

    def when_gone(self, _call: object) -> None:
        """Nobody leaves here."""


class Provider:
    """Answers each carriage with another text, and fails as told."""

    def __init__(self) -> None:
        self.carried: list[bytes] = []

    async def run(self, client: Client, body: bytes, status: int) -> None:
        self.carried.append(body)
        number = len(self.carried)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        client.reply(status, [], json.dumps({"answer": number}).encode())


calls = st.tuples(
    st.sampled_from("ab"), st.sampled_from("xy"), st.sampled_from([200, 200, 500]), st.booleans()
)


@given(st.lists(calls, max_size=12))
@settings(max_examples=200)
def test_a_key_is_carried_once_for_each_good_answer(plan: list[tuple[str, str, int, bool]]) -> None:
    """Each client hears what some carriage of its own call said; nobody else's, and no body is
    carried again once it had a good answer. `waits`: the next call comes when this one is over."""

    async def play() -> None:
        repeats, provider = Repeats(), Provider()
        good: dict[str, str] = {}
        open_ones: list[asyncio.Task[None]] = []
        refusals: list[int] = []

        async def one(key: str, text: str, status: int) -> None:
            asked: Any = Asked(key, text)
            before = good.get(key)

            async def run(client: Client) -> None:
                assert before is None, "a kept answer was asked for again"
                await provider.run(client, text.encode(), status)

            try:
                await repeats.carry(asked, "holder", CHAT, run)
            except Refused as refused:
                refusals.append(refused.status)
                return
            found = json.loads(asked.heard[1])["answer"]
            assert provider.carried[found - 1] == text.encode()
            if asked.heard[0] == 200:
                good[key] = text

        for key, text, status, waits in plan:
            open_ones.append(asyncio.ensure_future(one(key, text, status)))
            if waits:
                await asyncio.gather(*open_ones)
        await asyncio.gather(*open_ones)
        assert set(refusals) <= {422}

    asyncio.run(play())


def _carried(repeats: Repeats, key: str, size: int = 10, body: str = "x") -> bool:
    """Whether the provider was asked."""
    seen: list[int] = []

    async def run(client: Client) -> None:
        seen.append(1)
        client.reply(200, [], json.dumps({"text": "y" * size}).encode())

    async def play() -> None:
        asked: Any = Asked(key, body)
        await repeats.carry(asked, "holder", CHAT, run)

    asyncio.run(play())
    return bool(seen)


def test_what_finds_no_room_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeating, "MOST_BYTES", 1_000)
    monkeypatch.setattr(repeating, "MOST_KEYS", 20)
    monkeypatch.setattr(repeating, "ANSWER_BYTES", 400)
    repeats = Repeats()
    for size in (300, 500, 1):
        for n in range(50):
            assert _carried(repeats, f"{size} {n}", size)
            assert repeats._size <= 1_000
            assert len(repeats._kept) <= 20
    assert not _carried(repeats, "1 49")
    assert _carried(repeats, "1 0")
    assert _carried(repeats, "500 49", 500)


def test_an_answer_is_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeating, "KEPT_S", 0.0)
    repeats = Repeats()
    assert _carried(repeats, "a")
    assert _carried(repeats, "a")


def test_keys_of_other_workers_are_seen(tmp_path: Path) -> None:
    repeats = Repeats(tmp_path / "repeats")
    assert _carried(repeats, "a")
    (claim,) = (tmp_path / "repeats").iterdir()
    pid, sent = claim.read_text().split()
    assert int(pid) == os.getpid()
    other = Repeats(tmp_path / "repeats")
    claim.write_text(f"{os.getppid()} {sent}")
    with pytest.raises(Refused) as refused:
        _carried(other, "a")
    assert (refused.value.status, refused.value.kind) == (409, "idempotency_elsewhere")
    with pytest.raises(Refused) as refused:
        _carried(other, "a", body="z")
    assert refused.value.status == 422
    assert _carried(other, "b")
    ended = subprocess.Popen(["true"])
    ended.wait()
    claim.write_text(f"{ended.pid} {sent}")
    assert _carried(other, "a")
    for damaged in ("", "x y", "99999999999 1"):
        claim.write_text(damaged)
        assert _carried(Repeats(tmp_path / "repeats"), "a")
