"""Raises by command: `BURSAR_HOME/raises.json`, beside the settings and never in them.

A raise is what `raise` of a budget in `bursar.yaml` says, with the budget's name. It is checked by
the same rules, holds before those of the file, and ends by itself. One that no longer fits the
settings is passed over and told: it must not keep the settings from being read.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bursar.gateway.settings.amounts import Amounts, Words, listed
from bursar.gateway.settings.caps import Part, Raise
from bursar.gateway.settings.caps_checking import check_caps
from bursar.gateway.settings.checking import Wrong
from bursar.gateway.settings.structs import Settings
from bursar.gateway.settings.values import Moment, any_of, read_value, written
from bursar.model.errors import BadInput, NotFound

NAME = "raises.json"
LOCK = "raises.lock"
MOST = 200
MOST_BYTES = 256 * 1024
TENANT = "tenant"
MEND = "bursar budgets unraise NAME, or remove the file"


class Lift(Raise, frozen=True, kw_only=True):
    """A raise, and of which budget."""

    budget: str
    since: Moment
    """When it was made."""

    @property
    def said(self) -> str:
        """Such as `tenants: $800/month for acme until 2026-12-01T00:00:00Z`."""
        whose = f" for {listed(self.of)}" if self.of else ""
        to = listed(str(one) for one in self.to)
        return f"{self.budget}: {to}{whose} until {written(self.until)}"


class _File(Part, frozen=True, kw_only=True):
    raises: tuple[Lift, ...] = ()


def load_raises(place: Path) -> tuple[Lift, ...]:
    """Those in the file, ended ones too; none where there is none. Raises BadInput."""
    return parse_raises(read_raises(place), place)


def read_raises(place: Path) -> bytes:
    """The file's bytes; none where there is no file. Raises BadInput."""
    try:
        with place.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return b""
    except OSError as bad:
        raise BadInput(
            f"{place}: cannot be read ({bad.strerror})", mend="check its rights"
        ) from bad
    if len(content) > MOST_BYTES:
        raise BadInput(f"{place}: is longer than {MOST_BYTES} bytes", mend=MEND)
    return content


def parse_raises(content: bytes, place: Path) -> tuple[Lift, ...]:
    """The raises of a file's bytes. Raises BadInput."""
    if not content:
        return ()
    try:
        tree = msgspec.json.decode(content)
        found = msgspec.convert(tree, _File, dec_hook=read_value).raises
    except (msgspec.MsgspecError, UnicodeDecodeError) as bad:
        raise BadInput(f"{place}: {bad}", mend=MEND) from bad
    if len(found) > MOST:
        raise BadInput(f"{place}: has more than {MOST} raises", mend=MEND)
    return found


def with_raises(
    settings: Settings, lifts: Iterable[Lift], now_s: float
) -> tuple[Settings, list[str]]:
    """The settings with what is raised now, and what is wrong with the others."""
    wrongs: list[str] = []
    for lift in reversed(tuple(lifts)):
        if lift.until <= now_s:
            continue
        try:
            settings = lifted(settings, lift)
        except (BadInput, NotFound) as bad:
            wrongs.append(f"the raise of {lift.said} does not hold: {bad.message}")
    return settings, wrongs


def lifted(settings: Settings, lift: Lift) -> Settings:
    """The settings with one more raise, the first to count. Raises BadInput, NotFound."""
    budget = settings.budgets.get(lift.budget)
    if budget is None:
        known = ", ".join(settings.budgets) or "none"
        raise NotFound(f"there is no budget {lift.budget!r}", mend=f"one of: {known}")
    one = Raise(to=lift.to, until=lift.until, of=lift.of)
    higher = msgspec.structs.replace(budget, raises=(one, *budget.raises))
    after = msgspec.structs.replace(settings, budgets={**settings.budgets, lift.budget: higher})
    try:
        check_caps(after)
    except Wrong as wrong:
        where = wrong.path[-1] if wrong.path else ""
        raise BadInput(f"budgets.{lift.budget}: {where} {wrong.what}", mend=wrong.mend) from None
    for tier, patterns in settings.tiers.items():
        fits = any_of(patterns)
        if tier not in budget.tiers or TENANT not in budget.each or fits is None:
            continue
        if inside := [one for one in lift.of if fits(one)]:
            raise BadInput(
                f"{inside[0]} is of the tier {tier}, which a raise does not reach",
                mend=f"change budgets.{lift.budget}.tiers.{tier} in the settings",
            )
    return after


def raise_limit(home: Path, lift: Lift, settings: Settings, now_s: int) -> tuple[Lift, ...]:
    """Write one more raise; one for the same accounts is replaced. All that hold now. Raises
    BadInput, NotFound."""
    if lift.until <= now_s:
        raise BadInput(f"{written(lift.until)} has passed", mend="name a later day or time")
    lifted(settings, lift)
    with _changing(home) as place:
        kept = [one for one in load_raises(place) if one.until > now_s and not _alike(one, lift)]
        if len(kept) >= MOST:
            raise BadInput(f"there are {MOST} raises already", mend=MEND)
        found = (lift, *kept)
        _write(place, found)
    return found


def end_raises(home: Path, budget: str, of: Words, now_s: int) -> tuple[Lift, ...]:
    """Take back the raises of a budget, or those for some accounts alone; which ones. Raises
    BadInput."""
    with _changing(home) as place:
        held = [one for one in load_raises(place) if one.until > now_s]
        ended = tuple(one for one in held if one.budget == budget and (not of or one.of == of))
        _write(place, tuple(one for one in held if one not in ended))
    return ended


def _alike(one: Lift, other: Lift) -> bool:
    return (one.budget, one.of, _units(one.to)) == (other.budget, other.of, _units(other.to))


def _units(to: Amounts) -> list[tuple[str, str | None]]:
    return [(one.unit, one.every) for one in to]


@contextmanager
def _changing(home: Path) -> Generator[Path]:
    """The file, for one writer at a time."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        opened = os.open(home / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX)
            yield home / NAME
        finally:
            os.close(opened)
    except OSError as bad:
        raise BadInput(
            f"{home / NAME}: cannot be written ({bad.strerror})",
            mend="run it as the user that the gateway runs as",
        ) from bad


def _write(place: Path, lifts: tuple[Lift, ...]) -> None:
    tree = {"raises": [dict(_fields(one)) for one in lifts]}
    spare = place.with_suffix(".new")
    opened = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(opened, "wb") as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(tree)) + b"\n")
        os.fsync(stream.fileno())
    os.replace(spare, place)


def _fields(lift: Lift) -> Iterator[tuple[str, object]]:
    for name in ("budget", "to", "of", "until", "since"):
        value = getattr(lift, name)
        if value != ():
            yield name, written(value)
