"""Settings in plain words: who may call what, where calls go, what is refused, what is missing.

Everything is said from the compiled desk, so that it is what the gateway does, not what the file
seems to say. No secret and no digest of one is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from bursar.engine.policy import Levers, wishes_of
from bursar.gateway.settings.caps_bounding import AnswerPico
from bursar.gateway.settings.caps_explaining import Cap, caps_told, caps_warnings, state_told
from bursar.gateway.settings.checking import DEFAULT_ROUTE, loopback
from bursar.gateway.settings.desk import DeskOptions, open_desk
from bursar.gateway.settings.fitting import policies_of
from bursar.gateway.settings.keys import read_secret
from bursar.gateway.settings.meanings import size_text
from bursar.gateway.settings.presets import SPOKEN
from bursar.gateway.settings.routing import Provider
from bursar.gateway.settings.structs import Route, Settings, VirtualKey
from bursar.gateway.settings.telemetry import collector_of, header_names, otlp_problems
from bursar.gateway.settings.values import Bytes, Moment, Seconds
from bursar.levers.response_cache import NAME as RESPONSE_CACHE

ANY = "any"


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """What `bursar check` says."""

    file: str | None
    address: str
    providers: tuple[dict[str, Any], ...]
    dialects: dict[str, str | None]
    """Wire format -> the provider that answers what no rule sends elsewhere; None: nobody."""
    models: tuple[str, ...]
    keys: tuple[dict[str, Any], ...]
    routes: tuple[str, ...]
    refused: tuple[str, ...]
    missing: tuple[str, ...]
    """What the environment lacks. The gateway starts, and refuses the calls that need it."""
    warnings: tuple[str, ...]
    bounds: dict[str, str]
    telemetry: tuple[str, ...] = ()
    """Who else is told of what is recorded."""
    levers: tuple[str, ...] = ()
    """Route: what is on there, in the order in which a call meets it. Empty: nothing anywhere."""
    caps: tuple[Cap, ...] = ()
    """Budgets, tasks, rates and concurrency."""
    state: str | None = None
    """Where they are counted; None: there are none."""


def explain(
    settings: Settings,
    environ: Mapping[str, str],
    file: str | None,
    now_s: float,
    answer_pico: AnswerPico,
) -> Explained:
    """What the settings mean here and now. Raises BadInput for a key that can be none.

    `answer_pico` is asked only where a bound depends on it.
    """
    caps = caps_told(settings, answer_pico)
    desk = open_desk(settings, DeskOptions(environ))
    listen = settings.listen
    scheme = "http" if listen.tls_certificate is None else "https"
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    return Explained(
        file=file,
        address=f"{scheme}://{host}:{listen.port}",
        providers=tuple(
            _provider(one, settings.providers[one.name].base_url) for one in desk.providers.values()
        ),
        dialects={
            dialect: next(
                (one.name for one in desk.providers.values() if dialect in one.dialects), None
            )
            for dialect in SPOKEN
        },
        models=tuple(
            f"{one.match} -> {one.provider}" + (f" as {one.model}" if one.model else "")
            for one in settings.models
        ),
        keys=tuple(_key(name, one, now_s) for name, one in settings.keys.items()),
        routes=tuple(_route(one) for one in settings.routes),
        refused=tuple(_refused(settings)),
        missing=tuple(_missing(settings, list(desk.providers.values()), environ)),
        warnings=tuple(_warnings(settings)),
        bounds=_bounds(settings),
        telemetry=tuple(_telemetry(settings, environ)),
        levers=tuple(_levers(settings)),
        caps=caps,
        state=state_told(settings) if caps else None,
    )


def _levers(settings: Settings) -> Iterator[str]:
    """Where anything is on, also the routes that have nothing."""
    policies = policies_of(settings)
    if all(policy == Levers() for policy in policies.values()):
        return
    for route, policy in policies.items():
        first = () if policy.response_cache is None else (RESPONSE_CACHE,)
        names = (*first, *(name for name, _ in wishes_of(policy)))
        yield f"{route}: {', '.join(names) or 'none'}"


def _provider(one: Provider, base_url: str | None) -> dict[str, Any]:
    return {
        "name": one.name,
        "base_url": base_url,
        "dialects": list(one.dialects),
        "key": one.key,
        "auth": one.auth,
        "key_found": True
        if one.auth == "none"
        else None
        if one.auth == "sigv4"
        else bool(one.secret),
        "prices": one.prices,
        "private": one.origin.private,
        "ready": one.without is None,
    }


def _key(name: str, one: VirtualKey, now_s: float) -> dict[str, Any]:
    state = "valid"
    if one.blocked:
        state = "blocked"
    elif one.expires is not None and now_s >= one.expires:
        state = "expired"
    return {
        "id": name,
        "state": state,
        "expires": None if one.expires is None else _time(one.expires),
        "tenant": one.tenant,
        "tags": dict(one.tags),
        "models": list(one.models) or [ANY],
        "providers": list(one.providers) or [ANY],
        "routes": list(one.routes) or [ANY],
    }


def _time(at: Moment) -> str:
    return datetime.fromtimestamp(at, tz=UTC).isoformat().replace("+00:00", "Z")


def _route(one: Route) -> str:
    when = one.when
    tests = [f"model {' or '.join(when.models)}"] if when.models else []
    tests += [f"dialect {' or '.join(when.dialects)}"] if when.dialects else []
    tests += [f"path {when.path}"] if when.path else []
    tests += [f"header {name} {pattern}" for name, pattern in when.headers.items()]
    tests += [f"tag {name} {pattern}" for name, pattern in when.tags.items()]
    tests += [f"key {' or '.join(when.keys)}"] if when.keys else []
    does = [f"to {one.provider}"] if one.provider else []
    does += [f"as {one.model}"] if one.model else []
    for field in msgspec.structs.fields(one)[4:]:
        value = getattr(one, field.name)
        if value is not None and not isinstance(value, msgspec.Struct):
            does.append(f"{field.encode_name} {_plain(value)}")
    asked = " and ".join(tests) or "every call"
    return f"{one.name}: {asked} -> {', '.join(does) or 'as usual'}"


def _refused(settings: Settings) -> list[str]:
    """What gets an error instead of an answer, beyond the bounds."""
    found: list[str] = []
    if settings.keys:
        found.append("401: a call without one of the keys above")
    else:
        found.append("403: a web page, or a call to another host name than this machine's")
    if settings.unlisted_models == "refuse":
        found.append("404: a model that neither models nor a route names")
    if settings.tags.required:
        names = ", ".join(settings.tags.required)
        what = {
            "refuse": f"400: a call without the tags {names}",
            "default": f"400: a call without the tags {names}, where tags.defaults has none",
            "quarantine": f"nothing for want of the tags {names}: such calls are marked",
        }
        found.append(what[settings.tags.policy])
    if any(one.tenant for one in settings.keys.values()):
        found.append("400: a call that names another tenant than its key has")
    if settings.calls.unpriced == "deny":
        found.append("400: a model without a known price")
    return found


def _missing(
    settings: Settings, providers: list[Provider], environ: Mapping[str, str]
) -> list[str]:
    found = [
        f"{one.name}: {one.without}; its calls are refused (503)"
        for one in providers
        if one.without is not None
    ]
    key = settings.metrics.key
    if settings.metrics.on and key is not None and read_secret(key, environ) is None:
        found.append(f"metrics: its key {key} is not there; /metrics is refused")
    if settings.telemetry.otlp.on:
        found += [
            f"telemetry.otlp: {what}; the gateway does not start"
            for what, _ in otlp_problems(settings, environ)
        ]
    store = settings.state.store
    if store.startswith(("env:", "file:")) and read_secret(store, environ) is None:
        found.append(f"state.store: {store} is not there; the gateway does not start")
    return found


def _telemetry(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    otlp = settings.telemetry.otlp
    if not otlp.on:
        return
    try:
        where = str(collector_of(otlp, environ))
        headers = ", ".join(header_names(otlp, environ)) or "none"
    except ValueError:
        return
    what = [name for name in ("spans", "metrics") if getattr(otlp, name)]
    yield f"OTLP: {' and '.join(what) or 'nothing'} to {where}, headers {headers}"
    if otlp.metrics:
        yield f"OTLP: metrics by {', '.join(otlp.labels) or 'no tag'}, each {otlp.interval_s:g}s"
    yield f"OTLP: at most {otlp.most_waiting} attempts wait for it; further ones are dropped"


def _warnings(settings: Settings) -> list[str]:
    listen, found = settings.listen, list[str]()
    if not loopback(listen.host) and listen.tls_certificate is None:
        found.append("keys and prompts cross the network as plain text: listen.tls_certificate")
    if not settings.keys:
        found.append("no keys: whoever is on this machine may call; fine for one person")
    by_id = [name for name, one in settings.keys.items() if one.sigv4_by_id]
    if by_id:
        found.append(f"whoever knows the id may spend (sigv4_by_id): {', '.join(by_id)}")
    used = {name for one in settings.keys.values() for name in one.routes}
    names = {one.name for one in settings.routes} | {DEFAULT_ROUTE}
    if used and all(one.routes for one in settings.keys.values()) and names - used:
        found.append(f"no key may take the route {', '.join(sorted(names - used))}")
    if settings.journal.sync == "interval":
        found.append("journal.sync is interval: a crash of the machine can lose records")
    found += caps_warnings(settings)
    return found


def _bounds(settings: Settings) -> dict[str, str]:
    """Every limit that holds, as written in the file."""
    found = {
        f"limits.{one.encode_name}": _plain(getattr(settings.limits, one.name))
        for one in msgspec.structs.fields(settings.limits)
    }
    for one in msgspec.structs.fields(settings.calls):
        value = getattr(settings.calls, one.name)
        if value is not None and not isinstance(value, msgspec.Struct):
            found[f"calls.{one.encode_name}"] = _plain(value)
    return found


def _plain(value: object) -> str:
    if isinstance(value, Seconds):
        return f"{value:g}s"
    return size_text(value) if isinstance(value, Bytes) else str(value)


__all__ = ["Explained", "explain"]
