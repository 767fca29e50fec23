"""Raises by command: taken within a look, checked like those of the file, over by themselves."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from bursar.gateway.settings.amounts import Words, amounts_of
from bursar.gateway.settings.caps_compiling import rules_of
from bursar.gateway.settings.raises import (
    LOCK,
    MOST,
    NAME,
    Lift,
    end_raises,
    lifted,
    load_raises,
    raise_limit,
    with_raises,
)
from bursar.gateway.settings.reading import parse_settings
from bursar.gateway.settings.structs import Settings
from bursar.gateway.settings.values import Moment, moment_of
from bursar.gateway.settings.watched import Watched
from bursar.model.errors import BadInput, BursarError
from bursar.model.money import NANO_PER_USD
from gateway.settings.desks import ENVIRON, digest

NOW_S = 1_790_000_000
LATER = "2026-12-24"
TEXT = f"""
keys: {{a: {{sha256: {digest("a")}}}}}
tiers: {{gold: "gold-*"}}
budgets:
  tenants: {{each: tenant, limit: [$50/day, $500/month], tiers: {{gold: $9/day}}}}
  company: {{limit: $1_000/month}}
"""


def _settings() -> Settings:
    return parse_settings(TEXT.encode(), "bursar.yaml", ENVIRON)


def _lift(budget: str, to: str, *of: str, until: str = LATER) -> Lift:
    return Lift(
        budget=budget,
        to=amounts_of(to),
        until=moment_of(until),
        of=Words(of),
        since=Moment(NOW_S),
    )


def _limit(settings: Settings, tenant: str) -> int | None:
    (rule,) = [one for one in rules_of(settings).rules if one.title == "budgets.tenants"]
    limit = rule.limits[1].at(NOW_S * 1_000, [tenant])
    return None if limit is None else limit // NANO_PER_USD


def test_a_raise_is_written_for_its_owner_and_read_back_as_it_was(tmp_path: Path) -> None:
    first, second = _lift("tenants", "$800/month", "a", "b"), _lift("company", "$2k")
    raise_limit(tmp_path, first, _settings(), NOW_S)
    assert raise_limit(tmp_path, second, _settings(), NOW_S) == (second, first)
    assert load_raises(tmp_path / NAME) == (second, first)
    for name in (NAME, LOCK):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    settings, wrongs = with_raises(_settings(), (second, first), NOW_S)
    assert wrongs == []
    assert [_limit(settings, one) for one in "abc"] == [800, 800, 500]


def test_another_raise_of_the_same_accounts_takes_its_place(tmp_path: Path) -> None:
    raise_limit(tmp_path, _lift("tenants", "$800/month", "a"), _settings(), NOW_S)
    raise_limit(tmp_path, _lift("tenants", "$60/day", "a"), _settings(), NOW_S)
    held = raise_limit(tmp_path, _lift("tenants", "$900/month", "a"), _settings(), NOW_S)
    assert [str(one.to[0]) for one in held] == ["$900/month", "$60/day"]


def test_the_last_raise_of_an_account_counts(tmp_path: Path) -> None:
    raise_limit(tmp_path, _lift("tenants", "$800/month"), _settings(), NOW_S)
    held = raise_limit(tmp_path, _lift("tenants", "$900/month", "a"), _settings(), NOW_S)
    settings, _ = with_raises(_settings(), held, NOW_S)
    assert [_limit(settings, one) for one in "ab"] == [900, 800]


def test_what_has_ended_is_gone(tmp_path: Path) -> None:
    raise_limit(tmp_path, _lift("tenants", "$800/month"), _settings(), NOW_S)
    settings, _ = with_raises(_settings(), load_raises(tmp_path / NAME), moment_of(LATER))
    assert settings == _settings()
    late = moment_of(LATER) + 1
    later = _lift("company", "$2k", until="2027-06-01")
    assert raise_limit(tmp_path, later, _settings(), late) == (later,)


WRONG = [
    (("nobody", "$800"), "there is no budget 'nobody'"),
    (("tenants", "$800"), "fits several of the limits"),
    (("tenants", "$800/week"), "fits none of the limits"),
    (("tenants", "9 tokens/day"), "fits none of the limits"),
    (("tenants", "$500/month"), "is not above the limit"),
    (("company", "$2k", "a"), "has no meaning without each"),
    (("tenants", "$80/day", "gold-7"), "is of the tier gold"),
]


@pytest.mark.parametrize(("words", "text"), WRONG, ids=[text for _, text in WRONG])
def test_a_raise_that_does_not_fit_is_refused_and_nothing_written(
    words: tuple[str, ...], text: str, tmp_path: Path
) -> None:
    with pytest.raises(BursarError, match=text) as bad:
        raise_limit(tmp_path, _lift(*words), _settings(), NOW_S)
    assert bad.value.mend
    assert not (tmp_path / NAME).exists()


def test_a_raise_that_ended_before_it_began_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has passed"):
        raise_limit(tmp_path, _lift("company", "$2k", until="2020-01-01"), _settings(), NOW_S)


def test_their_number_is_bounded(tmp_path: Path) -> None:
    for number in range(MOST):
        raise_limit(tmp_path, _lift("tenants", "$800/month", f"t{number}"), _settings(), NOW_S)
    with pytest.raises(BadInput, match="raises already"):
        raise_limit(tmp_path, _lift("tenants", "$800/month", "one-more"), _settings(), NOW_S)
    assert len(load_raises(tmp_path / NAME)) == MOST


def test_raises_are_taken_back_all_or_for_some(tmp_path: Path) -> None:
    for one in (_lift("tenants", "$800/month", "a"), _lift("tenants", "$60/day", "b")):
        raise_limit(tmp_path, one, _settings(), NOW_S)
    company = _lift("company", "$2k")
    raise_limit(tmp_path, company, _settings(), NOW_S)
    assert [one.of for one in end_raises(tmp_path, "tenants", Words("a"), NOW_S)] == [("a",)]
    assert [one.of for one in end_raises(tmp_path, "tenants", Words(), NOW_S)] == [("b",)]
    assert load_raises(tmp_path / NAME) == (company,)


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"raises": [{"budget": "company", "to": "800", "until": "2026-12-24", "since": "x"}]}',
        b'{"raises": [], "more": 1}',
        b" " * 300_000,
    ],
)
def test_a_broken_file_is_told_with_its_place(content: bytes, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(BadInput, match=NAME) as bad:
        load_raises(tmp_path / NAME)
    assert bad.value.mend


# -- while the gateway runs


class Running:
    """Settings that are watched, with their raises."""

    def __init__(self, folder: Path) -> None:
        self.file, self.home = folder / "bursar.yaml", folder
        self.file.write_text(TEXT)
        self.now_s = NOW_S

    def watched(self) -> Watched:
        return Watched(
            self.file, ENVIRON, raises=self.home / NAME, now_ns=lambda: self.now_s * 10**9
        )

    def tenant(self, watched: Watched, name: str) -> int | None:
        (rule,) = [one for one in watched.desk.caps.rules if one.title == "budgets.tenants"]
        limit = rule.limits[1].at(self.now_s * 1_000, [name])
        return None if limit is None else limit // NANO_PER_USD


@pytest.fixture(name="running")
def running_fixture(tmp_path: Path) -> Running:
    return Running(tmp_path)


def test_a_raise_is_taken_at_the_next_look_and_ends_by_itself(running: Running) -> None:
    watched = running.watched()
    assert watched.look() is None
    raise_limit(running.home, _lift("tenants", "$800/month", "a"), watched.settings, NOW_S)
    assert "was read again" in str(watched.look())
    assert [running.tenant(watched, one) for one in "ab"] == [800, 500]
    assert [running.tenant(running.watched(), one) for one in "ab"] == [800, 500], "restarted"
    running.now_s = moment_of(LATER)
    assert running.tenant(watched, "a") == 500
    running.now_s = NOW_S
    end_raises(running.home, "tenants", Words(), NOW_S)
    assert "was read again" in str(watched.look())
    assert running.tenant(watched, "a") == 500


def test_a_raise_goes_before_one_of_the_file(running: Running) -> None:
    text = TEXT.replace("tiers: {gold: $9/day}", "raise: [{to: $600/month, until: 2027-01-01}]")
    running.file.write_text(text)
    watched = running.watched()
    assert running.tenant(watched, "a") == 600
    raise_limit(running.home, _lift("tenants", "$800/month", "a"), watched.settings, NOW_S)
    watched.look()
    assert [running.tenant(watched, one) for one in "ab"] == [800, 600]


def test_a_broken_file_of_raises_changes_nothing_and_is_told(running: Running) -> None:
    watched = running.watched()
    raise_limit(running.home, _lift("tenants", "$800/month", "a"), watched.settings, NOW_S)
    watched.look()
    (running.home / NAME).write_text("{")
    assert "stay as they were" in str(watched.look())
    assert running.tenant(watched, "a") == 800
    started = running.watched()
    assert running.tenant(started, "a") == 500
    assert NAME in str(started.look()), "told once it can be"
    assert started.look() is None


def test_a_raise_that_no_longer_fits_does_not_keep_the_settings_from_being_read(
    running: Running,
) -> None:
    watched = running.watched()
    for lift in (_lift("tenants", "$800/month", "a"), _lift("company", "$2k")):
        raise_limit(running.home, lift, watched.settings, NOW_S)
    watched.look()
    running.file.write_text(TEXT.replace("$500/month", "$900/month"))
    told = str(watched.look())
    assert "was read again" in told
    assert "the raise of tenants: $800/month for a" in told
    assert "does not hold" in told
    assert running.tenant(watched, "a") == 900
    assert watched.settings.budgets["company"].raises


def test_the_file_says_what_a_person_would_write(tmp_path: Path) -> None:
    raise_limit(tmp_path, _lift("tenants", "$800/month", "a"), _settings(), NOW_S)
    (one,) = json.loads((tmp_path / NAME).read_text())["raises"]
    assert one == {
        "budget": "tenants",
        "to": "$800/month",
        "of": "a",
        "until": "2026-12-24T00:00:00Z",
        "since": "2026-09-21T14:13:20Z",
    }
    assert lifted(_settings(), _lift("company", "$2k")).budgets["company"].raises
