"""Microseconds to admit and settle one call with four claims, in memory, in one run with what one
would write without a ledger of holds: the same additions in a plain dict.

The baseline checks four limits, adds the hold to four counters and corrects them when the call is
over. It has no windows that roll, no leases, no idempotency, no denial that says why; its figure
is what the machine takes for the bare arithmetic. The claims: a rolling hour, a day in a time
zone, a month, and a window that never ends.

Run: python benchmarks/admission.py
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence

from bursar.state.accounts import Accounts
from bursar.state.terms import Ask, Claim, Rate
from bursar.state.windows import checked_window, placing

GOAL_US = 15.0
CALLS = 20_000
ROUNDS = 9
START_MS = 1_790_000_000_000
HOLD_NANO, COST_NANO, LIMIT_NANO = 12_000_000, 10_000_000, 10**15
WINDOWS = {
    "tenant/acme": checked_window("rolling", 3_600),
    "user/ann": checked_window("day", zone="Europe/Berlin"),
    "key/k1": checked_window("month"),
    "session/s9": checked_window("never"),
}
COSTS = (COST_NANO,) * len(WINDOWS)


def asks(rates: tuple[Rate, ...] = ()) -> list[Ask]:
    """Calls 5 ms apart."""
    places = {account: placing(window) for account, window in WINDOWS.items()}
    found: list[Ask] = []
    for number in range(CALLS):
        at_ms = START_MS + number * 5
        claims = tuple(
            Claim(account, HOLD_NANO, LIMIT_NANO, *place(at_ms))
            for account, place in places.items()
        )
        found.append(Ask(f"{number}.1", at_ms, 630_000, claims, rates, "w1"))
    return found


def through_the_core(given: Sequence[Ask], ahead: int) -> None:
    """Each call is settled when `ahead` more have been admitted."""
    core = Accounts()
    for place, ask in enumerate(given):
        core.reserve(ask)
        if place >= ahead:
            done = given[place - ahead]
            core.settle(done.key, COSTS, ask.at_ms)
        if not place % 1_000:
            core.sweep(ask.at_ms)


def through_a_dict(given: Sequence[Ask], ahead: int) -> None:
    used: dict[str, int] = {}
    for ask in given:
        for claim in ask.claims:
            limit = claim.limit
            if limit is not None and used.get(claim.account, 0) + claim.amount > limit:
                break
        else:
            for claim in ask.claims:
                used[claim.account] = used.get(claim.account, 0) + claim.amount
        for claim, cost in zip(ask.claims, COSTS, strict=True):
            used[claim.account] += cost - claim.amount


def best_us(way: Callable[[Sequence[Ask], int], None], given: Sequence[Ask], ahead: int) -> float:
    """Of all rounds, the quickest."""
    best = float("inf")
    for _ in range(ROUNDS):
        gc.collect()
        start = time.perf_counter()
        way(given, ahead)
        best = min(best, time.perf_counter() - start)
    return best / len(given) * 1e6


def main() -> int:
    plain, rated = asks(), asks((Rate("key/k1", 1, 10**6, 60_000_000),))
    base_us = best_us(through_a_dict, plain, 0)
    print(f"{len(WINDOWS)} claims, reserve + settle, best of {ROUNDS} rounds of {CALLS:,} calls")
    print(f"{'plain dict additions':32} {base_us:6.2f} us")
    slow = False
    for name, given, ahead in (
        ("one call at a time", plain, 0),
        ("500 calls under way", plain, 500),
        ("and a rate limit", rated, 500),
    ):
        took_us = best_us(through_the_core, given, ahead)
        slow |= took_us > GOAL_US
        verdict = "ok" if took_us <= GOAL_US else "SLOW"
        print(
            f"{name:32} {took_us:6.2f} us ({verdict}, goal {GOAL_US:g})"
            f"   {took_us / base_us:4.1f}x the plain dict"
        )
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
