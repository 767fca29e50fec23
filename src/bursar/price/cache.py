"""The compiled table in a file, so that a start does not pay the import of the price source.

One file per release of the source and content of the overlays. It begins with a digest of its
content: a damaged or half-written file is rebuilt, never trusted. A folder that cannot be written
costs a quarter of a second per start and nothing else.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Sequence
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import msgspec

from bursar.model.errors import BadPrices
from bursar.price.overlay import Overlay, parse_overlay
from bursar.price.table import Table

FORMAT = 2
"""Raised whenever the compiled form changes."""
DIGEST_BYTES = 16
LARGEST_KEPT = 8
"""Compiled files kept at once; each edit of an overlay makes a new one."""
OWN_OVERLAYS = Path(__file__).parent / "overlays"


class Compiled(msgspec.Struct, frozen=True, array_like=True):
    """What the file holds."""

    table: Table
    overlay: Overlay
    version: str


_decoder = msgspec.msgpack.Decoder(Compiled)


def default_home() -> Path:
    """`BURSAR_HOME`, else the platform's cache folder."""
    named = os.environ.get("BURSAR_HOME")
    if named:
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "bursar"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/bursar"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bursar"


def user_overlays(home: Path) -> list[Path]:
    """The user's own price files, in the order of their names."""
    folder = home / "prices"
    return sorted(folder.glob("*.toml")) if folder.is_dir() else []


def load_compiled(overlays: Sequence[Path], home: Path) -> Compiled:
    """The table and overlays, from the compiled file where it fits, else built and kept.

    Raises BadPrices when an overlay does not hold together.
    """
    own = sorted(OWN_OVERLAYS.glob("*.toml"))
    contents = [(path, _read(path), path in own) for path in [*own, *map(Path, overlays)]]
    digest = blake2b(digest_size=8)
    for path, content, _ in contents:
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    release = version("genai-prices")
    name = f"genai-prices-{release}+{digest.hexdigest()}"
    file = home / "prices" / f"{name}.v{FORMAT}.msgpack"
    kept = _kept(file)
    if kept is not None:
        return kept
    overlay = Overlay()
    for path, content, is_own in contents:
        overlay += parse_overlay(content, path, own=is_own)
    compiled = Compiled(_compile(), overlay, name)
    _keep(file, compiled)
    return compiled


def _compile() -> Table:
    # Loaded by name: whoever finds a compiled file must not pay the import of the price source.
    return importlib.import_module("bursar.price.compile").compile_table()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as gone:
        raise BadPrices(
            f"{path}: cannot be read ({gone.strerror})", mend="check the path"
        ) from gone


def _kept(file: Path) -> Compiled | None:
    try:
        raw = file.read_bytes()
    except OSError:
        return None
    digest, content = raw[:DIGEST_BYTES], raw[DIGEST_BYTES:]
    if blake2b(content, digest_size=DIGEST_BYTES).digest() != digest:
        return None
    try:
        return _decoder.decode(content)
    except msgspec.MsgspecError:
        return None


def _keep(file: Path, compiled: Compiled) -> None:
    content = msgspec.msgpack.encode(compiled)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".prices-", delete=False) as out:
            out.write(blake2b(content, digest_size=DIGEST_BYTES).digest())
            out.write(content)
        os.replace(out.name, file)
        _drop_old(file.parent)
    except OSError:
        return


def _drop_old(folder: Path) -> None:
    files = sorted(folder.glob("*.msgpack"), key=lambda path: path.stat().st_mtime)
    for path in files[:-LARGEST_KEPT]:
        path.unlink(missing_ok=True)
