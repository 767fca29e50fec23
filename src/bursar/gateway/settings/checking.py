"""What holds in settings beyond the type of each: references, bounds, and nothing left open.

Each check yields what is wrong with the path of its setting; the first one stops the load.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import urlsplit

from bursar.gateway.settings.presets import AWS, SPOKEN
from bursar.gateway.settings.structs import ProviderSettings, Settings, Timeouts, VirtualKey
from bursar.gateway.settings.tag_names import FIELDS, MOST_TAGS, name_problem, problem_of
from bursar.gateway.settings.urls import BaseUrl, base_url_of
from bursar.gateway.settings.values import matcher_of
from bursar.gateway.settings.yaml_text import Path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEY_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SHA256 = re.compile(r"[0-9a-f]{64}")
REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d{1,2}")
HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}")
HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,4094}[\x21-\x7e])?")
REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:/[^\x00-\x1f]{1,4094}")
KEPT_HEADERS = frozenset(
    "host content-length transfer-encoding connection keep-alive te trailer upgrade expect"
    " authorization proxy-authorization x-api-key api-key cookie content-encoding".split()
)
"""Headers that the gateway itself writes, or that would carry a secret in plain sight."""
EXPORTERS_HEADERS = KEPT_HEADERS - {"authorization", "x-api-key", "api-key", "cookie"} | {
    "content-type",
    "user-agent",
}
"""Headers that the exporter of telemetry itself writes."""
LEAKED = "write env:NAME or file:/path; if a key stood there, take it for leaked"
KEY_FILE = "file:"
DEFAULT_ROUTE = "default"
MOST = {"providers": 200, "models": 2_000, "keys": 5_000, "routes": 500}
ALWAYS_KNOWN = ("model", "provider")
MOST_HEADERS = 32
LARGEST_BODY = 256 << 20


class Wrong(Exception):
    """A setting that does not hold."""

    def __init__(self, path: Path, what: str, mend: str) -> None:
        super().__init__(what)
        self.path = path
        self.what = what
        self.mend = mend


Checked = Iterator[Wrong]


def check(settings: Settings) -> None:
    """Raises the first thing that is wrong."""
    for one in (
        _counts,
        _listen,
        _providers,
        _models,
        _routes,
        _keys,
        _calls,
        _tags,
        _limits,
        _metrics,
        _otlp,
    ):
        wrong = next(one(settings), None)
        if wrong is not None:
            raise wrong


def loopback(host: str) -> bool:
    """Whether only this machine reaches a listener there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _counts(settings: Settings) -> Checked:
    for name, most in MOST.items():
        if len(getattr(settings, name)) > most:
            yield Wrong((name,), f"has more than {most} entries", "remove some")


def _listen(settings: Settings) -> Checked:
    listen = settings.listen
    if not re.fullmatch(r"[A-Za-z0-9.:-]{1,253}", listen.host):
        yield Wrong(("listen", "host"), "is no host", "write an address such as 127.0.0.1")
    if not loopback(listen.host) and not settings.keys:
        yield Wrong(
            ("listen", "host"),
            f"is {listen.host}, beyond this machine, and there are no keys: anybody could spend",
            "add a key (bursar keys new --id NAME), or listen on 127.0.0.1",
        )
    if not 0 <= listen.port <= 65_535:
        yield Wrong(("listen", "port"), "is no port", "0 to 65535")
    if not 1 <= listen.workers <= 64:
        yield Wrong(("listen", "workers"), "is out of range", "1 to 64")
    if (listen.tls_certificate is None) != (listen.tls_key is None):
        mend = "give tls_certificate and tls_key, or none of them"
        yield Wrong(("listen",), "has half of what HTTPS needs", mend)


def _providers(settings: Settings) -> Checked:
    for name, one in settings.providers.items():
        path: Path = ("providers", name)
        yield from check_name(NAME, name, path)
        yield from check_known(one.dialects, SPOKEN, (*path, "dialects"), "dialect")
        yield from _base_url(path, one)
        yield from _key(path, one)
        if one.region is not None and not REGION.fullmatch(one.region):
            yield Wrong((*path, "region"), "is no AWS region", "as in eu-central-1")
        yield from _headers(path, one)
        yield from _timeouts((*path, "timeouts"), one.timeouts)


def _base_url(path: Path, one: ProviderSettings) -> Checked:
    if one.base_url is None:
        if one.auth != "sigv4":
            yield Wrong(path, "has no base_url", "add base_url: https://...")
        return
    try:
        base_url_of(one.base_url, private=one.private)
    except ValueError as bad:
        yield Wrong((*path, "base_url"), str(bad), "as in https://api.example.com/v1")


def _key(path: Path, one: ProviderSettings) -> Checked:
    key = one.key or ""
    if key not in (AWS, "none") and not REFERENCE.fullmatch(key):
        yield Wrong(
            (*path, "key"),
            "is no reference to a key (what stands there is not shown)",
            "write env:NAME or file:/path, aws or none; if a key stood there, take it for leaked",
        )
    elif (key == AWS) != (one.auth == "sigv4"):
        yield Wrong((*path, "auth"), "does not fit the key", "key: aws and auth: sigv4 go together")
    elif (key == "none") != (one.auth == "none"):
        yield Wrong((*path, "auth"), "does not fit the key", "key: none and auth: none go together")


def _headers(path: Path, one: ProviderSettings) -> Checked:
    path = (*path, "headers")
    if len(one.headers) > MOST_HEADERS:
        yield Wrong(path, f"has more than {MOST_HEADERS} entries", "remove some")
    for name, value in one.headers.items():
        if not HEADER_NAME.fullmatch(name) or name in KEPT_HEADERS:
            mend = "lower case; keys belong into `key`, and some headers are the gateway's own"
            yield Wrong((*path, name), "is a header that cannot be set", mend)
        if not HEADER_VALUE.fullmatch(value):
            yield Wrong((*path, name), "has a value that no header may have", "printable ASCII")


def _timeouts(path: Path, one: Timeouts) -> Checked:
    if one.total_s is not None and one.head_s is not None and one.head_s > one.total_s:
        yield Wrong((*path, "first_byte"), "is longer than total", "raise total")


def _models(settings: Settings) -> Checked:
    for number, one in enumerate(settings.models):
        path: Path = ("models", number)
        yield from check_patterns((one.match,), (*path, "match"))
        yield from check_known((one.provider,), settings.providers, (*path, "provider"), "provider")
        yield from _model(one.model, (*path, "model"))


def _model(name: str | None, path: Path) -> Checked:
    if name is not None and not (0 < len(name) <= 2_048 and name.isprintable()):
        yield Wrong(path, "is no name of a model", "write it as the provider does")


def _routes(settings: Settings) -> Checked:
    names: set[str] = {DEFAULT_ROUTE}
    for number, one in enumerate(settings.routes):
        path: Path = ("routes", number)
        yield from check_name(NAME, one.name, (*path, "name"))
        if one.name in names:
            yield Wrong((*path, "name"), f"{one.name} stands for another route", "rename one")
        names.add(one.name)
        if one.provider is not None:
            yield from check_known(
                (one.provider,), settings.providers, (*path, "provider"), "provider"
            )
        yield from _model(one.model, (*path, "model"))
        when, path_of_when = one.when, (*path, "when")
        yield from check_known(when.dialects, SPOKEN, (*path_of_when, "dialects"), "dialect")
        yield from check_known(when.keys, settings.keys, (*path_of_when, "keys"), "key")
        yield from check_patterns(when.models, (*path_of_when, "models"))
        if when.path is not None:
            yield from check_patterns((when.path,), (*path_of_when, "path"))
        for name, pattern in when.headers.items():
            yield from check_name(HEADER_NAME, name, (*path_of_when, "headers", name))
            yield from check_patterns((pattern,), (*path_of_when, "headers", name))
        for name, pattern in when.tags.items():
            yield from check_tag_name(name, (*path_of_when, "tags", name))
            yield from check_patterns((pattern,), (*path_of_when, "tags", name))
        yield from _timeouts((*path, "timeouts"), one.timeouts)


def _keys(settings: Settings) -> Checked:
    owners: dict[str, str] = {}
    routes = {DEFAULT_ROUTE, *(one.name for one in settings.routes)}
    for name, one in settings.keys.items():
        path: Path = ("keys", name)
        yield from check_name(KEY_ID, name, path)
        yield from _digest(path, one, owners, name)
        if one.tenant is not None and (problem := problem_of("tenant", one.tenant)):
            yield Wrong((*path, "tenant"), problem, "write a short printable name")
        yield from _tag_values(one.tags, (*path, "tags"))
        if "tenant" in one.tags:
            yield Wrong((*path, "tags", "tenant"), "stands in the wrong place", "use `tenant`")
        yield from check_patterns(one.models, (*path, "models"))
        yield from check_known(one.providers, settings.providers, (*path, "providers"), "provider")
        yield from check_known(one.routes, routes, (*path, "routes"), "route")


def _digest(path: Path, one: VirtualKey, owners: dict[str, str], name: str) -> Checked:
    path = (*path, "sha256")
    if not SHA256.fullmatch(one.sha256):
        yield Wrong(path, "is no SHA-256", "64 hex digits, as bursar keys new prints them")
    if one.sha256 in owners:
        yield Wrong(path, f"is that of {owners[one.sha256]} as well", "make another key")
    owners[one.sha256] = name


def _calls(settings: Settings) -> Checked:
    yield from _timeouts(("calls", "timeouts"), settings.calls.timeouts)


def _tags(settings: Settings) -> Checked:
    rules, path = settings.tags, ("tags",)
    if len(rules.required) > MOST_TAGS:
        yield Wrong((*path, "required"), f"names more than {MOST_TAGS} tags", "remove some")
    for number, name in enumerate(rules.required):
        yield from check_tag_name(name, (*path, "required", number))
        if name in ALWAYS_KNOWN:
            yield Wrong((*path, "required", number), f"{name} is known of every call", "remove it")
    yield from _tag_values(rules.defaults, (*path, "defaults"))
    for name, patterns in rules.allowed.items():
        yield from check_tag_name(name, (*path, "allowed", name))
        yield from check_patterns(patterns, (*path, "allowed", name))
        default = rules.defaults.get(name)
        if default is not None and not any(matcher_of(one)(default) for one in patterns):
            yield Wrong((*path, "defaults", name), "is not allowed itself", "change one of them")
    for name, tag in rules.headers.items():
        where = (*path, "headers", name)
        yield from check_name(HEADER_NAME, name, where)
        if name in KEPT_HEADERS:
            yield Wrong(where, "cannot hold a tag", "use another header")
        yield from check_tag_name(tag, where)
    for number, name in enumerate(rules.many_values):
        yield from check_tag_name(name, (*path, "many_values", number))
    yield from check_positive(rules, ("most_values",), path)


def _limits(settings: Settings) -> Checked:
    names = ("headers", "body_min_bytes_per_s", "connections")
    yield from check_positive(settings.limits, names, ("limits",))
    if settings.limits.body_bytes > LARGEST_BODY:
        yield Wrong(("limits", "body_bytes"), "is above 256MiB", "no provider takes that much")


def _metrics(settings: Settings) -> Checked:
    metrics = settings.metrics
    if metrics.key is not None and not REFERENCE.fullmatch(metrics.key):
        yield Wrong(("metrics", "key"), "is no reference to a key (not shown)", LEAKED)
    yield from _labels(metrics.labels, settings, ("metrics", "labels"))
    yield from check_positive(metrics, ("most_series",), ("metrics",))


def _otlp(settings: Settings) -> Checked:
    otlp, path = settings.telemetry.otlp, ("telemetry", "otlp")
    if otlp.endpoint is not None:
        try:
            collector_url(otlp.endpoint, private=otlp.private)
        except ValueError as bad:
            yield Wrong((*path, "endpoint"), str(bad), "as in https://otel.example.com:4318")
    if len(otlp.headers) > MOST_HEADERS:
        yield Wrong((*path, "headers"), f"has more than {MOST_HEADERS} entries", "remove some")
    for name, value in otlp.headers.items():
        if not HEADER_NAME.fullmatch(name) or name in EXPORTERS_HEADERS:
            mend = "lower case; some headers are the exporter's own"
            yield Wrong((*path, "headers", name), "is a header that cannot be set", mend)
        if not REFERENCE.fullmatch(value):
            what = "is no reference to a value (what stands there is not shown)"
            yield Wrong((*path, "headers", name), what, LEAKED)
    yield from _labels(otlp.labels, settings, (*path, "labels"))
    yield from check_positive(otlp, ("most_series", "most_waiting"), path)


def collector_url(text: str, *, private: bool) -> BaseUrl:
    """Where a collector is; on this machine it needs no leave. Raises ValueError."""
    try:
        here = loopback(urlsplit(text).hostname or "")
    except ValueError:
        here = False
    return base_url_of(text, private=private or here)


def _labels(names: tuple[str, ...], settings: Settings, path: Path) -> Checked:
    for number, name in enumerate(names):
        yield from check_tag_name(name, (*path, number))
        if name in settings.tags.many_values:
            mend = "a label needs few values; remove it here or in tags.many_values"
            yield Wrong((*path, number), f"{name} may have any number", mend)


def check_name(pattern: re.Pattern[str], name: str, path: Path) -> Checked:
    if not pattern.fullmatch(name):
        mend = (
            "letters, digits and -, at most 63" if pattern is KEY_ID else "letters, digits, . _ -"
        )
        lower = "lower-case " if pattern is not NAME else ""
        yield Wrong(path, "is no name", f"use {lower}{mend}")


def check_known(names: Iterable[str], known: Collection[str], path: Path, what: str) -> Checked:
    for name in names:
        if name not in known:
            there = ", ".join(sorted(known)[:20]) or "none"
            yield Wrong(
                path, f"names the {what} {name!r}, which is not there", f"there is: {there}"
            )


def check_patterns(patterns: Iterable[str], path: Path) -> Checked:
    for pattern in patterns:
        try:
            matcher_of(pattern)
        except ValueError as bad:
            yield Wrong(path, str(bad), "`*`, `?` and `[ab]` as in a shell")


def check_tag_name(name: str, path: Path) -> Checked:
    if problem := name_problem(name):
        yield Wrong(path, problem, f"one of {', '.join(FIELDS)}, or a name of your own")


def _tag_values(tags: dict[str, str], path: Path) -> Checked:
    if len(tags) > MOST_TAGS:
        yield Wrong(path, f"holds more than {MOST_TAGS} tags", "remove some")
    for name, value in tags.items():
        yield from check_tag_name(name, (*path, name))
        if problem := problem_of(name, value):
            yield Wrong((*path, name), problem, "write a short printable text")


def check_positive(holder: object, names: Iterable[str], path: Path) -> Checked:
    for name in names:
        value = getattr(holder, name)
        if value is not None and not 0 < value <= 1 << 40:
            yield Wrong((*path, name), "is out of range", "a whole number above 0")


__all__ = [
    "DEFAULT_ROUTE",
    "KEY_FILE",
    "KEY_ID",
    "REFERENCE",
    "Checked",
    "Wrong",
    "check",
    "check_known",
    "check_name",
    "check_patterns",
    "check_positive",
    "check_tag_name",
    "collector_url",
    "loopback",
]
