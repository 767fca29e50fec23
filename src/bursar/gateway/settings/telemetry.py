"""`telemetry` as the room that tells needs it: an address, headers, and what may be told.

What the file leaves open comes from the environment variables that OpenTelemetry's own SDKs read.
A header's value is looked up once, at the start, and is shown nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from urllib.parse import unquote

from bursar.emit.options import OtlpOptions
from bursar.extras import missing_for_otlp
from bursar.gateway.http.guard import may_connect
from bursar.gateway.settings.checking import collector_url
from bursar.gateway.settings.keys import read_secret
from bursar.gateway.settings.structs import Otlp, Settings
from bursar.gateway.settings.urls import BaseUrl, base_url_of
from bursar.gateway.settings.values import Secret
from bursar.model.errors import BadInput

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
LOCAL = "http://127.0.0.1:4318"
EXTRA = "install it: pip install 'bursar[otel]'"
TOLD = (
    *("spans", "metrics", "unsampled", "labels", "most_series", "most_waiting", "linger_s"),
    *("interval_s", "timeout_s", "gzip"),
)


def otlp_options(settings: Settings, environ: Mapping[str, str]) -> OtlpOptions | None:
    """What a collector is to be told; None where nothing is. Raises BadInput for what is missing
    or does not hold."""
    otlp = settings.telemetry.otlp
    if not otlp.on:
        return None
    problem = next(otlp_problems(settings, environ), None)
    if problem is not None:
        raise BadInput(f"telemetry.otlp: {problem[0]}", mend=problem[1])
    url = collector_of(otlp, environ)
    secrets = _headers(otlp, environ)
    return OtlpOptions(
        endpoint=str(url),
        headers=lambda: {name: secret.reveal() for name, secret in secrets.items()},
        may_connect=partial(may_connect, private=url.private),
        servers=_servers(settings),
        **{name: getattr(otlp, name) for name in TOLD},
    )


def otlp_problems(settings: Settings, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(what is missing or wrong here, the mend)."""
    otlp = settings.telemetry.otlp
    missing = missing_for_otlp()
    if missing:
        yield f"{' and '.join(missing)} is not installed", EXTRA
    try:
        collector_of(otlp, environ)
    except ValueError as bad:
        yield f"{ENDPOINT} {bad}", "set telemetry.otlp.endpoint, or mend the variable"
    for name, reference in otlp.headers.items():
        if read_secret(reference, environ, blanks=True) is None:
            yield f"its header {name} ({reference}) is not there", "set it, or remove the header"
    if not otlp.headers:
        try:
            _headers_of(environ.get(HEADERS, ""))
        except ValueError as bad:
            yield f"{HEADERS} {bad}", "write name=value,name=value, with %2C for a comma"


def collector_of(otlp: Otlp, environ: Mapping[str, str]) -> BaseUrl:
    """Where the collector is. Raises ValueError for a variable that holds no such address."""
    text = otlp.endpoint or environ.get(ENDPOINT, "").strip() or LOCAL
    return collector_url(text, private=otlp.private)


def header_names(otlp: Otlp, environ: Mapping[str, str]) -> list[str]:
    """The headers that go along, without their values."""
    return list(otlp.headers) or list(_headers_of(environ.get(HEADERS, "")))


def _headers(otlp: Otlp, environ: Mapping[str, str]) -> dict[str, Secret]:
    if not otlp.headers:
        return _headers_of(environ.get(HEADERS, ""))
    found = {name: read_secret(one, environ, blanks=True) for name, one in otlp.headers.items()}
    return {name: secret for name, secret in found.items() if secret is not None}


def _headers_of(text: str) -> dict[str, Secret]:
    """`name=value,name=value`, with percent signs. Raises ValueError, which shows no value."""
    found: dict[str, Secret] = {}
    for pair in filter(str.strip, text.split(",")):
        name, equals, value = (part.strip() for part in pair.partition("="))
        value = unquote(value)
        if not equals or not name or not name.isascii() or not value.isprintable():
            raise ValueError("holds something that is no header (not shown)")
        found[name.lower()] = Secret(value)
    return found


def _servers(settings: Settings) -> dict[str, tuple[str, int]]:
    """Whose prices -> host and port, where one provider alone has these prices."""
    found: dict[str, set[tuple[str, int]]] = {}
    for one in settings.providers.values():
        if one.base_url is not None and one.prices is not None:
            url = base_url_of(one.base_url, private=one.private)
            found.setdefault(one.prices, set()).add((url.host, url.port))
    return {prices: servers.pop() for prices, servers in found.items() if len(servers) == 1}
