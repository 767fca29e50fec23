"""The contract of `bursar analyze --json`: its keys, its types, and its definitions by hand."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trials import Run, bursar, call_line, jsonl

SHAPE: dict[str, Any] = {
    "period": {"from", "to", "days"},
    "totals": {"sessions", "calls", "attempts", "retries", "usage", "cost_usd",
               "unpriced_attempts", "recorded_cost_usd", "basis"},
    "by": {"model", "route", "provider", "day", "tenant", "tool"},
    "anatomy": ["kind", "tokens", "share", "cost_usd", "fresh_usd", "carried_usd"],
    "iterations": {"mean", "p50", "p95", "max"},
    "tail": {"p50_usd", "p95_usd", "p99_usd", "max_usd", "max_over_median"},
    "retries": {"rate", "cost_usd", "by_cause", "by_tool"},
    "cache": {"read_tokens", "write_tokens", "reads_per_write", "read_share", "saved_usd"},
    "growth": {"resend_factor", "repeated_prefix_share", "last_over_first_p50"},
    "outcomes": {"labelled", "success_rate", "cost_per_success_usd", "failed_spend_share"},
    "suspects": ["rank", "kind", "where", "cost_usd", "share", "evidence", "mend", "basis"],
    "flags": ["kind", "where", "what"],
    "skipped": ["file", "line", "reason"],
}  # fmt: skip
BY_ROW = {"key", "calls", "usage", "cost_usd", "share"}
USAGE = {"input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning", "other"}
EXACT = re.compile(r"-?(0|[1-9]\d*)(\.\d{0,8}[1-9])?")


def said(role: str, content: str, **more: object) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def counted(fresh: int, read: int, written: int, output: int, reasoning: int = 0) -> dict[str, int]:
    return {"input": fresh, "cache_read": read, "cache_write_5m": written,
            "output": output, "reasoning": reasoning}  # fmt: skip


AGENT = {"provider": "anthropic", "model": "claude-sonnet-4-6", "tenant": "north"}
TOOL_CALL = {"id": "u1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
LEDGER: list[dict[str, Any]] = [
    # three calls, each sending the ones before again; a tool, a cache, a success
    {
        **AGENT, "session": "one", "route": "support", "at": "2026-05-01T10:00:00Z",
        "outcome": {"success": True},
        "messages": [
            said("system", "You are a patient agent of a shop. " * 20),
            said("user", "Where is my order?"),
            said("assistant", "", tool_calls=[TOOL_CALL], usage=counted(100, 0, 1000, 50)),
            said("tool", "it is on its way", tool_call_id="u1"),
            said("assistant", "On its way.", usage=counted(200, 1000, 0, 20)),
            said("user", "Thanks. And the other one?"),
            said("assistant", "Also.", usage=counted(300, 1000, 100, 30)),
        ],
    },
    # an answer that did not parse and was asked for again; a failure
    {
        **AGENT, "session": "two", "route": "invoices", "at": "2026-05-02T10:00:00Z",
        "outcome": {"success": False}, "tenant": "south",
        "messages": [
            said("user", "Write JSON."),
            said("assistant", "{", usage=counted(2000, 0, 0, 100, 400), cost_usd="0.0135"),
            said("user", "That does not parse."),
            said("assistant", "{}", usage=counted(2500, 0, 0, 100), is_retry=True,
                 retry_cause="parse", cost_usd="0.009"),
        ],
    },
    # a total whose content is not known, of a model without a price
    {
        "session": "three", "route": "support", "provider": "openai", "model": "mystery-9",
        "at": "2026-05-03T10:00:00Z", "usage": {"input": 500, "output": 10},
    },
]  # fmt: skip


@pytest.fixture(name="ran", scope="module")
def ran_fixture(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("contract")
    (folder / "ledger.jsonl").write_bytes(jsonl(LEDGER) + b"broken\n")
    return bursar("analyze", folder, "--json", home=tmp_path_factory.mktemp("home"))


@pytest.fixture(name="found")
def found_fixture(ran: Run) -> Any:
    assert ran.code == 0
    return ran.json


def test_the_keys_are_those_promised(found: Any) -> None:
    assert found.keys() - {"notes"} == SHAPE.keys()
    for name, keys in SHAPE.items():
        if isinstance(keys, set):
            assert found[name].keys() == keys, name
        else:
            assert all(list(row) == keys for row in found[name]), name
    assert found["totals"]["usage"].keys() == USAGE
    assert found["totals"]["basis"].keys() == {"measured_usd", "modelled_usd"}
    for rows in found["by"].values():
        assert all(row.keys() == BY_ROW and row["usage"].keys() == USAGE for row in rows)
    assert found["skipped"]
    assert found["flags"]


def test_money_is_an_exact_text_and_shares_are_shares(found: Any) -> None:
    def walk(value: Any, name: str = "") -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, key)
        elif isinstance(value, list):
            for inner in value:
                walk(inner, name)
        elif name.endswith("_usd"):
            assert value is None or EXACT.fullmatch(value), (name, value)
        elif name == "share" or name.endswith("_share"):
            assert value is None or 0 <= value <= 1, (name, value)

    walk(found)


# Anthropic's rates in nanodollars per token: $3, $0.30, $3.75 and $15 per million.
INPUT, READ, WRITE, OUTPUT = 3000, 300, 3750, 15000
ONE = [
    100 * INPUT + 1000 * WRITE + 50 * OUTPUT,  # 300,000 + 3,750,000 + 750,000 = 4,800,000
    200 * INPUT + 1000 * READ + 20 * OUTPUT,  # 600,000 + 300,000 + 300,000 = 1,200,000
    300 * INPUT + 1000 * READ + 100 * WRITE + 30 * OUTPUT,  # 900 + 300 + 375 + 450 k = 2,025,000
]
TWO = [
    2000 * INPUT + 500 * OUTPUT,  # 6,000,000 + 7,500,000 = 13,500,000
    2500 * INPUT + 100 * OUTPUT,  # 7,500,000 + 1,500,000 = 9,000,000
]


def test_totals(found: Any) -> None:
    assert (sum(ONE), sum(TWO)) == (8_025_000, 22_500_000)
    totals = found["totals"]
    assert totals["cost_usd"] == "0.030525"
    assert totals["recorded_cost_usd"] == "0.0225"
    assert totals["basis"] == {"measured_usd": "0.030525", "modelled_usd": "0"}
    counts = ("sessions", "calls", "attempts", "retries", "unpriced_attempts")
    assert [totals[name] for name in counts] == [3, 6, 6, 1, 1]
    assert totals["usage"] == {
        "input": 100 + 200 + 300 + 2000 + 2500 + 500,
        "cache_read": 2000,
        "cache_write_5m": 1100,
        "cache_write_1h": 0,
        "output": 50 + 20 + 30 + 100 + 100 + 10,
        "reasoning": 400,
        "other": {},
    }
    assert found["period"] == {
        "from": "2026-05-01T10:00:00Z",
        "to": "2026-05-03T10:00:00Z",
        "days": 3,
    }


def test_by(found: Any) -> None:
    def costs(name: str) -> dict[str | None, tuple[int, str | None]]:
        return {row["key"]: (row["calls"], row["cost_usd"]) for row in found["by"][name]}

    assert costs("model") == {"claude-sonnet-4-6": (5, "0.030525"), "mystery-9": (1, None)}
    assert costs("provider") == {"anthropic": (5, "0.030525"), "openai": (1, None)}
    assert costs("route") == {"invoices": (2, "0.0225"), "support": (4, "0.008025")}
    assert costs("tenant") == {"south": (2, "0.0225"), "north": (3, "0.008025"), None: (1, None)}
    assert costs("tool") == {"find": (1, "0.0048"), None: (5, "0.025725")}
    assert costs("day") == {
        "2026-05-01": (3, "0.008025"),
        "2026-05-02": (2, "0.0225"),
        "2026-05-03": (1, None),
    }
    shares = {row["key"]: row["share"] for row in found["by"]["route"]}
    assert shares == {
        "invoices": pytest.approx(22.5 / 30.525, abs=1e-6),
        "support": pytest.approx(8.025 / 30.525, abs=1e-6),
    }


def test_every_view_adds_up(found: Any) -> None:
    total = Decimal(found["totals"]["cost_usd"])
    assert sum(Decimal(row["cost_usd"] or 0) for row in found["anatomy"]) == total
    for rows in found["by"].values():
        assert sum(Decimal(row["cost_usd"] or 0) for row in rows) == total
        assert sum(row["calls"] for row in rows) == 6
    for row in found["anatomy"]:
        if row["cost_usd"] is not None:
            assert Decimal(row["cost_usd"]) == Decimal(row["fresh_usd"]) + Decimal(
                row["carried_usd"]
            )
    prompts = [row for row in found["anatomy"] if row["kind"] != "output"]
    assert sum(row["tokens"] for row in prompts) == 1100 + 1200 + 1400 + 2000 + 2500 + 500
    assert sum(row["share"] for row in prompts) == pytest.approx(1, abs=1e-5)
    (output,) = (row for row in found["anatomy"] if row["kind"] == "output")
    assert output["share"] is None
    assert output["tokens"] == 50 + 20 + 30 + 500 + 100 + 10
    assert Decimal(output["cost_usd"]) == Decimal(50 + 20 + 30 + 500 + 100) * OUTPUT / 10**9


def test_iterations_and_tail(found: Any) -> None:
    # calls per session: 1, 2, 3; nearest rank: p50 is the 2nd of 3, p95 the 3rd
    assert found["iterations"] == {"mean": 2.0, "p50": 2, "p95": 3, "max": 3}
    tail = found["tail"]
    assert (tail["max_usd"], tail["p99_usd"], tail["p95_usd"]) == ("0.0225",) * 3


def test_the_tail_counts_priced_sessions(found: Any) -> None:
    """Of $0.008025 and $0.0225, with a third unknown: the median by nearest rank."""
    tail = found["tail"]
    assert tail["p50_usd"] == "0.008025"
    assert tail["max_over_median"] == pytest.approx(22.5 / 8.025, abs=1e-5)


def test_retries(found: Any) -> None:
    retries = found["retries"]
    assert retries["rate"] == pytest.approx(1 / 6, abs=1e-6)
    assert retries["cost_usd"] == "0.009"
    assert retries["by_cause"] == [{"cause": "parse", "retries": 1, "cost_usd": "0.009"}]


def test_cache(found: Any) -> None:
    cache = found["cache"]
    assert (cache["read_tokens"], cache["write_tokens"]) == (2000, 1100)
    assert cache["reads_per_write"] == pytest.approx(2000 / 1100, abs=1e-5)
    assert cache["read_share"] == pytest.approx(2000 / 8700, abs=1e-6)
    # 2000 reads saved $2.70 a million each, 1100 writes cost $0.75 a million more
    assert cache["saved_usd"] == str(
        Decimal(2000 * (INPUT - READ) - 1100 * (WRITE - INPUT)) / 10**9
    )


def test_growth(found: Any) -> None:
    growth = found["growth"]
    prompts = [[1100, 1200, 1400], [2000, 2500], [500]]
    factor = sum(map(sum, prompts)) / sum(one[-1] for one in prompts)
    assert growth["resend_factor"] == pytest.approx(factor, abs=1e-5)
    assert 0 < growth["repeated_prefix_share"] < 1
    # of 1400/1100, 2500/2000 and, where sessions of one call count, 500/500
    assert growth["last_over_first_p50"] == pytest.approx(1.25, abs=1e-5)


def test_the_repeated_prefix_by_hand(tmp_path: Path) -> None:
    """Half of the second prompt is the first one: of three halves sent, one was sent before."""
    text = "word " * 200
    one, two = counted(1000, 0, 0, 1), counted(2000, 0, 0, 1)
    lines = [
        call_line("s", kind="call", id=1, messages=[said("user", text)], usage=one),
        call_line("s", kind="call", id=2, step_index=1, usage=two,
                  messages=[said("user", text), said("user", text)]),
    ]  # fmt: skip
    (tmp_path / "f.jsonl").write_bytes(jsonl(lines))
    growth = bursar("analyze", tmp_path / "f.jsonl", "--json", home=tmp_path / "home").json[
        "growth"
    ]
    assert growth["repeated_prefix_share"] == pytest.approx(1000 / 3000, abs=1e-4)
    assert growth["resend_factor"] == 1.5


def test_outcomes(found: Any) -> None:
    assert found["outcomes"] == {
        "labelled": 2,
        "success_rate": 0.5,
        "cost_per_success_usd": "0.030525",
        "failed_spend_share": pytest.approx(22.5 / 30.525, abs=1e-6),
    }


def test_flags_and_skips(found: Any) -> None:
    kinds = {flag["kind"] for flag in found["flags"]}
    assert kinds == {"unpriced"}
    (skip,) = found["skipped"]
    assert (skip["line"], skip["reason"]) == (4, "is not a JSON object")


def test_an_empty_answer_is_null_and_not_zero(tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_bytes(jsonl([{"session": "s", "cost_usd": "0.123456789012"}]))
    found = bursar("analyze", tmp_path / "f.jsonl", "--json", home=tmp_path / "home").json
    totals = found["totals"]
    assert totals["cost_usd"] is None
    assert totals["recorded_cost_usd"] == "0.123456789"
    assert {totals["usage"][name] for name in USAGE - {"other"}} == {None}
    assert found["cache"]["saved_usd"] is None
    assert found["cache"]["read_tokens"] is None
    assert found["growth"]["resend_factor"] is None
    assert found["outcomes"]["success_rate"] is None
    assert found["period"] == {"from": None, "to": None, "days": None}
    assert json.loads(json.dumps(found)) == found
