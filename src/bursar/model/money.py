"""Money as integers: rates in picodollars per unit, costs in nanodollars, rounded once.

Why two scales: $0.003625 per million tokens is a real price, and is 3,625 pico per token; an
int64 of nanodollars holds $9.2 billion. `apportion` splits a cost so that the parts add up to it
exactly, which is what lets blocks, kinds and sessions be summed in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from bursar.model.errors import BadInput

PICO_PER_NANO = 1_000
NANO_PER_USD = 1_000_000_000
PICO_PER_USD_PER_MTOK = 1_000_000
"""$1 per million tokens is 10**12 / 10**6 pico per token."""
LARGEST_NANO = 2**63 - 1


def pico_to_nano(cost_pico: int) -> int:
    """Nanodollars, rounded half to even: the only rounding that a cost ever sees."""
    nano, rest = divmod(cost_pico, PICO_PER_NANO)
    half = PICO_PER_NANO // 2
    if rest > half or (rest == half and nano & 1):
        nano += 1
    return nano


def usd(cost_nano: int | None) -> str | None:
    """Exact dollars as a decimal string without a trailing-zero tail ("0.001", "12", "-0.5")."""
    if cost_nano is None:
        return None
    sign = "-" if cost_nano < 0 else ""
    whole, rest = divmod(abs(cost_nano), NANO_PER_USD)
    return f"{sign}{whole}.{rest:09d}".rstrip("0").rstrip(".") if rest else f"{sign}{whole}"


def usd_of_pico(cost_pico: int) -> str:
    """Exact dollars of an amount in pico, for lines of arithmetic that are not rounded."""
    return format((Decimal(cost_pico) / 10**12).normalize(), "f")


def rate_usd_per_mtok(rate_pico: int) -> str:
    """A rate as dollars per million units, exactly."""
    return format((Decimal(rate_pico) / PICO_PER_USD_PER_MTOK).normalize(), "f")


def nano_from_usd(dollars: object, name: str = "cost") -> int:
    """Nanodollars of an amount written by somebody else: a string, an int, a Decimal or a float.

    A float is read by its shortest decimal form. Raises BadInput for anything that is no amount.
    """
    if isinstance(dollars, bool) or not isinstance(dollars, (str, int, float, Decimal)):
        raise BadInput(f"{name} is {dollars!r}, not an amount of dollars")
    try:
        amount = Decimal(repr(dollars) if isinstance(dollars, float) else dollars)
        nano = int((amount * NANO_PER_USD).to_integral_value())
    except (ArithmeticError, ValueError) as bad:
        raise BadInput(f"{name} is {dollars!r}, not an amount of dollars") from bad
    if abs(nano) > LARGEST_NANO:
        raise BadInput(f"{name} is {dollars!r}, beyond any real amount")
    return nano


def apportion(total: int, weights: Sequence[int | float]) -> list[int]:
    """Split `total` (>= 0) by non-negative `weights`, by largest remainder: parts sum to `total`.

    Ties go to the earlier part. With no weight at all, the first part takes everything.
    """
    if len(weights) == 1:
        return [total]
    whole = sum(weights)
    if whole <= 0:
        return [total, *[0] * (len(weights) - 1)] if weights else []
    if whole == total:
        parts = [int(weight) for weight in weights]
        if sum(parts) == total:
            return parts
    scaled = [total * weight for weight in weights]
    parts = [int(one // whole) for one in scaled]
    missing = total - sum(parts)
    if missing:
        rests = [one % whole for one in scaled]
        places = sorted(range(len(parts)), key=rests.__getitem__, reverse=True)
        step = 1 if missing > 0 else -1
        for i in range(abs(missing)):
            parts[places[i % len(parts)]] += step
    return parts
