"""`bursar serve` as a whole: checks, the port, the keeper and the workers, until a stop."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from bursar.extras import late
from bursar.gateway.counting import wants_purse
from bursar.gateway.purse.host import keep_purse
from bursar.gateway.purse.opening import SOCKET, node_of, store_of
from bursar.gateway.settings import Settings, load_settings
from bursar.gateway.settings.fitting import tls_of
from bursar.gateway.settings.telemetry import otlp_options
from bursar.gateway.standing import Standing
from bursar.gateway.supervisor import KEEPER, PURSE, Child, Supervisor, listening, run_folder
from bursar.gateway.wishes import Wishes
from bursar.gateway.worker import Post, run_worker
from bursar.model.errors import BursarError

SEED = "salt"
SEED_BYTES = 32


def run_gateway(wishes: Wishes, environ: Mapping[str, str], say: Callable[[str], None]) -> int:
    """Serve until SIGTERM or SIGINT. The exit code. Raises BadInput before anything is started."""
    home, place = wishes.home_path, wishes.settings_path
    settings = load_settings(place, environ)
    tls_of(settings)
    options = otlp_options(settings, environ)
    port = listening(wishes.host or settings.listen.host, _port(wishes, settings))
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    post = Post(
        home=home,
        settings=place,
        overlays=wishes.overlay_paths,
        environ=dict(environ),
        seed=seed_of(home),
        workers=wishes.workers or settings.listen.workers,
    )

    def keep(slot: int, incarnation: int) -> None:
        keeping = late("bursar.gateway.keeping")
        _told(say, lambda: keeping.keep_ledger(wishes, settings, options, say))

    def work(slot: int, incarnation: int) -> None:
        _told(say, lambda: run_worker(post, port, slot, incarnation))

    def count(slot: int, incarnation: int) -> None:
        _told(say, lambda: keep_purse(home / SOCKET, node_of(settings.state)))

    store_of(settings, environ, home, "", post.workers)
    wanted = wants_purse(settings, post.workers, home)
    children = [
        Child("the ledger's keeper", 0, keep, kind=KEEPER),
        Child("the purse", 0, count, kind=PURSE, wanted=wanted),
    ]
    children.extend(Child(f"worker {slot}", slot, work) for slot in range(post.workers))
    for line in banner(settings, port):
        say(line)
    standing = Standing(run_folder(home), say)
    return Supervisor(children, say, settings.listen.grace_s, standing).run()


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
