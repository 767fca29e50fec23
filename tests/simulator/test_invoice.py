"""The invoice: each request once, the same in memory, in the file and over the network."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bursar.model.errors import BadInput
from bursar.simulator.desk import Terms
from bursar.simulator.invoice import Invoice, Line
from bursar.simulator.server import Simulator
from simulator.asks import CASES, OPENAI, Case, ask, chat, get, post, prices


def test_memory_file_and_network_agree(tmp_path: Path) -> None:
    file = tmp_path / "invoice.jsonl"
    with Simulator(prices=prices(), invoice_file=file).running() as sim:
        for case in CASES.values():
            ask(sim, case)
        ask(sim, chat(), x_simulate="rate_limit")
        told = get(sim, "/invoice").json()
        short = get(sim, "/invoice?lines=0").json()
        lines = list(sim.invoice.lines)
        total_nano = sim.invoice.total_nano
    written = [msgspec.json.decode(row, type=Line) for row in file.read_bytes().splitlines()]
    assert written == lines
    assert msgspec.convert(told["lines"], list[Line]) == lines
    assert told["total_nano"] == total_nano == sum(line.cost_nano or 0 for line in lines)
    assert "lines" not in short
    assert sum(one["cost_nano"] for one in told["by_model"].values()) == total_nano
    assert len(lines) == len(CASES) + 1


def test_prompts_and_keys_are_not_on_the_invoice(tmp_path: Path) -> None:
    file = tmp_path / "invoice.jsonl"
    with Simulator(prices=prices(), invoice_file=file).running() as sim:
        ask(sim, chat("a very secret prompt"))
    text = file.read_text()
    assert "secret" not in text
    assert "sk-test" not in text


def test_lines_in_memory_are_bounded_and_totals_are_not() -> None:
    invoice = Invoice(largest_count=3)
    for n in range(10):
        invoice.add(
            Line(
                request_id=str(n),
                at_ms=n,
                provider="openai",
                dialect="openai_chat",
                operation="chat",
                model="m",
                billed=True,
                cost_nano=5,
            )
        )
    assert len(invoice.lines) == 3
    assert invoice.total_nano == 50


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be written"):
        Simulator(prices=prices(), invoice_file=tmp_path / "none" / "invoice.jsonl")


def test_models_without_a_price_are_refused_or_unpriced() -> None:
    body = {"model": "local-llama", "messages": [{"role": "user", "content": "hi"}]}
    case = Case("/v1/chat/completions", body, "openai_chat", OPENAI, "local-llama")
    with Simulator(prices=prices()).running() as sim:
        assert ask(sim, case).status == 404
    with Simulator(prices=prices(), terms=Terms(any_model=True)).running() as sim:
        assert ask(sim, case).status == 200
        (line,) = sim.invoice.lines
        assert line.cost_nano is None
        assert line.unpriced_reason
        assert sim.invoice.total.unpriced == 1


def test_reset_and_health_over_the_network(sim: Simulator) -> None:
    ask(sim, chat())
    post(sim, "/reset", {})
    assert get(sim, "/health").json() == {"status": "ok"}
    assert sim.invoice.total.requests == 0
