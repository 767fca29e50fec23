"""Each suspect: planted once with dollars worked out by hand, and once absent from honest data."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from bursar.advisor.suspects import KINDS, find_suspects
from bursar.ledger.engines.duck import Duck
from bursar.ledger.reports import Scope
from bursar.model.usage import Basis
from tests.advisor.conftest import Plant
from tests.advisor.planting import GPT, MINI, SONNET, Line, at, call, result, schema, text, use

LONG = [{"role": "system", "content": text(9_000)}, {"role": "assistant", "content": "done"}]


def same(usage: Line, times: int = 4, gap: int = 10, **more: Any) -> list[Line]:
    """The same long prompt in each step of a session."""
    steps = [
        call(n, "s", usage, messages=LONG, route="orders", **more) | {"at": at(gap * n)}
        for n in range(times)
    ]
    return steps


# -- prefixes and caches


def test_uncached_prefix_is_the_difference_to_a_cached_read(plant: Plant) -> None:
    found = plant(same({"input": 10_000, "output": 10})).suspect("uncached_prefix", "orders")
    assert found.cost_usd == "0.0375"  # 3 steps x 10,000 tokens x $(2.50 - 1.25) / 10**6
    assert found.basis is Basis.MODELLED
    assert found.evidence["prefix_tokens"] == 10_000
    assert found.evidence["top_sessions"] == ["s"]


def test_uncached_prefix_takes_off_the_writes_that_caching_needs(plant: Plant) -> None:
    found = plant(same({"input": 10_000, "output": 10}, **SONNET))
    # 30,000 x $2.70 less the first prompt's write, 10,000 x $0.75
    assert found.suspect("uncached_prefix", "orders").cost_usd == "0.0735"
    assert "cache_control" in found.suspect("uncached_prefix", "orders").mend


def test_uncached_prefix_without_usage_is_assumed(plant: Plant) -> None:
    lines = same({})
    for line in lines:
        del line["usage"]
    found = plant(lines).suspect("uncached_prefix", "orders")
    assert found.basis is Basis.ASSUMED
    assert "if the provider did not cache" in found.evidence["text"]


@pytest.mark.parametrize(
    "lines",
    [
        same({"input": 500, "cache_read": 9_500, "output": 10}),
        same({"input": 1_000, "output": 10}),
        same({"input": 10_000, "output": 10}, gap=301),
        same({"input": 10_000, "output": 10}, provider="groq", model="llama-3.1-8b-instant"),
    ],
    ids=["read", "too short to cache", "too late to read", "no cheaper reads"],
)
def test_uncached_prefix_is_not_seen_where_nothing_can_be_saved(
    plant: Plant, lines: list[Line]
) -> None:
    assert "uncached_prefix" not in plant(lines).kinds()


def broken(n: int) -> list[Line]:
    return [
        {"role": "system", "content": f"It is {n} past nine."},
        {"role": "user", "content": text(9_000)},
        {"role": "assistant", "content": "done"},
    ]


def test_cache_busted_names_the_block_that_changed(plant: Plant) -> None:
    usage = {"input": 10_000, "output": 10}
    lines = [call(n, "s", usage, messages=broken(n), route="orders") for n in range(4)]
    found = plant(lines).suspect("cache_busted", "orders")
    assert float(found.cost_usd) == pytest.approx(0.0375, rel=0.01)
    assert found.evidence["block"]["kind"] == "system"
    assert "system" in found.mend


def test_cache_busted_by_writes_of_a_stable_prefix(plant: Plant) -> None:
    lines = same({"cache_write_5m": 10_000, "output": 10}, **SONNET)
    found = plant(lines).suspect("cache_busted", "orders")
    assert found.cost_usd == "0.1035"  # 3 x 10,000 x $(3.75 - 0.30) / 10**6
    assert "written to the cache again" in found.evidence["text"]


def test_cache_busted_is_not_seen_where_prompts_only_grow(plant: Plant) -> None:
    story = [{"role": "user", "content": text(3_000, f"turn{n}")} for n in range(4)]
    lines = [
        call(n, "s", {"input": 3_000 * (n + 1), "output": 10}, messages=story[: n + 1])
        for n in range(4)
    ]
    assert "cache_busted" not in plant(lines).kinds()


def test_cache_never_read_is_the_premium(plant: Plant) -> None:
    lines = [
        call(n, None, {"cache_write_5m": 10_000, "output": 1}, **SONNET, id=f"c{n}")
        for n in range(5)
    ]
    found = plant(lines).suspect("cache_never_read", SONNET["model"])
    assert found.cost_usd == "0.0375"  # 5 x 10,000 x $(3.75 - 3) / 10**6
    assert found.basis is Basis.MEASURED
    assert found.evidence["break_even"] == pytest.approx(0.2778, abs=1e-4)


def test_cache_never_read_knows_the_hour(plant: Plant) -> None:
    usage = {"cache_write_1h": 10_000, "cache_read": 10_000, "output": 1}
    lines = [call(n, None, usage, **SONNET, id=f"c{n}") for n in range(5)]
    found = plant(lines).suspect("cache_never_read", SONNET["model"])
    assert found.cost_usd == "0.015"  # 5 x (10,000 x $3 - 10,000 x $2.70) / 10**6
    assert found.evidence["break_even"] == pytest.approx(1.1111, abs=1e-4)


def test_cache_that_is_read_pays(plant: Plant) -> None:
    first = call(0, None, {"cache_write_5m": 10_000, "output": 1}, **SONNET, id="c0")
    reads = [
        call(n, None, {"cache_read": 10_000, "output": 1}, **SONNET, id=f"c{n}") for n in (1, 2)
    ]
    assert "cache_never_read" not in plant([first, *reads]).kinds()


# -- what prompts carry


def story(words: int, steps: int, tools: tuple[Line, ...] = ()) -> Line:
    """A session without usage: tokens, and so dollars, are those of its texts."""
    messages: list[Line] = [{"role": "user", "content": "Where is my order?"}]
    for n in range(steps):
        messages.append(use("get_order", f'{{"n": {n}}}', f"u{n}"))
        messages.append(result(f"u{n}", text(words, f"row{n}")))
    messages.append({"role": "assistant", "content": "It is on its way."})
    line = {**GPT, "session": "s", "route": "orders", "at": at(0), "messages": messages}
    return line | {"tools": list(tools)} if tools else line


def test_large_tool_results_cost_each_time_they_are_sent(plant: Plant) -> None:
    ledger = plant([story(600, 6)])
    blocks = ledger.duck.rows(
        "SELECT tokens, first_step FROM blocks WHERE kind = 'tool_result' ORDER BY first_step"
    )
    assert len(blocks) == 6
    # call k of 7 is the first to send the result of step k - 1; $2.50 per million = 2,500 nano
    nano = sum(int(str(tokens)) * (7 - int(str(step))) * 2_500 for tokens, step in blocks)
    found = ledger.suspect("large_tool_results", "get_order")
    assert round(float(found.cost_usd) * 1e9) == pytest.approx(nano, abs=len(blocks))
    assert found.evidence["mean_carries"] == 2.5
    assert found.evidence["dearest"]["step"] == 1
    assert found.evidence["dearest"]["session"] == "s"


def test_small_tool_results_are_no_suspect(plant: Plant) -> None:
    assert "large_tool_results" not in plant([story(60, 6)]).kinds()


def test_context_growth_is_what_is_carried_beyond_three_first_prompts(plant: Plant) -> None:
    messages: list[Line] = []
    for n in range(12):
        messages.append({"role": "user", "content": text(150, f"ask{n}")})
        messages.append({"role": "assistant", "content": text(150, f"say{n}")})
    ledger = plant([{**GPT, "session": "s", "route": "chat", "at": at(0), "messages": messages}])
    prompts = [
        int(str(row[0]))
        for row in ledger.duck.rows("SELECT prompt_tokens FROM attempts ORDER BY step")
    ]
    first = prompts[0]
    nano = sum(
        min(before, max(0, prompt - max(3 * first, 2_000))) * 2_500
        for before, prompt in pairwise(prompts)
    )
    found = ledger.suspect("context_growth", "chat")
    assert round(float(found.cost_usd) * 1e9) == pytest.approx(nano, abs=12)
    assert found.evidence["resend_factor"] == round(sum(prompts) / prompts[-1], 2)


def test_a_small_prompt_has_not_grown(plant: Plant) -> None:
    messages: list[Line] = []
    for n in range(12):
        messages.append({"role": "user", "content": text(30, f"ask{n}")})
        messages.append({"role": "assistant", "content": text(30, f"say{n}")})
    ledger = plant([{**GPT, "session": "s", "route": "chat", "at": at(0), "messages": messages}])
    assert "context_growth" not in ledger.kinds()


def test_a_long_system_prompt_does_not_grow(plant: Plant) -> None:
    messages: list[Line] = [{"role": "system", "content": text(3_000)}]
    for n in range(12):
        messages.append({"role": "user", "content": text(20, f"ask{n}")})
        messages.append({"role": "assistant", "content": text(20, f"say{n}")})
    ledger = plant([{**GPT, "session": "s", "route": "chat", "at": at(0), "messages": messages}])
    assert "context_growth" not in ledger.kinds()


def test_unused_tool_schemas_are_named_and_priced(plant: Plant) -> None:
    tools = (schema("get_order", 100), schema("refund", 100), schema("escalate", 300))
    ledger = plant([story(60, 11, tools)])
    tokens = ledger.duck.rows(
        "SELECT SUM(tokens) FROM blocks WHERE kind = 'tools' AND name IN ('refund', 'escalate')"
    )
    found = ledger.suspect("unused_tool_schemas", "orders")
    nano = int(str(tokens[0][0])) * 12 * 2_500
    assert round(float(found.cost_usd) * 1e9) == pytest.approx(nano, abs=4)
    assert [tool["name"] for tool in found.evidence["tools"]] == ["escalate", "refund"]
    assert "get_order" not in found.mend


def test_a_few_calls_prove_no_schema_unused(plant: Plant) -> None:
    tools = (schema("get_order", 100), schema("refund", 100))
    assert "unused_tool_schemas" not in plant([story(60, 5, tools)]).kinds()


# -- retries


def plain(count: int, **more: Any) -> list[Line]:
    """Honest calls of $0.001 each."""
    return [
        call(n, f"plain{n}", {"input": 360, "output": 10}, id=f"plain{n}", **more)
        for n in range(count)
    ]


def test_parse_retries_cost_what_the_retries_cost(plant: Plant) -> None:
    again = {"is_retry": True, "retry_cause": "parse", "route": "invoices"}
    lines = plain(10, route="invoices")
    lines += [call(n, "s", {"input": 1_000, "output": 150}, **again) for n in range(3)]
    found = plant(lines).suspect("parse_retries", "invoices")
    assert found.cost_usd == "0.012"  # 3 x (1,000 x $2.50 + 150 x $10) / 10**6
    assert (found.evidence["retries"], found.evidence["of"]) == (3, 13)
    assert found.basis is Basis.MEASURED


def test_one_retry_is_an_accident(plant: Plant) -> None:
    again = {"is_retry": True, "retry_cause": "parse"}
    lines = [*plain(20), call(0, "s", {"input": 1_000, "output": 150}, **again)]
    assert "parse_retries" not in plant(lines).kinds()


def failing(content: str, tries: int) -> list[Line]:
    """One session that asks for a tool again after each result."""
    messages: list[Line] = [{"role": "user", "content": "Pay it."}]
    lines: list[Line] = []
    usage = {"input": 1_000, "output": 150}
    for n in range(tries):
        ask = use("pay", f'{{"amount": {n}}}', f"u{n}")
        lines.append(call(n, "s", usage, messages=[*messages, ask], dialect="openai_chat"))
        messages += [ask, result(f"u{n}", content)]
    return lines


def test_tool_retries_follow_a_failure(plant: Plant) -> None:
    found = plant(failing("Error: card declined", 4)).suspect("tool_retries", "pay")
    assert found.cost_usd == "0.012"  # 3 of the 4 calls, $0.004 each
    assert found.evidence["of"] == 4


def test_tools_that_work_are_not_retried(plant: Plant) -> None:
    assert "tool_retries" not in plant(failing("paid", 4)).kinds()


def test_provider_retries_cost_what_was_given_up(plant: Plant) -> None:
    lines = plain(4)
    for n in (0, 2, 4):
        messages = [{"role": "user", "content": f"question {n}"}]
        lines.append(call(n, "s", {"input": 1_000, "output": 150}, messages=messages, status=504))
        again = {"is_retry": True, "retry_cause": "sdk"}
        usage = {"input": 1_000, "output": 300}
        lines.append(call(n + 1, "s", usage, messages=messages, **again))
    found = plant(lines).suspect("provider_retries", "gpt-4o")
    assert found.cost_usd == "0.012"  # the three abandoned attempts of $0.004
    assert found.evidence["retries"] == 3


def test_a_refused_attempt_costs_nothing(plant: Plant) -> None:
    lines = plain(4)
    for n in (0, 2):
        messages = [{"role": "user", "content": f"question {n}"}]
        lines.append(
            call(n, "s", None, messages=messages, status=429, response={"error": {"code": 429}})
        )
        lines.append(call(n + 1, "s", {"input": 1_000, "output": 300}, messages=messages))
    assert "provider_retries" not in plant(lines).kinds()


# -- actions and requests


def looping(answers: list[str]) -> list[Line]:
    messages: list[Line] = [{"role": "user", "content": "Search it."}]
    lines: list[Line] = []
    for n, answer in enumerate(answers):
        ask = use("search", '{"q": "parcel"}', f"u{n}")
        lines.append(call(n, "s", {"input": 1_000, "output": 150}, messages=[*messages, ask]))
        messages += [ask, result(f"u{n}", answer)]
    messages.append({"role": "assistant", "content": "Not found."})
    lines.append(call(len(answers), "s", {"input": 1_000, "output": 150}, messages=messages))
    return lines


def test_repeated_actions_cost_from_the_third_time_on(plant: Plant) -> None:
    found = plant(looping(["nothing"] * 6)).suspect("repeated_actions", "search")
    assert found.cost_usd == "0.016"  # the third to the sixth call, $0.004 each
    assert found.evidence["most_times"] == 6


def test_polling_for_a_changing_result_is_no_repetition(plant: Plant) -> None:
    lines = looping([f"at {n} %" for n in range(6)])
    assert "repeated_actions" not in plant(lines).kinds()


def test_duplicate_requests_cost_all_but_the_first(plant: Plant) -> None:
    messages = [{"role": "user", "content": "Opening hours?"}]
    usage = {"input": 1_000, "output": 150}
    lines = plain(3) + [call(n, f"d{n}", usage, messages=messages, route="faq") for n in range(4)]
    found = plant(lines).suspect("duplicate_requests", "faq")
    assert found.cost_usd == "0.012"  # three of four, $0.004 each
    assert (found.evidence["calls"], found.evidence["prompts"]) == (3, 1)


@pytest.mark.parametrize("tag", ["tenant", "model", "max_tokens"])
def test_requests_that_differ_are_no_duplicates(plant: Plant, tag: str) -> None:
    messages = [{"role": "user", "content": "Opening hours?"}]
    values: dict[str, list[Any]] = {"tenant": ["a", "b"], "model": ["gpt-4o", "gpt-4o-mini"]}
    lines = []
    for n in range(2):
        line = call(n, f"d{n}", {"input": 1_000, "output": 150}, messages=messages)
        if tag in values:
            line[tag] = values[tag][n]
        else:
            del line["messages"]
            request = {"model": "gpt-4o", "messages": messages, "max_tokens": 200 + n}
            line |= {"request": request, "dialect": "openai_chat"}
        lines.append(line)
    assert "duplicate_requests" not in plant(lines).kinds()


# -- sessions


def lengths(counts: list[int], **more: Any) -> list[Line]:
    usage = {"input": 300, "output": 25}
    return [
        call(n, f"s{place}", usage, route="search", **more)
        for place, steps in enumerate(counts)
        for n in range(steps)
    ]


def test_runaway_sessions_cost_what_is_beyond_the_ceiling(plant: Plant) -> None:
    found = plant(lengths([5, 6, 7, 6, 5, 60])).suspect("runaway_sessions", "search")
    assert found.evidence["ceiling_calls"] == 20
    assert found.cost_usd == "0.04"  # 40 calls beyond, $0.001 each
    assert found.evidence["top_sessions"] == ["s5"]
    assert "20 calls" in found.mend


def test_long_sessions_among_long_sessions_are_usual(plant: Plant) -> None:
    assert "runaway_sessions" not in plant(lengths([22, 30, 34, 28, 41, 38])).kinds()


def labelled(failed: int, won: int) -> list[Line]:
    lines = []
    for n in range(failed + won):
        outcome = {"success": n >= failed}
        usage = {"input": 300, "output": 25}
        lines.append(call(0, f"s{n}", usage, route="triage", outcome=outcome))
    return lines


def test_failed_spend_is_what_failures_cost(plant: Plant) -> None:
    found = plant(labelled(3, 7)).suspect("failed_spend", "triage")
    assert found.cost_usd == "0.003"
    assert (found.evidence["failed"], found.evidence["labelled"]) == (3, 10)


def test_a_rare_failure_is_no_suspect(plant: Plant) -> None:
    assert "failed_spend" not in plant(labelled(1, 30)).kinds()


# -- concentration


def tagged(tag: str, counts: dict[str, int]) -> list[Line]:
    return [
        call(n, f"{name}{n}", {"input": 300, "output": 25}, **{tag: name})
        for name, count in counts.items()
        for n in range(count)
    ]


def test_tenant_outlier(plant: Plant) -> None:
    found = plant(tagged("tenant", {"a": 23, "b": 2, "c": 2})).suspect("tenant_outlier", "a")
    assert found.cost_usd == "0.023"
    assert found.evidence["mean_of_others_usd"] == "0.002"
    assert found.evidence["dollars"] == "explained"


@pytest.mark.parametrize("counts", [{"a": 20, "b": 2, "c": 2}, {"a": 50, "b": 1}])
def test_large_tenants_are_no_outliers(plant: Plant, counts: dict[str, int]) -> None:
    assert "tenant_outlier" not in plant(tagged("tenant", counts)).kinds()


@pytest.mark.parametrize("tag", ["workflow", "route"])
def test_dominant_workflow(plant: Plant, tag: str) -> None:
    found = plant(tagged(tag, {"a": 6, "b": 2, "c": 2})).suspect("dominant_workflow", "a")
    assert found.cost_usd == "0.006"
    assert found.evidence["by"] == tag


@pytest.mark.parametrize("counts", [{"a": 5, "b": 3, "c": 2}, {"a": 9, "b": 1}])
def test_no_workflow_dominates(plant: Plant, counts: dict[str, int]) -> None:
    assert "dominant_workflow" not in plant(tagged("workflow", counts)).kinds()


# -- fitness


def test_reasoning_on_simple_tasks_is_what_exceeds_the_answer(plant: Plant) -> None:
    usage = {"input": 300, "output": 100, "reasoning": 600}
    lines = [call(n, f"s{n}", usage, model="gpt-5", route="triage") for n in range(6)]
    found = plant(lines).suspect("reasoning_on_simple_tasks", "triage")
    assert found.cost_usd == "0.03"  # 6 x 500 tokens x $10 / 10**6


@pytest.mark.parametrize(
    "usage",
    [
        {"input": 300, "output": 100, "reasoning": 60},
        {"input": 300, "output": 400, "reasoning": 600},
        {"input": 9_000, "output": 100, "reasoning": 600},
    ],
    ids=["little", "long answer", "long prompt"],
)
def test_reasoning_that_may_be_needed(plant: Plant, usage: Line) -> None:
    lines = [call(n, f"s{n}", usage, model="gpt-5") for n in range(6)]
    assert "reasoning_on_simple_tasks" not in plant(lines).kinds()


def test_dear_model_on_simple_steps(plant: Plant) -> None:
    usage = {"input": 1_000, "output": 100}
    lines = [call(n, f"s{n}", usage, route="triage") for n in range(10)]
    found = plant(lines).suspect("dear_model_on_simple_steps", "triage")
    # 10 x (1,000 x $(2.50 - 0.15) + 100 x $(10 - 0.60)) / 10**6
    assert found.cost_usd == "0.0329"
    assert found.evidence["cheaper"] == ["gpt-4o-mini"]
    assert found.basis is Basis.MODELLED


@pytest.mark.parametrize(
    "more",
    [MINI, {"usage": {"input": 1_000, "output": 700}}, {"usage": {"input": 9_000, "output": 9}}],
    ids=["cheap", "long answer", "long prompt"],
)
def test_steps_that_need_their_model(plant: Plant, more: Line) -> None:
    lines = [call(n, f"s{n}", {"input": 1_000, "output": 100}) | more for n in range(10)]
    assert "dear_model_on_simple_steps" not in plant(lines).kinds()


# -- endpoints


def endpoint(hours: int, busy_ms: int) -> Duck:
    """Rows as a reader of an hourly bill would leave them: no exchange line carries hours."""
    duck = Duck()
    rows: list[dict[str, object]] = [
        {"other_units": f'{{"instance_hours":{hours}}}', "cost_nano": hours * 4_000_000_000}
    ]
    rows += [{"output_tokens": 5, "total_ms": busy_ms // 4, "cost_nano": 0} for _ in range(4)]
    for number, row in enumerate(rows):
        columns = {name: [value] for name, value in row.items()}
        columns |= {"call_id": [number], "n": [0], "provider": ["aws"], "model": ["my-llama"]}
        columns |= {"cost_basis": ["measured"], "usage_basis": ["measured"]}
        duck.append("attempts", columns)
    return duck


def test_idle_endpoint_costs_its_idle_hours() -> None:
    (found,) = find_suspects(endpoint(hours=100, busy_ms=3_600_000))
    assert (found.kind, found.where) == ("idle_endpoint", "aws/my-llama")
    assert found.cost_usd == "396"  # busy for 1 hour of 100, $4 each
    assert found.evidence["calls"] == 4


def test_a_busy_endpoint_is_no_suspect() -> None:
    assert not find_suspects(endpoint(hours=10, busy_ms=4 * 3_600_000))


# -- the whole


def test_every_kind_is_planted_here() -> None:
    here = "\n".join(name for name in globals() if name.startswith("test_"))
    assert not [kind for kind in KINDS if kind not in here]


def test_an_empty_ledger_has_no_suspects() -> None:
    assert find_suspects(Duck()) == []


def test_small_dollars_are_left_out_but_dangers_are_told(plant: Plant) -> None:
    big = [call(n, f"big{n}", {"input": 90_000, "output": 2_500}, route="big") for n in range(20)]
    lines = lengths([5, 6, 7, 6, 5, 60])
    again = {"is_retry": True, "retry_cause": "parse", "route": "invoices"}
    lines += [call(n, "r", {"input": 300, "output": 25}, **again) for n in range(3)]
    kinds = plant(lines + big).kinds()
    assert "runaway_sessions" in kinds
    assert "parse_retries" not in kinds


def test_a_scope_narrows_the_question(plant: Plant) -> None:
    ledger = plant(labelled(3, 7) + lengths([5, 6, 7, 6, 5, 60]))
    scope = Scope(where="a.route = ?", values=("triage",))
    narrow = {one.kind: one for one in ledger.suspects(scope)}
    assert "failed_spend" in narrow
    assert "runaway_sessions" in ledger.kinds() - narrow.keys()
    assert narrow["failed_spend"].share == 0.3
    assert ledger.suspects(Scope(where="a.route = ?", values=("none",))) == []


def test_a_scope_that_cuts_a_session_never_tells_more_than_its_spend(plant: Plant) -> None:
    ledger = plant([story(600, 6)])
    found = ledger.suspects(Scope(where="a.step <= ?", values=(1,)))
    assert found
    assert all(one.share <= 1 for one in found)


def test_suspects_are_ranked_by_dollars_once_per_place(plant: Plant) -> None:
    ledger = plant(labelled(3, 7) + lengths([5, 6, 7, 6, 5, 60]) + looping(["nothing"] * 6))
    found = ledger.suspects()
    assert [one.rank for one in found] == list(range(1, len(found) + 1))
    costs = [float(one.cost_usd) for one in found]
    assert costs == sorted(costs, reverse=True)
    places = [(one.kind, one.where) for one in found]
    assert len(places) == len(set(places))
    for one in found:
        assert one.kind in KINDS
        assert one.evidence["text"]
        assert one.evidence["dollars"] in ("avoidable", "explained")
        assert one.mend.endswith(".")


def test_without_a_book_cache_prices_are_assumed(plant: Plant) -> None:
    ledger = plant(same({"input": 10_000, "output": 10}))
    (found,) = find_suspects(ledger.duck)
    # 30,000 x $2.50 x 0.9 less 10,000 x $2.50 x 0.25
    assert (found.cost_usd, found.basis) == ("0.06125", Basis.ASSUMED)
