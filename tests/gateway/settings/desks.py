"""Settings texts, and desks that are made from them, for the tests of this folder."""

from __future__ import annotations

import textwrap
from hashlib import sha256

import pytest

from bursar.gateway.settings.desk import Desk, DeskOptions, open_desk
from bursar.gateway.settings.holders import Holder
from bursar.gateway.settings.reading import parse_settings
from bursar.gateway.settings.structs import Settings
from bursar.model.call import Tags
from bursar.model.errors import BadInput, Refused

ENVIRON = {"OPENAI_API_KEY": "sk-open", "ANTHROPIC_API_KEY": "sk-ant", "AWS_REGION": "us-east-1"}
SECRET = "s" * 43
Headers = list[tuple[bytes, bytes]]


def token(name: str, secret: str = SECRET) -> str:
    """A virtual key of the usual form."""
    return f"bsr_{name}_{secret}"


def digest(name: str, secret: str = SECRET) -> str:
    return sha256(token(name, secret).encode()).hexdigest()


def parsed(text: str, environ: dict[str, str] | None = None) -> Settings:
    content = textwrap.dedent(text).encode()
    return parse_settings(content, "bursar.yaml", ENVIRON if environ is None else environ)


def refused_text(text: str | bytes, environ: dict[str, str] | None = None) -> str:
    """What a person reads who loads a bad file."""
    content = text if isinstance(text, bytes) else textwrap.dedent(text).encode()
    with pytest.raises(BadInput) as caught:
        parse_settings(content, "bursar.yaml", ENVIRON if environ is None else environ)
    assert caught.value.mend
    return str(caught.value)


def desk_of(
    text: str = "", environ: dict[str, str] | None = None, now_s: float = 1_800_000_000
) -> Desk:
    environ = ENVIRON if environ is None else environ
    return open_desk(parsed(text, environ), DeskOptions(environ, clock=lambda: now_s))


def bearer(text: str | bytes) -> Headers:
    raw = text.encode() if isinstance(text, str) else text
    return [(b"content-type", b"application/json"), (b"authorization", b"Bearer " + raw)]


def holder(desk: Desk, *headers: tuple[bytes, bytes]) -> Holder | tuple[int, str]:
    """Who calls, or status and kind of the refusal."""
    try:
        return desk.holder(list(headers))
    except Refused as bad:
        return bad.status, bad.kind


def planned(desk: Desk, model: str | None, dialect: str = "openai_chat", **more: object) -> str:
    """`provider model route`, or status and kind of the refusal."""
    who = more.pop("holder", None) or desk.holder([])
    assert isinstance(who, Holder)
    tags = more.pop("tags", Tags())
    assert isinstance(tags, Tags)
    try:
        plan = desk.plan(who, dialect, model, tags, **more)  # type: ignore[arg-type]
    except Refused as bad:
        return f"{bad.status} {bad.kind}"
    return f"{plan.provider.name} {plan.model} {plan.route.name}"
