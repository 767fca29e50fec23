"""Whose key a call came with, and what that key may do."""

from __future__ import annotations

import msgspec

from bursar.gateway.settings.structs import VirtualKey
from bursar.gateway.settings.values import Matcher, any_of


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """The owner of a key. `None` in what it may use: anything."""

    key_id: str
    """Public id of the key; empty where no keys are needed."""
    tenant: str | None = None
    """On whose behalf, always; None: the call may say."""
    given: tuple[tuple[str, str], ...] = ()
    """Its own tags, where a call does not say."""
    models: Matcher | None = None
    """A test on the model that is asked for."""
    providers: frozenset[str] | None = None
    routes: frozenset[str] | None = None
    expires_s: int | None = None
    blocked: bool = False
    sha256: str = ""
    """Of the key: one that was rotated is another."""
    salt: bytes = b""
    """Keys the digests of its prompts' blocks: one per tenant."""


OPEN = Holder(key_id="")
"""Everybody on this machine, where the settings have no keys."""


def holder_of(name: str, rules: VirtualKey, salt: bytes) -> Holder:
    """The holder of a virtual key."""
    return Holder(
        key_id=name,
        tenant=rules.tenant,
        given=tuple(rules.tags.items()),
        models=any_of(rules.models),
        providers=frozenset(rules.providers) or None,
        routes=frozenset(rules.routes) or None,
        expires_s=rules.expires,
        blocked=rules.blocked,
        sha256=rules.sha256,
        salt=salt,
    )
