"""Short texts of long results: short enough, always the same, and true to their form."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.dialects.tokens import estimate_tokens
from bursar.levers.compacting import compacted
from bursar.levers.lean_context import LeanContext, Trimmer
from bursar.model.block import Block, Kind, Role
from bursar.model.call import Call
from levers.world import BOOK, RULES, World

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=200),
    lambda inner: (
        st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=9), inner, max_size=9)
    ),
    max_leaves=60,
)
TEXTS = st.one_of(
    st.text(max_size=2_000),
    st.lists(st.text("ab |\t,äß漢\ud800", max_size=80), max_size=80).map("\n".join),
    JSON.map(json.dumps),
    JSON.map(lambda value: json.dumps(value, indent=2, ensure_ascii=False)),
)
MARGIN_TOKENS = 40
"""What the note of what was left out may add to a text of a few words."""


@given(text=TEXTS, most=st.integers(1, 400))
@settings(deadline=None)
def test_short_enough_and_always_the_same(text: str, most: int) -> None:
    short = compacted(text, most)
    if short is None:
        return
    assert estimate_tokens(text) > most
    assert estimate_tokens(short) < estimate_tokens(text)
    assert estimate_tokens(short) <= most + MARGIN_TOKENS
    assert compacted(text, most) == short


def rows(count: int) -> list[dict[str, Any]]:
    return [{"id": n, "name": f"flight {n}", "note": "x" * 300} for n in range(count)]


def test_json_stays_json() -> None:
    short = compacted(json.dumps(rows(100)), 200)
    assert short is not None
    found = json.loads(short)
    assert found[0]["id"] == 0
    assert "of 100 rows left out" in found[-1]
    assert "characters left out" in found[0]["note"]


def test_named_fields_alone() -> None:
    told = {"flights": rows(30), "page": 1}
    short = compacted(json.dumps(told), 300, ("id", "name"))
    assert short is not None
    assert json.loads(short) == {
        "flights": [{"id": n, "name": f"flight {n}"} for n in range(30)],
        "page": 1,
    }


def test_a_log_keeps_its_head_and_its_end() -> None:
    lines = ["$ make test", *(f"test {n} passed" for n in range(900)), "FAILED 1 of 901"]
    short = compacted("\n".join(lines), 100)
    assert short is not None
    assert short.startswith("$ make test\n")
    assert short.endswith("\nFAILED 1 of 901")
    kept = [line for line in short.split("\n") if "left out" not in line]
    assert set(kept) <= set(lines)
    assert f"[{len(lines) - len(kept)} of {len(lines)} lines left out" in short


def test_a_table_keeps_its_header_and_whole_rows() -> None:
    lines = ["| id | name |", "|---|---|", *(f"| {n} | name {n} |" for n in range(500))]
    short = compacted("\n".join(lines), 120)
    assert short is not None
    assert short.startswith("| id | name |\n|---|---|\n")
    assert all(line in lines for line in short.split("\n") if "left out" not in line)


def test_one_long_line() -> None:
    text = "begin " + "x" * 20_000 + " end"
    short = compacted(text, 50)
    assert short is not None
    assert short.startswith("begin")
    assert short.endswith("end")


def test_short_texts_stay() -> None:
    assert compacted("fine", 10) is None
    assert compacted("", 1) is None


def shortened(body: str | None, path: str | None) -> tuple[Block, Block]:
    """A result of 3,000 tokens before and after it is old, with or without its text."""
    long = Block(
        role=Role.TOOL,
        kind=Kind.TOOL_RESULT,
        digest=9,
        tokens=3_000,
        name="look",
        body=body,
        path=path,
    )
    blocks = [
        Block(role=Role.SYSTEM, kind=Kind.SYSTEM, digest=1, tokens=3_000),
        Block(role=Role.USER, kind=Kind.USER, digest=2, tokens=10),
    ]
    for n in range(4):
        use = Block(role=Role.ASSISTANT, kind=Kind.HISTORY, digest=3, tokens=9, name="look")
        result = long if not n else Block(**{**_fields(long), "digest": 20 + n, "tokens": 50})
        blocks += [use, result]
    wish = LeanContext(result_tokens=100, recent_turns=1, pace="every_turn")
    call = Call(key="k", provider="openai", model="gpt-4.1", blocks=tuple(blocks))
    kept = Trimmer(wish, BOOK, RULES).change(call, World()).blocks or ()
    assert len(kept) == len(blocks)
    return long, kept[3]


def _fields(block: Block) -> dict[str, Any]:
    return {name: getattr(block, name) for name in block.__struct_fields__}


def test_the_text_comes_with_the_block() -> None:
    was, now = shortened("word " * 3_000, None)
    assert now.body is not None
    assert now.digest != was.digest
    assert (now.tokens or 0) <= 120
    assert (now.name, now.role, now.kind) == (was.name, was.role, was.kind)


def test_without_a_text_the_size_is_modelled() -> None:
    was, now = shortened(None, None)
    assert now.body is None
    assert now.digest != was.digest
    assert now.tokens == 100


def test_a_body_that_nobody_shows_is_left_alone() -> None:
    """A block that has a place in a body, in a world that cannot show it."""
    was, now = shortened(None, "/messages/3")
    assert now is was
