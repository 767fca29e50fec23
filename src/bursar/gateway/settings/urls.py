"""Base URLs that a settings file may name: never a way into the machine or its network.

Scheme and port come from a list, a host is a DNS name or an address in its one usual spelling, and
what is not public needs `private: true`. A name is resolved again at each connection, where the
connector refuses the same addresses; here only what is written can be judged.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

import msgspec

PORTS = {"https": 443, "http": 80}
FIRST_FREE_PORT = 1024
LONGEST_URL = 2_048
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/?")
_LOCAL_NAMES = ("localhost", "local", "internal", "localdomain", "lan", "home", "intranet")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class BaseUrl(msgspec.Struct, frozen=True):
    """Where a provider is."""

    scheme: str
    host: str
    port: int
    path: str
    """Without a slash at its end; may be empty."""
    private: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def base_url_of(text: str, *, private: bool) -> BaseUrl:
    """A base URL as written. Raises ValueError that says what is wrong with it."""
    parts = _split(text)
    if parts.scheme not in PORTS:
        raise ValueError("needs https://, or http:// with private: true")
    if "@" in parts.netloc:
        raise ValueError("must hold no user or password; name the key in `key`")
    if "?" in text or "#" in text:
        raise ValueError("must end with its path: no query, no fragment")
    path = parts.path
    if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise ValueError("has an odd path; letters, digits and . _ ~ - only, and no dot segments")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("has a port that is no port") from None
    port = PORTS[parts.scheme] if port is None else port
    if port not in PORTS.values() and port < FIRST_FREE_PORT:
        raise ValueError(f"has port {port}; allowed are 80, 443 and {FIRST_FREE_PORT} or above")
    host = (parts.hostname or "").lower()
    _check_host(host, private=private)
    if not private and parts.scheme != "https":
        raise ValueError("needs https://: plain http would show the key; or private: true")
    return BaseUrl(parts.scheme, host, port, path.rstrip("/"), private)


def _split(text: str) -> SplitResult:
    if not text.isascii() or not text.isprintable() or {" ", "\\"} & set(text):
        raise ValueError("must be plain ASCII; write an international name as xn--...")
    if len(text) > LONGEST_URL:
        raise ValueError("is too long")
    try:
        return urlsplit(text)
    except ValueError:
        raise ValueError("is no URL") from None


def _check_host(host: str, *, private: bool) -> None:
    address = address_of(host)
    if address is None:
        labels = host.split(".")
        if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
            raise ValueError("has no host, or one that is no DNS name")
        if not labels[-1][:1].isalpha():
            raise ValueError("has an address in an odd spelling; write it as 192.0.2.1")
        local = len(labels) == 1 or labels[-1] in _LOCAL_NAMES
        if local and not private:
            raise ValueError(f"names {host}, which is no public host; add private: true")
        return
    if never_allowed(address):
        raise ValueError(
            "is a link-local, multicast or unspecified address, which is never allowed"
        )
    if not private and not public(address):
        raise ValueError("is a private address; add private: true if it is meant")


def address_of(host: str) -> Address | None:
    """The address that a host is, in its usual spelling; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


def public(address: Address) -> bool:
    """Reachable on the internet, and not by another spelling of something private."""
    inner = _inner(address)
    return inner.is_global and not inner.is_multicast


def never_allowed(address: Address) -> bool:
    """Link-local (cloud metadata), multicast, unspecified: no provider lives there."""
    inner = _inner(address)
    return inner.is_link_local or inner.is_multicast or inner.is_unspecified
