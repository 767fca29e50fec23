"""`telemetry` in bursar.yaml: what is refused, what the environment adds, what `check` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bursar import extras
from bursar.gateway.settings import telemetry
from bursar.gateway.settings.reading import parse_settings
from bursar.gateway.settings.structs import Settings
from bursar.gateway.settings.telemetry import ENDPOINT, HEADERS, LOCAL, otlp_options
from bursar.gateway.tally import found
from bursar.gateway.telling import SAY_S, Fates
from bursar.model.errors import BadInput
from trials import bursar

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

FAR = "https://otel.example.com/otlp"


def read(**otlp: Any) -> Settings:
    file = {"telemetry": {"otlp": {"on": True, **otlp}}}
    return parse_settings(json.dumps(file).encode(), "bursar.yaml", {})


def test_off_unless_it_is_on() -> None:
    assert otlp_options(Settings(), {ENDPOINT: FAR}) is None
    assert otlp_options(read(on=False, endpoint=FAR), {}) is None


@pytest.mark.parametrize(
    ("otlp", "environ", "endpoint"),
    [
        ({"endpoint": FAR + "/"}, {}, FAR),
        ({}, {ENDPOINT: FAR}, FAR),
        ({"endpoint": FAR}, {ENDPOINT: "https://another.example.com"}, FAR),
        ({}, {}, LOCAL),
        ({"endpoint": "http://localhost:4318"}, {}, "http://localhost:4318"),
        ({"endpoint": "http://10.0.0.9:4318", "private": True}, {}, "http://10.0.0.9:4318"),
    ],
)
def test_where_it_is(otlp: dict[str, Any], environ: dict[str, str], endpoint: str) -> None:
    options = otlp_options(read(**otlp), environ)
    assert options is not None
    assert options.endpoint == endpoint
    assert not options.may_connect("169.254.169.254")
    assert options.may_connect("127.0.0.1") == ("example" not in endpoint)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://otel.example.com",
        "http://10.0.0.9:4318",
        "https://169.254.169.254/latest",
        "https://user:word@otel.example.com",
        "https://otel.example.com/?key=1",
        "https://0x7f.1",
        "ftp://otel.example.com",
        "http://[::1",
    ],
)
def test_addresses_that_are_refused(endpoint: str) -> None:
    with pytest.raises(BadInput, match=r"bursar\.yaml:1: telemetry\.otlp\.endpoint"):
        read(endpoint=endpoint)
    with pytest.raises(BadInput, match=ENDPOINT):
        otlp_options(read(), {ENDPOINT: endpoint})


def test_headers_are_read_and_never_shown(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("Basic c2VjcmV0\n")
    headers = {"authorization": f"file:{key}", "x-team": "env:TEAM"}
    options = otlp_options(read(endpoint=FAR, headers=headers), {"TEAM": "core"})
    assert options is not None
    assert options.headers() == {"authorization": "Basic c2VjcmV0", "x-team": "core"}
    assert "c2VjcmV0" not in repr(options)


def test_headers_of_the_environment() -> None:
    environ = {HEADERS: "Authorization=Basic%20abc%3D, x-team=core"}
    options = otlp_options(read(endpoint=FAR), environ)
    assert options is not None
    assert options.headers() == {"authorization": "Basic abc=", "x-team": "core"}
    named = otlp_options(read(endpoint=FAR, headers={"x-a": "env:A"}), {**environ, "A": "1"})
    assert named is not None
    assert named.headers() == {"x-a": "1"}


@pytest.mark.parametrize(
    ("headers", "environ", "words"),
    [
        ({"x-a": "env:ABSENT"}, {}, "x-a"),
        ({}, {HEADERS: "no equals sign"}, HEADERS),
        ({}, {HEADERS: "a=b%0d%0aevil: 1"}, HEADERS),
    ],
)
def test_headers_that_are_missing_or_none(
    headers: dict[str, str], environ: dict[str, str], words: str
) -> None:
    with pytest.raises(BadInput, match=words) as raised:
        otlp_options(read(endpoint=FAR, headers=headers), environ)
    assert "evil" not in str(raised.value)


@pytest.mark.parametrize(
    ("otlp", "words"),
    [
        ({"headers": {"authorization": "Bearer sk-1"}}, "no reference"),
        ({"headers": {"content-length": "env:A"}}, "cannot be set"),
        ({"headers": {"A b": "env:A"}}, "cannot be set"),
        ({"labels": ["session"]}, "any number"),
        ({"most_waiting": 0}, "out of range"),
        ({"endpiont": FAR}, "did you mean endpoint"),
    ],
)
def test_settings_that_are_refused(otlp: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words) as raised:
        read(**otlp)
    assert "sk-1" not in str(raised.value)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "missing_for_otlp", lambda: ["opentelemetry-sdk"])
    with pytest.raises(BadInput, match=r"opentelemetry-sdk is not installed\n.*bursar\[otel\]"):
        otlp_options(read(), {})
    monkeypatch.setattr(extras, "OTLP_PACKAGES", {"bursar_absent.part": "p", "requests": "r"})
    assert extras.missing_for_otlp() == ["p"]


def test_servers_are_named_where_one_provider_has_the_prices() -> None:
    near = {"base_url": "https://near.example.com/v1", "prices": "openai"}
    file: dict[str, Any] = {"telemetry": {"otlp": {"on": True}}, "providers": {"openai": {}}}
    one = otlp_options(parse_settings(json.dumps(file).encode(), "f", {}), {})
    file["providers"]["near"] = near
    two = otlp_options(parse_settings(json.dumps(file).encode(), "f", {}), {})
    assert one is not None
    assert two is not None
    assert one.servers == {"openai": ("api.openai.com", 443)}
    assert two.servers == {}


def test_check_explains_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_TOKEN", raising=False)
    otlp = {"on": True, "endpoint": FAR, "headers": {"authorization": "env:OTEL_TOKEN"}}
    path = tmp_path / "bursar.yaml"
    path.write_text(json.dumps({"telemetry": {"otlp": otlp}}))
    run = bursar("check", path, home=tmp_path)
    assert run.code == 0
    for words in (
        f"OTLP: spans and metrics to {FAR}, headers authorization",
        "metrics by tenant, route, each 60s",
        "at most 10000 attempts wait",
        "its header authorization (env:OTEL_TOKEN) is not there; the gateway does not start",
    ):
        assert words in run.text, words
    assert bursar("check", path, "--json", home=tmp_path).json["telemetry"]


def test_losses_are_counted_and_said_at_most_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1_000.0
    monkeypatch.setattr("bursar.gateway.telling.time.monotonic", lambda: now_s)
    said: list[str] = []
    place = tmp_path / "keeper.counts"
    fates = Fates(place, said.append)
    fates.note("sent", 7)
    assert said == []
    fates.note("no_room", 2)
    fates.note("no_room", 3)
    fates.note("metrics_refused", 1)
    assert len(said) == 1
    now_s += SAY_S
    fates.note("uncertain", 1)
    assert said[1].endswith("metrics_refused 1, no_room 3, uncertain 1")
    fates.close()
    again = Fates(place, said.append)
    again.note("sent", 1)
    again.close()
    assert found(place).spans == {("sent",): 8, ("no_room",): 5, ("uncertain",): 1}
    assert len(said) == 2
