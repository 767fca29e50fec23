"""By how much each cap can be exceeded at most, and why: known before the first call is made.

Admission itself is exact, so an excess has three sources only: streams that may run on after their
hold is used up, nodes that spend their own share while the store is away, and what is not counted
at all. Each is put into a number here, or said to have none.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bursar.gateway.settings.amounts import amount_text
from bursar.gateway.settings.structs import Settings
from bursar.model.money import NANO_PER_USD, PICO_PER_NANO
from bursar.state.budgets import KEY, Limit, Rule
from bursar.state.holds import Over, worst_over

AnswerPico = Callable[[], int]
"""The dearest known rate of a token of an answer."""


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds rest on beside the rule itself."""

    settings: Settings
    rules: tuple[Rule, ...]
    answer_pico: AnswerPico

    @property
    def shared(self) -> bool:
        """Whether the store is another machine, which may be away."""
        return self.settings.state.store != "memory"

    def answer_tokens(self) -> int | None:
        """Longest answer of any call; None: nothing limits it."""
        usual = self.settings.calls.max_output_tokens
        stated = [usual, *(one.max_output_tokens or usual for one in self.settings.routes)]
        known = [one for one in stated if one is not None]
        return max(known) if len(known) == len(stated) else None


def over_of(rule: Rule, limit: Limit, ground: Ground) -> Over:
    """The most by which one account of a limit can exceed it, in the limit's own unit."""
    if not rule.hard:
        return Over(None, "it is not hard: it warns and refuses nothing")
    if limit.amount is None:
        return Over(None, "it has no limit")
    if limit.unit == "wall":
        return Over(0, "what begins later is refused, and what is under way goes on")
    parts = [_running(rule, limit, ground), _away(rule, limit, ground)]
    told = [one for one in parts if one is not None]
    unbound = [one.because for one in told if one.nano is None]
    if unbound:
        return Over(None, "; ".join(unbound))
    amounts = [one for one in told if one.nano] or told[:1]
    return Over(sum(one.nano or 0 for one in told), "; ".join(one.because for one in amounts))


def over_text(over: Over, unit: str) -> str:
    """`can exceed it by at most $0.00, because ...`."""
    if over.nano is None:
        return f"can exceed it without bound, because {over.because}"
    if unit == "wall":
        return f"can exceed it by one call: {over.because}"
    amount = amount_text("calls" if unit == "at_once" else unit, over.nano)
    if unit == "usd" and over.nano % (NANO_PER_USD // 100) == 0:
        amount = f"${over.nano // NANO_PER_USD}.{over.nano * 100 // NANO_PER_USD % 100:02d}"
    return f"can exceed it by at most {amount}, because {over.because}"


def _running(rule: Rule, limit: Limit, ground: Ground) -> Over:
    """What calls under way may add."""
    if limit.unit in ("calls", "at_once"):
        return Over(0, "each call takes its place before it is sent")
    if not rule.cuts:
        return _let_run(rule, limit, ground)
    if rule.clamps and rule.limits_streams:
        return worst_over("whole", None, 0, 0)
    if rule.clamps:
        whole, stream = worst_over("whole", None, 0, 0), worst_over("stream", None, 0, 0)
        late = _late(rule, limit, ground)
        return Over(0, f"{stream.because}, and {whole.because}; {late}")
    return worst_over("soft", None, 0, 0)


def _late(rule: Rule, limit: Limit, ground: Ground) -> str:
    """What no hold pays for: a provider that does not stop when it is cut off."""
    over = _let_run(rule, limit, ground)
    if over.nano is None:
        return "a provider that goes on for longer is bounded by streams: limit alone"
    return f"a provider that goes on for longer, by at most {amount_text(limit.unit, over.nano)}"


def _let_run(rule: Rule, limit: Limit, ground: Ground) -> Over:
    """What streams may add that run on after their hold is used up."""
    tokens, calls = ground.answer_tokens(), at_once_of(rule, ground)
    if tokens is None:
        return Over(None, "streams: let_run, and no calls.max_output_tokens limits an answer")
    if limit.unit == "usd":
        each = -(-tokens * ground.answer_pico() // PICO_PER_NANO)
        over = worst_over("soft", calls, each, 0)
        return Over(over.nano, f"streams: let_run; {over.because}")
    if calls is None:
        return Over(None, "streams: let_run, and no concurrency limits the calls at once")
    return Over(calls * tokens, f"streams: let_run, for {calls} calls at once of {tokens} tokens")


def _away(rule: Rule, limit: Limit, ground: Ground) -> Over | None:
    """What may be spent while the store is away."""
    if not ground.shared or rule.fail == "closed":
        return None
    if rule.fail == "open":
        return Over(None, "fail: open lets every call pass while the store is away")
    state = ground.settings.state
    most = max(limit.amount or 0, *(one.amount for one in limit.raised), 0)
    share = most * state.local_share // 100
    what = f"each of {state.nodes} nodes may spend {state.local_share}% while the store is away"
    return Over(share * state.nodes, what)


def at_once_of(rule: Rule, ground: Ground) -> int | None:
    """Most calls under way that may count in one account of a rule; None: nothing limits them."""
    keys = len(ground.settings.keys)
    found: list[int] = []
    for one in ground.rules:
        if one.kind != "concurrency" or one.tests or one.unknown == "pass":
            continue
        most = max((limit.amount or 0 for limit in one.all_limits), default=0)
        if set(one.each) <= set(rule.each):
            found.append(most)
        elif one.each == (KEY,) and keys:
            found.append(most * keys)
    return min(found, default=None)
