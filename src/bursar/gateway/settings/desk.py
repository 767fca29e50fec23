"""The desk: who calls, for what, and where the call goes. Settings, compiled; read-only.

One desk serves until the settings change; then a new one takes its place, with the memory of the
old: which tag values were seen, and which key belongs to which base URL. A key that was in use
before does not follow a base URL to another place, whoever changed the file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from hashlib import blake2b

from bursar.gateway.settings.caps_compiling import rules_of
from bursar.gateway.settings.checking import loopback
from bursar.gateway.settings.holders import OPEN, Holder, holder_of
from bursar.gateway.settings.keys import CHALLENGE, Headers, KeyRing, read_secret, unknown_key
from bursar.gateway.settings.presets import AWS
from bursar.gateway.settings.routing import Plan, Provider, Router, compiled
from bursar.gateway.settings.structs import ProviderSettings, Settings
from bursar.gateway.settings.tagging import Tagged, Tagger
from bursar.gateway.settings.values import Bounded, Secret
from bursar.model.call import Tags
from bursar.model.errors import Refused
from bursar.state.claims import Caps

WITHHELD = "its base_url changed while the gateway ran, and its key was kept from the new place"
MOST_SALTS = 4_096
SALT_BYTES = 16
Owned = dict[str, frozenset[str]]
"""Reference to a key -> base URLs that it may go to."""


class Desk:
    """What the settings mean for a call. Build it with `open_desk`."""

    def __init__(
        self,
        settings: Settings,
        providers: Mapping[str, Provider],
        owned: Owned,
        options: DeskOptions,
    ) -> None:
        self.settings = settings
        self.providers = providers
        self.owned = owned
        self.options = options
        self._clock = options.clock
        self._ring = KeyRing(settings.keys)
        self._salts: Bounded[bytes] = Bounded(MOST_SALTS)
        self._holders = {
            name: holder_of(name, one, self.salt_of(one.tenant))
            for name, one in settings.keys.items()
        }
        self._open: Holder | None = None
        if not settings.keys:
            self._open = Holder(key_id=OPEN.key_id, salt=self.salt_of(None))
        self.caps = Caps(rules_of(settings))
        """What calls are counted by: `claims_of(desk.caps, Who(...), ...)`."""
        self.tagger = Tagger(settings.tags, clock=options.clock, counted=self.caps.tags)
        self.router = Router(settings, providers)
        self.tags: Callable[[Holder, Headers, Mapping[str, str]], Tagged] = self.tagger.tags
        """(holder, headers, metadata of the body) -> the call's tags. Raises Refused 400."""

    def salt_of(self, tenant: str | None) -> bytes:
        """Keys the block digests of a tenant, so that no two tenants' prompts can be compared."""
        found = self._salts.get(tenant)
        if found is None:
            text = b"" if tenant is None else b"=" + tenant.encode("utf-8", "replace")
            made = blake2b(text, key=self.options.seed, digest_size=SALT_BYTES).digest()
            found = self._salts.keep(tenant, made)
        return found

    def holder(self, headers: Headers) -> Holder:
        """Who calls. Raises Refused: 401; 400 for two different keys; 403 for a browser.

        Names of headers are lower case. Without any key in the settings everybody on this machine
        may call, but for web pages: they could reach a local port as well.
        """
        if self._open is not None:
            _refuse_browsers(headers)
            return self._open
        return self.still(self._holders[self._ring.find(headers).id])

    def still(self, holder: Holder) -> Holder:
        """The holder as these settings have it, for whom an earlier desk may have let in. Raises
        Refused 401 where the key is blocked, expired, removed, or another one by now."""
        found = self._open if not holder.key_id else self._holders.get(holder.key_id)
        if found is None or found.sha256 != holder.sha256:
            raise unknown_key()
        if found.blocked:
            raise Refused(401, "blocked_key", "this key is blocked", headers=CHALLENGE)
        if found.expires_s is not None and self._clock() >= found.expires_s:
            raise Refused(401, "expired_key", "this key has expired", headers=CHALLENGE)
        return found

    def plan(
        self,
        holder: Holder,
        dialect: str,
        model: str | None,
        tags: Tags,
        target: bytes = b"",
        headers: Headers = (),
    ) -> Plan:
        """Where a call goes. `target` and `headers` matter only to routes that look at them.

        `model=None` is for requests that name none, such as a list of models. Raises Refused: 400,
        403, 404, or 503 where the provider's key is not there.
        """
        return self.router.plan(holder, dialect, model, tags, target, headers)


class DeskOptions:
    """What a desk takes from the world around it."""

    __slots__ = ("clock", "environ", "seed")

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        seed: bytes = b"",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.environ = environ
        """Where keys are looked up."""
        self.seed = seed
        """Secret of this installation, at most 64 bytes, from which the tenants' salts are made."""
        self.clock = clock
        """Seconds since 1970."""


def open_desk(settings: Settings, options: DeskOptions, before: Desk | None = None) -> Desk:
    """A desk for checked settings. `before`: the one that it replaces. Raises BadInput."""
    owned: Owned = dict(before.owned) if before is not None else {}
    providers: dict[str, Provider] = {}
    for name, given in settings.providers.items():
        secret, without = _secret(given, options.environ, before.owned if before else {})
        providers[name] = compiled(name, given, secret, without)
        if without != WITHHELD:
            key = given.key or ""
            owned[key] = owned.get(key, frozenset()) | {given.base_url or ""}
    desk = Desk(settings, providers, owned, options)
    if before is not None:
        desk.tagger.seen = before.tagger.seen
    return desk


def _secret(
    given: ProviderSettings, environ: Mapping[str, str], owned: Owned
) -> tuple[Secret | None, str | None]:
    """A provider's secret, or why it has none. AWS signs and sends none."""
    key = given.key or "none"
    if key in (AWS, "none"):
        return None, None
    if key in owned and given.base_url not in owned[key]:
        return None, WITHHELD
    secret = read_secret(key, environ)
    if secret is None:
        return None, f"its key {key} is not there"
    return secret, None


def _refuse_browsers(headers: Headers) -> None:
    for name, value in headers:
        if name == b"origin":
            raise Refused(
                403,
                "browser",
                "a web page may not call a gateway without keys",
                mend="add a key to bursar.yaml (bursar keys new --id NAME)",
            )
        if name == b"host" and not loopback(_host_of(value)):
            raise Refused(
                403,
                "foreign_host",
                "a gateway without keys answers to the names of this machine alone",
                mend="call it as 127.0.0.1 or localhost, or add a key to bursar.yaml",
            )


def _host_of(value: bytes) -> str:
    text = value.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


__all__ = ["Desk", "DeskOptions", "Holder", "Plan", "Provider", "Tagged", "open_desk"]
