"""Real conversations as calls: blocks, moments and answers, with no mark on any of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
