"""The compiled file: the same book without the source, rebuilt when damaged, never required."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from bursar.model.usage import Usage
from bursar.price import load_book
from bursar.price.cache import LARGEST_KEPT, default_home, load_compiled
from bursar.price.compile import compile_table

NOW = datetime(2026, 11, 22)


def only_file(home: Path) -> Path:
    (file,) = (home / "prices").glob("*.msgpack")
    return file


def test_the_file_gives_back_what_was_compiled(tmp_path: Path) -> None:
    built = load_compiled((), tmp_path)
    assert built.table == compile_table()
    assert load_compiled((), tmp_path) == built


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_a_damaged_file_is_rebuilt(tmp_path: Path, damage: str) -> None:
    built = load_compiled((), tmp_path)
    file = only_file(tmp_path)
    raw = bytearray(file.read_bytes())
    middle = len(raw) // 2
    raw[middle] ^= 1
    file.write_bytes(
        {"cut": raw[:middle], "flip": raw, "empty": b"", "text": b"not a table"}[damage]
    )
    assert load_compiled((), tmp_path) == built
    assert only_file(tmp_path).stat().st_size == len(raw)


def test_a_start_from_the_file_does_not_import_the_source(tmp_path: Path) -> None:
    load_compiled((), tmp_path)
    program = (
        "import sys, pathlib\n"
        "from bursar.price import load_book\n"
        f"book = load_book(home=pathlib.Path({str(tmp_path)!r}))\n"
        "assert book.rates('openai', 'gpt-4o').input == 2_500_000\n"
        "assert not {'genai_prices', 'pydantic'} & set(sys.modules)\n"
    )
    source = str(Path(__file__).resolve().parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    book = load_book(home=blocked, now=NOW)
    assert book.cost_nano("openai", "gpt-4o", Usage(input=1000))[0] == 2_500_000


def test_the_version_names_source_and_overlays(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.toml"
    overlay.write_text('[[alias]]\nname = "a"\nprovider = "openai"\n')
    plain = load_book(home=tmp_path, now=NOW).version
    mine = load_book([overlay], home=tmp_path, now=NOW).version
    assert plain.startswith("genai-prices-0.2.")
    assert plain != mine
    assert load_book([overlay], home=tmp_path, now=NOW).version == mine


def test_old_files_are_dropped(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.toml"
    for n in range(LARGEST_KEPT + 3):
        overlay.write_text(f'[[alias]]\nname = "a{n}"\nprovider = "openai"\n')
        load_compiled([overlay], tmp_path)
    assert len(list((tmp_path / "prices").iterdir())) == LARGEST_KEPT


def test_the_home_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BURSAR_HOME", str(tmp_path))
    assert default_home() == tmp_path
    monkeypatch.delenv("BURSAR_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert default_home() == tmp_path / "bursar"
