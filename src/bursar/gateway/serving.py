"""`bursar serve` as a whole: checks, the port, the keeper and the workers, until a stop."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from bursar.gateway.settings import Settings, load_settings
from bursar.gateway.settings.fitting import tls_of
from bursar.gateway.supervisor import Child, Supervisor, listening
from bursar.gateway.worker import Post, run_worker
from bursar.ledger.journal.keeper import run_keeper
from bursar.model.errors import BursarError

SEED = "salt"
SEED_BYTES = 32


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says; it goes before the file."""

    home: Path
    ledger: Path
    settings: Path | None
    overlays: tuple[Path, ...]
    environ: Mapping[str, str]
    host: str | None = None
    port: int | None = None
    workers: int | None = None


def run_gateway(wishes: Wishes, say: Callable[[str], None]) -> int:
    """Serve until SIGTERM or SIGINT. The exit code. Raises BadInput before anything is started."""
    settings = load_settings(wishes.settings, wishes.environ)
    tls_of(settings)
    port = listening(wishes.host or settings.listen.host, _port(wishes, settings))
    wishes.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    post = Post(
        home=wishes.home,
        settings=wishes.settings,
        overlays=wishes.overlays,
        environ=wishes.environ,
        seed=seed_of(wishes.home),
    )

    def keep(slot: int, incarnation: int) -> None:
        _told(say, lambda: run_keeper(wishes.home, wishes.ledger, wishes.overlays))

    def work(slot: int, incarnation: int) -> None:
        _told(say, lambda: run_worker(post, port, slot, incarnation))

    slots = range(wishes.workers or settings.listen.workers)
    children = [Child("the ledger's keeper", 0, keep)]
    children.extend(Child(f"worker {slot}", slot, work) for slot in slots)
    for line in banner(settings, port):
        say(line)
    return Supervisor(children, say, settings.listen.grace_s).run()


def _told(say: Callable[[str], None], run: Callable[[], None]) -> None:
    try:
        run()
    except BursarError as bad:
        say(f"bursar: {bad}")
        os._exit(2)


def _port(wishes: Wishes, settings: Settings) -> int:
    return settings.listen.port if wishes.port is None else wishes.port


def banner(settings: Settings, port: socket.socket) -> list[str]:
    """What a person needs to point a client here."""
    host, number = port.getsockname()[:2]
    scheme = "https" if settings.listen.tls_certificate else "http"
    shown = f"[{host}]" if ":" in host else host
    base = f"{scheme}://{shown}:{number}"
    keys = f"{len(settings.keys)} virtual keys" if settings.keys else "no keys: this machine only"
    return [
        f"bursar serves on {base} ({keys})",
        f"  OpenAI clients     base_url={base}/v1",
        f"  Anthropic clients  base_url={base}",
        f"  boto3 Bedrock      endpoint_url={base}",
        f"  metrics            {base}/metrics",
    ]


def seed_of(home: Path) -> bytes:
    """The secret of this installation, made at its first start, readable by its owner alone."""
    place = home / SEED
    try:
        opened = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return place.read_bytes()
    with os.fdopen(opened, "wb") as stream:
        stream.write(secrets.token_bytes(SEED_BYTES))
    return place.read_bytes()
