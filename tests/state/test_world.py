"""The simulated world agrees with itself, and disagrees with a store that forgets."""

from __future__ import annotations

import pytest

from bursar.state.accounts import Accounts
from state import mutants
from state.world import Broken, World

SEED = 20_261_122
CAUGHT = (
    mutants.NoIdempotency,
    mutants.SettlesTwice,
    mutants.CheckThenAdd,
    mutants.ExpiryForgets,
    mutants.LateSpendLost,
    mutants.VoidAfterSettle,
    mutants.FreeTopUp,
)


def test_balances_are_journal_and_invoice() -> None:
    world = World(SEED, 20_000, seconds=30)
    world.run()
    assert world.made == 20_000
    seen = world.counts
    for what in ("crash", "wipe", "failover", "partition", "slow", "clock", "raise"):
        assert seen[f"event: {what}"], f"no {what} in this world: {seen}"
    for what in ("settled", "refused: limit", "refused: no store", "streams cut", "lives"):
        assert seen[what], f"no {what} in this world: {seen}"
    assert "held 0" in world.report()


def test_one_seed_is_one_world() -> None:
    worlds = [World(3, 1_500, seconds=30) for _ in range(2)]
    for world in worlds:
        world.run()
    assert worlds[0].report() == worlds[1].report()


@pytest.mark.parametrize("core", CAUGHT, ids=lambda core: core.__name__)
def test_a_store_that_forgets_is_found_out(core: type[Accounts]) -> None:
    with pytest.raises(Broken):
        World(SEED, 6_000, seconds=30, core=core).run()
