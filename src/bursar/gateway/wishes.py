"""What the command line says to the gateway. It travels to the gateway's own process as JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says; it goes before the file."""

    home: str
    ledger: str
    settings: str | None
    overlays: tuple[str, ...]
    host: str | None = None
    port: int | None = None
    workers: int | None = None

    @property
    def home_path(self) -> Path:
        return Path(self.home)

    @property
    def settings_path(self) -> Path | None:
        return None if self.settings is None else Path(self.settings)

    @property
    def overlay_paths(self) -> tuple[Path, ...]:
        return tuple(map(Path, self.overlays))
