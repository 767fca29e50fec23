"""`bursar simulate`: a provider on this machine, to try things against without a key or a bill."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from bursar.cli.opening import open_book
from bursar.cli.screen import Screen
from bursar.extras import event_loop
from bursar.model.money import usd
from bursar.simulator.faults import KINDS
from bursar.simulator.invoice import Totals
from bursar.simulator.saying import scripted
from bursar.simulator.script_file import ScriptFile, read_script
from bursar.simulator.server import Prices, Simulator

SIMULATE_EXAMPLES = """
Examples:

  bursar simulate
  bursar simulate --port 9000 --seed 7 --latency-ms 300 --event-ms 20
  bursar simulate --script faults.toml --invoice invoice.jsonl
  curl localhost:9000/v1/chat/completions -H 'x-simulate: rate_limit=2; first=1' -d @body.json
"""


SIMULATE_HELP = f"""
Run a provider that answers like OpenAI, Anthropic and Bedrock, and bills like them.

Nothing leaves this machine. Answers are made up from the request and the seed, or come from a
script; usage follows the providers' own rules of prompt caching; /invoice says what it cost.

A header x-simulate, or a script, asks for a fault: {", ".join(KINDS)}.
"""


def add_commands(app: typer.Typer) -> None:
    app.command("simulate", help=SIMULATE_HELP, epilog=SIMULATE_EXAMPLES)(simulate)


def simulate(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answers.")] = 0,
    script: Annotated[
        Path | None,
        typer.Option(help="A TOML file of terms, answers and faults."),
    ] = None,
    latency_ms: Annotated[
        float | None, typer.Option(min=0, help="Wait this long before an answer.")
    ] = None,
    event_ms: Annotated[
        float | None, typer.Option(min=0, help="Wait this long before each event of a stream.")
    ] = None,
    invoice: Annotated[
        Path | None, typer.Option(help="Append each line of the invoice to this file (JSON lines).")
    ] = None,
    worker: Annotated[
        int | None,
        typer.Option(min=0, help="Number of this one, where several serve the same --port."),
    ] = None,
) -> None:
    """See `SIMULATE_HELP`."""
    told = read_script(script) if script is not None else ScriptFile()
    changed = {"latency_ms": latency_ms, "event_ms": event_ms, "worker": worker}
    given = {name: value for name, value in changed.items() if value is not None}
    provider = Simulator(
        seed=seed,
        script=scripted(told.answer) if told.answer else None,
        faults=told.fault,
        terms=msgspec.structs.replace(told.terms, **given),
        prices=Prices(open_book()),
        invoice_file=invoice,
    )
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        runner.run(_serve(provider, port, shared=worker is not None))


async def _serve(provider: Simulator, port: int, *, shared: bool) -> None:
    stopped = asyncio.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(one, stopped.set)
    await provider.start(port, shared=shared)
    typer.echo(f"simulated provider on {provider.url}; answers and invoice are GENERATED")
    typer.echo(f"  OpenAI     base_url      {provider.openai_url}")
    typer.echo(f"  Anthropic  base_url      {provider.url}")
    typer.echo(f"  Bedrock    endpoint_url  {provider.url}")
    typer.echo(f"  invoice    GET           {provider.url}/invoice")
    await stopped.wait()
    await provider.stop()
    _print_invoice(provider)


def _print_invoice(provider: Simulator) -> None:
    screen = Screen()
    columns = ["model", "requests", "billed", "unpriced", "cost"]
    rows = [
        [name, *(f"{n:,}" for n in (sums.requests, sums.billed, sums.unpriced)), _cost(sums)]
        for name, sums in provider.invoice.by_model.items()
        if sums.billed
    ]
    if rows:
        screen.table([(name, "left" if name == "model" else "right") for name in columns], rows)
    total = provider.invoice.total
    screen.line(f"{total.requests:,} requests, {total.billed:,} billed: {_cost(total)}")


def _cost(sums: Totals) -> str:
    return f"${usd(sums.cost_nano)}"
