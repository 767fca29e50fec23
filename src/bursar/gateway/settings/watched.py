"""The settings file as it changes: a new desk for a good file, the old one for a bad one.

`look` is called at least once a second, since a blocked key should stop working within that. A
file is read again when its time, size or inode differ, or when it is too fresh for its time to be
trusted; so are the files that hold keys.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from operator import attrgetter
from pathlib import Path

from bursar.gateway.settings.checking import KEY_FILE
from bursar.gateway.settings.desk import Desk, DeskOptions, open_desk
from bursar.gateway.settings.raises import parse_raises, read_raises, with_raises
from bursar.gateway.settings.reading import parse_settings, read_file
from bursar.gateway.settings.structs import Settings
from bursar.model.errors import BadInput

NS_PER_S = 1_000_000_000
FRESH_NS = 2_000_000_000
"""A file changed within this may change again without another time."""
NEXT_START = (
    *("listen", "journal", "limits", "telemetry", "state"),
    *("metrics.labels", "metrics.most_series"),
)
"""Parts of the file, and single settings, that hold from the next start on."""
Stamp = tuple[int, int, int]


class Watched:
    """A settings file and the desk that it gives. `path=None`: no file, and nothing changes."""

    def __init__(
        self,
        path: Path | None,
        environ: Mapping[str, str],
        *,
        seed: bytes = b"",
        raises: Path | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Raises BadInput where the file does not hold together. `seed`: see `DeskOptions`.
        `raises`: the file of raises by command; a broken one is told at the first look."""
        self._path = path
        self._raises = None if path is None else raises
        self._unsaid: list[str] = []
        """What is wrong with raises, to be told at the next look."""
        self._options = DeskOptions(environ, seed=seed)
        self._now_ns = now_ns
        content = b"" if path is None else read_file(path)
        settings = parse_settings(content, str(path or "the settings"), environ)
        higher = b""
        try:
            higher = self._read_raises()
            settings = self._lifted(settings, higher)
        except BadInput as bad:
            self._unsaid.append(str(bad))
        self._digest = _digest(content + higher)
        self._key_files = _key_files(settings)
        self._stamps: dict[Path, Stamp | None] = {one: _stamp(one) for one in self._files()}
        self.desk: Desk = open_desk(settings, self._options)
        """The desk in force."""

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.desk.settings

    def look(self) -> str | None:
        """Whether anything changed: what to tell whoever runs the gateway, else None.

        `desk` is then another one, unless the new file is bad: the old desk stays, and the text
        says why. Takes some ten microseconds where nothing has changed. Never raises for anything
        that stands in a file.
        """
        if self._path is None:
            return None
        if not self._changed():
            return self._to_say()
        try:
            content = read_file(self._path)
            higher = self._read_raises()
            keys_changed = self._restamp()
            if _digest(content + higher) == self._digest and not keys_changed:
                return self._to_say()
            self._digest = _digest(content + higher)
            settings = parse_settings(content, str(self._path), self._options.environ)
            settings = self._lifted(settings, higher)
            desk = open_desk(settings, self._options, self.desk)
        except BadInput as bad:
            self._restamp()
            return f"the settings stay as they were: {bad}"
        told = _told(self.settings, desk)
        self._key_files = _key_files(settings)
        self._restamp()
        self.desk = desk
        return "; ".join([f"{self._path} was read again{told}", *self._said()])

    def forget(self) -> None:
        """Read everything anew at the next look, changed or not."""
        self._stamps = {}
        self._digest = b""

    def _read_raises(self) -> bytes:
        return b"" if self._raises is None else read_raises(self._raises)

    def _lifted(self, settings: Settings, higher: bytes) -> Settings:
        """The settings with what is raised by command."""
        if self._raises is None:
            return settings
        lifts = parse_raises(higher, self._raises)
        settings, wrongs = with_raises(settings, lifts, self._now_ns() / NS_PER_S)
        self._unsaid = wrongs
        return settings

    def _said(self) -> list[str]:
        said, self._unsaid = self._unsaid, []
        return said

    def _to_say(self) -> str | None:
        return "; ".join(self._said()) or None

    def _files(self) -> list[Path]:
        if self._path is None:
            return []
        raises = [] if self._raises is None else [self._raises]
        return [self._path, *raises, *self._key_files]

    def _changed(self) -> bool:
        fresh = self._now_ns() - FRESH_NS
        for path in self._files():
            stamp = _stamp(path)
            if stamp != self._stamps.get(path) or (stamp is not None and stamp[0] > fresh):
                return True
        return False

    def _restamp(self) -> bool:
        """Take the files as they are now; whether one that holds a key is another."""
        before = self._stamps
        self._stamps = {one: _stamp(one) for one in self._files()}
        return any(self._stamps[one] != before.get(one) for one in self._key_files)


def _stamp(path: Path) -> Stamp | None:
    """Time, inode and size; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()


def _key_files(settings: Settings) -> list[Path]:
    keys = [one.key or "" for one in settings.providers.values()]
    return [Path(one.removeprefix(KEY_FILE)) for one in keys if one.startswith(KEY_FILE)]


def _told(before: Settings, desk: Desk) -> str:
    """What a person should know of a change that was taken."""
    later = [one for one in NEXT_START if attrgetter(one)(before) != attrgetter(one)(desk.settings)]
    told = [f"; {', '.join(later)}: from the next start on"] if later else []
    told += [
        f"; {one.name} cannot be called: {one.without}"
        for one in desk.providers.values()
        if one.without is not None
    ]
    return "".join(told)
