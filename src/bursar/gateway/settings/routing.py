"""Where a call goes: the first route that fits, else the model's rule, else the dialect's provider.

Whoever chooses, the key must be allowed to go there; nothing is allowed by being forgotten. What
the choice depends on is known beforehand, so a decision is made once and then looked up.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bursar.gateway.http.incoming import Waits
from bursar.gateway.http.upstream import Origin
from bursar.gateway.settings.checking import DEFAULT_ROUTE
from bursar.gateway.settings.holders import Holder
from bursar.gateway.settings.keys import Headers
from bursar.gateway.settings.presets import CHAT_DIALECTS
from bursar.gateway.settings.structs import (
    Calls,
    Disconnect,
    ProviderSettings,
    Route,
    Settings,
    Timeouts,
    UnpricedPolicy,
    When,
)
from bursar.gateway.settings.urls import BaseUrl, base_url_of
from bursar.gateway.settings.values import Bounded, Matcher, Secret, any_of, matcher_of
from bursar.model.call import Tags
from bursar.model.errors import Refused

LONGEST_MODEL = 2_048
CACHED = 4_096
UNKNOWN = BaseUrl("https", "", 443, "", False)
"""Of a provider that cannot be called, since its region is missing."""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider, ready to be called."""

    name: str
    dialects: tuple[str, ...]
    origin: Origin
    base_path: bytes
    """Stands before the path of each request; no slash at its end."""
    auth: str
    key: str
    """The reference to its key."""
    secret: Secret | None
    region: str | None
    headers: tuple[tuple[bytes, bytes], ...]
    prices: str
    """Its name in the price book."""
    timeouts: Timeouts
    without: str | None = None
    """Why it cannot be called now; None: it can."""


class RouteRule(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the calls of a route: every default filled in."""

    name: str
    disconnect: Disconnect
    drain_s: float
    drain_bytes: int
    answer_s: float | None
    unpriced: UnpricedPolicy
    max_prompt_bytes: int | None
    max_prompt_tokens: int | None
    max_output_tokens: int | None
    default_output_tokens: int | None
    least_output_tokens: int
    large_request_tokens: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a call."""

    provider: Provider
    model: str | None
    """The model to ask the provider for; None: the request names none."""
    dialect: str
    """The wire format to speak to the provider; other than the client's where the provider does
    not speak that one."""
    route: RouteRule
    waits: Waits


class _Way(msgspec.Struct, frozen=True, kw_only=True):
    """A route, compiled."""

    rule: RouteRule
    timeouts: Timeouts
    provider: str | None
    model: str | None
    models: Matcher | None
    dialects: frozenset[str]
    path: Matcher | None
    headers: tuple[tuple[bytes, Matcher], ...]
    tags: tuple[tuple[str, Matcher], ...]
    keys: frozenset[str]


class Question(msgspec.Struct, frozen=True):
    """All that a decision depends on."""

    holder: Holder
    dialect: str
    model: str | None
    path: str
    headers: tuple[str, ...]
    """Values of the headers that routes look at, in their order; "" for none."""
    tags: tuple[str | None, ...]


class Router:
    """Routes, model rules and providers, ready for calls."""

    def __init__(self, settings: Settings, providers: Mapping[str, Provider]) -> None:
        self._providers = providers
        self._models = [(matcher_of(one.match), one) for one in settings.models]
        self._unlisted = settings.unlisted_models
        self._ways = [_way(one, settings.calls) for one in settings.routes]
        self._rest = _way(Route(name=DEFAULT_ROUTE), settings.calls)
        self._calls = settings.calls
        whens = [one.when for one in settings.routes]
        self._reads_path = any(one.path is not None for one in whens)
        self._headers = tuple(dict.fromkeys(name.encode() for one in whens for name in one.headers))
        self._tags = tuple(dict.fromkeys(name for one in whens for name in one.tags))
        self._simple = not (self._reads_path or self._headers or self._tags)
        self._cache: Bounded[Plan] = Bounded(CACHED)

    def plan(
        self,
        holder: Holder,
        dialect: str,
        model: str | None,
        tags: Tags,
        target: bytes = b"",
        headers: Headers = (),
    ) -> Plan:
        """Where a call goes. Raises Refused 400, 403, 404 or 503."""
        if self._simple:
            path, values, tagged = "", (), ()
        else:
            path, values, tagged = self._seen(tags, target, headers)
        key = (holder.key_id, dialect, model, path, values, tagged)
        found = self._cache.get(key)
        if found is not None:
            return found
        plan = self._decided(Question(holder, dialect, model, path, values, tagged))
        if len(path) + sum(map(len, values)) <= LONGEST_MODEL:
            self._cache.keep(key, plan)
        return plan

    def _seen(
        self, tags: Tags, target: bytes, headers: Headers
    ) -> tuple[str, tuple[str, ...], tuple[str | None, ...]]:
        path = target.partition(b"?")[0].decode("latin-1") if self._reads_path else ""
        values: tuple[str, ...] = ()
        if self._headers:
            held = dict(headers)
            values = tuple(held.get(name, b"").decode("latin-1") for name in self._headers)
        return path, values, tuple(_tag(tags, name) for name in self._tags)

    def _decided(self, asked: Question) -> Plan:
        model, holder = asked.model, asked.holder
        if model is not None and not (0 < len(model) <= LONGEST_MODEL and model.isprintable()):
            raise Refused(400, "bad_model", "the model is no name", mend="send a model's name")
        if model is not None and holder.models is not None and not holder.models(model):
            raise _forbidden("model_not_allowed", "may not ask for this model")
        way = next((one for one in self._ways if self._takes(one, asked)), self._rest)
        if holder.routes is not None and way.rule.name not in holder.routes:
            raise _forbidden("route_not_allowed", f"may not take the route {way.rule.name}")
        provider, named = self._chosen(way, asked)
        if holder.providers is not None and provider.name not in holder.providers:
            raise _forbidden("provider_not_allowed", f"may not use the provider {provider.name}")
        spoken = self._spoken(provider, asked.dialect)
        if provider.without is not None:
            raise Refused(
                503,
                "provider_not_ready",
                f"the provider {provider.name} cannot be called: {provider.without}",
                mend="this is for whoever runs the gateway: bursar check says what is missing",
            )
        waits = _waits(way.timeouts, provider.timeouts, self._calls.timeouts)
        return Plan(provider=provider, model=named, dialect=spoken, route=way.rule, waits=waits)

    def _takes(self, way: _Way, asked: Question) -> bool:
        if way.dialects and asked.dialect not in way.dialects:
            return False
        if way.keys and asked.holder.key_id not in way.keys:
            return False
        if way.models is not None and (asked.model is None or not way.models(asked.model)):
            return False
        if way.path is not None and not way.path(asked.path):
            return False
        for name, fits in way.headers:
            value = asked.headers[self._headers.index(name)]
            if not value or not fits(value):
                return False
        for name, fits in way.tags:
            tag = asked.tags[self._tags.index(name)]
            if tag is None or not fits(tag):
                return False
        return True

    def _chosen(self, way: _Way, asked: Question) -> tuple[Provider, str | None]:
        """Who answers, and by which name of the model."""
        named = way.model or asked.model
        if way.provider is not None:
            return self._providers[way.provider], named
        if named is not None:
            for fits, rule in self._models:
                if fits(named):
                    return self._providers[rule.provider], rule.model or named
            if self._unlisted == "refuse" and way.model is None:
                raise Refused(
                    404,
                    "unknown_model",
                    "this gateway has no such model",
                    mend="ask for one that bursar.yaml lists under models",
                )
        for one in self._providers.values():
            if asked.dialect in one.dialects:
                return one, named
        raise Refused(
            404,
            "no_provider",
            f"no provider of this gateway speaks {asked.dialect}",
            mend="add one to bursar.yaml, or a rule under models",
        )

    def _spoken(self, provider: Provider, dialect: str) -> str:
        if dialect in provider.dialects:
            return dialect
        if dialect in CHAT_DIALECTS:
            other = next((one for one in provider.dialects if one in CHAT_DIALECTS), None)
            if other is not None:
                return other
        raise Refused(
            400,
            "dialect_not_spoken",
            f"the provider {provider.name} cannot carry a call in {dialect}",
            mend="ask for another model, or change its rule in bursar.yaml",
        )


def compiled(
    name: str, given: ProviderSettings, secret: Secret | None, without: str | None
) -> Provider:
    """A provider of the settings, ready to be called."""
    base = UNKNOWN if given.base_url is None else base_url_of(given.base_url, private=given.private)
    if base is UNKNOWN:
        without = without or "its AWS region is not known"
    return Provider(
        name=name,
        dialects=given.dialects,
        origin=Origin(base.scheme, base.host, base.port, base.private),
        base_path=base.path.encode(),
        auth=given.auth or "none",
        key=given.key or "none",
        secret=secret,
        region=given.region,
        headers=tuple((one.encode(), value.encode()) for one, value in given.headers.items()),
        prices=given.prices or name,
        timeouts=given.timeouts,
        without=without,
    )


def _forbidden(kind: str, what: str) -> Refused:
    return Refused(403, kind, f"this key {what}", mend="ask whoever gave you the key")


def _tag(tags: Tags, name: str) -> str | None:
    value = getattr(tags, name) if name in Tags.__struct_fields__ else tags.other.get(name)
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _waits(*places: Timeouts) -> Waits:
    """Each time from the first place that states it."""
    found: dict[str, float] = {}
    for name in Waits.__struct_fields__:
        stated = next((one for place in places if (one := getattr(place, name)) is not None), None)
        if stated is not None:
            found[name] = float(stated)
    return Waits(**found)


def _way(route: Route, calls: Calls) -> _Way:
    def stated(name: str) -> object:
        own = getattr(route, name)
        return getattr(calls, name) if own is None else own

    rule = {name: stated(name) for name in RouteRule.__struct_fields__ if name != "name"}
    when: When = route.when
    return _Way(
        rule=RouteRule(name=route.name, **rule),  # type: ignore[arg-type]
        timeouts=route.timeouts,
        provider=route.provider,
        model=route.model,
        models=any_of(when.models),
        dialects=frozenset(when.dialects),
        path=None if when.path is None else matcher_of(when.path),
        headers=tuple((name.encode(), matcher_of(one)) for name, one in when.headers.items()),
        tags=tuple((name, matcher_of(one)) for name, one in when.tags.items()),
        keys=frozenset(when.keys),
    )
