"""Walks paths and feeds what the readers find to the recorder.

One file after the other, each once and as far as it can be read. What cannot be opened or
recognised is listed like a broken line, and so is what is no file: pipes, sockets, devices.
Symbolic links inside a folder are not followed; one that leads outside it is listed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from bursar.intake.formats import Item, recognise
from bursar.intake.source import Source, printable
from bursar.ledger.recorder import Recorder
from bursar.model.entry import Skip

PROGRESS_EVERY = 500
"""Entries between two calls of the progress callback."""
NO_READER = (
    "no reader recognises its content; see docs/formats for what is read, or convert it to the"
    " exchange format"
)
NO_FILE = "is no regular file; write what it gives to a file first"
LINK_OUT = "is a symbolic link that leads outside; name its target to read it"
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
    seen: set[Path] = set()
    for path in paths:
        for file, problem in _walk(path):
            if problem:
                _list(done, recorder, Skip(file=printable(file), reason=problem))
                continue
            known, real = len(seen), file.resolve()
            seen.add(real)
            if len(seen) > known:
                done.files += 1
                _import_file(file, recorder, done, progress)
    recorder.close()
    done.entries, done.added = recorder.seen, recorder.added
    return done


def _why_unread(source: Source) -> str:
    """Why no reader takes a file: damage is named before ignorance."""
    head = source.head
    if not source.size_bytes:
        return "is empty"
    if head.damage:
        return head.damage
    if head.raw.lstrip()[:1] in (b"{", b"[") and not head.records and head.document is None:
        return "begins as JSON, and is broken or ends too early: nothing whole can be read of it"
    return NO_READER


def _import_file(file: Path, recorder: Recorder, done: Imported, progress: Progress | None) -> None:
    label = printable(file)
    try:
        source = Source(file)
        form = recognise(source.head)
        if form is None:
            reason = _why_unread(source)
            _list(done, recorder, Skip(file=label, reason=reason))
            return
        recorder.begin(source.label, form.name, source.size_bytes)
        fault = recorder.take_all(_shown(form.read(source), source, recorder, progress))
        for skip in source.skips:
            _list(done, recorder, skip)
        if source.unlisted:
            reason = f"and {source.unlisted} more places that were not understood"
            _list(done, recorder, Skip(file=label, reason=reason))
        if fault is not None:
            _list(done, recorder, Skip(file=label, reason=fault))
        recorder.end()
        done.formats[form.name] = done.formats.get(form.name, 0) + 1
        done.bytes_read += source.size_bytes
    except OSError as bad:
        _list(done, recorder, Skip(file=label, reason=f"cannot be read: {bad.strerror or bad}"))


def _shown(
    items: Iterator[Item], source: Source, recorder: Recorder, progress: Progress | None
) -> Iterator[Item]:
    """The same items, with progress now and then."""
    for place, item in enumerate(items):
        yield item
        if progress and place % PROGRESS_EVERY == 0:
            progress(source.label, source.read_bytes, recorder.seen)


def _list(done: Imported, recorder: Recorder, skip: Skip) -> None:
    done.skips.append(skip)
    recorder.take(skip)


def _walk(path: Path) -> Iterator[tuple[Path, str | None]]:
    """(file, None) of each regular file, (place, reason) of what cannot be read or entered."""
    if not path.exists():
        yield path, "does not exist"
        return
    if not path.is_dir():
        yield path, None if path.is_file() else NO_FILE
        return
    root = path.resolve()
    problems: list[tuple[Path, str]] = []

    def denied(bad: OSError) -> None:
        problems.append((Path(bad.filename or path), f"cannot be entered: {bad.strerror}"))

    for folder, names, files in os.walk(path, onerror=denied):
        names[:] = sorted(name for name in names if name not in IGNORED_NAMES)
        for name in names:
            if Path(folder, name).is_symlink():
                yield from _of_link(Path(folder, name), root)
        for name in sorted(files):
            file = Path(folder, name)
            if name in IGNORED_NAMES:
                continue
            if file.is_symlink():
                yield from _of_link(file, root)
            else:
                yield file, None if file.is_file() else NO_FILE
    yield from problems


def _of_link(link: Path, root: Path) -> Iterator[tuple[Path, str | None]]:
    """Nothing of a link to something that the walk meets anyway."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        yield link, "is a symbolic link that leads nowhere"
        return
    if not target.is_relative_to(root):
        yield link, LINK_OUT
