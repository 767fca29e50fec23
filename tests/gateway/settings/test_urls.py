"""Base URLs: bad_inputs 22 to 26, and what is fine."""

from __future__ import annotations

import pytest

from bursar.gateway.settings.urls import base_url_of
from gateway.settings.desks import parsed, refused_text

ALWAYS = [
    "http://169.254.169.254/",
    "http://[fe80::1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://224.0.0.1/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1./",
    "https://user:pw@host.example.com/",
    "https://user@host.example.com/",
    "https://a.example.com\\@b.example.com/",
    "file:///etc/passwd",
    "gopher://host.example.com/",
    "ftp://host.example.com/",
    "//host.example.com/",
    "host.example.com/v1",
    "https://host.example.com:25/",
    "https://host.example.com:22/",
    "https://host.example.com:0/",
    "https://host.example.com:99999/",
    "https://host.example.com:x/",
    "https://host.example.com/v1?key=a",
    "https://host.example.com/v1#a",
    "https://host.example.com/../admin",
    "https://host.example.com/%2e%2e",
    "https://host.example.com/a b",
    "https://host.example.com/\r\nx: y",
    "https://exa mple.com/",
    "https://-a.example.com/",
    "https://a..example.com/",
    "https://a_b.example.com/",
    "https://ex\u00e4mple.com/",
    "https://",
    "https://[::1",
    "",
    "https://" + "a" * 3000,
]
PRIVATE = [
    "http://127.0.0.1:8000/v1",
    "http://localhost:11434",
    "https://10.0.0.1/",
    "https://192.168.1.1/",
    "https://172.16.0.1/",
    "https://100.64.0.1/",
    "https://[::1]/",
    "https://[fd00::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[2002:7f00:1::]/",
    "https://vllm/",
    "https://vllm.internal/",
    "https://metadata.google.internal/",
    "https://a.localhost/",
    "http://public.example.com/",
]


@pytest.mark.parametrize("url", ALWAYS)
@pytest.mark.parametrize("private", [False, True])
def test_never_allowed(url: str, private: bool) -> None:
    with pytest.raises(ValueError):
        base_url_of(url, private=private)


@pytest.mark.parametrize("url", PRIVATE)
def test_only_where_it_is_meant(url: str) -> None:
    with pytest.raises(ValueError):
        base_url_of(url, private=False)
    assert base_url_of(url, private=True).private


@pytest.mark.parametrize(
    ("url", "again"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://API.example.com:443/v1/", "https://api.example.com/v1"),
        ("https://api.example.com:8443", "https://api.example.com:8443"),
        ("https://8.8.8.8/", "https://8.8.8.8"),
        ("https://[2606:4700::1]/x", "https://[2606:4700::1]/x"),
    ],
)
def test_public_ones(url: str, again: str) -> None:
    found = base_url_of(url, private=False)
    assert str(found) == again
    assert base_url_of(str(found), private=False) == found


def test_in_a_file() -> None:
    text = "providers:\n  vllm:\n    base_url: http://10.1.1.1:8000/v1\n"
    told = refused_text(text)
    assert told.startswith("bursar.yaml:3: providers.vllm.base_url ")
    assert "private: true" in told
    assert parsed(text + "    private: true\n").providers["vllm"].private
