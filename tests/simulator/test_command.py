"""`bursar simulate` from the outside: it says where it is, answers, and prints its invoice."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import msgspec

TIMEOUT_S = 30
BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}'


def started(*options: str) -> tuple[subprocess.Popen[str], str]:
    run = subprocess.Popen(
        [sys.executable, "-m", "bursar", "simulate", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.stdout is not None
    first = run.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", first)
    assert found, first + run.stdout.read()
    return run, found[0]


def test_simulate(tmp_path: Path) -> None:
    file = tmp_path / "invoice.jsonl"
    run, url = started("--seed", "3", "--invoice", str(file))
    with run:
        try:
            request = urllib.request.Request(f"{url}/v1/chat/completions", BODY)
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                assert msgspec.json.decode(answer.read())["choices"]
        finally:
            run.send_signal(signal.SIGINT)
        assert run.stdout is not None
        printed = run.stdout.read()
        assert run.wait(TIMEOUT_S) == 0
    assert f"base_url      {url}/v1" in printed
    assert "1 requests, 1 billed: $0." in printed
    assert len(file.read_bytes().splitlines()) == 1


def test_two_workers_share_a_port(tmp_path: Path) -> None:
    file = tmp_path / "invoice.jsonl"
    first, url = started("--worker", "0", "--invoice", str(file))
    with first:
        second, other = started(
            *("--worker", "1", "--port", url.rpartition(":")[2], "--invoice", str(file))
        )
        with second:
            assert other == url
            for _ in range(12):
                request = urllib.request.Request(f"{url}/v1/chat/completions", BODY)
                with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                    answer.read()
            second.terminate()
            second.communicate(timeout=TIMEOUT_S)
        first.terminate()
        first.communicate(timeout=TIMEOUT_S)
    ids = {msgspec.json.decode(row)["request_id"] for row in file.read_bytes().splitlines()}
    assert len(ids) == 12


def test_a_bad_script_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[[fault]]\nkind = 'nonsense'\n")
    run = subprocess.run(
        [sys.executable, "-m", "bursar", "simulate", "--script", str(file)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert run.returncode == 2
    assert "nonsense" in run.stderr
    assert "mend: one of: none, rate_limit" in run.stderr
