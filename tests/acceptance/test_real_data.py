"""What must hold on data that nobody here wrote: whole imports of real logs, to the nanodollar."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import genai_prices
import pytest

from bursar.advisor.analysis import Analysis, analyse
from bursar.intake.importing import import_paths
from bursar.ledger.engines.duck import Duck
from bursar.ledger.recorder import Recorder
from bursar.model.money import nano_from_usd, usd
from bursar.price.book import Book, load_book

NOW = datetime(2026, 11, 22)
Shared = Callable[[str], Path]


@pytest.fixture(name="book", scope="module")
def book_fixture(tmp_path_factory: pytest.TempPathFactory) -> Book:
    return load_book(home=tmp_path_factory.mktemp("home"), now=NOW)


def imported(book: Book, *paths: Path) -> Duck:
    duck = Duck(None)
    import_paths(paths, Recorder(duck, book, NOW))
    return duck


def analysed(book: Book, *paths: Path) -> Analysis:
    return analyse(imported(book, *paths), book)


def independent_cost_nano(file: Path) -> tuple[int, int]:
    """(calls, cost) of a Claude Code transcript by genai-prices: the last line of each message."""
    usages: dict[str, tuple[str, str, dict[str, Any]]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record.get("type") == "assistant":
            message = record["message"]
            usages[message["id"]] = (record["timestamp"], message["model"], message["usage"])
    total = 0
    for stamp, model, usage in usages.values():
        fresh, read = usage["input_tokens"], usage["cache_read_input_tokens"]
        written = usage["cache_creation_input_tokens"]
        hour = usage["cache_creation"]["ephemeral_1h_input_tokens"]
        counted = genai_prices.Usage(
            input_tokens=fresh + read + written,
            cache_read_tokens=read,
            cache_write_tokens=written,
            cache_write_1h_tokens=hour,
            output_tokens=usage["output_tokens"],
        )
        price = genai_prices.calc_price(
            counted,
            model,
            provider_id="anthropic",
            genai_request_timestamp=datetime.fromisoformat(stamp).astimezone(UTC),
        ).total_price
        total += int((price * 10**9).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
    return len(usages), total


def test_claude_code_costs_what_an_independent_computation_says(
    shared_data: Shared, book: Book
) -> None:
    folder = shared_data("claude_code_real")
    files = sorted(folder.glob("*.jsonl"))
    assert len(files) == 2
    for file in files:
        calls, cost_nano = independent_cost_nano(file)
        found = analysed(book, file)
        assert found.totals["calls"] == calls == 17
        assert found.totals["cost_usd"] == usd(cost_nano)
        assert {flag["kind"] for flag in found.flags} <= {"usage_suspect"}
        for flag in found.flags:
            assert "no last line" in flag["what"], "some answers were never written to their end"
    both = analysed(book, folder)
    assert both.totals["calls"] == 34
    assert both.totals["sessions"] == 2


def taubench(shared_data: Shared, folder: Path) -> Path:
    runs = json.loads((shared_data("taubench_gpt4o_airline") / "gpt-4o-airline.json").read_text())
    file = folder / "taubench.jsonl"
    with file.open("w") as stream:
        for run in runs:
            line = {
                "session": f"{run['task_id']}-{run['trial']}",
                "route": "airline",
                "provider": "openai",
                "model": "gpt-4o",
                "messages": run["traj"],
                "outcome": {"success": run["reward"] == 1.0},
            }
            stream.write(json.dumps(line) + "\n")
    return file


def test_taubench_is_taken_apart_as_measured(
    shared_data: Shared, book: Book, tmp_path: Path
) -> None:
    found = analysed(book, taubench(shared_data, tmp_path))
    share = {row["kind"]: row["share"] for row in found.anatomy}
    assert found.totals["sessions"] == 200
    assert share["tool_result"] == pytest.approx(0.34, abs=0.02)
    assert share["system"] == pytest.approx(0.45, abs=0.02)
    assert found.growth["repeated_prefix_share"] == pytest.approx(0.90, abs=0.02)
    assert found.growth["resend_factor"] == pytest.approx(9.6, abs=0.2)
    assert found.iterations["p50"] == 11
    assert found.outcomes["labelled"] == 200
    assert found.totals["basis"]["measured_usd"] == "0"
    assert sum(nano_from_usd(row["cost_usd"]) for row in found.anatomy) == nano_from_usd(
        found.totals["cost_usd"]
    )


def test_taubench_names_its_true_suspects(shared_data: Shared, book: Book, tmp_path: Path) -> None:
    kinds = [one["kind"] for one in analysed(book, taubench(shared_data, tmp_path)).suspects]
    assert "failed_spend" in kinds
    assert "large_tool_results" in kinds
    assert "duplicate_requests" not in kinds
    assert "unused_tool_schemas" not in kinds


def test_lmcache_prompts_are_seen_as_one_growing_prefix(
    shared_data: Shared, book: Book, tmp_path: Path
) -> None:
    file = tmp_path / "lmcache.jsonl"
    with file.open("w") as stream:
        for trace in sorted(shared_data("lmcache_agent_trace").glob("miniswe/*.jsonl")):
            for record in map(json.loads, trace.read_text().splitlines()):
                line = {
                    "kind": "call",
                    "session": record["session_id"],
                    "at": record["timestamp"] / 1e6,
                    "provider": "openai",
                    "model": "gpt-4o",
                    "messages": [
                        {"role": "user", "content": record["input"]},
                        {"role": "assistant", "content": record["output"]},
                    ],
                }
                stream.write(json.dumps(line) + "\n")
    found = analysed(book, file)
    assert found.totals["sessions"] == 10
    assert found.growth["repeated_prefix_share"] == pytest.approx(0.94, abs=0.02)
