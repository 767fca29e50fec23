"""Walks paths and feeds what the readers find to the recorder.

One file after the other, each as far as it can be read. What cannot be opened or recognised is
listed like a broken line. Symbolic links that lead outside the given path are not followed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from bursar.intake.formats import recognise
from bursar.intake.source import Source
from bursar.ledger.recorder import Recorder
from bursar.model.entry import Skip

PROGRESS_EVERY = 500
"""Entries between two calls of the progress callback."""
IGNORED_NAMES = {".git", "__pycache__", "node_modules", ".DS_Store"}


class Imported(msgspec.Struct, kw_only=True):
    """What an import found."""

    files: int = 0
    entries: int = 0
    added: int = 0
    bytes_read: int = 0
    formats: dict[str, int] = {}
    """Files by format name."""
    skips: list[Skip] = []


Progress = Callable[[str, int, int], None]
"""Called with (file, bytes read of it, entries so far)."""


def import_paths(
    paths: Iterable[Path], recorder: Recorder, progress: Progress | None = None
) -> Imported:
    """Read every file under `paths` into the recorder's ledger."""
    done = Imported()
    for path in paths:
        explicit = not path.is_dir()
        for file, problem in _walk(path):
            if problem:
                _list(done, recorder, Skip(file=str(file), reason=problem))
                continue
            done.files += 1
            _import_file(file, explicit, recorder, done, progress)
    recorder.close()
    done.entries, done.added = recorder.seen, recorder.added
    return done


def _import_file(
    file: Path, explicit: bool, recorder: Recorder, done: Imported, progress: Progress | None
) -> None:
    try:
        source = Source(file)
        form = recognise(source.head)
        if form is None:
            if not source.size_bytes:
                reason = "is empty"
            else:
                reason = (
                    "no reader recognises its content; see docs/formats for what is read, or"
                    " convert it to the exchange format"
                )
            _list(done, recorder, Skip(file=source.label, reason=reason))
            return
        recorder.begin(source.label, form.name, source.size_bytes)
        listed = 0
        for place, item in enumerate(form.read(source)):
            recorder.take(item)
            if progress and place % PROGRESS_EVERY == 0:
                progress(source.label, source.read_bytes, recorder.seen)
        for skip in source.skips[listed:]:
            _list(done, recorder, skip)
        recorder.end()
        done.formats[form.name] = done.formats.get(form.name, 0) + 1
        done.bytes_read += source.size_bytes
    except OSError as bad:
        _list(done, recorder, Skip(file=str(file), reason=f"cannot be read: {bad.strerror}"))


def _list(done: Imported, recorder: Recorder, skip: Skip) -> None:
    done.skips.append(skip)
    recorder.take(skip)


def _walk(path: Path) -> Iterator[tuple[Path, str | None]]:
    """(file, None) of each regular file, (place, reason) of what cannot be entered."""
    if not path.exists():
        yield path, "does not exist"
        return
    if not path.is_dir():
        yield path, None
        return
    problems: list[tuple[Path, str]] = []

    def denied(bad: OSError) -> None:
        problems.append((Path(bad.filename or path), f"cannot be entered: {bad.strerror}"))

    for folder, names, files in os.walk(path, onerror=denied):
        names[:] = sorted(name for name in names if name not in IGNORED_NAMES)
        for name in sorted(files):
            file = Path(folder) / name
            if name not in IGNORED_NAMES and file.is_file():
                yield file, None
    yield from problems
