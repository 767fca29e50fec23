"""Real conversations as calls: blocks, moments and answers, with no mark on any of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from bursar.dialects.lens import message_blocks
from bursar.intake import claude_code
from bursar.intake.source import Source
from bursar.model.block import Block, Kind, Mark, Role
from bursar.model.call import Call, Tags
from bursar.model.entry import Entry
from levers.world import Turn

CLAUDE = (
    "design__no-testimony__CONSULT-architect-fable.jsonl",
    "reviews__prepublish-0.15.0-fable.jsonl",
)
SPEECH_MS = 6_000
"""Between an answer and what a patient says to it."""


def claude_turns(path: Path) -> list[Turn]:
    """One Claude Code session. Prompts are as long as the provider counted them: what the
    transcript does not show stands with the newest block."""
    turns: list[Turn] = []
    before: tuple[Block, ...] = ()
    for entry in claude_code.read(Source(path)):
        if not isinstance(entry, Entry):
            continue
        call, usage = entry.call, entry.attempts[0].usage
        assert call.at is not None
        assert usage is not None
        kept = before[: call.kept] if call.kept is not None else ()
        new = [replace(one, mark=Mark.NONE, tokens=one.tokens or 0) for one in call.blocks or ()]
        shown = sum(one.tokens or 0 for one in (*kept, *new))
        new[-1] = replace(new[-1], tokens=max(0, (new[-1].tokens or 0) + usage.prompt - shown))
        before = (*kept, *new)
        at_ms = int(call.at.timestamp() * 1_000)
        turns.append(Turn(at_ms, replace(call, blocks=before, kept=None), usage.answer))
    return turns


def clinic_turns(folder: Path, most: int = 100) -> Iterator[list[Turn]]:
    """AgentClinic: a doctor who asks, a case after the other. The texts count; the system prompt,
    which the runs do not hold, is taken as 600 tokens."""
    system = Block(role=Role.SYSTEM, kind=Kind.SYSTEM, digest=1, tokens=600)
    at_ms = 1_786_000_000_000
    for path in sorted((folder / "cases").glob("*.json"))[:most]:
        case: dict[str, Any] = json.loads(path.read_bytes())
        blocks: tuple[Block, ...] = (system,)
        turns: list[Turn] = []
        for turn in case["doctor_turns"]:
            said = turn["incoming"] or "Begin."
            blocks += message_blocks({"role": "user", "content": said}, {}).blocks
            call = Call(
                key=f"{path.stem}.{turn['inference']}",
                dialect="anthropic_messages",
                provider="anthropic",
                model="claude-opus-5",
                blocks=blocks,
                tags=Tags(session=path.stem, route="clinic"),
            )
            answer = message_blocks({"role": "assistant", "content": turn["reply"]}, {}).blocks
            turns.append(Turn(at_ms, call, sum(one.tokens or 0 for one in answer)))
            blocks += answer
            at_ms += SPEECH_MS
        yield turns


STEP_MS = 3_000
"""Between the prompts of an agent that works alone."""
AIRLINE_TOOLS = tuple(
    Block(role=Role.TOOL_SPEC, kind=Kind.TOOLS, digest=10 + n, tokens=130, name=f"airline_{n}")
    for n in range(14)
)
"""The runs do not hold their tools: fourteen, and some 1,800 tokens, as the benchmark has them."""


class Asked(NamedTuple):
    """Whom a conversation is played with."""

    dialect: str
    provider: str
    model: str


def _turn(asked: Asked, key: str, blocks: tuple[Block, ...], at_ms: int, route: str) -> Turn:
    call = Call(
        key=f"{key}.{len(blocks)}",
        dialect=asked.dialect,
        provider=asked.provider,
        model=asked.model,
        blocks=blocks,
        tags=Tags(session=key, route=route),
    )
    return Turn(at_ms, call)


def airline_turns(path: Path, asked: Asked) -> Iterator[list[Turn]]:
    """tau-bench: a customer and an agent with tools, one conversation after the other. Texts are
    kept with the blocks."""
    at_ms = 1_786_000_000_000
    for n, case in enumerate(json.loads(path.read_bytes())):
        blocks: tuple[Block, ...] = AIRLINE_TOOLS
        names: dict[str, str] = {}
        turns: list[Turn] = []
        for message in case["traj"]:
            if message["role"] == "assistant":
                turns.append(_turn(asked, f"airline.{n}", blocks, at_ms, "airline"))
            at_ms += SPEECH_MS if message["role"] == "user" else STEP_MS
            blocks += message_blocks(message, names, capture=True).blocks
        yield turns


def miniswe_turns(folder: Path, asked: Asked) -> Iterator[list[Turn]]:
    """mini-swe-agent: its prompts are kept as what was said to the model, in one text that only
    grows; what the model said in between stands in the answers."""
    at_ms = 1_786_000_000_000
    for path in sorted(folder.glob("*.jsonl")):
        lines: list[dict[str, Any]] = list(map(json.loads, path.read_text().splitlines()))
        lines.sort(key=lambda one: len(one["input"]))
        blocks: tuple[Block, ...] = ()
        turns: list[Turn] = []
        before = ""
        for line in lines:
            assert line["input"].startswith(before)
            heard = line["input"][len(before) :]
            blocks += message_blocks({"role": "user", "content": heard}, {}, capture=True).blocks
            turns.append(_turn(asked, path.stem, blocks, at_ms, "miniswe"))
            said = message_blocks({"role": "assistant", "content": line["output"]}, {})
            blocks += said.blocks
            before = line["input"]
            at_ms += STEP_MS
        yield turns


def swe_turns(folder: Path, asked: Asked) -> Iterator[list[Turn]]:
    """SWE-agent's demonstrations: with tools of the wire, or with a shell in the text."""
    at_ms = 1_786_000_000_000
    for path in sorted(folder.rglob("*.traj")):
        told: dict[str, Any] = json.loads(path.read_bytes())
        blocks: tuple[Block, ...] = ()
        names: dict[str, str] = {}
        turns: list[Turn] = []
        key = str(path.relative_to(folder))
        for message in told["history"]:
            if message["role"] == "assistant" and blocks:
                turns.append(_turn(asked, key, blocks, at_ms, "swe"))
                at_ms += STEP_MS
            blocks += message_blocks(message, names, capture=True).blocks
        yield turns
