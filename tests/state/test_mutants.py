"""The laws have teeth: each planted bug breaks one, and the true core none."""

from __future__ import annotations

import pytest
from hypothesis import settings

from bursar.state.accounts import Accounts
from state.mutants import LIMITS, MUTANTS, caught_by


@pytest.mark.parametrize("core", MUTANTS, ids=lambda core: core.__name__)
def test_a_planted_bug_is_caught(core: type[Accounts]) -> None:
    assert caught_by(core), f"no law notices: {core.__doc__}"


def test_the_true_core_passes() -> None:
    """Under the same seeds as its mutants; see test_memory for other ones."""
    assert caught_by(Accounts, settings(LIMITS, max_examples=60)) == ""
