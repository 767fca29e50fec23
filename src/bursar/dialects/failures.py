"""Whether a tool's result tells of a failure: True, False, or None where it does not say.

A flag of the wire decides. Without one, the text is searched near both of its ends for an exit code
or a status in the spellings that tools use, then for words that open an error message.
"""

from __future__ import annotations

import re

OPENING_REACH = 120
"""Characters of the beginning in which the words of an error message are looked for."""
REACH = 400
"""Characters at each end of a result that are searched."""

_CODE = re.compile(
    r"""(?:exit[ _-]?(?:code|status)|returncode|return[ _]code|exitcode)"""
    r"""["']?\s*(?:[:=]\s*|is\s+|\s|>\s*)["']?(-?\d{1,10})\b""",
)
_VERDICT = re.compile(
    r"""["'](?:(?:status|outcome)["']\s*:\s*["'](?P<said>error|failed|failure|success|ok)["']"""
    r"""|(?P<flag>success|ok|is_?error)["']\s*:\s*(?P<value>true|false)\b"""
    r"""|(?P<error>error)["']\s*:\s*["'{\[][^"'}\]])""",
)
_OPENING = re.compile(
    r"""\s*(?:<(?:tool_use_)?error>"""
    r"""|\[?error\]?(?::|\s*$|\s+(?:executing|calling|while|during|occurred|code|running)\b)"""
    r"""|[\w.]{0,80}(?:error|exception):"""
    r"""|traceback \(most recent|exception\b|fatal:|panic:|failed to |command failed|"""
    r"""(?:ba|z)?sh: """
    r"""|[^\n]{0,80}(?:command not found|no such file or directory|permission denied))""",
)
_VERDICT_WORDS = ('error"', "error'", "status", "outcome", "success", '"ok"', "'ok'")
_OPENING_WORDS = (
    *("error", "exception", "traceback", "fatal", "panic", "fail", "sh:"),
    *("not found", "no such file", "denied"),
)
"""One of these stands in every text that the patterns take: a cheap look before a dear one."""


def failed_by_text(text: str) -> bool | None:
    """What a result's text says of its success."""
    head = text[:REACH]
    ends = head if len(text) <= REACH else head + "\n" + text[-REACH:]
    low = ends.lower()
    if "exit" in low or "return" in low:
        code = _CODE.search(low)
        if code is not None:
            return int(code.group(1)) != 0
    structured = head[:1] in "{[<" or head[:1].isspace()
    if structured and any(map(low.__contains__, _VERDICT_WORDS)):
        verdict = _VERDICT.search(low)
        if verdict is not None:
            return _meaning(verdict)
    opening = low[:OPENING_REACH]
    if any(map(opening.__contains__, _OPENING_WORDS)) and _OPENING.match(opening):
        return True
    return None


def _meaning(verdict: re.Match[str]) -> bool:
    if verdict["said"]:
        return verdict["said"] in ("error", "failed", "failure")
    if verdict["flag"]:
        return (verdict["value"] == "true") is verdict["flag"].startswith("is")
    return True
