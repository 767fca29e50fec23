"""AWS Signature Version 4, as the receiver checks it."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"
_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=([^/, ]+)/(\d{{8}})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request,"
    r" ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)


def access_key_of(authorization: str) -> str | None:
    """The access key that a request says it is signed with, or None."""
    found = _AUTHORIZATION.fullmatch(authorization.strip())
    return found.group(1) if found else None


def is_signed(
    method: str, target: str, headers: Mapping[str, str], body: bytes, secret: str
) -> bool:
    """Whether the signature is right. `target`: as sent; `headers`: names in lower case."""
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", "").strip())
    if found is None:
        return False
    _, day, region, service, signed, signature = found.groups()
    path, _, query = target.partition("?")
    names = signed.split(";")
    lines = [f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in names]
    request = "\n".join(
        (
            *(method, quote(path, safe="/~-_."), _sorted(query), "".join(lines), signed),
            headers.get("x-amz-content-sha256") or sha256(body).hexdigest(),
        )
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    stamp = headers.get("x-amz-date", "")
    text = "\n".join((ALGORITHM, stamp, scope, sha256(request.encode()).hexdigest()))
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), signature)


def _sorted(query: str) -> str:
    return "&".join(
        sorted(part if "=" in part else f"{part}=" for part in query.split("&") if part)
    )
