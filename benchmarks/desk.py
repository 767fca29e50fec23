"""Microseconds that the gateway's desk takes per call: who calls, its tags, where it goes.

Run: python benchmarks/desk.py
Prints one line per case, the best of seven rounds. The goal holds for the usual case: the headers
of a real client, a session that goes on, a model that was asked for before.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from hashlib import sha256
from itertools import count

from bursar.gateway.settings.desk import Desk, DeskOptions, open_desk
from bursar.gateway.settings.reading import parse_settings

GOAL_US = 8.0
ROUNDS, REPEATS = 7, 20_000
KEY = "bsr_bot_" + "k" * 43
FILE = f"""
keys:
  bot: {{sha256: {sha256(KEY.encode()).hexdigest()}, tenant: acme, tags: {{team: support}},
        models: ["gpt-5*", "claude-*"]}}
models: [{{match: "llama-*", provider: openai}}, {{match: "claude-*", provider: anthropic}}]
tags: {{required: [team, session], policy: refuse, defaults: {{environment: production}},
       allowed: {{environment: [production, staging]}}}}
"""
ROUTES = """
routes:
  - {name: nightly, when: {headers: {x-batch: "yes"}}, disconnect: cancel}
  - {name: triage, when: {tags: {route: "triage*"}}, model: gpt-5-mini}
"""
CLIENT = [
    (b"host", b"127.0.0.1:8787"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept", b"application/json"),
    (b"content-type", b"application/json"),
    (b"user-agent", b"AsyncOpenAI/Python 3.54.0"),
    (b"x-stainless-lang", b"python"),
    (b"x-stainless-package-version", b"3.54.0"),
    (b"x-stainless-os", b"Linux"),
    (b"x-stainless-arch", b"x64"),
    (b"x-stainless-runtime", b"CPython"),
    (b"x-stainless-runtime-version", b"3.11.7"),
    (b"authorization", b"Bearer " + KEY.encode()),
    (b"x-stainless-async", b"async:asyncio"),
    (b"x-stainless-retry-count", b"0"),
    (b"x-stainless-read-timeout", b"600"),
    (b"x-bursar-session", b"9b2f4c1e-0000-4000-8000-1f2e3d4c5b6a"),
    (b"x-bursar-route", b"triage-mail"),
    (b"content-length", b"2048"),
]
ENVIRON = {"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY": "sk-2", "AWS_REGION": "us-east-1"}


def desk_of(text: str) -> Desk:
    return open_desk(parse_settings(text.encode(), "bursar.yaml", ENVIRON), DeskOptions(ENVIRON))


def best_us(call: Callable[[], object]) -> float:
    """Fastest round, in microseconds per call."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(REPEATS):
            call()
        best = min(best, (time.perf_counter() - start) / REPEATS)
    return best * 1e6


def main() -> None:
    plain, routed = desk_of(FILE), desk_of(FILE + ROUTES)
    number = count()

    def usual(desk: Desk = plain, metadata: dict[str, str] | None = None) -> object:
        holder = desk.holder(CLIENT)
        tagged = desk.tags(holder, CLIENT, metadata or {})
        return desk.plan(holder, "openai_chat", "gpt-5-mini", tagged.tags, b"/v1/x", CLIENT)

    def afresh() -> object:
        step = (b"x-bursar-step-index", b"%d" % (next(number) % 1_000_000))
        headers = [*CLIENT, step]
        holder = plain.holder(headers)
        tagged = plain.tags(holder, headers, {})
        return plain.plan(holder, "openai_chat", "gpt-5-mini", tagged.tags)

    metadata = {"user_id": "u-17", "ticket": "8812"}
    slow = False
    for name, call, goal in (
        ("usual", usual, True),
        ("usual, with routes by header and tag", lambda: usual(routed), True),
        ("usual, with metadata in the body", lambda: usual(plain, metadata), True),
        ("tags never seen before", afresh, False),
        ("  holder alone", lambda: plain.holder(CLIENT), False),
    ):
        us = best_us(call)
        slow = slow or (goal and us > GOAL_US)
        verdict = ("ok" if us <= GOAL_US else "SLOW") + f", goal {GOAL_US:g}" if goal else "no goal"
        print(f"{name:40} {us:6.2f} us ({verdict})")
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()
