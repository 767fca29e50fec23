"""How a provider bills a prompt: what it reads from its cache, writes to it, or takes fresh.

Pure rules over data. A `Rule` says what one family of models does (rules/*.toml); a `Cache` is what
the provider holds; `bill` looks at both and at one prompt, and answers with disjoint counts and
with what the cache holds afterwards, without changing anything. There is no clock: every call
brings its own time, so that the same code runs live, in the simulator and in replay.

Rates, long-context tiers and price classes are the price book's: it prices the `Usage` made here.
The prompt is known by blocks, so what two prompts share is counted up to the last block that both
have whole: a lower bound where a provider compares token by token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec

from bursar.model.block import Block, Mark
from bursar.model.errors import BadInput
from bursar.model.usage import Basis, Usage


class Way(StrEnum):
    """How a model's prompt cache comes to hold a prefix."""

    NONE = "none"
    """It has no prompt cache."""
    MARKS = "marks"
    """Where the client marks the end of a prefix, and only there."""
    STEPS = "steps"
    """Every prompt, by itself, in steps of some tokens; writing is free and not counted."""
    ENDS = "ends"
    """The end of every prompt, by itself, and where the client marks; writing is counted."""


class Dispute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another value of the same minimum, and who says so."""

    minimum_tokens: int
    by: str


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one family of models does with its prompt cache."""

    way: Way
    source: str
    """Where the rule is written down."""
    minimum_tokens: int = 0
    """A prefix with fewer tokens is never cached, without an error."""
    largest_tokens: int | None = None
    """A prefix with more tokens is not cached either. None: no bound is known."""
    step_tokens: int = 1
    """Reads are whole multiples of this."""
    most_marks: int = 4
    """A request with more of them is refused. The provider's own mark is one of them."""
    lookback_blocks: int = 20
    """How many ends of blocks are looked at for each mark, its own the first of them."""
    lives: dict[str, int] = msgspec.field(default_factory=lambda: {"5m": 300, "1h": 3600})
    """Lifetime by name, in seconds. The first is the default."""
    basis: Basis = Basis.MEASURED
    """ASSUMED where no source names this very model."""
    disputed: tuple[Dispute, ...] = ()


class Piece(NamedTuple):
    """One block of a prompt, as the cache sees it."""

    prefix: int
    """Hash of everything up to the end of this block."""
    tokens: int
    mark: Mark = Mark.NONE


class Kept(NamedTuple):
    """A prefix that the cache holds until a moment."""

    until_ms: int
    life_ms: int
    """A read keeps it for this long again."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says of caching beside its marks."""

    own_marks_only: bool = False
    """Nothing is cached but what the client marks (OpenAI's mode `explicit`)."""
    life: str | None = None
    """A lifetime of the rule, by name. One that the rule does not have is passed over."""


class Billing(msgspec.Struct, frozen=True, kw_only=True):
    """How one prompt is billed, and what the cache holds once it is taken."""

    usage: Usage
    """Only its prompt: input, cache_read and cache writes."""
    at_ms: int
    kept: tuple[tuple[int, Kept], ...] = ()
    """New and refreshed prefixes."""


class Cache:
    """The prefixes that a provider holds for one account and model. Changed by `take` alone."""

    __slots__ = ("kept", "largest_count")

    def __init__(self, largest_count: int = 200_000) -> None:
        self.kept: dict[int, Kept] = {}
        self.largest_count = largest_count
        """At most this many; then what has expired goes, and the oldest quarter of the rest."""

    def life_left(self, prefix: int, at_ms: int) -> Kept | None:
        """The prefix, if it is still held at that time."""
        found = self.kept.get(prefix)
        return found if found is not None and found.until_ms > at_ms else None

    def take(self, billing: Billing) -> None:
        """Make the billing's state of the cache the present one."""
        self.kept.update(billing.kept)
        if len(self.kept) > self.largest_count:
            self._forget(billing.at_ms)

    def _forget(self, at_ms: int) -> None:
        live = [(key, kept) for key, kept in self.kept.items() if kept.until_ms > at_ms]
        if len(live) > self.largest_count:
            live.sort(key=lambda one: one[1].until_ms)
            del live[: len(live) - self.largest_count * 3 // 4]
        self.kept = dict(live)


PLAIN_WISH = Wish()


def pieces_of(blocks: Iterable[Block], root: int = 0, share: float = 1.0) -> tuple[Piece, ...]:
    """The pieces of a prompt. `root` keeps accounts and models apart.

    `share`: tokens of the model's family per estimated token of a block.
    """
    found: list[Piece] = []
    prefix = root
    for block in blocks:
        prefix = hash((prefix, block.digest))
        found.append(Piece(prefix, round((block.tokens or 0) * share), block.mark))
    return tuple(found)


def bill(
    cache: Cache, pieces: Sequence[Piece], rule: Rule, at_ms: int, wish: Wish = PLAIN_WISH
) -> Billing:
    """How the prompt is billed at that time. Changes nothing; see `Cache.take`.

    Raises BadInput for marks that a provider refuses: too many, or a long life after a short one.
    """
    totals = list(accumulate(piece.tokens for piece in pieces))
    prompt = totals[-1] if totals else 0
    if not prompt or rule.way is Way.NONE:
        return Billing(usage=Usage(input=prompt), at_ms=at_ms)
    if rule.way is Way.STEPS:
        return _by_steps(cache, pieces, totals, rule, (at_ms, wish))
    marks = _marks(pieces, rule, wish)
    return _by_marks(cache, pieces, totals, rule, (at_ms, marks))


def _by_steps(
    cache: Cache,
    pieces: Sequence[Piece],
    totals: list[int],
    rule: Rule,
    asked: tuple[int, Wish],
) -> Billing:
    at_ms, wish = asked
    life_ms = _life_ms(rule, wish.life)
    read = 0
    long_enough = [n for n, total in enumerate(totals) if total >= rule.minimum_tokens]
    for n in reversed(long_enough):
        if cache.life_left(pieces[n].prefix, at_ms) is not None:
            read = totals[n] // rule.step_tokens * rule.step_tokens
            break
    if read < rule.minimum_tokens:
        read = 0
    kept = Kept(at_ms + life_ms, life_ms)
    return Billing(
        usage=Usage(input=totals[-1] - read, cache_read=read),
        at_ms=at_ms,
        kept=tuple((pieces[n].prefix, kept) for n in long_enough),
    )


def _by_marks(
    cache: Cache,
    pieces: Sequence[Piece],
    totals: list[int],
    rule: Rule,
    asked: tuple[int, list[tuple[int, str]]],
) -> Billing:
    at_ms, marks = asked
    largest = rule.largest_tokens or totals[-1]
    usable = [(n, life) for n, life in marks if rule.minimum_tokens <= totals[n] <= largest]
    hit, held = _hit(cache, pieces, [n for n, _ in usable], rule, at_ms)
    kept: list[tuple[int, Kept]] = []
    for n in range(hit + 1):
        still = cache.life_left(pieces[n].prefix, at_ms)
        if still is not None:
            kept.append((pieces[n].prefix, Kept(at_ms + still.life_ms, still.life_ms)))
    read = done = totals[hit] if hit >= 0 else 0
    written = {Mark.M5: 0, Mark.H1: 0}
    for n, life in usable:
        life_ms = _life_ms(rule, life)
        if n <= hit:
            if held is not None and cache.life_left(pieces[n].prefix, at_ms) is None:
                life_ms = min(life_ms, held.life_ms)
                kept.append((pieces[n].prefix, Kept(at_ms + life_ms, life_ms)))
            continue
        written[Mark.H1 if life == Mark.H1 else Mark.M5] += totals[n] - done
        done = totals[n]
        kept.append((pieces[n].prefix, Kept(at_ms + life_ms, life_ms)))
    usage = Usage(
        input=totals[-1] - done,
        cache_read=read,
        cache_write_5m=written[Mark.M5],
        cache_write_1h=written[Mark.H1],
    )
    return Billing(usage=usage, at_ms=at_ms, kept=tuple(kept))


def _hit(
    cache: Cache, pieces: Sequence[Piece], ends: list[int], rule: Rule, at_ms: int
) -> tuple[int, Kept | None]:
    """The longest held prefix that a mark can see: the place of its last block, or -1."""
    best, found = -1, None
    for end in reversed(ends):
        for n in range(end, max(best, end - rule.lookback_blocks), -1):
            held = cache.life_left(pieces[n].prefix, at_ms)
            if held is not None:
                best, found = n, held
                break
    return best, found


def _marks(pieces: Sequence[Piece], rule: Rule, wish: Wish) -> list[tuple[int, str]]:
    """Place and lifetime of each mark, the provider's own included."""
    default = wish.life if wish.life in rule.lives else next(iter(rule.lives))
    found = [
        (n, piece.mark.value if piece.mark.value in rule.lives else default)
        for n, piece in enumerate(pieces)
        if piece.mark is not Mark.NONE
    ]
    last = len(pieces) - 1
    if rule.way is Way.ENDS and not wish.own_marks_only and (not found or found[-1][0] != last):
        found.append((last, default))
    if len(found) > rule.most_marks:
        raise BadInput(
            f"{len(found)} cache marks, and the provider takes at most {rule.most_marks}",
            mend="leave out the marks of the shortest prefixes",
        )
    lives = [rule.lives[life] for _, life in found]
    if any(later > earlier for earlier, later in pairwise(lives)):
        raise BadInput(
            "a cache mark with a long life stands after one with a short life",
            mend="put the marks with the longest life first",
        )
    return found


def _life_ms(rule: Rule, life: str | None) -> int:
    default = next(iter(rule.lives.values()))
    return (rule.lives.get(life, default) if life is not None else default) * 1_000
