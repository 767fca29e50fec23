"""What the core forgets and when, what it does when full, and examples that read as the rules."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.state.accounts import Accounts
from bursar.state.bounds import DAY_MS, Bounds
from bursar.state.slots import SLOTS_KEPT
from bursar.state.terms import Ask, Carried, Claim, Denial, Rate, Settled, Standing, StoreLost
from bursar.state.windows import Window, checked_window, place
from state.machine import START_MS

NEVER = checked_window("never")
HOUR = checked_window("rolling", 3_600)
DAY = checked_window("day")


def claim(
    name: str,
    amount: int = 10,
    limit: int | None = 100,
    window: Window = NEVER,
    at_ms: int = START_MS,
    most_age_ms: int | None = None,
) -> Claim:
    return Claim(name, amount, limit, *place(window, at_ms), most_age_ms)


def ask(key: str, *claims: Claim, at_ms: int = START_MS, **more: object) -> Ask:
    return Ask(key, at_ms, 60_000, claims, **more)  # type: ignore[arg-type]


def standing(core: Accounts, one: Claim) -> Standing:
    return core.standings([one])[0]


def test_one_call() -> None:
    core, one = Accounts(), claim("a")
    assert core.reserve(ask("1", one)) is None
    assert standing(core, one) == Standing("a", held=10, born_ms=START_MS)
    assert core.settle("1", (7,), START_MS + 5) == Settled(True, (0,), (7,))
    assert core.settle("1", (7,), START_MS + 6) == Settled(new=False)
    assert not core.void("1", START_MS + 7)
    assert standing(core, one) == Standing("a", posted=7, total=7, born_ms=START_MS)


def test_a_denial_tells_by_which_claim_and_leaves_nothing() -> None:
    core = Accounts()
    assert core.reserve(ask("1", claim("a"), claim("b", 60))) is None
    denial = core.reserve(ask("2", claim("a"), claim("b", 41), claim("new")))
    assert denial == Denial("limit", 1, 100, held=60)
    assert standing(core, claim("a")).held == 10
    assert standing(core, claim("new")) == Standing("new")


def test_a_cost_above_its_hold_is_posted_and_told() -> None:
    core, one = Accounts(), claim("a", 100)
    core.reserve(ask("1", one))
    assert core.settle("1", (130,), START_MS) == Settled(True, (30,), (130,))
    assert standing(core, one).worst_over == 30
    assert core.reserve(ask("2", claim("a", 0))) == Denial("limit", 0, 100, posted=130)


def test_a_raise_is_no_overshoot_of_the_calls_before_it() -> None:
    core = Accounts()
    core.reserve(ask("1", claim("a", 100)))
    assert core.reserve(ask("2", claim("a", 100, 200))) is None
    assert core.settle("1", (100,), START_MS).over == (0,)


def test_concurrency_is_a_claim_that_settles_at_nothing() -> None:
    core = Accounts()
    calls = [ask(f"{n}", claim("flight", 1, 2, HOUR)) for n in range(4)]
    assert [core.reserve(one) is None for one in calls] == [True, True, False, False]
    core.settle("0", (0,), START_MS)
    assert core.reserve(calls[2]) is None


def test_wall_time_is_the_age_of_an_account() -> None:
    core = Accounts()
    for later_ms, why in ((0, None), (900, None), (1_000, None), (1_001, "age")):
        at_ms = START_MS + later_ms
        one = claim("task", 1, None, most_age_ms=1_000)
        denial = core.reserve(ask(f"{later_ms}", one, at_ms=at_ms))
        assert (denial and denial.why) == why


def test_a_rolling_denial_tells_its_oldest_slot() -> None:
    core = Accounts()
    first = claim("a", 60, 100, HOUR)
    core.reserve(ask("1", first))
    later_ms = START_MS + 600_000
    core.reserve(ask("2", claim("a", 40, 100, HOUR, later_ms), at_ms=later_ms))
    denial = core.reserve(ask("3", claim("a", 1, 100, HOUR, later_ms), at_ms=later_ms))
    assert denial == Denial("limit", 0, 100, held=100, oldest=first.slot)
    gone_ms = first.until
    assert core.reserve(ask("4", claim("a", 60, 100, HOUR, gone_ms), at_ms=gone_ms)) is None


def test_what_an_owner_held_is_suspect_when_it_is_gone() -> None:
    core, one = Accounts(), claim("a")
    core.reserve(ask("1", one, owner="w1"))
    core.reserve(ask("2", one, owner="w2"))
    assert core.abandon("w1", START_MS) == 1
    assert core.abandon("w1", START_MS) == 0
    now = standing(core, one)
    assert (now.held, now.suspect) == (10, 10)
    assert core.settle("1", (3,), START_MS).new


def test_a_void_that_overtakes_its_reservation_wins() -> None:
    core, one = Accounts(), claim("a")
    assert not core.void("1", START_MS)
    assert core.reserve(ask("1", one)) is None
    assert standing(core, one).held == 0


def test_amounts_that_do_not_match_are_refused_before_anything_moves() -> None:
    core, one = Accounts(), claim("a")
    core.reserve(ask("1", one))
    for step in (core.settle, core.extend):
        with pytest.raises(ValueError, match="1: 2 amounts for 1 claims"):
            step("1", (1, 2), START_MS)
    assert standing(core, one).held == 10


def test_a_rate_that_can_never_fit_says_so() -> None:
    core = Accounts()
    denial = core.reserve(ask("1", rates=(Rate("r", 6, 5, 1_000_000),)))
    assert denial == Denial("rate", 0, retry_ms=None)
    assert core.reserve(ask("2", rates=(Rate("r", 5, 5, 1_000_000),))) is None
    assert core.reserve(ask("3", rates=(Rate("r", 1, 5, 1_000_000),))) == Denial(
        "rate", 0, retry_ms=200
    )
    assert core.reserve(ask("4", at_ms=START_MS + 200, rates=(Rate("r", 1, 5, 1_000_000),))) is None


@settings(max_examples=200, deadline=None)
@given(
    burst=st.integers(1, 50),
    period_us=st.integers(1_000, 10**8),
    steps=st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 8)), max_size=60),
)
def test_a_rate_never_gives_more_than_burst_and_period(
    burst: int, period_us: int, steps: list[tuple[int, int]]
) -> None:
    """In any stretch of time: at most a burst, and what the time has earned."""
    core, at_ms = Accounts(), START_MS
    passed: list[tuple[int, int]] = []
    for number, (wait_ms, cost) in enumerate(steps):
        at_ms += wait_ms
        rate = Rate("r", cost, burst, period_us)
        if core.reserve(ask(f"{number}", at_ms=at_ms, rates=(rate,))) is None:
            passed.append((at_ms, cost))
    for place_of, (begin_ms, _) in enumerate(passed):
        total = 0
        for now_ms, cost in passed[place_of:]:
            total += cost
            earned = (now_ms - begin_ms) * 1000 * burst // period_us
            assert total <= burst + earned


def test_waits_for_every_node_before_it_admits() -> None:
    core, one = Accounts(("n1", "n2")), claim("a")
    for node in ("n1", "n1", "n2"):
        assert not core.is_whole()
        with pytest.raises(StoreLost):
            core.reserve(ask("1", one))
        with pytest.raises(StoreLost):
            core.extend("1", (1,), START_MS)
        core.rebuild(node, (Carried("a", 0, 30, START_MS - 9),), ("old",), START_MS)
    assert core.is_whole()
    assert standing(core, one) == Standing("a", posted=60, total=60, born_ms=START_MS - 9)
    core.restore(ask("old", one))
    core.restore(ask("open", claim("a", 50)))
    assert standing(core, one).held == 50
    assert core.reserve(ask("1", claim("a", 1))) == Denial("limit", 0, 100, posted=60, held=50)


# What it forgets. ---------------------------------------------------------------------------


def known(core: Accounts) -> int:
    return len(core._accounts)


def test_an_account_is_forgotten_a_day_after_it_can_count() -> None:
    core = Accounts()
    one = claim("a", window=DAY)
    core.reserve(ask("1", one))
    core.settle("1", (5,), START_MS)
    core.sweep(one.until + DAY_MS - 1)
    assert known(core) == 1
    core.sweep(one.until + DAY_MS)
    assert known(core) == 0


def test_a_prepaid_account_is_never_forgotten() -> None:
    core = Accounts()
    core.reserve(ask("1", claim("a"), claim("flight", 1)))
    core.settle("1", (5, 0), START_MS)
    for years in range(1, 5):
        core.sweep(START_MS + years * 366 * DAY_MS)
    assert standing(core, claim("a")).posted == 5
    assert known(core) == 1, "what posted nothing is as good as new"


def test_what_is_open_keeps_its_account() -> None:
    core = Accounts()
    one = claim("a", 0, window=DAY)
    core.reserve(ask("1", one, claim("b")))
    core.sweep(START_MS + 9 * DAY_MS)
    assert known(core) == 2
    assert core.settle("1", (5, 5), START_MS + 9 * DAY_MS).new


def test_a_suspect_is_forgotten_when_no_window_of_it_can_count() -> None:
    core = Accounts()
    core.reserve(ask("1", claim("a", window=DAY)))
    core.reserve(ask("2", claim("b")))
    assert core.sweep(START_MS + 60_000) == 2
    core.sweep(START_MS + 3 * DAY_MS)
    assert sorted(core._open) == ["2"]
    assert standing(core, claim("b")).suspect == 10


def test_beyond_the_bound_the_oldest_suspects_are_posted() -> None:
    core, one = Accounts(bounds=Bounds(suspects=3)), claim("a", limit=None)
    for number in range(5):
        core.reserve(ask(f"{number}", one))
    core.sweep(START_MS + 60_000)
    now = standing(core, one)
    assert (now.posted, now.suspect) == (20, 30)
    assert not core.settle("0", (1,), START_MS).new


@pytest.mark.parametrize("what", ["accounts", "open", "rates"])
def test_full_is_full_and_changes_nothing(what: str) -> None:
    core = Accounts(bounds=Bounds(**{what: 2}))
    for number in range(2):
        rate = Rate(f"r{number}", 1, 5, 1_000)
        assert core.reserve(ask(f"{number}", claim(f"a{number}"), rates=(rate,))) is None
    with pytest.raises(StoreLost, match=f"keeps 2 {'reservations' if what == 'open' else what}"):
        core.reserve(ask("2", claim("a2"), rates=(Rate("r2", 1, 5, 1_000),)))
    assert standing(core, claim("a2")) == Standing("a2")
    core.settle("0", (0,), START_MS)
    if what == "open":
        assert core.reserve(ask("3", claim("a1"))) is None


def test_done_keys_are_bounded_and_known_for_a_day() -> None:
    core = Accounts(bounds=Bounds(done=100))
    for number in range(1_000):
        core.reserve(ask(f"{number}", claim("a", 0)))
        core.settle(f"{number}", (0,), START_MS)
    assert len(core._done) + len(core._done_before) <= 100
    core = Accounts()
    core.sweep(START_MS)
    core.reserve(ask("1", claim("a")))
    core.settle("1", (1,), START_MS)
    for hours in range(24):
        core.sweep(START_MS + hours * 3_600_000)
    core.reserve(ask("1", claim("a")))
    assert standing(core, claim("a")).held == 0
    for hours in (48, 72, 96):
        core.sweep(START_MS + hours * 3_600_000)
    assert not core._done | core._done_before


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-300, 300), st.integers(0, 9), st.booleans()),
        min_size=150,
        max_size=400,
    )
)
def test_slots_are_bounded_and_none_that_counts_is_dropped(
    steps: list[tuple[int, int, bool]],
) -> None:
    core, minute = Accounts(), checked_window("minute")
    hour, at_ms = checked_window("rolling", 60), START_MS
    held = 0
    for number, (jump, amount, settles) in enumerate(steps):
        at_ms += jump * 1_000
        claims = (
            claim("m", amount, None, minute, at_ms),
            claim("h", amount, None, hour, at_ms),
        )
        core.reserve(ask(f"{number}", *claims, at_ms=at_ms))
        if settles:
            core.settle(f"{number}", (amount, amount), at_ms)
        else:
            held += amount
    for account in core._accounts.values():
        busy = sum(bool(slot.held or slot.suspect) for slot in account.slots.values())
        inside = len(account.order) - account.first
        assert len(account.slots) <= SLOTS_KEPT + busy + inside
        assert sum(slot.held for slot in account.slots.values()) == held
        assert account.order == sorted(account.slots)
        window = [account.slots[one] for one in account.order if one >= account.since]
        assert account.used == sum(one.posted + one.held + one.suspect for one in window)


def test_leases_take_no_more_room_than_what_is_open() -> None:
    core = Accounts()
    for number in range(20_000):
        core.reserve(ask(f"{number}", claim("a", 0)))
        core.settle(f"{number}", (0,), START_MS)
    assert len(core._leases) < 2_000


def test_a_copy_goes_on_where_the_original_stood() -> None:
    core = Accounts()
    core.reserve(ask("1", claim("a"), claim("b", window=HOUR)))
    copy = pickle.loads(pickle.dumps(core))
    for one in (core, copy):
        assert one.settle("1", (4, 4), START_MS) == Settled(True, (0, 0), (4, 4))
