"""The providers that are known by name, and how each dialect sends its key: rows, not branches."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bursar.gateway.settings.structs import Auth, ProviderSettings, Settings

OPENAI_DIALECTS = ("openai_chat", "openai_responses", "openai_embeddings")
PRESETS = {
    "openai": ProviderSettings(
        dialects=OPENAI_DIALECTS,
        base_url="https://api.openai.com/v1",
        key="env:OPENAI_API_KEY",
        prices="openai",
    ),
    "anthropic": ProviderSettings(
        dialects=("anthropic_messages",),
        base_url="https://api.anthropic.com",
        key="env:ANTHROPIC_API_KEY",
        prices="anthropic",
    ),
    "bedrock": ProviderSettings(
        dialects=("bedrock_converse", "bedrock_invoke"), key="aws", prices="aws"
    ),
}
AUTH_OF: dict[str, Auth] = {"anthropic_messages": "x-api-key"}
"""How a dialect's own clients send a key; the others send a bearer token."""
CHAT_DIALECTS = (
    "openai_chat",
    "openai_responses",
    "anthropic_messages",
    "bedrock_converse",
    "bedrock_invoke",
)
"""Dialects of conversations: a call in one of them may be turned into another."""
SPOKEN = (*CHAT_DIALECTS, "openai_embeddings")
"""Dialects that the gateway serves."""
AWS = "aws"
BEDROCK_DIALECTS = ("bedrock_converse", "bedrock_invoke")


def with_presets(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The settings with what is known of each provider filled in."""
    given = settings.providers or {name: ProviderSettings() for name in PRESETS}
    filled = {name: _filled(name, one, environ) for name, one in given.items()}
    return msgspec.structs.replace(settings, providers=filled)


def _filled(name: str, given: ProviderSettings, environ: Mapping[str, str]) -> ProviderSettings:
    preset = PRESETS.get(name, ProviderSettings(dialects=OPENAI_DIALECTS, prices=name))
    dialects = given.dialects or preset.dialects
    key = given.key or preset.key or f"env:{env_name(name)}"
    region = given.region
    if region is None and not set(dialects).isdisjoint(BEDROCK_DIALECTS):
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    return msgspec.structs.replace(
        given,
        dialects=dialects,
        base_url=given.base_url or preset.base_url or _bedrock_url(dialects, region),
        key=key,
        auth=given.auth or _auth_of(key, dialects),
        region=region,
        prices=given.prices or preset.prices,
    )


def env_name(provider: str) -> str:
    """`my-vllm` as MY_VLLM_API_KEY."""
    return "".join(one if one.isalnum() else "_" for one in provider).upper() + "_API_KEY"


def _auth_of(key: str, dialects: tuple[str, ...]) -> Auth:
    if key in (AWS, "none"):
        return "sigv4" if key == AWS else "none"
    return AUTH_OF.get(dialects[0], "bearer")


def _bedrock_url(dialects: tuple[str, ...], region: str | None) -> str | None:
    if region is None or set(dialects).isdisjoint(BEDROCK_DIALECTS):
        return None
    china = ".cn" if region.startswith("cn-") else ""
    return f"https://bedrock-runtime.{region}.amazonaws.com{china}"
