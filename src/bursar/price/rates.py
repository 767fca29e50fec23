"""Rates of one model at one moment, and the arithmetic that turns them into a cost.

All rates are integer picodollars per unit; a cost is summed in picodollars and rounded once, to
nanodollars. Long context is a cliff: once the whole prompt is above a tier's threshold, every token
of the request is billed at the tier's rates. What cannot be priced is said, never billed as $0.
"""

from __future__ import annotations

import msgspec

from bursar.model.money import LARGEST_NANO, pico_to_nano
from bursar.model.usage import LARGEST_COUNT, Basis, Usage
from bursar.price.units import PROMPT_UNITS, REQUESTS, STAND_INS, TEXT_UNITS, WRITES


class RateSet(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Picodollars per unit. None: no price is known for the unit."""

    input: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    output: int | None = None
    reasoning: int | None = None
    other: dict[str, int] = {}
    """Rates of further units, by the names that `Usage.other` uses."""


class Tier(RateSet, frozen=True, kw_only=True, omit_defaults=True):
    """Rates of a whole request whose prompt is long."""

    above_tokens: int
    """The tier holds when the prompt has strictly more tokens than this, cached ones included."""


class Rates(RateSet, frozen=True, kw_only=True, omit_defaults=True):
    """What one model costs at one moment in one price class.

    Stand-ins are filled in already: a list without a cache-read rate bills reads as input, one
    without a reasoning rate bills reasoning as output.
    """

    version: str
    """Names the source, the model, the start of the price and the class: enough to reprice."""
    provider: str
    model: str
    """As the price source names them."""
    tiers: tuple[Tier, ...] = ()
    """By rising threshold."""
    minimums: dict[str, int] = {}
    """Least number of units that an attempt is billed for, once it uses any."""
    basis: Basis = Basis.MEASURED
    """MEASURED for a listed price, ASSUMED where it is carried back in time or disputed."""
    ambiguous: str | None = None
    """Why price sources disagree, or None."""

    def for_prompt(self, prompt_tokens: int) -> Rates:
        """The rates in force for a prompt of that many tokens.

        Below every tier these are the rates themselves; above one, its rates without tiers.
        """
        chosen: Tier | None = None
        for tier in self.tiers:
            if prompt_tokens > tier.above_tokens:
                chosen = tier
        if chosen is None:
            return self
        return msgspec.structs.replace(
            self,
            tiers=(),
            other=chosen.other,
            **{unit: getattr(chosen, unit) for unit in TEXT_UNITS},
        )


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the arithmetic of a cost."""

    unit: str
    tokens: int
    """How many units; tokens for all but a few of them."""
    rate_pico: int
    cost_pico: int


class Priced(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The cost of one usage, or why there is none."""

    cost_nano: int | None = None
    unpriced_reason: str | None = None
    version: str | None = None
    lines: tuple[Line, ...] = ()
    """Sum of `cost_pico`, rounded half to even, is `cost_nano`. Empty when unpriced."""
    basis: Basis = Basis.MEASURED
    ambiguous: str | None = None
    rates: Rates | None = None
    """The rates applied, the tier chosen. None when no rates are known at all."""


def price_with(rates: Rates, usage: Usage) -> Priced:
    """Cost of `usage` at `rates`. Never raises: what cannot be priced comes back with a reason."""
    reason = bad_count(usage)
    if reason is not None:
        return Priced(unpriced_reason=reason, version=rates.version, rates=rates)
    applied = rates.for_prompt(prompt_tokens(usage))
    lines: list[Line] = []
    for unit, units in _billed(applied, usage):
        rate_pico = rate_of(applied, unit)
        if rate_pico is None:
            return Priced(
                unpriced_reason=f"no price is known for {unit} of {rates.provider}/{rates.model}",
                version=rates.version,
                rates=applied,
            )
        lines.append(
            Line(unit=unit, tokens=units, rate_pico=rate_pico, cost_pico=units * rate_pico)
        )
    cost_nano = pico_to_nano(sum(line.cost_pico for line in lines))
    if cost_nano > LARGEST_NANO:
        return Priced(
            unpriced_reason="the cost is beyond any real amount",
            version=rates.version,
            rates=applied,
        )
    return Priced(
        cost_nano=cost_nano,
        version=rates.version,
        lines=tuple(lines),
        basis=rates.basis,
        ambiguous=rates.ambiguous,
        rates=applied,
    )


def rate_of(rates: RateSet, unit: str) -> int | None:
    """The rate of a unit, or of its nearest priced stand-in; None where there is neither."""
    listed = _listed(rates, unit)
    if listed is not None:
        return listed
    for stand_in in STAND_INS.get(unit, ()):
        listed = _listed(rates, stand_in)
        if listed is not None:
            return listed
    return None


def prompt_tokens(usage: Usage) -> int:
    """What a long-context threshold is compared with: every token of the prompt."""
    total = usage.prompt
    for unit, units in usage.other.items():
        if unit in PROMPT_UNITS or unit.startswith(WRITES):
            total += units
    return total


def bad_count(usage: Usage) -> str | None:
    """Why a usage cannot be true (negative, no whole number, absurd), or None."""
    counts = [(unit, getattr(usage, unit)) for unit in TEXT_UNITS]
    counts.extend(usage.other.items())
    for unit, units in counts:
        if not isinstance(units, int):
            return f"{unit} is {units!r}, not a count"
        if units < 0:
            return f"{unit} is negative ({units})"
        if units > LARGEST_COUNT:
            return f"{unit} is {units}, beyond any real count"
    return None


def _listed(rates: RateSet, unit: str) -> int | None:
    if unit in TEXT_UNITS:
        return getattr(rates, unit)
    return rates.other.get(unit)


def _billed(rates: Rates, usage: Usage) -> list[tuple[str, int]]:
    billed = [(unit, units) for unit in TEXT_UNITS if (units := getattr(usage, unit))]
    for unit, units in usage.other.items():
        if units and unit != REQUESTS:
            billed.append((unit, max(units, rates.minimums.get(unit, 0))))
    if REQUESTS in rates.other:
        billed.append((REQUESTS, usage.other.get(REQUESTS, 1)))
    return billed
