"""The page on crossings says what happens, row by row."""

from __future__ import annotations

from bursar.dialects.translate.kin import REASONS as OPENAI
from bursar.dialects.translate.read_anthropic import REASONS as ANTHROPIC
from bursar.dialects.translate.read_converse import REASONS as CONVERSE
from tests.dialects.translate.page import PAGE, ROWS, rows, verdict, written


def test_the_page_is_what_happens() -> None:
    assert PAGE.read_text(encoding="utf-8") == written(), (
        "run python -m tests.dialects.translate.page"
    )


def test_every_row_shows_something() -> None:
    """A row whose example changes nothing would show nothing about its field."""
    for source, listed in ROWS.items():
        for name, base, body in listed:
            cells = [
                verdict(source, target, base, body)
                for target in ("openai_chat", "anthropic_messages", "bedrock_converse")
            ]
            assert any(cell not in ("", "the default") for cell in cells), f"{source}: {name}"


def test_fields_that_are_refused_everywhere_have_their_row_or_reason() -> None:
    page = rows()
    named = {**OPENAI, **ANTHROPIC, **CONVERSE}
    assert sum(reason in page for reason in named.values()) >= 0.7 * len(named)
