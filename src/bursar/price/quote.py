"""Which price holds: the user's overlay, then the source, then our own overlay, then a discount.

A `Quote` is one model in one price class; it gives the rates at a moment and the moments at which
they change. Classes may be joined, `batch+geo_us`: each later part is a factor on what stands
before it. Provider and class names are rows of tables here and in overlays/names.toml.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from bursar.model.errors import Unpriced
from bursar.model.usage import Basis
from bursar.price.names import Found, Names
from bursar.price.overlay import DiscountRow, DisputeText, Overlay, PriceRow, fits
from bursar.price.rates import Rates
from bursar.price.table import (
    Dated,
    Price,
    Prices,
    build_rates,
    class_prices,
    standard_prices,
)
from bursar.price.units import is_token

STANDARD = "standard"
STANDARD_NAMES = frozenset(
    {"", STANDARD, "default", "auto", "standard_only", "on_demand", "on-demand", "ondemand"}
)
"""What responses call the plain class."""

CONTEXTS: dict[str, tuple[dict[str, str], ...]] = {
    "batch": ({"processing": "batch"},),
    "flex": ({"service_tier": "flex"},),
    "priority": ({"service_tier": "priority"},),
    "fast": ({"service_tier": "fast"}, {"speed": "fast"}),
}
"""How the source spells each class; providers differ, the first that fits holds."""

COMMITTED = frozenset({"scale", "reserved", "provisioned", "provisioned_throughput"})
"""Paid by the hour or by contract: a token has no price of its own."""

MINIMUMS = {
    ("groq", "whisper-large-v3"): {"audio_seconds": 10, "input_audio_seconds": 10},
    ("groq", "whisper-large-v3-turbo"): {"audio_seconds": 10, "input_audio_seconds": 10},
}
"""Least billed units by (provider, model), as genai-prices has it."""


class Draft(msgspec.Struct, frozen=True):
    """A price on its way to becoming Rates."""

    prices: Prices
    version: str
    basis: Basis
    negotiated: bool = False
    """True: the user's own price, on which no discount is given."""


class Subject:
    """Everything that a quote is made from."""

    def __init__(self, source: str, overlay: Overlay, names: Names) -> None:
        self.source = source
        self.overlay = overlay
        self.names = names

    def quote(self, provider: str | None, model: str | None, price_class: str) -> Quote:
        """The quote of a model in a class. Raises Unpriced where neither price is known."""
        found = self.names.find(provider, model)
        names = (found.ref,) if found.row is None else (found.ref, found.row.id.lower())
        prices = tuple(
            row
            for row in self.overlay.prices
            if row.provider in (found.provider, "*") and fits(row.pattern, names)
        )
        listed = found.row is not None or any(row.ratio is None for row in prices)
        if not listed:
            raise self._unknown(found)
        discounts = tuple(
            row
            for row in self.overlay.discounts
            if row.provider in (found.provider, "*") and fits(row.pattern, names)
        )
        return Quote(self, found, _class_name(price_class), (prices, discounts))

    def _unknown(self, found: Found) -> Unpriced:
        owners = self.names.elsewhere(found)
        seen = f" (listed at {owners}: was the provider logged right?)" if owners else ""
        return Unpriced(
            f"{self.source} lists no model {found.ref!r} at {found.provider}{seen}",
            mend=f'add to an overlay: [[price]] provider = "{found.provider}", '
            f'model = "{found.ref}", from = ..., input = "...", output = "..."',
        )


class Quote:
    """One model in one price class, over time."""

    def __init__(
        self,
        subject: Subject,
        found: Found,
        price_class: str,
        rows: tuple[tuple[PriceRow, ...], tuple[DiscountRow, ...]],
    ) -> None:
        self._subject = subject
        self._found = found
        self._class = price_class
        self._prices, self._discounts = rows
        self._dispute, self._rival = self._disputed()

    def rates(self, at: datetime) -> Rates:
        """Rates at a moment (naive UTC). Raises Unpriced when no price is known for it."""
        draft = self._draft(at, self._class)
        if not draft.negotiated:
            draft = self._discounted(draft, at)
        if not draft.prices:
            raise Unpriced(f"{self._subject.source} lists {self._name} without a price")
        owner = (self._found.provider, self._model)
        rates = build_rates(draft.prices, draft.version, owner, draft.basis)
        changes: dict[str, object] = {}
        minimums = MINIMUMS.get(owner)
        if minimums is not None:
            changes["minimums"] = minimums
        if self._dispute is not None and not draft.negotiated and self._in_dispute(at):
            changes |= {"ambiguous": self._dispute.reason, "basis": Basis.ASSUMED}
        return msgspec.structs.replace(rates, **changes) if changes else rates

    def edges(self) -> tuple[list[int], list[int]]:
        """(days as ordinals, seconds of the day) at which the rates may change, rising."""
        days: set[int] = set()
        seconds: set[int] = set()
        for dated in self._dated():
            if dated.start is not None:
                days.add(dated.start.toordinal())
            if dated.from_second is not None and dated.to_second is not None:
                seconds |= {dated.from_second, dated.to_second}
        for row in (*self._prices, *self._discounts):
            days.add(row.start.toordinal())
            if row.end is not None:
                days.add(row.end.toordinal())
        if self._rival is not None:
            more_days, more_seconds = self._rival.edges()
            days.update(more_days)
            seconds.update(more_seconds)
        return sorted(days), sorted(seconds)

    @property
    def _model(self) -> str:
        return self._found.row.id if self._found.row is not None else self._found.ref

    @property
    def _name(self) -> str:
        return f"{self._found.provider}/{self._model}"

    def _dated(self) -> Iterator[Dated]:
        row = self._found.row
        if row is not None:
            yield from row.dated
            for variant in row.variants:
                yield variant.dated

    def _draft(self, at: datetime, price_class: str) -> Draft:
        negotiated = self._overlaid(at, price_class, own=False)
        if negotiated is not None:
            return negotiated
        listed = self._listed(at, price_class)
        if listed is not None:
            return listed
        filled = self._overlaid(at, price_class, own=True)
        if filled is not None:
            return filled
        before, plus, part = price_class.rpartition("+")
        if plus:
            return self._factor(at, before, part)
        raise self._no_class(at, price_class)

    def _listed(self, at: datetime, price_class: str) -> Draft | None:
        row = self._found.row
        if row is None:
            return None
        if price_class == STANDARD:
            chosen = standard_prices(row, at)
        else:
            contexts = () if self._found.hosted else _contexts(price_class)
            chosen = class_prices(row, at, contexts)
            if chosen is None:
                return None
        version = f"{self._subject.source} {self._name} {chosen.label} {price_class}"
        return Draft(chosen.prices, version, chosen.basis)

    def _overlaid(
        self, at: datetime, price_class: str, *, own: bool, of: str | None = None
    ) -> Draft | None:
        row = self._row(at, price_class, own=own)
        if row is None:
            return None
        if row.ratio is None:
            version = f"{row.origin} {self._name} {row.start} {price_class}"
            return Draft(row.prices, version, row.basis, negotiated=not own)
        base = of or row.of
        if base == price_class:
            listed = self._listed(at, base) or self._overlaid(at, base, own=True)
        else:
            listed = self._draft(at, base)
        if listed is None:
            return None
        return Draft(
            _times(listed.prices, Decimal(row.ratio), tokens_only=True),
            f"{listed.version} x{row.ratio} {price_class} {row.start} {row.origin}",
            _weaker(listed.basis, row.basis),
            negotiated=listed.negotiated or not own,
        )

    def _factor(self, at: datetime, before: str, part: str) -> Draft:
        for own in (False, True):
            row = self._row(at, part, own=own)
            if row is not None and row.ratio is not None:
                draft = self._overlaid(at, part, own=own, of=before)
                if draft is not None:
                    return draft
        raise self._no_class(at, part)

    def _row(self, at: datetime, price_class: str, *, own: bool) -> PriceRow | None:
        day = at.date()
        holding = [
            (len(row.pattern), row.start, place)
            for place, row in enumerate(self._prices)
            if row.own is own and row.price_class == price_class and row.holds(day)
        ]
        return self._prices[max(holding)[2]] if holding else None

    def _discounted(self, draft: Draft, at: datetime) -> Draft:
        day = at.date()
        holding = [
            (len(row.pattern), row.start, place)
            for place, row in enumerate(self._discounts)
            if row.holds(day)
        ]
        if not holding:
            return draft
        row = self._discounts[max(holding)[2]]
        prices = _times(draft.prices, Decimal(row.keep), tokens_only=False)
        return Draft(prices, f"{draft.version} {row.origin}", draft.basis)

    def _no_class(self, at: datetime, price_class: str) -> Unpriced:
        if price_class == STANDARD:
            return Unpriced(f"no price of {self._name} holds on {at.date()}")
        why = (
            "is paid by contract, not by token"
            if price_class in COMMITTED
            else f"has no known price on {at.date()}"
        )
        return Unpriced(
            f"price class {price_class!r} of {self._name} {why}",
            mend=f'add to an overlay: [[price]] provider = "{self._found.provider}", '
            f'model = "{self._found.ref}", class = "{price_class}", from = ..., ratio = "0.5"',
        )

    def _disputed(self) -> tuple[DisputeText | None, Quote | None]:
        for dispute in self._subject.overlay.disputes:
            if dispute.provider != self._found.provider:
                continue
            if not fits(dispute.match, (self._found.ref,)):
                continue
            if not dispute.unless_same_as:
                return dispute, None
            rival = dispute.unless_same_as.format(model=self._found.ref)
            try:
                return dispute, self._subject.quote(dispute.provider, rival, STANDARD)
            except Unpriced:
                continue
        return None, None

    def _in_dispute(self, at: datetime) -> bool:
        if self._rival is None:
            return True
        standard, rival = self._listed(at, STANDARD), self._rival.listed(at)
        return standard is not None and rival is not None and standard.prices != rival.prices

    def listed(self, at: datetime) -> Draft | None:
        """The source's own standard price, without overlays."""
        return self._listed(at, STANDARD)


def _class_name(price_class: str | None) -> str:
    parts = [part.strip().lower() for part in (price_class or "").split("+")]
    first = STANDARD if parts[0] in STANDARD_NAMES else parts[0]
    return "+".join([first, *(part for part in parts[1:] if part not in STANDARD_NAMES)])


def _contexts(price_class: str) -> tuple[dict[str, str], ...]:
    key, sign, value = price_class.partition("=")
    return ({key: value},) if sign else CONTEXTS.get(price_class, ())


def _times(prices: Prices, factor: Decimal, *, tokens_only: bool) -> Prices:
    """Prices by a factor, rounded half to even. A class changes tokens, not searches or pages."""

    def scaled(rate_pico: int) -> int:
        return int((rate_pico * factor).to_integral_value(ROUND_HALF_EVEN))

    return {
        unit: price
        if tokens_only and not is_token(unit)
        else Price(scaled(price.base), tuple((above, scaled(rate)) for above, rate in price.tiers))
        for unit, price in prices.items()
    }


def _weaker(one: Basis, other: Basis) -> Basis:
    order = (Basis.MEASURED, Basis.MODELLED, Basis.ASSUMED)
    return max(one, other, key=order.index)
