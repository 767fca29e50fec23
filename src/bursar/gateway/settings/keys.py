"""Keys: those of clients, checked in constant time, and those of providers, looked up by name.

A virtual key is `bsr_<public id>_<secret>` with 256 random bits; settings hold its SHA-256, which
needs no slow hash at that entropy. An unknown id is compared with a decoy, so that it costs and
answers the same as a wrong secret. A provider's key comes from the environment or a file and lives
in a `Secret`; no error text ever holds what was read.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from bursar.gateway.settings.checking import KEY_ID
from bursar.gateway.settings.structs import VirtualKey
from bursar.gateway.settings.values import Secret
from bursar.model.errors import BadInput, Refused

Headers = Sequence[tuple[bytes, bytes]]

PREFIX = "bsr"
SECRET_BYTES = 32
LONGEST_KEY = 1_024
LARGEST_KEY_FILE = 16_384
KEY_TEXT = re.compile(rb"bsr_([a-z0-9][a-z0-9-]{0,62})_[A-Za-z0-9_-]{1,256}")
CHALLENGE = ((b"www-authenticate", b'Bearer realm="bursar"'),)
BEARER = b"bearer "
SIGV4 = b"AWS4-HMAC-SHA256 "
SIGV4_KEY = re.compile(rb"AWS4-HMAC-SHA256 +Credential=([^/,\s]{1,1024})/")
ID_ALONE = re.compile(rb"[a-z0-9][a-z0-9-]{0,62}")


class Registered(msgspec.Struct, frozen=True):
    """A virtual key as the look-up needs it."""

    id: str
    digest: bytes
    rules: VirtualKey


class KeyRing:
    """All virtual keys."""

    def __init__(self, keys: Mapping[str, VirtualKey]) -> None:
        self._decoy = Registered("", secrets.token_bytes(32), VirtualKey(sha256=""))
        self._keys = {
            name.encode(): Registered(name, bytes.fromhex(one.sha256), one)
            for name, one in keys.items()
        }

    def find(self, headers: Headers) -> Registered:
        """Whose key a request holds. Raises Refused: 401, or 400 for two different keys."""
        found: tuple[bytes, bool] | None = None
        for name, value in headers:
            read = CREDENTIALS.get(name)
            if read is None:
                continue
            credential = read(value)
            if found is not None and credential != found:
                raise Refused(
                    400,
                    "two_keys",
                    "the request holds two different keys",
                    mend="send one key, in one header",
                )
            found = credential
        if found is None:
            raise Refused(
                401,
                "missing_key",
                "the request holds no key",
                mend="send a key of this gateway as `Authorization: Bearer` or `x-api-key`",
                headers=CHALLENGE,
            )
        return self._checked(*found)

    def _checked(self, text: bytes, by_id: bool) -> Registered:
        if len(text) > LONGEST_KEY:
            raise unknown_key()
        shape = KEY_TEXT.fullmatch(text)
        known = self._keys.get(shape[1] if shape else text, self._decoy)
        same = hmac.compare_digest(sha256(text).digest(), known.digest)
        if not same and not (by_id and known.rules.sigv4_by_id and ID_ALONE.fullmatch(text)):
            raise unknown_key()
        return known


def unknown_key() -> Refused:
    """The one answer to every key that is none."""
    return Refused(
        401,
        "unknown_key",
        "the key is not one of this gateway",
        mend="check the key; a provider's own key is not taken here",
        headers=CHALLENGE,
    )


def _authorization(value: bytes) -> tuple[bytes, bool]:
    if value[:7].lower() == BEARER:
        return value[7:], False
    if value.startswith(SIGV4) and (found := SIGV4_KEY.match(value)):
        return found[1], found[1][:4] != b"bsr_"
    return b"", False


def _plain(value: bytes) -> tuple[bytes, bool]:
    return value, False


CREDENTIALS: dict[bytes, Callable[[bytes], tuple[bytes, bool]]] = {
    b"authorization": _authorization,
    b"x-api-key": _plain,
    b"api-key": _plain,
}
"""Header -> how its key is read: the key, and whether it may be an id alone (AWS clients)."""


def new_key(name: str) -> tuple[str, str]:
    """A fresh virtual key and its SHA-256 in hex. Raises BadInput for a bad id."""
    if not KEY_ID.fullmatch(name):
        raise BadInput(
            f"{name!r} cannot be the id of a key",
            mend="use lower-case letters, digits and -, at most 63",
        )
    text = f"{PREFIX}_{name}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return text, sha256(text.encode()).hexdigest()


def read_secret(
    reference: str, environ: Mapping[str, str], *, blanks: bool = False
) -> Secret | None:
    """The secret that `env:NAME` or `file:/path` names; None where there is none. `blanks`: it may
    hold some, as a whole header does.

    Raises BadInput, without a word of what was read, where it can be no key.
    """
    kind, _, place = reference.partition(":")
    text = environ.get(place) if kind == "env" else _text_of(Path(place))
    text = text.strip() if text else None
    if not text:
        return None
    odd = not (text.isascii() and text.isprintable()) or (" " in text and not blanks)
    if odd or len(text) > LARGEST_KEY_FILE:
        raise BadInput(
            f"{reference} holds something that can be no key (not shown)",
            mend="it should hold the key alone: one line of printable ASCII without blanks",
        )
    return Secret(text)


def _text_of(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return stream.read(LARGEST_KEY_FILE + 2).decode("utf-8", "replace")
    except OSError:
        return None
