"""Find the model that a log line means: provider names, model ids, ARNs, gateway prefixes.

Logs name the same model in many ways (`bedrock/us.anthropic.x`, an ARN, `models/gemini-...`). The
id as given is always tried first, exactly as genai-prices would; spellings follow only where that
finds nothing. Nothing is guessed across providers: a known provider without the model is Unpriced.
"""

from __future__ import annotations

import re
from datetime import date
from urllib.parse import unquote

import msgspec

from bursar.model.errors import Unpriced
from bursar.price.overlay import Overlay
from bursar.price.table import Clause, ModelRow, ProviderRow, Table, matches

BY_MODEL = "*"
"""An alias of a router: it says nothing of who served the model."""
BEDROCK = "aws"

BEDROCK_ID = re.compile(
    r"^(?:(?:us|eu|apac|jp|au|ca|in|uk|sa|me|af|us-gov|global)\.)?"
    r"(?:anthropic|amazon|meta|mistral|cohere|ai21|deepseek|openai|qwen|stability|writer|"
    r"twelvelabs|luma|google|nvidia|moonshotai|moonshot|minimax|zai)\.[a-z][a-z0-9]*[-.].*$"
)
"""`vendor.model`, with or without a cross-region profile."""
ARN = re.compile(r"^arn:aws[a-z-]*:bedrock:[^:]*:[^:]*:([a-z-]+)/(.+)$")
NAMED_ARNS = ("foundation-model", "inference-profile")
"""ARN kinds that end in a model id."""
COMPACT_DATE = re.compile(r"(-)(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


class Found(msgspec.Struct, frozen=True):
    """Who is priced: the provider that serves, and the source's row where it has one."""

    provider: str
    ref: str
    """The model id in the form that was found."""
    row: ModelRow | None
    hosted: bool = False
    """True: the row belongs to another provider, whose model this one serves."""


class Names:
    """Look-up of models by the names that logs use. Holds nothing but the tables."""

    def __init__(self, table: Table, overlay: Overlay) -> None:
        self._providers = {provider.id: provider for provider in table.providers}
        self._overlay = overlay
        self._source = table.source
        self._models_of_overlay = {
            (row.provider, row.pattern) for row in overlay.prices if not _is_glob(row.pattern)
        }

    def find(self, provider: str | None, model: str | None) -> Found:
        """The model that a provider name and a model id mean. Raises Unpriced with the reason."""
        if not isinstance(model, str) or not model.strip():
            raise Unpriced("the model is not known", mend="log the model's id with each call")
        ref = unquote(model.strip()).lower()
        asked = provider.strip().lower() if isinstance(provider, str) else ""
        profile = self._overlay.profiles.get(ref)
        if profile is not None:
            asked, ref = profile[0].lower(), profile[1].lower()
        arn = ARN.match(ref)
        if arn is not None:
            asked, ref = BEDROCK, _arn_model(arn, model)
        if not asked or self._overlay.aliases.get(asked) == BY_MODEL:
            return self._by_model(ref)
        row = self.provider(asked)
        if row is None:
            raise Unpriced(
                f"the provider {provider!r} is not known",
                mend=f'say whose prices it has: [[alias]] name = "{asked}", provider = "openai"',
            )
        return self._at_provider(row, ref)

    def provider(self, asked: str) -> ProviderRow | None:
        """The provider that a lower-case name means, or None."""
        known = self._providers.get(self._overlay.aliases.get(asked, asked))
        if known is not None:
            return known
        for row in self._providers.values():
            if row.provider_match is not None and matches(row.provider_match, asked):
                return row
        if any(price.provider == asked for price in self._overlay.prices):
            return ProviderRow(asked, asked, None, None, (), ())
        return None

    def _by_model(self, ref: str) -> Found:
        if BEDROCK_ID.match(ref) and BEDROCK in self._providers:
            return self._at_provider(self._providers[BEDROCK], ref)
        prefix, slash, rest = ref.partition("/")
        if slash:
            owner = self._prefix_owner(prefix)
            if owner is not None:
                return self._at_provider(owner, rest)
        for row in self._providers.values():
            if row.model_match is not None and matches(row.model_match, ref):
                return self._at_provider(row, ref)
        makers = [row for row in self._providers.values() if row.model_match is not None]
        listing = [row for row in makers if _match(row, ref) is not None]
        if len(listing) == 1:
            return self._at_provider(listing[0], ref)
        raise Unpriced(
            f"no provider was named, and none is known for the model {ref!r}",
            mend="log the provider with each call, or add a [[price]] to an overlay",
        )

    def _prefix_owner(self, prefix: str) -> ProviderRow | None:
        if prefix in self._overlay.never_prefixes:
            return None
        return self._providers.get(self._overlay.aliases.get(prefix, prefix))

    def _at_provider(self, provider: ProviderRow, ref: str) -> Found:
        spellings = list(self._spellings(provider, ref))
        for spelling in spellings:
            if (provider.id, spelling) in self._models_of_overlay:
                return Found(provider.id, spelling, self._row(provider, spelling)[0])
            row, hosted = self._row(provider, spelling)
            if row is not None:
                return Found(provider.id, spelling, row, hosted)
        return Found(provider.id, spellings[-1], None)

    def _spellings(self, provider: ProviderRow, ref: str) -> list[str]:
        found = [ref]
        if "/models/" in ref or ref.startswith("models/"):
            found.append(ref.rpartition("models/")[2])
        prefix, slash, rest = ref.partition("/")
        while slash and (
            self._prefix_owner(prefix) is provider or (provider.id == BEDROCK and rest)
        ):
            found.append(rest)
            prefix, slash, rest = rest.partition("/")
        return found

    def _row(self, provider: ProviderRow, ref: str) -> tuple[ModelRow | None, bool]:
        dashed = _dashed_dates(ref)
        for spelling in (ref,) if dashed == ref else (ref, dashed):
            row = _match(provider, spelling)
            if row is not None:
                return row, False
            for fallback in provider.fallback:
                row = _match(self._providers[fallback], spelling)
                if row is not None:
                    return row, True
        return None, False

    def elsewhere(self, found: Found) -> str:
        """Who else lists the model, for the mend of an unpriced one; "" when nobody does."""
        owners = [row.id for row in self._providers.values() if _match(row, found.ref) is not None]
        return ", ".join(owners[:3])


def _match(provider: ProviderRow, ref: str) -> ModelRow | None:
    for row in provider.models:
        if matches(row.match, ref):
            return row
    return None


def _arn_model(arn: re.Match[str], given: str) -> str:
    kind, name = arn.group(1), arn.group(2)
    if kind in NAMED_ARNS:
        return name
    if kind == "application-inference-profile":
        raise Unpriced(
            f"the ARN of an application inference profile names no model: {given}",
            mend=f'add to an overlay: [[profile]] arn = "{given}", model = "the model it copies"',
        )
    raise Unpriced(
        f"a Bedrock {kind} is not billed by a public token price: {given}",
        mend=f'add to an overlay: [[profile]] arn = "{given}", model = "...", and its [[price]]',
    )


def _dashed_dates(ref: str) -> str:
    """`gpt-5.2-20251211` as `gpt-5.2-2025-12-11`: gateways write compact dates."""

    def dashed(found: re.Match[str]) -> str:
        year, month, day = (int(found.group(n)) for n in (2, 3, 4))
        try:
            date(year, month, day)
        except ValueError:
            return found.group(0)
        return f"-{year:04d}-{month:02d}-{day:02d}"

    return COMPACT_DATE.sub(dashed, ref)


def _is_glob(pattern: str) -> bool:
    return any(sign in pattern for sign in "*?[")


def clause_texts(clause: Clause) -> list[str]:
    """The plain names inside a clause, for listing and look-up."""
    if clause.parts:
        return [text for part in clause.parts for text in clause_texts(part)]
    return [] if clause.op == "regex" else [clause.text]
