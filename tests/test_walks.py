"""What the pages tell the reader to type works, and prints what they say."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from walks import FENCE, ROOT, Step, agrees, prepare, rewritten, steps_of, walk, walked_pages


@pytest.mark.parametrize("page", walked_pages())
def test_a_page_can_be_walked(
    page: str, tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    prepare(page, tmp_path, shared_data)
    wrong: list[str] = []
    for step, real in walk((ROOT / page).read_text(encoding="utf-8"), tmp_path):
        if not agrees(step.printed, real):
            wrong.append("\n".join([f"$ {step.command}", *real]))
    if wrong:
        told = "\n\n".join(wrong)
        pytest.fail(f"{page} is out of date (python tests/walks.py {page}):\n{told}", pytrace=False)


def test_pages_are_walked() -> None:
    assert {"README.md", "docs/tutorial.md", "docs/formats/exchange.md"} <= set(walked_pages())


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_json_on_a_page_is_json(page: Path) -> None:
    for language, _, body in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "json":
            json.loads(body)
        elif language == "jsonl":
            assert all(isinstance(json.loads(line), dict) for line in body.splitlines() if line)


def test_a_command_ends_where_its_output_begins() -> None:
    block = "$ one \\\n  two\nsaid\n\n$ three\n"
    assert list(steps_of(block)) == [Step("one \\\n  two", ["said", ""]), Step("three", [])]


REAL = ["a 1", "b 2", "c 3", "d 4", "e 5"]


@pytest.mark.parametrize(
    ("printed", "same"),
    [
        (REAL, True),
        ([*REAL, ""], True),
        (["a 1", "...", "e 5"], True),
        (["...", "c 3", "d 4", "..."], True),
        (["a 1", "..."], True),
        ([], False),
        (REAL[:-1], False),
        (["b 2", "..."], False),
        (["...", "d 4"], False),
        (["a 1", "...", "d 4", "...", "c 3", "..."], False),
        (["a 1", "...", "b 3", "..."], False),
    ],
)
def test_left_out_lines_are_the_only_freedom(printed: list[str], same: bool) -> None:
    assert agrees(printed, REAL) is same


def test_what_a_page_leaves_running_is_ended_with_it(tmp_path: Path) -> None:
    page = "```console\n$ sleep 300 > /dev/null 2>&1 & echo $!\n```\n"
    printed = [said for _, said in walk(page, tmp_path)]
    place = Path("/proc") / printed[0][0] / "stat"
    until = time.monotonic() + 10
    while place.exists() and " Z " not in place.read_text() and time.monotonic() < until:
        time.sleep(0.01)
    assert not place.exists() or " Z " in place.read_text()


def test_rewriting_keeps_what_was_left_out() -> None:
    assert rewritten(["a 9", "...", "c 9", "d 9", "..."], REAL) == [
        "a 1",
        "...",
        "c 3",
        "d 4",
        "...",
    ]
    assert rewritten(["x"], REAL) == REAL
