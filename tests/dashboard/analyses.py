"""Analyses made up for the page: an ordinary one, and those at the edges of what may come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from bursar.model.money import usd

Row = dict[str, Any]

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "javascript:alert(1)",
    "</style><script>alert(1)</script>",
    "' onmouseover='alert(1)",
    "&lt;b&gt;",
    "]]><!--",
)
BROKEN = ("\ud800 lone", "nul\x00", "\x1b[31mred", "\u202eevil\u2066", "\ufeff\ufffe", "\U0001ffff")
WORDS_RTL = "مسار الدعم — מסלול"


def usage(tokens: int | None) -> Row:
    return {
        "input": tokens,
        "cache_read": None if tokens is None else tokens * 3,
        "cache_write_5m": None if tokens is None else tokens // 7,
        "cache_write_1h": None,
        "output": None if tokens is None else tokens // 11,
        "reasoning": None,
        "other": {},
    }


def empty() -> Row:
    """What a ledger without a single call gives."""
    return {
        "period": {"from": None, "to": None, "days": None},
        "totals": {
            "sessions": 0,
            "calls": 0,
            "attempts": 0,
            "retries": 0,
            "usage": usage(None),
            "cost_usd": None,
            "unpriced_attempts": 0,
            "recorded_cost_usd": None,
            "basis": {"measured_usd": "0", "modelled_usd": "0"},
        },
        "by": {name: [] for name in ("model", "route", "provider", "day", "tenant", "tool")},
        "anatomy": [],
        "iterations": {"mean": None, "p50": None, "p95": None, "max": None},
        "tail": dict.fromkeys(("p50_usd", "p95_usd", "p99_usd", "max_usd", "max_over_median")),
        "retries": {"rate": None, "cost_usd": "0", "by_cause": [], "by_tool": []},
        "cache": dict.fromkeys(
            ("read_tokens", "write_tokens", "reads_per_write", "read_share", "saved_usd")
        ),
        "growth": dict.fromkeys(("resend_factor", "repeated_prefix_share", "last_over_first_p50")),
        "outcomes": {
            "labelled": 0,
            "success_rate": None,
            "cost_per_success_usd": None,
            "failed_spend_share": None,
        },
        "suspects": [],
        "flags": [],
        "skipped": [],
        "notes": ["No model call was found, so there is nothing to say about cost."],
    }


def rows(costs: dict[str | None, int | None]) -> list[Row]:
    """Rows of a dimension from nanodollars by key."""
    whole = sum(cost or 0 for cost in costs.values())
    return [
        {
            "key": key,
            "calls": 10 + place,
            "usage": usage(1000 * (place + 1)),
            "cost_usd": usd(cost),
            "share": None if cost is None or not whole else round(cost / whole, 6),
        }
        for place, (key, cost) in enumerate(costs.items())
    ]


def split(whole: int, weights: list[int]) -> list[int]:
    parts = [whole * weight // sum(weights) for weight in weights]
    parts[0] += whole - sum(parts)
    return parts


def parted(whole: int, weights: Mapping[str | None, int] | Mapping[str, int]) -> list[Row]:
    return rows(dict(zip(weights, split(whole, list(weights.values())), strict=True)))


def days(first: str, weights: list[int], whole: int) -> list[Row]:
    start = date.fromisoformat(first)
    costs = split(whole, weights)
    return rows({str(start + timedelta(days=n)): cost for n, cost in enumerate(costs) if cost})


def block(kind: str, share: float | None, fresh: int, carried: int) -> Row:
    return {
        "kind": kind,
        "tokens": None if share is None and kind != "output" else int((share or 0.04) * 41_200_000),
        "share": share,
        "cost_usd": usd(fresh + carried),
        "fresh_usd": usd(fresh),
        "carried_usd": usd(carried),
    }


def suspect(rank: int, kind: str, cost: str | None, **more: Any) -> Row:
    made: Row = {
        "rank": rank,
        "kind": kind,
        "where": "airline",
        "cost_usd": cost,
        "share": 0.31 / rank,
        "evidence": {"text": "The same start was sent again in nearly every call."},
        "mend": "Put a cache mark after the tools, and keep what changes behind it.",
        "basis": "modelled",
    }
    return made | more


def session(number: int, steps: int) -> Row:
    walked: list[Row] = []
    for step in range(1, steps + 1):
        costs = {
            "system": 4_100_000,
            "tools": 2_600_000,
            "history": 310_000 * step,
            "tool_result": 790_000 * step * (step % 4 != 1),
            "output": 1_500_000 + 200_000 * (step * 7 % 5),
        }
        walked.append(
            {
                "step": step,
                "cost_usd": usd(sum(costs.values())),
                "parts": [{"kind": kind, "cost_usd": usd(cost)} for kind, cost in costs.items()],
            }
        )
    whole = sum(round(float(step["cost_usd"]) * 10**9) for step in walked)
    return {
        "session": f"task-{number}-8c1f2a7e",
        "route": "airline",
        "calls": steps,
        "cost_usd": usd(whole),
        "steps": walked,
    }


def ordinary() -> Row:
    """A fortnight of a support agent: what the page usually holds."""
    whole = 418_237_491_283
    made = empty()
    made["period"] = {"from": "2026-10-26T06:12:44Z", "to": "2026-11-08T21:40:03Z", "days": 13}
    made["totals"] |= {
        "sessions": 1_204,
        "calls": 14_388,
        "attempts": 14_601,
        "retries": 213,
        "usage": usage(9_120_334),
        "cost_usd": usd(whole),
        "unpriced_attempts": 12,
        "recorded_cost_usd": "417.9",
        "basis": {"measured_usd": usd(whole - 21_000_118_000), "modelled_usd": "21.000118"},
    }
    made["by"] = {
        "model": parted(
            whole,
            {
                "claude-sonnet-4.5": 61,
                "gpt-5.6-sol": 27,
                "gemini-3-flash": 9,
                "claude-haiku-5.5": 2,
            },
        ),
        "route": parted(whole, {"airline": 70, "rebook": 18, "refund": 9, None: 3}),
        "provider": parted(whole, {"anthropic": 63, "openai": 27, "google": 10}),
        "day": days("2026-10-26", [8, 9, 7, 9, 11, 2, 0, 9, 10, 12, 31, 14, 3, 2], whole),
        "tenant": parted(whole, {f"tenant-{n:02d}": 40 - n for n in range(31)}),
        "tool": parted(
            whole,
            {"search_flights": 44, "get_reservation": 21, "update_reservation": 6, None: 29},
        ),
    }
    kinds = [
        ("system", 0.41, 5, 95),
        ("tool_result", 0.31, 40, 110),
        ("history", 0.13, 15, 30),
        ("tools", 0.09, 3, 27),
        ("user", 0.05, 9, 12),
        ("unseen", 0.01, 2, 1),
        ("output", None, 71, 0),
    ]
    parts = split(whole, [weight for _, _, fresh, carried in kinds for weight in (fresh, carried)])
    made["anatomy"] = [
        block(kind, share, parts[2 * n], parts[2 * n + 1])
        for n, (kind, share, _, _) in enumerate(kinds)
    ]
    made["iterations"] = {"mean": 11.950166, "p50": 11, "p95": 24, "max": 61}
    made["tail"] = {
        "p50_usd": "0.238114",
        "p95_usd": "1.0249185",
        "p99_usd": "2.41",
        "max_usd": "9.88234012",
        "max_over_median": 41.502558,
    }
    made["retries"] = {
        "rate": 0.014588,
        "cost_usd": "6.120033",
        "by_cause": [
            {"cause": "parse", "retries": 120, "cost_usd": "4.2"},
            {"cause": "rate_limit", "retries": 93, "cost_usd": "1.920033"},
        ],
        "by_tool": [{"tool": "search_flights", "retries": 99, "cost_usd": "3.75"}],
    }
    made["cache"] = {
        "read_tokens": 27_361_002,
        "write_tokens": 1_302_904,
        "reads_per_write": 21.00002,
        "read_share": 0.7241,
        "saved_usd": "512.40711",
    }
    made["growth"] = {
        "resend_factor": 9.61,
        "repeated_prefix_share": 0.9004,
        "last_over_first_p50": 3.2,
    }
    made["outcomes"] = {
        "labelled": 900,
        "success_rate": 0.83,
        "cost_per_success_usd": "0.559",
        "failed_spend_share": 0.271,
    }
    made["suspects"] = _suspects()
    made["flags"] = [
        {
            "kind": "recorded_cost_low",
            "where": "rebook",
            "what": "52 calls were recorded at $0.10 where tokens times price give $0.43; the"
            " recorder seems to leave cache writes out",
        }
    ]
    made["skipped"] = [
        {"file": "logs/2026-11-02.jsonl", "line": 881, "reason": "the line ends inside a string"},
        {"file": "logs/readme.txt", "line": None, "reason": "no reader recognises its content"},
    ]
    made["notes"] = [
        "12 of 14601 attempts have no price: the total is a lower bound."
        " `bursar prices missing` lists them."
    ]
    made["top_sessions"] = [session(7, 22), session(31, 61)]
    return made


def _suspects() -> list[Row]:
    return [
        suspect(
            1,
            "uncached_prefix",
            "129.400112",
            evidence={
                "text": "4,100 tokens of instructions and tools were sent 11,002 times without a"
                " cache mark; 96.0% of the calls begin with the same bytes.",
                "dollars": "avoidable",
                "calls": 11002,
                "prefix_tokens": 4100,
                "top_sessions": ["task-7-8c1f2a7e", "task-31-8c1f2a7e"],
            },
        ),
        suspect(
            2,
            "large_tool_results",
            "61.2",
            where="search_flights",
            evidence={
                "text": "3,120 results of 2,900 tokens on average were sent again 6.3 times each.",
                "dollars": "explained",
                "mean_tokens": 2900,
                "sent_again_usd": "55.000001",
                "dearest": {"session": "task-7-8c1f2a7e", "step": 6, "cost_usd": "0.91"},
            },
            mend="Let search_flights return only the fields that the next step needs.",
        ),
        suspect(
            3,
            "parse_retries",
            "4.2",
            where="refund",
            share=0.010042,
            evidence={"text": "120 answers were no JSON and were asked for again.", "retries": 120},
            mend="Ask for structured output, so that the answer cannot be malformed.",
            basis="measured",
        ),
        suspect(4, "idle_endpoint", None, share=None, basis="assumed", where="ep-1", evidence=None),
    ]


def nothing_known() -> Row:
    """Calls were made, and next to nothing is known of them."""
    made = empty()
    made["totals"] |= {
        "sessions": 1,
        "calls": 3,
        "attempts": 3,
        "retries": None,
        "unpriced_attempts": 3,
        "basis": {"measured_usd": None, "modelled_usd": None},
    }
    made["by"] = {name: rows({None: None}) for name in made["by"]}
    made["anatomy"] = [
        {"kind": "user", **dict.fromkeys(("tokens", "share", "cost_usd", "fresh_usd"))}
        | {"carried_usd": None}
    ]
    made["retries"] = {
        "rate": None,
        "cost_usd": None,
        "by_cause": [{"cause": None, "retries": None, "cost_usd": None}],
        "by_tool": [],
    }
    made["outcomes"] = dict.fromkeys(made["outcomes"])
    made["suspects"] = [dict.fromkeys(suspect(1, "x", None)) | {"kind": "idle_endpoint"}]
    made["flags"] = [{"kind": "unpriced", "where": None, "what": "no price"}]
    made["skipped"] = [{"file": "a", "line": None, "reason": "b"}]
    made["notes"] = []
    return made


def one_call() -> Row:
    made = empty()
    made["period"] = {"from": "2026-11-08T21:40:03Z", "to": "2026-11-08T21:40:03Z", "days": 1}
    made["totals"] |= {
        "sessions": 1,
        "calls": 1,
        "attempts": 1,
        "usage": usage(12),
        "cost_usd": "0.000000001",
        "basis": {"measured_usd": "0.000000001", "modelled_usd": "0"},
    }
    made["by"] |= {name: rows({"one": 1}) for name in ("model", "route", "provider", "tenant")}
    made["by"]["day"] = rows({"2026-11-08": 1})
    made["anatomy"] = [block("user", 1.0, 1, 0)]
    made["iterations"] = {"mean": 1.0, "p50": 1, "p95": 1, "max": 1}
    made["tail"] = dict.fromkeys(made["tail"], "0.000000001") | {"max_over_median": 1.0}
    made["notes"] = ["Only 1 day of traffic: suspects are early signs, not a baseline."]
    return made


def many() -> Row:
    """500 tenants, three years of days, long and foreign names, large and tiny dollars."""
    made = ordinary()
    whole = 1_234_567_890_000_000
    made["totals"]["cost_usd"] = "1234567.89"
    made["totals"]["basis"] = {"measured_usd": "1234567.89", "modelled_usd": "0"}
    made["totals"]["usage"]["other"] = {"web_searches": 3, "input_images": 12_000_000_000}
    names = ["a" * 5000, "team " * 40, WORDS_RTL, "統括部門・経費精算", *HOSTILE]
    keys = names + [f"tenant-{n}" for n in range(500 - len(names))]
    costs = split(whole, [10**9 // (n + 1) ** 2 for n in range(500)])
    costs[-1] = 1
    made["by"]["tenant"] = rows(dict(zip(keys, costs, strict=True)))
    made["by"]["route"] = rows(dict(zip(names[::-1], costs[: len(names)], strict=True)))
    made["by"]["tool"] = rows({f"{'very_long_tool_name_' * 9}{n}": c for n, c in enumerate(costs)})
    made["by"]["day"] = [
        *days("2023-11-08", [n % 13 for n in range(1100)], whole),
        *rows({None: 1}),
    ]
    made["tail"]["max_usd"] = "98765.432101234"
    made["tail"]["p50_usd"] = "0.000000001"
    made["suspects"] = [
        suspect(n + 1, kind, usd(cost), where=where)
        for n, (kind, cost, where) in enumerate(
            zip(["cache_busted"] * 80, costs, keys, strict=False)
        )
    ]
    made["flags"] = [
        {"kind": "usage_suspect", "where": f"route {n}", "what": "w" * 900} for n in range(700)
    ]
    made["skipped"] = [
        {"file": f"logs/{'deep/' * 60}{n}.jsonl", "line": n, "reason": "broken " * 200}
        for n in range(5000)
    ]
    made["top_sessions"] = [session(n, 900) for n in range(8)]
    return made


def hostile() -> Row:
    """Every text of an analysis replaced by one that wants out."""
    texts = [*HOSTILE, *BROKEN]
    made = ordinary()
    place = iter(range(10**6))

    def spoil(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: spoil(held, name) for name, held in value.items()}
        if isinstance(value, list):
            return [spoil(held, key) for held in value]
        if isinstance(value, str) and not key.endswith("_usd"):
            return texts[next(place) % len(texts)]
        return value

    return spoil(json.loads(json.dumps(made)))


ALL = {
    "ordinary": ordinary,
    "empty": empty,
    "one_call": one_call,
    "nothing_known": nothing_known,
    "many": many,
    "hostile": hostile,
}
