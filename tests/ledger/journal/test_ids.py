"""Ids only grow, tell their time, and never meet another worker's."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bursar.ledger.journal.ids import EPOCH_MS, Ids, id_of, key_of, time_of
from bursar.ledger.recorder import call_id_of
from bursar.model.block import digest_of

CLOCK = st.lists(st.integers(EPOCH_MS, EPOCH_MS + 10**12), min_size=1, max_size=200)


@given(CLOCK, st.integers(0, 1023))
def test_ids_grow_whatever_the_clock_does(clock: list[int], worker: int) -> None:
    ids = Ids(worker)
    made = [ids.next(now_ms) for now_ms in clock]
    assert made == sorted(set(made))
    assert all(0 <= one < 2**63 for one in made)
    assert all((one >> 12) & 1023 == worker for one in made)


@given(st.integers(EPOCH_MS + 1, EPOCH_MS + 2**41 - 10))
def test_an_id_tells_its_time(now_ms: int) -> None:
    assert time_of(Ids(5).next(now_ms)) == datetime(1970, 1, 1) + timedelta(milliseconds=now_ms)


def test_a_millisecond_with_more_calls_than_numbers_borrows_from_the_next() -> None:
    ids = Ids(0)
    made = [ids.next(EPOCH_MS + 1) for _ in range(5_000)]
    assert len(set(made)) == 5_000


@given(st.integers(0, 2**63 - 1))
def test_a_key_carries_its_id(number: int) -> None:
    assert id_of(key_of(number)) == number
    assert call_id_of(key_of(number)) == number


@given(st.text(max_size=30))
def test_other_keys_are_hashed(key: str) -> None:
    if id_of(key) is None:
        assert call_id_of(key) == digest_of(key)


def test_keys_that_only_look_like_ids() -> None:
    for key in ("id:", "id:x", "id:-1", "id:9223372036854775808", "id:²", "ID:1", "id: 1"):
        assert id_of(key) is None
