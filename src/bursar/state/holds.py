"""How much a call must hold, what limit goes upstream with it, and what becomes of it.

Holding the worst case is safe and refuses most of what would have fitted. So a stream whose tokens
are all seen holds what its answer will be in the mean, by what it has said so far, and asks for
more as it goes on; denied, it is cut before its hold is used up. Whoever comes new must leave room
for those under way to be longer than the mean (`Hold.margin_nano`): chance evens out over many, so
that is far less than a long answer held for each. An answer that cannot be watched is limited
upstream to what its hold pays, or, in mode `soft`, not at all.

Nothing is held beyond the worst case. Money is rounded up.
"""

from __future__ import annotations

from math import isqrt
from typing import Literal

import msgspec

from bursar.model.money import PICO_PER_NANO, usd
from bursar.state.lengths import Lengths
from bursar.state.sizes import Size, Top

Mode = Literal["stream", "whole", "soft"]
"""`stream`: its tokens are seen as they come, and it may be cut. `whole`: they are not (no stream,
or hidden reasoning), and the limit upstream is what bounds it. `soft`: neither cut nor limited."""
Basis = Literal["worst", "lengths", "left", "unpriced"]
Room = tuple[int | None, int | None]
"""Nanodollars and tokens; None: nothing limits them."""


class HoldRule(msgspec.Struct, frozen=True, kw_only=True):
    """How holds are chosen; of a route."""

    floor_tokens: int = 256
    """An answer is limited no lower than this; a call that then does not fit is refused."""
    margin_percent: int = 50
    """Of the standard deviation of all answers under way: what a new call must leave free. More:
    fewer streams are cut, and more calls refused that would have fitted."""
    quantile: float = 0.95
    """Of the lengths: what an answer holds that cannot be watched. Near the limit it is limited to
    that; further away, to `slack_percent` of it."""
    slack_percent: int = 200
    first_tokens: int | None = None
    """Mean length assumed while the lengths are not known. None: the worst case."""
    check_tokens: int = 50
    """Tokens that a stream may give between two looks at it."""
    tail_tokens: int = 64
    """Tokens that may still be billed after a stream is cut; of a fast stream, as many as it says
    in `lag_ms`."""
    lag_ms: int = 200
    """From a token that is made to the provider's stop, had we cut the stream at that token."""
    ask_percent: int = 80
    """Of its hold: where a stream asks for more in any case."""
    step_percent: int = 102
    """Of its answer's mean length: what a stream holds when it asks, so that it does not ask at
    every look. More: fewer questions to the store, and more calls refused."""


PLAIN = HoldRule()


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """The tightest of a call's budgets in each unit, as last known."""

    room: Room = (None, None)
    """The limit without what is posted, held and suspect."""
    unposted: Room = (None, None)
    """The limit without what is posted: no call can ever get more."""
    others: int = 0
    """Calls under way against it, on all nodes."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """What to reserve, and what to send."""

    nano: int | None
    """None: no price is known and the policy allows the call, so no money is held."""
    tokens: int
    """Of prompt and answers, for budgets in tokens."""
    max_tokens: int | None
    """The limit of each answer to write upstream. None: as the client asks."""
    basis: Basis
    """`worst` case, `lengths` of earlier answers, all that is `left`, or `unpriced`."""
    answer_tokens: int
    """Of all answers together: what is held."""
    most_tokens: int
    """Of all answers together: what may be asked for."""
    margin_nano: int = 0
    """To be free beside the hold when it is reserved, but not taken: for those under way."""
    margin_tokens: int = 0
    answers: int = 1
    answer_pico: int = 0

    def grown(self, tokens: int) -> Hold:
        """The hold with so many answer tokens; the differences are what to extend it by."""
        more = _up((tokens - self.answer_tokens) * self.answer_pico)
        return msgspec.structs.replace(
            self,
            nano=None if self.nano is None else self.nano + more,
            tokens=self.tokens + tokens - self.answer_tokens,
            answer_tokens=tokens,
        )

    def billed(self, prompt_nano: int, prompt_tokens: int) -> Hold:
        """The hold once a stream has told what its prompt is billed: the rest is free.

        1 nanodollar more, for the cost of both is rounded only once.
        """
        answers_nano = _up(self.answer_tokens * self.answer_pico)
        return msgspec.structs.replace(
            self,
            nano=None if self.nano is None else prompt_nano + 1 + answers_nano,
            tokens=prompt_tokens + self.answer_tokens,
        )


class Short(msgspec.Struct, frozen=True, kw_only=True):
    """Not even the least that the call could do with has room."""

    nano: int
    tokens: int


class More(msgspec.Struct, frozen=True):
    """Answer tokens that a stream should hold now; where denied, those with which it goes on."""

    want_tokens: int
    least_tokens: int


class Over(msgspec.Struct, frozen=True):
    """The most by which a budget can be exceeded, and why."""

    nano: int | None
    """None: there is no bound."""
    because: str


def hold_of(
    size: Size,
    top: Top | None,
    left: Left,
    lengths: Lengths | None,
    rule: HoldRule = PLAIN,
    mode: Mode = "stream",
) -> Hold | Short:
    """What to hold for an attempt. `top=None`: unpriced, and the policy allows it.

    The store decides: `left` is old, so a hold that fits here may be denied there, and a `Short`
    may fit after the next settlement.
    """
    cap = size.cap_tokens
    known = lengths is not None and lengths.known
    want, margin = _wanted(size, left, lengths, rule, mode)
    free = _paid(size, top, left.room, margin)
    basis: Basis = "unpriced" if top is None else "worst" if want == cap else "lengths"
    least = min(cap, max(rule.floor_tokens, size.least_tokens))
    alone = left.others == 0 or not known
    if mode == "whole" and not alone:
        least = max(least, min(want, _quantile(lengths, cap, rule)))
    if want > free:
        takes_less = mode == "whole" or (mode == "stream" and alone)
        if not takes_less or free < least:
            return _short(size, top, want if not takes_less else least, margin)
        want, basis = free, "left"
    limit = cap
    if mode == "whole":
        limit = want
    elif mode == "stream":
        limit = min(cap, max(want, _paid(size, top, left.unposted)))
        if limit < least:
            return _short(size, top, least, margin)
    return _hold(size, top, (want, limit, margin), basis)


def _wanted(
    size: Size, left: Left, lengths: Lengths | None, rule: HoldRule, mode: Mode
) -> tuple[int, int]:
    """Tokens of one answer to hold, and those of all to leave free."""
    cap = size.cap_tokens
    if lengths is None or not lengths.known:
        first = rule.first_tokens
        if first is None or mode == "whole":
            return cap, 0
        return min(cap, first), _margin(min(cap, first), size, left, rule)
    if mode != "stream":
        return min(cap, _quantile(lengths, cap, rule) * rule.slack_percent // 100), 0
    mean = lengths.expected(rule.check_tokens, cap) * rule.step_percent // 100
    want = max(mean, 2 * rule.check_tokens + rule.tail_tokens)
    return min(cap, want), _margin(lengths.spread(cap), size, left, rule)


def _margin(spread: int, size: Size, left: Left, rule: HoldRule) -> int:
    return isqrt(spread * spread * left.others * size.answers) * rule.margin_percent // 100


def _quantile(lengths: Lengths | None, cap: int, rule: HoldRule) -> int:
    return cap if lengths is None else lengths.quantile(rule.quantile, cap)


def _paid(size: Size, top: Top | None, room: Room, margin: int = 0) -> int:
    """Tokens that each answer can have within some room; the cap where nothing limits them.

    Below 0: not even the prompt has room beside the margin.
    """
    nano, tokens = room
    cap, answers = size.cap_tokens, size.answers
    if nano is not None and top is not None:
        over = nano - top.nano(size, margin)
        if over < 0:
            return -1
        if answers and top.answer_pico:
            cap = min(cap, over * PICO_PER_NANO // (top.answer_pico * answers))
    if tokens is not None:
        over = tokens - size.prompt_tokens - margin
        if over < 0:
            return -1
        cap = min(cap, over // max(1, answers))
    return cap


def _hold(size: Size, top: Top | None, amounts: tuple[int, int, int], basis: Basis) -> Hold:
    want, limit, margin = amounts
    held, pico = want * size.answers, 0 if top is None else top.answer_pico
    as_asked = not size.answers or (size.asked_tokens is not None and limit >= size.asked_tokens)
    return Hold(
        nano=None if top is None else top.nano(size, held),
        tokens=size.prompt_tokens + held,
        max_tokens=None if as_asked else limit,
        basis=basis,
        answer_tokens=held,
        most_tokens=limit * size.answers,
        margin_nano=_up(margin * pico),
        margin_tokens=margin,
        answers=size.answers,
        answer_pico=pico,
    )


def _short(size: Size, top: Top | None, least: int, margin: int) -> Short:
    held = least * size.answers + margin
    nano = 0 if top is None else top.nano(size, held)
    return Short(nano=nano, tokens=size.prompt_tokens + held)


def ahead_of(rule: HoldRule, ahead_tokens: int) -> int:
    """What a stream must hold beyond what it has said. `ahead_tokens`: what it says in `lag_ms`."""
    return max(rule.check_tokens + rule.tail_tokens, ahead_tokens)


def more_of(
    hold: Hold, said_tokens: int, lengths: Lengths | None, rule: HoldRule, ahead_tokens: int = 0
) -> More | None:
    """Whether a stream that has said so many tokens should hold more now."""
    held, most = hold.answer_tokens, hold.most_tokens
    if held >= most:
        return None
    answers = max(1, hold.answers)
    mean = 0
    if lengths is not None and lengths.known and rule.step_percent:
        soon = (said_tokens + rule.check_tokens) // answers
        mean = answers * lengths.expected(soon, most // answers)
    reach = said_tokens + rule.check_tokens + ahead_of(rule, ahead_tokens)
    if mean <= held and max(reach, said_tokens * 100 // rule.ask_percent) < held:
        return None
    least = min(most, reach)
    want = min(most, max(mean * rule.step_percent // 100 if mean else 2 * said_tokens, reach))
    return More(want, max(held, least)) if want > held else None


def must_cut(hold: Hold, said_tokens: int, rule: HoldRule, ahead_tokens: int = 0) -> bool:
    """Whether a stream must be cut now, so that all that is billed is held."""
    if hold.answer_tokens >= hold.most_tokens:
        return False
    return said_tokens + ahead_of(rule, ahead_tokens) > hold.answer_tokens


def worst_over(
    mode: Mode, at_once: int | None, worst_nano: int, hold_nano: int, late_nano: int = 0
) -> Over:
    """The most by which calls of this kind can take a budget beyond its limit.

    `at_once`: calls under way at most; None: nothing limits them. `worst_nano`, `hold_nano`: of
    one call. `late_nano`: what a provider may bill of a stream after `tail_tokens`.
    """
    if mode == "whole":
        return Over(0, "each answer is limited upstream to what its hold pays")
    each = late_nano if mode == "stream" else max(0, worst_nano - hold_nano)
    if not each:
        if mode == "soft":
            return Over(0, "each call holds its worst case")
        lag_s = PLAIN.lag_ms / 1_000
        return Over(0, f"a stream is cut while its hold still pays for the next {lag_s:g} s of it")
    what = (
        f"each call may cost {usd(each)} USD more than it holds, and is neither cut nor limited"
        if mode == "soft"
        else f"a provider may bill {usd(each)} USD of a stream after it is cut"
    )
    if at_once is None:
        return Over(None, f"{what}; without a limit on calls at once there is no bound")
    return Over(at_once * each, f"{what}, for {at_once} calls at once")


def _up(pico: int) -> int:
    return -(-pico // PICO_PER_NANO)
