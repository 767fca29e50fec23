"""Pages that can be walked: their files are written, their commands run, their outputs compared.

A fence with a title (```toml title="ours.toml") is a file. A `console` fence holds commands behind
`$ ` and what they print; a line `...` stands for lines left out. Each page is walked in a folder
of its own that is also its home, so nothing of the machine is seen. What a page leaves running in
the background (`command > log 2>&1 &`) is ended with it. `python tests/walks.py` writes what the
commands print now into the pages.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LEFT_OUT = "..."
FAULT = "this is a fault in Bursar"
BACKGROUND = re.compile(r"[^&>]&(?![&>\d])")
TIMEOUT_S = 60

LENT = {
    "docs/howto/bedrock-s3.md": ("bedrock-logs", "bedrock_invocation_logs/pkg/model/test_data"),
}
"""Page -> (name in its folder, real logs of the shared data that stand there)."""


class Step(NamedTuple):
    """A command of a page, with what the page says that it prints."""

    command: str
    printed: list[str]


def walked_pages() -> list[str]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        path.relative_to(ROOT).as_posix()
        for path in pages
        if "```console\n" in path.read_text(encoding="utf-8")
    ]


def steps_of(block: str) -> Iterator[Step]:
    """The commands of a console fence. A command goes on while a line ends in a backslash."""
    step: Step | None = None
    going_on = False
    for line in block.splitlines():
        if going_on and step is not None:
            step = Step(f"{step.command}\n{line}", [])
        elif line.startswith("$ "):
            if step is not None:
                yield step
            step = Step(line[2:], [])
        elif step is not None:
            step.printed.append(line)
            continue
        going_on = step is not None and step.command.endswith("\\")
    if step is not None:
        yield step


def world(home: Path) -> dict[str, str]:
    """The environment of a walk: this Bursar as `bursar`, and a home without anything in it."""
    programs = home / ".programs"
    programs.mkdir()
    for name, module in (("bursar", " -m bursar"), ("python", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{module} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "HOME": str(home),
        "COLUMNS": "120",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }


def plain(text: str) -> list[str]:
    """Printed lines without trailing blanks, and without blank lines at either end."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n").splitlines()


def walk(text: str, folder: Path) -> Iterator[tuple[Step, list[str]]]:
    """Every command of a page with what it really prints."""
    environment = world(folder)
    groups: list[int] = []
    try:
        for fence in FENCE.finditer(text):
            language, title, body = fence.groups()
            if title:
                (folder / title).parent.mkdir(parents=True, exist_ok=True)
                (folder / title).write_text(body, encoding="utf-8")
            if language != "console":
                continue
            for step in steps_of(body):
                run = subprocess.Popen(
                    ["sh", "-c", step.command],
                    cwd=folder,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
                if BACKGROUND.search(step.command):
                    groups.append(run.pid)
                said, _ = run.communicate(timeout=TIMEOUT_S)
                yield step, plain(said.decode("utf-8", "replace"))
    finally:
        for group in groups:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)


def pieces(printed: list[str]) -> list[list[str]]:
    """What a page shows, cut at its `...` lines, blank ends removed."""
    found: list[list[str]] = [[]]
    for line in printed:
        if line == LEFT_OUT:
            found.append([])
        else:
            found[-1].append(line.rstrip())
    return [plain("\n".join(piece)) for piece in found]


def agrees(printed: list[str], real: list[str]) -> bool:
    """Whether every piece that is shown was printed, in this order."""
    shown = pieces(printed)
    if len(shown) == 1:
        return shown[0] == real
    place = 0
    for number, piece in enumerate(shown):
        last = number == len(shown) - 1
        starts = range(place, len(real) - len(piece) + 1)
        if number == 0 and piece:
            starts = range(1)
        if last and piece:
            starts = range(len(real) - len(piece), len(real) - len(piece) + 1)
        start = next((one for one in starts if real[one : one + len(piece)] == piece), None)
        if start is None:
            return False
        place = start + len(piece)
    return True


def rewritten(printed: list[str], real: list[str]) -> list[str]:
    """What is printed now, with the same parts left out as far as they can be found again."""
    shown = pieces(printed)
    if len(shown) == 1:
        return real
    if agrees(printed, real):
        return printed
    found: list[str] = []
    place = 0
    for number, piece in enumerate(shown):
        if number:
            found.append(LEFT_OUT)
        if piece:
            start = _found_again(piece[0], real, place) if number else 0
            place = len(real) if number == len(shown) - 1 else start + len(piece)
            found += plain("\n".join(real[start:place]))
    return found


def _found_again(line: str, real: list[str], place: int) -> int:
    """Where a line stands now, whatever its figures are."""
    figures = re.compile(r"[\d.,$%\s]+")
    wanted = figures.sub("", line)
    return next((n for n in range(place, len(real)) if figures.sub("", real[n]) == wanted), place)


def prepare(page: str, folder: Path, shared: Callable[[str], Path]) -> None:
    """Lend the page the real logs that it reads."""
    if page in LENT:
        name, place = LENT[page]
        found = shared(place)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            shutil.copytree(found, folder / name)
        else:
            shutil.copy(found, folder / name)


def rewrite(page: str, shared: Callable[[str], Path]) -> bool:
    """Write what the commands print now into a page; whether anything changed."""
    path = ROOT / page
    text = path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        prepare(page, Path(name), shared)
        real = list(walk(text, Path(name)))
    faults = [step.command for step, printed in real if FAULT in "\n".join(printed)]
    if faults:
        raise SystemExit(f"{page}: left as it was, since this is broken now: {faults[0]}")
    results = iter(real)

    def fence(match: re.Match[str]) -> str:
        language, _, body = match.groups()
        if language != "console":
            return match.group()
        lines: list[str] = []
        for step in steps_of(body):
            _, printed = next(results)
            if lines:
                lines.append("")
            lines.append(f"$ {step.command}")
            lines += rewritten(step.printed, printed)
        return "```console\n" + "\n".join(lines) + "\n```"

    new = FENCE.sub(fence, text)
    path.write_text(new, encoding="utf-8")
    return new != text


if __name__ == "__main__":
    data = Path(os.environ.get("BURSAR_SHARED_DATA") or ROOT.parent / "shared" / "data")
    for one in sys.argv[1:] or walked_pages():
        sys.stdout.write(f"{one}: {'rewritten' if rewrite(one, data.joinpath) else 'as it was'}\n")
