"""Agent frameworks and coding agents, unchanged, through the gateway: each an agent with a tool.

Each lives in an environment of its own, by its name in the folder that BURSAR_FRAMEWORKS names;
what is not there is installed into it. They weigh gigabytes and come from other people's
registries, so without that folder they are left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bursar.simulator.asking import Asked, tools_of
from bursar.simulator.saying import Said, Use
from tests.gateway.rig import KEY, Rig, running

FOLDER = os.environ.get("BURSAR_FRAMEWORKS")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        FOLDER is None, reason="set BURSAR_FRAMEWORKS to a folder for the frameworks' environments"
    ),
]

HERE = Path(__file__).parent
ENVIRONMENTS = {
    "langchain": ("langchain", "langchain-openai", "langchain-anthropic", "langchain-aws"),
    "pydanticai": ("pydantic-ai-slim[openai,anthropic]",),
    "strands": ("strands-agents[openai,anthropic]",),
}
AGENTS = {
    "langchain": ("langchain_agent.py", 5),
    "pydanticai": ("pydantic_ai_agent.py", 6),
    "strands": ("strands_agent.py", 4),
}
"""Script, and how many conversations it has, two calls each."""
PROGRAMS = {
    "claude": "@anthropic-ai/claude-code",
    "codex": "@openai/codex",
}
LAST_WORDS = "It is late, and I am sorry."
ASKS: dict[str, dict[str, Any]] = {
    "find_order": {"order": 7},
    "Bash": {"command": "echo parcel-7", "description": "look"},
    "exec_command": {"cmd": "echo parcel-7"},
}
"""Tools that the simulated model uses once, where it has them."""
INSTALL_S, RUN_S = 600, 120


def script(asked: Asked) -> Said:
    """A model that uses its tool once and then answers."""
    names = [tool.name for tool in tools_of(asked.body) if tool.name in ASKS]
    if asked.turn == 0 and names:
        return Said(tools=(Use(name=names[0], arguments=ASKS[names[0]]),))
    return Said(text=LAST_WORDS)


@pytest.fixture(name="rig")
def rig_fixture(tmp_path: Path) -> Iterator[Rig]:
    with running(tmp_path, any_model=True) as one:
        one.sim.desk.script = script
        yield one


@pytest.fixture(name="place", scope="module")
def place_fixture() -> Path:
    assert FOLDER is not None
    place = Path(FOLDER)
    place.mkdir(parents=True, exist_ok=True)
    return place


def _run(command: list[str], limit_s: float, **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        timeout=limit_s,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        **how,
    )


def _or_skip(what: str, command: list[str]) -> None:
    found = _run(command, INSTALL_S)
    if found.returncode:
        reason = f"{what} cannot be installed here: {found.stderr[-300:]}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def python_of(place: Path, name: str) -> str:
    """The Python of an environment, made where it is not there yet."""
    python = place / name / "bin" / "python"
    if not python.exists():
        _or_skip(name, [sys.executable, "-m", "venv", str(place / name)])
        _or_skip(name, [str(python), "-m", "pip", "install", "--quiet", *ENVIRONMENTS[name]])
    return str(python)


def program_of(place: Path, name: str) -> str:
    """A program from npm, installed where it is not there yet."""
    program = place / "npm" / "node_modules" / ".bin" / name
    if not program.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not installed")
        where = ["--prefix", str(place / "npm"), "--no-fund", "--no-audit"]
        _or_skip(name, [npm, "install", *where, PROGRAMS[name]])
    return str(program)


def booked(rig: Rig, calls: int) -> list[dict[str, Any]]:
    """Every call is in the ledger, at what the provider billed."""
    lines = rig.paid()
    assert len(lines) == calls
    rows = [rig.attempt_of(line) for line in lines]
    assert [row["cost_nano"] for row in rows] == [line.cost_nano for line in lines]
    assert all(row["cost_nano"] > 0 and row["usage_basis"] == "measured" for row in rows)
    return rows


def clean(**more: str) -> dict[str, str]:
    """The environment, without what would lead a client elsewhere."""
    ours = ("ANTHROPIC_", "OPENAI_", "AWS_", "CLAUDE", "CODEX", "PYTHONPATH")
    return {name: one for name, one in os.environ.items() if not name.startswith(ours)} | more


@pytest.mark.parametrize("name", AGENTS)
def test_a_framework(rig: Rig, place: Path, name: str) -> None:
    file, conversations = AGENTS[name]
    command = [python_of(place, name), str(HERE / file), rig.url, KEY]
    found = _run(command, RUN_S, env=clean())
    assert found.returncode == 0, found.stderr[-2_000:]
    said = json.loads(found.stdout.splitlines()[-1])
    assert [words for _, words in said] == [LAST_WORDS] * conversations
    rows = booked(rig, 2 * conversations)
    assert [row["tool"] for row in rows] == ["find_order", None] * conversations
    assert [row["is_retry"] for row in rows] == [False] * len(rows)


def _claude(program: str, rig: Rig) -> tuple[list[str], dict[str, str]]:
    options = ["--output-format", "json", "--allowedTools", "Bash"]
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "IS_SANDBOX": "1"}
    return (
        [program, "-p", "Where is order 7?", *options, "--model", "claude-sonnet-4-6"],
        {"ANTHROPIC_BASE_URL": rig.url, "ANTHROPIC_API_KEY": KEY, **quiet},
    )


def _codex(program: str, rig: Rig) -> tuple[list[str], dict[str, str]]:
    there = f'name="bursar",base_url="{rig.openai_url}",env_key="GATEWAY_KEY",wire_api="responses"'
    options = ["-c", 'model_provider="bursar"', "-c", f"model_providers.bursar={{{there}}}"]
    return (
        [program, "exec", "--skip-git-repo-check", "-m", "gpt-5.4", *options, "Where is order 7?"],
        {"GATEWAY_KEY": KEY},
    )


CODING: dict[str, Callable[[str, Rig], tuple[list[str], dict[str, str]]]] = {
    "claude": _claude,
    "codex": _codex,
}


@pytest.mark.parametrize("name", CODING)
def test_a_coding_agent(rig: Rig, place: Path, tmp_path: Path, name: str) -> None:
    """It names its session in its own way, and the ledger has it."""
    command, environ = CODING[name](program_of(place, name), rig)
    home = tmp_path / "home"
    (home / ".codex").mkdir(parents=True)
    found = _run(command, RUN_S, env=clean(HOME=str(home), **environ), cwd=home)
    assert found.returncode == 0, found.stderr[-2_000:]
    assert LAST_WORDS in found.stdout
    rows = booked(rig, 2)
    assert len({row["session"] for row in rows}) == 1
    (session,) = rig.rows("SELECT id, calls FROM sessions")
    assert session["calls"] == 2
    assert session["id"] in found.stdout + found.stderr
