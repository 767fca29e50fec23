"""What is new in a prompt that was read whole."""

from __future__ import annotations

from bursar.dialects.lens import Prompt
from bursar.model.block import Role
from bursar.model.entry import ToolOutcome


def latest_outcomes(prompt: Prompt) -> tuple[ToolOutcome, ...]:
    """Tool results behind the model's last word: those that no earlier call has sent."""
    fresh = 0
    for block in reversed(prompt.blocks):
        if block.role is Role.ASSISTANT:
            break
        fresh += block.role is Role.TOOL
    return prompt.tool_outcomes[-fresh:] if fresh else ()
