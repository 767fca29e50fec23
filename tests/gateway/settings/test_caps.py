"""Budgets, tasks, rates and concurrency: what may be written, what it means, what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bursar.gateway.settings import store_url_of
from bursar.gateway.settings.amounts import Amounts, Every, amount_of
from bursar.gateway.settings.caps_explaining import caps_told, caps_warnings, state_told
from bursar.gateway.settings.desk import Desk
from bursar.model.call import Tags
from bursar.model.errors import BadInput, Refused
from bursar.state.claims import Drawn, Who, claims_of
from bursar.state.windows import Window
from gateway.settings.desks import desk_of, digest, parsed, refused_text

NOW_MS = 1_800_000_000_000
USD = 1_000_000_000
KEYS = f"""
keys:
  bot: {{sha256: {digest("bot")}, tenant: acme}}
  lab: {{sha256: {digest("lab")}, tenant: globex}}
"""
HOUSE = f"""
{KEYS}
routes: [{{name: triage, when: {{tags: {{route: triage}}}}}}]
tiers: {{gold: [acme, "big-*"]}}
"""


def drawn(desk: Desk, at_ms: int = NOW_MS, **who: object) -> Drawn:
    """By tags, and by what a call says otherwise: `key`, `way` (its route), `model`, `provider`."""
    own = {name: who.pop(name) for name in ("key", "model", "provider") if name in who}
    own["route"] = who.pop("way", "")
    return claims_of(desk.caps, Who(Tags(**who), **own), 70, 30, at_ms)  # type: ignore[arg-type]


def told(desk: Desk, at_ms: int = NOW_MS, **who: object) -> list[tuple[str, int | None]]:
    return [(one.account, one.limit) for one in drawn(desk, at_ms, **who).claims]


AMOUNTS = [
    ("$500", "usd", 500 * USD, None),
    ("$0.000001", "usd", 1_000, None),
    ("$0.000000001", "usd", 1, None),
    ("$0", "usd", 0, None),
    ("$ 1_000.50", "usd", 1_000_500_000_000, None),
    ("$20k", "usd", 20_000 * USD, None),
    ("$9007199", "usd", 9_007_199 * USD, None),
    ("2M tokens", "tokens", 2_000_000, None),
    ("2.5k tokens", "tokens", 2_500, None),
    ("1 token", "tokens", 1, None),
    ("1_000 calls", "calls", 1_000, None),
    ("60 requests/min", "calls", 60, "minute"),
    ("$50/day", "usd", 50 * USD, "day"),
    ("$50 / d", "usd", 50 * USD, "day"),
    ("$50 per month", "usd", 50 * USD, "month"),
    ("$5/24h", "usd", 5 * USD, "24h"),
    ("$5/1d", "usd", 5 * USD, "24h"),
    ("$5/720h", "usd", 5 * USD, "30d"),
    ("10 calls/s", "calls", 10, "second"),
]


@pytest.mark.parametrize(("text", "unit", "amount", "every"), AMOUNTS)
def test_amounts_are_exact(text: str, unit: str, amount: int, every: str | None) -> None:
    found = amount_of(text)
    assert found == (unit, amount, every)
    assert amount_of(str(found)) == found


NO_AMOUNTS = [
    ("500", "needs an amount with its unit"),
    ("'500'", "needs an amount with its unit"),
    ("true", "needs an amount with its unit"),
    ("$1e3", "write it out, as in $1000"),
    ("1e3 tokens", "write it out"),
    ("$-5", "is below zero"),
    ("-$5", "is below zero"),
    ("-5 tokens", "is below zero"),
    ("'$1,5'", "write $1.5 with a point"),
    ("'$1,000'", "$1_000 or $1000 for a thousand"),
    ("$nan", "needs an amount with its unit"),
    (".nan", "needs an amount with its unit"),
    ("$inf", "needs an amount with its unit"),
    ("$", "needs an amount with its unit"),
    ("$.5", "needs an amount with its unit"),
    ("$5.", "needs an amount with its unit"),
    ("$5__0", "needs an amount with its unit"),
    ("$\u0665", "needs an amount with its unit"),
    ("5 EUR", "needs an amount with its unit"),
    ("5 usd", "needs an amount with its unit"),
    ("$0.0000000001", "finer than a nanodollar"),
    ("1.5 tokens", "finer than one of its tokens"),
    ("$9007199.254740992", "too large: write less than"),
    ("9007199254740992 tokens", "too large: write less than"),
    ("$" + "9" * 70, "too large"),
    ("$" + "9" * 100, "too long"),
    ("$5/fortnight", "is no window"),
    ("$5/m", "is no window"),
    ("$5/0h", "is no window"),
    ("$5/400d", "is no window"),
    ("$5/month/day", "needs an amount"),
    ("[]", "needs 1 to 100 entries"),
    ("{a: 1}", "needs an amount"),
]


@pytest.mark.parametrize(("text", "holds"), NO_AMOUNTS)
def test_what_is_no_amount_is_told_with_the_way_to_write_it(text: str, holds: str) -> None:
    found = refused_text(f"budgets:\n  b:\n    every: month\n    limit: {text}")
    assert found.startswith(("bursar.yaml:4: budgets.b.limit ", "bursar.yaml:4: is no YAML"))
    assert holds in found


WRONG = [
    ("budgets: {b: {limit: $5}}", "budgets.b.limit $5 has no window|every: never"),
    ("budgets: {b: {}}", "neither limit nor every"),
    ("budgets: {b: {limit: [$5/day, $6/day]}}", "two limits in usd for day"),
    ("budgets: {b: {limit: [$5/day, $6], every: day}}", "two limits in usd for day"),
    ("budgets: {b: {limit: [$5/24h, $6/1d]}}", "two limits in usd for 24h"),
    ("budgets: {b: {limit: $5/s}}", "second is too short for a budget|rates"),
    ("budgets: {b: {limit: $5, every: 30s}}", "budgets.b.every 30s is too short"),
    ("budgets: {b: {limit: $5, every: fortnight}}", "is no window"),
    ("budgets: {b: {limit: $5/day, timezone: Mars/Base}}", "'Mars/Base' is no time zone"),
    ("budgets: {b: {limit: $5/day, timezone: ../../etc/passwd}}", "is no time zone"),
    ("budgets: {b: {limit: $5/day, each: tenat}}", "names the tag 'tenat'|did you mean tenant?"),
    ("budgets: {b: {limit: $5/day, each: project}}", "'project'|tags.many_values"),
    ("budgets: {b: {limit: $5/day, each: Team}}", "is no name of a tag"),
    ("budgets: {b: {limit: $5/day, each: [user, user]}}", "names a scope twice"),
    ("budgets: {b: {limit: $5/day, each: []}}", "needs 1 to 100 entries"),
    ("budgets: {b: {limit: $5/day, unknown: refuse}}", "has no meaning without each"),
    ("budgets: {b: {limit: $5/day, where: {tags: {key: a}}}}", "write it as where.keys"),
    ("budgets: {b: {limit: $5/day, where: {tags: {teem: a}}}}", "names the tag 'teem'"),
    ("budgets: {b: {limit: $5/day, where: {keys: zed}}}", "names the key 'zed'"),
    ("budgets: {b: {limit: $5/day, where: {routes: night}}}", "names the route 'night'"),
    ("budgets: {b: {limit: $5/day, where: {providers: x}}}", "names the provider 'x'"),
    ("budgets: {b: {limit: $5/day, where: {tiers: x}}}", "names the tier 'x'"),
    ("budgets: {b: {limit: $5/day, where: {models: ''}}}", "needs a text"),
    ("budgets: {b: {limit: $5/day, tiers: {x: $6/day}}}", "names the tier 'x'"),
    ("budgets: {b: {limit: $5/day, warn: [80]}}", "needs a share such as 80%"),
    ("budgets: {b: {limit: $5/day, warn: [0%]}}", "needs a share"),
    ("budgets: {b: {limit: $5/day, fail: maybe}}", "needs one of: closed, local, open"),
    ("budgets: {b: {limit: $5/day, wait: 0}}", "needs a duration"),
    ("budgets: {'a b': {limit: $5/day}}", "is no name"),
    ("budgets: {b: {limit: $5/day, lmit: 1}}", "is no setting|did you mean limit"),
    ("budgets: {b: {limit: $5/day}, b: {limit: $6/day}}", "'b' stands twice"),
    (
        "budgets: {b: {limit: $5/day, raise: [{to: $9/week, until: 2027-01-01}]}}",
        "budgets.b.raise.0.to $9/week fits none of the limits",
    ),
    (
        "budgets: {b: {limit: [$5/day, $9/week], raise: [{to: $20, until: 2027-01-01}]}}",
        "fits several of the limits",
    ),
    (
        "budgets: {b: {limit: $5/day, raise: [{to: $5, until: 2027-01-01}]}}",
        "is not above the limit",
    ),
    ("budgets: {b: {limit: $5/day, raise: [{to: $9}]}}", "needs `until`"),
    (
        "budgets: {b: {limit: $5/day, raise: [{to: $9, until: 2027-01-01, of: a}]}}",
        "has no meaning without each",
    ),
    ("tasks: {t: {}}", "has no ceiling"),
    ("tasks: {t: {dollars: 2}}", "needs an amount of dollars such as $2.50"),
    ("tasks: {t: {dollars: $1.2.3}}", "needs an amount"),
    ("tasks: {t: {tokens: $2}}", "needs a whole number such as 500k"),
    ("tasks: {t: {steps: 1.5}}", "needs a whole number"),
    ("tasks: {t: {steps: -1}}", "is below zero"),
    ("tasks: {t: {wall: never}}", "needs a duration"),
    ("rates: {r: {}}", "rates.r needs `limit`"),
    ("rates: {r: {limit: 60 calls}}", "has no time|60 calls/min"),
    ("rates: {r: {limit: $5/min}}", "is no speed|as a budget"),
    ("rates: {r: {limit: 60 calls/month}}", "is no speed"),
    ("rates: {r: {limit: 0 calls/min}}", "lets nothing through"),
    ("rates: {r: {limit: [6 calls/s, 7 calls/s]}}", "two limits in calls/second"),
    ("concurrency: {c: {each: key}}", "needs `limit`"),
    ("concurrency: {c: {limit: many}}", "needs an amount"),
    ("state: {store: redis://:secret@host:6379/0}", "holds a user or a password (not shown)"),
    ("state: {store: memcached://host}", "is no store"),
    ("state: {store: 'redis://'}", "is no store"),
    ("state: {store: 'redis://h:99999/0'}", "is no store"),
    ("state: {nodes: 2}", "is memory, which 2 nodes cannot share"),
    ("state: {nodes: 0}", "out of range"),
    ("state: {name: 'a b'}", "is no name"),
    ("state: {local_share: 150%}", "more than all"),
    ("calls: {max_output_tokens: 9, default_output_tokens: 10}", "is above max_output_tokens (9)"),
    ("calls: {max_prompt_tokens: 0}", "out of range"),
    ("tiers: {gold: ''}", "needs a text"),
]


@pytest.mark.parametrize(("text", "holds"), WRONG, ids=[one[0][:60] for one in WRONG])
def test_what_is_wrong_is_told(text: str, holds: str) -> None:
    found = refused_text(text)
    assert all(part in found for part in holds.split("|")), found
    assert "secret" not in found


@pytest.mark.parametrize("part", ["budgets", "tasks", "rates", "concurrency", "tiers"])
def test_there_are_not_too_many(part: str) -> None:
    one = {
        "budgets": "{limit: $5/day}",
        "tasks": "{dollars: $2}",
        "rates": "{limit: 6 calls/s}",
        "concurrency": "{limit: 1}",
        "tiers": "x",
    }[part]
    text = f"{part}:\n" + "".join(f"  n{number}: {one}\n" for number in range(201))
    assert "entries" in refused_text(text)


def test_one_or_several_may_be_written() -> None:
    one = parsed("budgets: {b: {limit: $5, every: d, each: user, where: {models: gpt-*}}}")
    several = parsed(
        "budgets: {b: {limit: [$5], every: day, each: [user], where: {models: [gpt-*]}}}"
    )
    assert one == several
    assert one.budgets["b"].limit == Amounts((amount_of("$5"),))
    assert one.budgets["b"].every == Every("day")


def test_several_windows_and_a_time_zone() -> None:
    desk = desk_of("budgets: {b: {limit: [$5/day, $9], every: 24h, timezone: Europe/Berlin}}")
    limits = desk.caps.rules[0].limits
    assert [one.window for one in limits] == [
        Window("day", 0, "Europe/Berlin"),
        Window("rolling", 86_400),
    ]
    assert [limit for _, limit in told(desk)] == [5 * USD, 9 * USD]


def test_who_counts_where() -> None:
    desk = desk_of(
        HOUSE
        + """
tags: {many_values: [project]}
budgets:
  all: {limit: $9/month}
  team: {limit: $8/month, where: {tags: {team: [lab, "sales-*"], project: x}}}
  bot: {limit: $7/month, where: {keys: bot, routes: [triage], providers: openai, models: "gpt-5*"}}
  gold: {limit: $6/month, where: {tiers: gold}}
"""
    )

    def names(**who: object) -> list[str]:
        return [account.split("/")[0].removeprefix("budgets.") for account, _ in told(desk, **who)]

    assert names() == ["all"]
    assert names(team="sales-eu", other={"project": "x"}) == ["all", "team"]
    assert names(team="sales-eu") == ["all"]
    assert names(team="labs", other={"project": "x"}) == ["all"]
    full = {"key": "bot", "way": "triage", "provider": "openai", "model": "gpt-5-mini"}
    assert names(**full) == ["all", "bot"]
    for name in full:
        assert names(**{**full, name: "other"}) == ["all"]
    assert names(tenant="big-corp") == ["all", "gold"]
    assert names(tenant="small") == ["all"]


def test_limits_of_tiers_and_a_raise() -> None:
    desk = desk_of(
        HOUSE
        + """
budgets:
  tenants:
    each: tenant
    limit: [$50/day, $500/month]
    tiers: {gold: $8_000/month}
    raise: [{to: $800/month, until: 2027-02-01, of: globex}]
"""
    )
    assert [limit for _, limit in told(desk, tenant="acme")] == [8_000 * USD]
    assert [limit for _, limit in told(desk, tenant="globex")] == [50 * USD, 800 * USD]
    assert [limit for _, limit in told(desk, tenant="x")] == [50 * USD, 500 * USD]
    later = NOW_MS + 40 * 86_400_000
    assert [limit for _, limit in told(desk, later, tenant="globex")] == [50 * USD, 500 * USD]


def test_a_task_has_four_ceilings_within_its_tenant() -> None:
    desk = desk_of("tasks: {t: {dollars: $2, tokens: 500k, steps: 40, wall: 30m}}")
    found = drawn(desk, session="s", tenant="a").claims
    assert [(one.amount, one.limit) for one in found] == [
        (70, 2 * USD),
        (30, 500_000),
        (1, 40),
        (0, None),
    ]
    assert found[3].most_age_ms == 1_800_000
    assert found[0].account != drawn(desk, session="s", tenant="b").claims[0].account
    with pytest.raises(Refused) as caught:
        drawn(desk, tenant="a")
    assert (caught.value.status, caught.value.kind) == (400, "tag_missing")
    shared = desk_of("tasks: {t: {dollars: $2, unknown: share}}")
    assert len(told(shared)) == 1
    assert told(desk_of("tasks: {t: {dollars: $2, unknown: pass}}")) == []


def test_rates_and_concurrency() -> None:
    desk = desk_of(
        HOUSE
        + """
rates:
  r: {each: tenant, limit: [60 calls/min, 100k tokens/h, 5 calls/10s], tiers: {gold: 9 calls/s}}
concurrency:
  c: {each: key, limit: 20, tiers: {gold: 100}, wait: 2s}
"""
    )
    found = drawn(desk, tenant="x", key="bot")
    assert [(one.cost, one.burst, one.period_us) for one in found.rates] == [
        (1, 60, 60_000_000),
        (30, 100_000, 3_600_000_000),
        (1, 5, 10_000_000),
    ]
    assert [(one.amount, one.limit, one.step > 0) for one in found.claims] == [(1, 20, True)]
    assert found.marks[0].rule.wait_ms == 2_000
    gold = drawn(desk, tenant="acme", key="bot")
    assert ([one.burst for one in gold.rates], gold.claims[0].limit) == ([9], 100)


def test_a_place_is_kept_longer_than_any_call_lasts() -> None:
    desk = desk_of("calls: {timeouts: {total: 10h}}\nconcurrency: {c: {limit: 2}}")
    assert desk.caps.rules[0].limits[0].window == Window("rolling", 72_000)


def test_limits_of_nothing_and_none() -> None:
    assert [limit for _, limit in told(desk_of("budgets: {b: {limit: $0/day}}"))] == [0]
    assert [limit for _, limit in told(desk_of("budgets: {b: {every: day}}"))] == [None]
    assert [limit for _, limit in told(desk_of("budgets: {b: {limit: $5/day, hard: false}}"))] == [
        None
    ]
    assert told(desk_of("")) == []


def test_tags_that_are_counted_by_are_never_folded_into_one() -> None:
    scope = "each: team, where: {tags: {workflow: '*'}}"
    desk = desk_of(f"tags: {{most_values: 1}}\nbudgets: {{b: {{limit: $5/day, {scope}}}}}")
    who = desk.holder([])

    def tags(name: bytes, value: bytes) -> Tags:
        return desk.tags(who, [(b"x-bursar-" + name, value)], {}).tags

    assert [tags(b"team", one).team for one in (b"a", b"b", b"c")] == ["a", "b", "c"]
    assert [tags(b"workflow", one).workflow for one in (b"a", b"b")] == ["a", "b"]
    assert [tags(b"environment", one).environment for one in (b"a", b"b")] == ["a", "__other__"]


# -- words


def said(text: str, pico: int = 1_000_000) -> dict[str, str]:
    caps = caps_told(parsed(text), lambda: pico)
    return {f"{cap.name} {one.limit}": one.over for cap in caps for one in cap.limits}


def never() -> int:
    raise AssertionError("no price is needed for this")


def test_a_hard_budget_says_that_nothing_exceeds_it() -> None:
    caps = caps_told(parsed("budgets: {b: {limit: [$5/day, 2M tokens/24h]}}"), never)
    assert [one.limit for one in caps[0].limits] == ["$5 a day", "2M tokens in the last 24h"]
    assert [one.most_over for one in caps[0].limits] == [0, 0]
    assert caps[0].limits[0].over.startswith("can exceed it by at most $0.00, because ")


def test_what_a_cut_relies_on_is_said_and_how_much_it_may_cost() -> None:
    text = "budgets: {b: {limit: $5/day}}\n"
    assert "next 0.2 s" in said(text)["budgets.b $5 a day"]
    assert "bounded by streams: limit alone" in said(text)["budgets.b $5 a day"]
    text += "calls: {max_output_tokens: 1000}\nconcurrency: {c: {limit: 20}}\n"
    assert "goes on for longer, by at most $0.02" in said(text)["budgets.b $5 a day"]
    limited = said(text.replace("$5/day", "$5/day, streams: limit"))["budgets.b $5 a day"]
    assert limited.endswith("because each answer is limited upstream to what its hold pays")


def test_streams_that_run_on_are_bounded_by_answers_and_places() -> None:
    text = "budgets: {b: {limit: $5/day, streams: let_run}}\n"
    assert "without bound" in said(text)["budgets.b $5 a day"]
    text += "calls: {max_output_tokens: 1000}\n"
    assert "without bound" in said(text)["budgets.b $5 a day"]
    text += "concurrency: {c: {limit: 20}}\n"
    assert "at most $0.02, because streams: let_run" in said(text)["budgets.b $5 a day"]
    text += "routes: [{name: long, max_output_tokens: 5000, when: {models: [x]}}]\n"
    assert "at most $0.10," in said(text)["budgets.b $5 a day"]
    each = text.replace("{limit: 20}", "{limit: 2, each: key}") + KEYS
    assert "at most $0.02, " in said(each)["budgets.b $5 a day"]
    apart = text.replace("{limit: 20}", "{limit: 2, each: user}")
    assert "without bound" in said(apart)["budgets.b $5 a day"]


def test_a_store_that_may_be_away_is_told() -> None:
    shared = "state: {store: 'redis://h:6379/0', nodes: 3, local_share: 2%}\n"
    text = shared + "budgets: {b: {limit: $5/day, fail: FAIL}}"
    found = {
        fail: said(text.replace("FAIL", fail))["budgets.b $5 a day"]
        for fail in ("closed", "local", "open")
    }
    assert "at most $0.00" in found["closed"]
    assert "at most $0.30, because each of 3 nodes may spend 2%" in found["local"]
    assert "without bound, because fail: open" in found["open"]


def test_a_soft_budget_says_that_it_refuses_nothing() -> None:
    found = said("budgets: {b: {limit: $5/day, hard: false}}")
    assert "without bound, because it is not hard" in found["budgets.b $5 a day"]


WARNED = [
    ("listen: {workers: 2}\nbudgets: {b: {limit: $5/day}}", "2 workers share the counts"),
    ("budgets: {b: {limit: $5/day, each: user}}", "goes by user, which a client says of itself"),
    ("budgets: {b: {limit: $5/day, each: tenant}}", "goes by tenant"),
    ("budgets: {b: {limit: $5/day, where: {tags: {team: a}}}}", "goes by team"),
    (KEYS + "budgets: {b: {limit: $5/day, each: user}}", "tenants with the same user share"),
    ("budgets: {b: {limit: $5/day, hard: false}}", "budgets.b is not hard"),
    ("budgets: {b: {limit: 5k tokens/day}}", "nothing limits an answer"),
    ("budgets: {b: {limit: $5/day}}", "a model without a known price costs no budget"),
]


@pytest.mark.parametrize(("text", "holds"), WARNED)
def test_what_to_think_twice_about(text: str, holds: str) -> None:
    assert any(holds in one for one in caps_warnings(parsed(text)))


def test_a_file_without_pitfalls_warns_of_nothing() -> None:
    text = KEYS + "budgets: {b: {limit: $5/day, each: [tenant, key]}}\n"
    text += "calls: {unpriced: deny, max_output_tokens: 16000}"
    assert list(caps_warnings(parsed(text))) == []
    assert list(caps_warnings(parsed(""))) == []


def test_where_the_counts_are(tmp_path: Path) -> None:
    assert store_url_of(parsed(""), {}) is None
    plain = parsed("state: {store: 'redis://h:6379/0'}")
    assert (url := store_url_of(plain, {})) is not None
    assert url.reveal() == "redis://h:6379/0"
    named = parsed("state: {store: env:STORE}")
    found = store_url_of(named, {"STORE": "redis://:pw@h/0"})
    assert found is not None
    assert found.reveal() == "redis://:pw@h/0"
    assert "pw" not in state_told(named) + str(found)
    with pytest.raises(BadInput, match="STORE is not there"):
        store_url_of(named, {})


def test_the_example_of_the_how_to_loads() -> None:
    page = Path(__file__).parents[3] / "docs" / "howto" / "budgets.md"
    example = re.search(r"```yaml title=\"bursar.yaml\"\n(.*?)```", page.read_text("utf-8"), re.S)
    assert example is not None
    rules = desk_of(example[1]).caps.rules
    assert {one.kind for one in rules} == {"budgets", "tasks", "rates", "concurrency"}
