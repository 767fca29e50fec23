"""Settings as the other rooms of the gateway take them: server, journal, TLS, counts."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from bursar.engine.policy import Levers
from bursar.gateway.http.messages import Bounds
from bursar.gateway.settings.checking import DEFAULT_ROUTE
from bursar.gateway.settings.keys import read_secret
from bursar.gateway.settings.listening import HttpLimits
from bursar.gateway.settings.structs import Settings
from bursar.gateway.settings.values import Secret
from bursar.ledger.journal.writer import Rules
from bursar.model.errors import BadInput

JOURNAL_RULES = ("sync", "interval_s", "full", "unwritable", "buffer_bytes", "patience_s")


def bounds_of(settings: Settings) -> Bounds:
    """For the HTTP server."""
    limits = settings.limits
    return Bounds(**{name: getattr(limits, name) for name in HttpLimits.__struct_fields__})


def journal_rules_of(settings: Settings) -> Rules:
    """For the writer of the journal."""
    return Rules(**{name: getattr(settings.journal, name) for name in JOURNAL_RULES})


def store_url_of(settings: Settings, environ: Mapping[str, str]) -> Secret | None:
    """The address of the store; None: the counts stay in memory. Raises BadInput."""
    store = settings.state.store
    if store == "memory":
        return None
    if not store.startswith(("env:", "file:")):
        return Secret(store)
    found = read_secret(store, environ)
    if found is None:
        raise BadInput(f"state.store: {store} is not there", mend="put the address there")
    return found


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """For the server's socket; None for plain HTTP. Raises BadInput for files that do not serve."""
    listen = settings.listen
    if listen.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(listen.tls_certificate, listen.tls_key)
    except (OSError, ssl.SSLError) as bad:
        why = bad.strerror or type(bad).__name__
        raise BadInput(
            f"listen.tls_certificate and tls_key cannot be used ({why})",
            mend="both are PEM files, and the key belongs to the certificate",
        ) from bad
    return context


def policies_of(settings: Settings) -> dict[str, Levers]:
    """Route -> what is on there."""
    found = {DEFAULT_ROUTE: settings.levers}
    for one in settings.routes:
        found[one.name] = settings.levers if one.levers is None else one.levers
    return found
