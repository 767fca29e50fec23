"""`bursar budgets` where no gateway runs: empty states, raises, and errors with their mend."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bursar.gateway.purse.views import Snapshot, View, leave_views
from trials import Run, bursar

NANO = 1_000_000_000
TEXT = """
tiers: {gold: [globex]}
budgets:
  company: {limit: $20_000/month, timezone: Europe/Berlin}
  tenants: {each: tenant, limit: [$50/day, $500/month], tiers: {gold: $8_000/month}}
  idle: {limit: 9 calls, every: never}
tasks: {agents: {dollars: $2, steps: 40, wall: 30m}}
concurrency: {keys: {each: key, limit: 20}}
rates: {slow: {limit: 9 calls/s}}
"""


@pytest.fixture(name="home")
def home_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BURSAR_SETTINGS", raising=False)
    (tmp_path / "bursar.yaml").write_text(TEXT)
    return tmp_path


def asked(home: Path, *words: str) -> Run:
    return bursar("budgets", *words, home=home)


def snapshot(home: Path, *views: View, age_s: int = 0) -> None:
    place = home / "run" / "worker-0.accounts"
    place.parent.mkdir(exist_ok=True)
    leave_views(Snapshot(settings=str(home / "bursar.yaml"), views=views), place)
    at_s = place.stat().st_mtime - age_s
    os.utime(place, (at_s, at_s))


def view(tenant: str, **more: Any) -> View:
    return View(
        account=f"budgets.tenants/usd/month|tenant={tenant}",
        cap="budgets.tenants",
        scope=(("tenant", tenant),),
        unit="usd",
        window="month",
        since_ms=1_790_000_000_000,
        at_ms=1_790_000_000_000,
        **more,
    )


def test_without_a_gateway_and_a_ledger_nothing_was_spent(home: Path) -> None:
    found = asked(home, "--json").json
    assert found["source"] == "ledger"
    lines = {(one["cap"], one["unit"], one["window"], one["limit"]): one for one in found["lines"]}
    company = lines["budgets.company", "usd", "month@Europe/Berlin", "20000"]
    assert (company["spent"], company["left"], company["most_over"]) == ("0", "20000", "0")
    assert (company["held"], company["refusals"]) == (None, None), "nobody knows"
    assert company["resets"].endswith(("T23:00:00Z", "T22:00:00Z")), "midnight in Berlin"
    tenants = lines["budgets.tenants", "usd", "month", "500"]
    assert (tenants["spent"], tenants["at"]) == (None, None)
    assert ("budgets.tenants", "usd", "month", "8000") in lines, "of the tier"
    assert lines["budgets.idle", "calls", "never", 9]["resets"] is None
    assert not any(one["cap"].startswith("rates.") for one in found["lines"])
    shown = asked(home)
    assert "No gateway runs" in shown.text
    assert "budgets.tenants, month: can be exceeded by at most $0" in shown.text
    assert "no account was used lately" in shown.text


def test_a_gateway_that_runs_says_how_accounts_stand(home: Path) -> None:
    snapshot(home, view("acme", posted=499 * NANO, held=NANO // 2, refusals=7, judged=5))
    found = asked(home, "--name", "tenants", "--of", "tenant=acme", "--json").json
    (line,) = found["lines"]
    assert found["source"] == "gateway"
    assert 0 <= found["age_s"] < 10
    assert (line["spent"], line["held"], line["left"]) == ("499", "0.5", "0.5")
    assert (line["refusals"], line["judged"], line["false_refusals"]) == (7, 5, 0)
    shown = asked(home, "--of", "tenant=acme").text
    assert "As the gateway had it" in shown
    assert "tenant=acme" in shown
    assert "$499.00" in shown
    one = asked(home, "show", "tenants", "--of", "tenant=acme")
    assert "7 refused (0 of 5 judged falsely)" in one.text
    assert "because a stream is cut" in one.text


def test_a_gateway_that_ended_is_not_believed(home: Path) -> None:
    snapshot(home, view("acme", posted=499 * NANO, refusals=7), age_s=60)
    found = asked(home, "--name", "tenants", "--json").json
    assert found["source"] == "ledger"
    assert all(one["spent"] in (None, "0") for one in found["lines"])


def test_what_is_of_a_window_before_counts_nothing_now(home: Path) -> None:
    snapshot(home, view("acme", posted=499 * NANO, refusals=7, resets_ms=1_790_000_100_000))
    (line,) = asked(home, "--of", "tenant=acme", "--json").json["lines"]
    assert (line["spent"], line["left"], line["refusals"]) == ("0", "500", 0)


def test_other_settings_are_taken_where_they_are_named(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("budgets: {only: {limit: $1, every: never}}")
    snapshot(home, view("acme"))
    found = asked(home, "--settings", str(other), "--json").json
    assert [one["cap"] for one in found["lines"]] == ["budgets.only"]


def test_many_accounts_are_listed_in_part(home: Path) -> None:
    snapshot(home, *(view(f"t{number}") for number in range(80)))
    assert "more (--name, --of; --json lists all)" in asked(home).text
    assert len(asked(home, "--of", "tenant=t70", "--json").json["lines"]) == 1


def test_values_of_a_client_cannot_steer_the_terminal(home: Path) -> None:
    snapshot(home, view("a\x1b[2Jb[bold]"))
    shown = asked(home, "--name", "tenants").text
    assert "\x1b" not in shown
    assert "[bold]" in shown


def test_a_raise_is_written_listed_and_taken_back(home: Path) -> None:
    words = ("tenants", "--to", "$800/month", "--until", "2099-12-01", "--of", "acme")
    assert "Raised tenants: $800/month for acme" in asked(home, "raise", *words).text
    snapshot(home, view("acme", posted=499 * NANO))
    found = asked(home, "--of", "tenant=acme", "--json").json
    assert found["raises"][0]["to"] == ["$800/month"]
    (line,) = found["lines"]
    assert (line["limit"], line["left"]) == ("800", "301")
    assert "Raised: tenants to $800/month for acme" in asked(home).text
    again = asked(home, "raise", *words[:-1], "tenant=acme", "--json").json
    assert len(again["raises"]) == 1, "the same accounts, with the scope or without"
    assert asked(home, "unraise", "budgets.tenants", "--json").json == {"raises": []}
    assert asked(home, "--json").json["raises"] == []


ERRORS = [
    (("raise", "nope", "--to", "$1", "--until", "2099-01-01"), "there is no budget 'nope'"),
    (("raise", "tenants", "--to", "800", "--until", "2099-01-01"), "needs an amount"),
    (("raise", "tenants", "--to", "$800/month", "--until", "soon"), "needs a day or a time"),
    (("raise", "tenants", "--to", "$800/month", "--until", "2020-01-01"), "has passed"),
    (("raise", "tenants", "--to", "$800", "--until", "2099-01-01"), "several of the limits"),
    (
        ("raise", "tenants", "--to", "$9k/month", "--until", "2099-01-01", "--of", "globex"),
        "is of the tier gold",
    ),
    (("unraise", "tenants"), "nothing of 'tenants' is raised"),
    (("show", "nope"), "no account of 'nope' fits"),
    (("--of", "acme"), "names no scope"),
    (("--settings", "none.yaml"), "cannot be read"),
    (("--ledger", "a b"), "is no name for a ledger"),
]


@pytest.mark.parametrize(("words", "text"), ERRORS, ids=[text for _, text in ERRORS])
def test_an_error_is_a_sentence_with_its_mend(
    words: tuple[str, ...], text: str, home: Path
) -> None:
    ran = asked(home, *words)
    assert ran.code == 2
    assert text in ran.err
    assert "mend: " in ran.err
    assert not (home / "raises.json").exists() or words[0] == "unraise"


def test_a_home_without_settings_and_settings_without_caps(home: Path) -> None:
    (home / "bursar.yaml").write_text("")
    shown = asked(home)
    assert "budgets: {company: {limit: $500/month}}" in shown.text
    assert asked(home, "--json").json["lines"] == []
    (home / "bursar.yaml").unlink()
    ran = asked(home)
    assert ran.code == 2
    assert "there are no settings" in ran.err


def test_a_broken_file_of_raises_is_told(home: Path) -> None:
    (home / "raises.json").write_text("{")
    ran = asked(home)
    assert ran.code == 2
    assert "raises.json" in ran.err
