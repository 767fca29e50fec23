"""Dated price files of ours and of the user, in TOML: what the price source lacks or cannot know.

An overlay appends prices, it never overwrites one: each has the day from which it holds. A file
that does not hold together is refused as a whole (BadPrices: file, key, mend), and the prices in
force stay in force. Amounts are decimal strings or whole numbers, since a float cannot hold 0.1.
The format is described in docs/prices.md.
"""

from __future__ import annotations

import tomllib
from datetime import date
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

import msgspec

from bursar.model.errors import BadPrices
from bursar.model.money import PICO_PER_USD_PER_MTOK
from bursar.model.usage import Basis
from bursar.price.table import Price, Prices
from bursar.price.units import TEXT_UNITS, is_token

LARGEST_USD = Decimal(1_000_000)
"""Dearest believable price of a million tokens, or of one other unit."""
PICO_PER_USD = 10**12
AMOUNT_MEND = 'write the amount as a decimal string, such as "0.25"'

Amount = str | int
Name = Annotated[str, msgspec.Meta(min_length=1)]


class TierText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`tier = [{above = 200000, input = "6", output = "22.5"}]` as written."""

    above: Annotated[int, msgspec.Meta(gt=0)]
    input: Amount | None = None
    output: Amount | None = None
    cache_read: Amount | None = None
    cache_write_5m: Amount | None = None
    cache_write_1h: Amount | None = None
    reasoning: Amount | None = None
    other: dict[str, Amount] = {}


class PriceText(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}):
    """One `[[price]]` as written."""

    provider: Name
    start: date
    model: Name | None = None
    match: Name | None = None
    to: date | None = None
    price_class: Name = msgspec.field(name="class", default="standard")
    ratio: Amount | None = None
    of: Name = "standard"
    basis: Basis = Basis.MEASURED
    input: Amount | None = None
    output: Amount | None = None
    cache_read: Amount | None = None
    cache_write_5m: Amount | None = None
    cache_write_1h: Amount | None = None
    reasoning: Amount | None = None
    other: dict[str, Amount] = {}
    tier: tuple[TierText, ...] = ()


class DiscountText(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}
):
    """One `[[discount]]` as written."""

    provider: Name
    percent: Amount
    start: date
    model: Name = "*"
    to: date | None = None


class ProfileText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[profile]]`: what an application inference profile or deployment name stands for."""

    arn: Name
    model: Name
    provider: Name = "aws"


class AliasText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[alias]]`: another name of a provider; `provider = "*"` finds it by the model."""

    name: Name
    provider: Name
    prefix: bool = True
    """False: before a slash, `name/model`, it is an author of weights rather than a host."""


class DisputeText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[ambiguous]]`: models whose price the sources dispute."""

    provider: Name
    match: Name
    reason: Name
    unless_same_as: str = ""
    """A model, with `{model}` for the one asked: no dispute where both cost the same."""


class OverlayText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file as written."""

    price: tuple[PriceText, ...] = ()
    discount: tuple[DiscountText, ...] = ()
    profile: tuple[ProfileText, ...] = ()
    alias: tuple[AliasText, ...] = ()
    ambiguous: tuple[DisputeText, ...] = ()


class PriceRow(msgspec.Struct, frozen=True, array_like=True):
    """One appended price."""

    provider: str
    pattern: str
    """Lower-case model id or glob."""
    price_class: str
    start: date
    end: date | None
    """First day on which it no longer holds."""
    prices: Prices
    ratio: str | None
    """Instead of prices: a factor on the price of class `of`."""
    of: str
    basis: Basis
    origin: str
    own: bool
    """True: ships with Bursar and only fills what the source lacks."""

    def holds(self, day: date) -> bool:
        return self.start <= day and (self.end is None or day < self.end)


class DiscountRow(msgspec.Struct, frozen=True, array_like=True):
    """A percentage off the list price."""

    provider: str
    pattern: str
    keep: str
    """Share of the price that remains, as a decimal string."""
    start: date
    end: date | None
    origin: str

    def holds(self, day: date) -> bool:
        return self.start <= day and (self.end is None or day < self.end)


class Overlay(msgspec.Struct, frozen=True, array_like=True):
    """Everything that the overlays say, in the order of the files."""

    prices: tuple[PriceRow, ...] = ()
    discounts: tuple[DiscountRow, ...] = ()
    profiles: dict[str, tuple[str, str]] = {}
    """Lower-case ARN or name -> (provider, model)."""
    aliases: dict[str, str] = {}
    never_prefixes: frozenset[str] = frozenset()
    disputes: tuple[DisputeText, ...] = ()

    def __add__(self, more: Overlay) -> Overlay:
        return Overlay(
            prices=self.prices + more.prices,
            discounts=self.discounts + more.discounts,
            profiles=self.profiles | more.profiles,
            aliases=self.aliases | more.aliases,
            never_prefixes=self.never_prefixes | more.never_prefixes,
            disputes=self.disputes + more.disputes,
        )


def read_overlay(path: Path, *, own: bool = False) -> Overlay:
    """One overlay file, checked. Raises BadPrices naming the file, the key and the mend."""
    try:
        content = path.read_bytes()
    except OSError as gone:
        raise BadPrices(
            f"{path}: cannot be read ({gone.strerror})", mend="check the path"
        ) from gone
    return parse_overlay(content, path, own=own)


def parse_overlay(content: bytes, path: Path, *, own: bool = False) -> Overlay:
    """The overlay in `content`; `path` only names it in versions and errors."""
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as bad:
        raise BadPrices(f"{path}: is no TOML ({bad})", mend="mend that place, or rename") from bad
    try:
        text = msgspec.convert(table, OverlayText, strict=True)
    except msgspec.ValidationError as bad:
        raise BadPrices(f"{path}: {bad}", mend=_mend(str(bad))) from bad
    origin = f"{path.name}#{blake2b(content, digest_size=4).hexdigest()}"
    return Overlay(
        prices=tuple(
            _price_row(row, f"{path}: price[{n}]", origin, own) for n, row in enumerate(text.price)
        ),
        discounts=tuple(
            _discount_row(row, f"{path}: discount[{n}]", origin)
            for n, row in enumerate(text.discount)
        ),
        profiles={row.arn.lower(): (row.provider, row.model) for row in text.profile},
        aliases={row.name.lower(): row.provider.lower() for row in text.alias},
        never_prefixes=frozenset(row.name.lower() for row in text.alias if not row.prefix),
        disputes=text.ambiguous,
    )


def fits(pattern: str, names: tuple[str, ...]) -> bool:
    """Whether a lower-case glob fits one of the names."""
    return any(fnmatchcase(name, pattern) for name in names)


def _price_row(row: PriceText, place: str, origin: str, own: bool) -> PriceRow:
    pattern = row.model or row.match
    if pattern is None or (row.model and row.match):
        raise BadPrices(
            f"{place}: needs either model or match",
            mend='name one model, or a pattern such as match = "claude-*"',
        )
    _check_span(row.start, row.to, place)
    prices = _row_prices(row, place)
    if (row.ratio is None) == (not prices):
        raise BadPrices(
            f"{place}: needs either a ratio or rates",
            mend='give input = "..." and output = "...", or ratio = "0.5"',
        )
    ratio = None
    if row.ratio is not None:
        ratio = str(_decimal(row.ratio, f"{place}.ratio", Decimal(1000)))
    return PriceRow(
        provider=row.provider.lower(),
        pattern=pattern.lower(),
        price_class=row.price_class.lower(),
        start=row.start,
        end=row.to,
        prices=prices,
        ratio=ratio,
        of=row.of.lower(),
        basis=row.basis,
        origin=origin,
        own=own,
    )


def _row_prices(row: PriceText, place: str) -> Prices:
    base = _rates(row, place)
    above: list[tuple[int, dict[str, int]]] = []
    for n, tier in enumerate(row.tier):
        above.append((tier.above, _rates(tier, f"{place}.tier[{n}]")))
    starts = [start for start, _ in above]
    if starts != sorted(set(starts)):
        raise BadPrices(f"{place}.tier: thresholds do not rise", mend="order tiers by above")
    for n, (_, rates) in enumerate(above):
        missing = rates.keys() - base.keys()
        if missing:
            raise BadPrices(
                f"{place}.tier[{n}]: {sorted(missing)[0]} has no rate below the tier",
                mend="give the plain rate as well",
            )
    return {
        unit: Price(rate, tuple((start, rates[unit]) for start, rates in above if unit in rates))
        for unit, rate in base.items()
    }


def _rates(row: PriceText | TierText, place: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for unit in TEXT_UNITS:
        amount = getattr(row, unit)
        if amount is not None:
            found[unit] = _pico(amount, f"{place}.{unit}", PICO_PER_USD_PER_MTOK)
    for unit, amount in row.other.items():
        scale = PICO_PER_USD_PER_MTOK if is_token(unit) else PICO_PER_USD
        found[unit] = _pico(amount, f"{place}.other.{unit}", scale)
    return found


def _discount_row(row: DiscountText, place: str, origin: str) -> DiscountRow:
    _check_span(row.start, row.to, place)
    percent = _decimal(row.percent, f"{place}.percent", Decimal(100))
    return DiscountRow(
        provider=row.provider.lower(),
        pattern=row.model.lower(),
        keep=str((100 - percent) / 100),
        start=row.start,
        end=row.to,
        origin=f"-{percent}% {origin}",
    )


def _check_span(start: date, end: date | None, place: str) -> None:
    if end is not None and end <= start:
        raise BadPrices(
            f"{place}.to: {end} is not after from = {start}",
            mend="`to` is the first day on which the price no longer holds",
        )


def _pico(amount: Amount, place: str, scale: int) -> int:
    exact = _decimal(amount, place, LARGEST_USD) * scale
    if exact != exact.to_integral_value():
        raise BadPrices(
            f"{place}: {amount} has more decimals than a picodollar per unit",
            mend=f"round it to {len(str(scale)) - 1} decimals",
        )
    return int(exact)


def _decimal(amount: Amount, place: str, largest: Decimal) -> Decimal:
    try:
        value = Decimal(amount)
    except InvalidOperation as bad:
        raise BadPrices(f"{place}: {amount!r} is no number", mend=AMOUNT_MEND) from bad
    if not value.is_finite():
        raise BadPrices(f"{place}: {amount!r} is not finite", mend=AMOUNT_MEND)
    if value < 0:
        raise BadPrices(f"{place}: {amount} is negative", mend="a price is 0 or more")
    if value > largest:
        raise BadPrices(f"{place}: {amount} is above {largest}, no real price", mend=AMOUNT_MEND)
    return value if value else Decimal(0)


def _mend(problem: str) -> str:
    if "got `float`" in problem:
        return AMOUNT_MEND
    if "unknown field" in problem:
        return "remove or rename that key; docs/prices.md lists the keys"
    if "`from`" in problem:
        return "give the first day of the price, from = 2026-01-31"
    return "docs/prices.md shows the format"
