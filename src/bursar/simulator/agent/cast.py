"""What the invented agent has to do, and what the simulated model says to each of its requests.

A support desk with five routes, each with a fault that real agents have: `orders` sends a long
prompt again and again uncached, with large tool results in it; `invoices` gets answers that do not
parse; `search` is well kept, but for one session that never stops; `triage` asks the dearest model
for one word; `answers` has a customer who leaves amid an answer. Now and then the provider refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any, Literal

import msgspec

from bursar.simulator.asking import Asked
from bursar.simulator.faults import Fault
from bursar.simulator.saying import WORDS, Said, Script, Use

SEED = 20261122
TENANTS = ("northwind", "contoso", "fabrikam", "tailspin")
TENANT_WEIGHTS = (60, 16, 13, 11)
RUNAWAY_STEPS = 30
TRIES = (1, 2, 1, 1, 3, 1, 2, 1, 1, 2, 1, 1)
"""Answers of each invoice until one parses."""
NO_ARTICLE = "no article matches"
FAULTS = (
    Fault(kind="rate_limit", first=1, probability=0.12, model="claude-sonnet-4-6"),
    Fault(kind="error", status=503, first=1, probability=0.15, model="gpt-5"),
)
"""The first try fails, the next does not, and neither failure is billed."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One business feature: how it asks."""

    name: str
    dialect: Literal["chat", "messages"]
    model: str
    system: str
    tools: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None
    """Answers must be JSON of this schema; those that are not are asked for again."""
    cached: bool = False
    """Sets cache marks, as it should."""
    stream: bool = False
    effort: str | None = None
    names_sessions: bool = True
    """False: the agent says nothing of its sessions, and the gateway has to find out."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One session."""

    name: str
    route: Route
    tenant: str
    question: str
    """Found in no other task."""
    said: tuple[Said, ...]
    """What the model will say, turn by turn."""
    leaves: bool = False
    """Whoever asked does not wait for the end of the answer."""


def _text(seed: object, words: int) -> str:
    return " ".join(Random(f"{SEED}:{seed}").choices(WORDS, k=words))


INVOICE = {
    "type": "object",
    "properties": {"total": {"type": "number"}, "note": {"type": "string"}},
    "required": ["total", "note"],
    "additionalProperties": False,
}
ORDERS = Route(
    name="orders",
    dialect="messages",
    model="claude-sonnet-4-6",
    system="You are a support agent. " + _text("orders", 2600),
    tools=("get_order", "get_customer"),
)
INVOICES = Route(
    name="invoices",
    dialect="chat",
    model="gpt-5",
    system="Extract the invoice as JSON. " + _text("invoices", 350),
    schema=INVOICE,
    effort="low",
    names_sessions=False,
)
SEARCH = Route(
    name="search",
    dialect="messages",
    model="claude-haiku-4-5",
    system="Find the article that answers. " + _text("search", 3400),
    tools=("search_articles",),
    cached=True,
    stream=True,
)
TRIAGE = Route(
    name="triage",
    dialect="messages",
    model="claude-opus-4-8",
    system="Name the queue of this message in one word. " + _text("triage", 60),
    names_sessions=False,
)
ANSWERS = Route(
    name="answers",
    dialect="chat",
    model="gpt-5-mini",
    system="Answer the customer from the order. " + _text("answers", 1200),
    tools=("get_order",),
    stream=True,
    names_sessions=False,
)


def tasks() -> list[Task]:
    """Everything that is to be done, the same each time."""
    rng = Random(SEED)
    return [
        *(_orders(rng, n) for n in range(8)),
        *(_invoices(rng, n, tries) for n, tries in enumerate(TRIES)),
        *(_search(rng, n, 3 + n) for n in range(3)),
        _search(rng, 3, RUNAWAY_STEPS),
        *(_triage(rng, n) for n in range(22)),
        *(_answers(rng, n) for n in range(7)),
    ]


def script_of(known: list[Task]) -> Script:
    """What the simulated model says: the task is told by its question."""
    by_question = [(task.question.encode(), task) for task in known]

    def script(asked: Asked) -> Said | None:
        for question, task in by_question:
            if question in asked.raw:
                return task.said[min(asked.turn, len(task.said) - 1)]
        return None

    return script


def tool_result(name: str, arguments: dict[str, Any]) -> str:
    """What a tool of the company answers."""
    return TOOLS[name](arguments)


def _record(name: str, arguments: dict[str, Any]) -> str:
    """Far more than was asked for, as records are."""
    number = arguments.get("id")
    record = {"kind": name, "id": number, "history": _text(f"{name} {number}", 900)}
    return msgspec.json.encode(record).decode()


def _articles(arguments: dict[str, Any]) -> str:
    query = str(arguments.get("query"))
    return NO_ARTICLE if query.endswith("?") else _text(query, 260)


TOOLS: dict[str, Callable[[dict[str, Any]], str]] = {
    "get_order": partial(_record, "order"),
    "get_customer": partial(_record, "customer"),
    "search_articles": _articles,
}
ARGUMENT_OF = {"search_articles": "query"}
"""Tool -> its only argument, where that is not an `id`."""


def tool_schema(name: str) -> dict[str, Any]:
    """The arguments of a tool."""
    argument = ARGUMENT_OF.get(name, "id")
    return {
        "type": "object",
        "properties": {argument: {"type": "string"}},
        "required": [argument],
        "additionalProperties": False,
    }


def tool_about(name: str) -> str:
    return f"{name.replace('_', ' ')}: {_text(name, 45)}"


def _task(rng: Random, route: Route, n: int, words: int, said: Iterator[Said]) -> Task:
    question = f"Message {n} to {route.name}: {' '.join(rng.choices(WORDS, k=words))}"
    return Task(
        name=f"{route.name}-{n}",
        route=route,
        tenant=rng.choices(TENANTS, TENANT_WEIGHTS)[0],
        question=question,
        said=tuple(said),
    )


def _orders(rng: Random, n: int) -> Task:
    def said() -> Iterator[Said]:
        for _ in range(rng.randint(4, 7)):
            number = str(rng.randint(10_000, 99_999))
            yield Said(tools=(Use(name=rng.choice(ORDERS.tools), arguments={"id": number}),))
        yield Said(text=" ".join(rng.choices(WORDS, k=90)))

    return _task(rng, ORDERS, n, 40, said())


def _invoices(rng: Random, n: int, tries: int) -> Task:
    def said() -> Iterator[Said]:
        note = " ".join(rng.choices(WORDS, k=60))
        text = msgspec.json.encode({"total": rng.randint(10, 900), "note": note}).decode()
        for _ in range(tries - 1):
            yield Said(text=text[:-9], reasoning_tokens=rng.randint(90, 400))
        yield Said(text=text, reasoning_tokens=rng.randint(90, 400))

    return _task(rng, INVOICES, n, 1400, said())


def _search(rng: Random, n: int, steps: int) -> Task:
    stuck = steps >= RUNAWAY_STEPS

    def said() -> Iterator[Said]:
        query = " ".join(rng.choices(WORDS, k=4)) + "?"
        for _ in range(steps):
            if not stuck:
                query = " ".join(rng.choices(WORDS, k=4))
            yield Said(tools=(Use(name="search_articles", arguments={"query": query}),))
        yield Said(text="I could not find it." if stuck else " ".join(rng.choices(WORDS, k=70)))

    return _task(rng, SEARCH, n, 25, said())


def _triage(rng: Random, n: int) -> Task:
    said = Said(text=rng.choice(("orders", "invoices", "search")))
    return _task(rng, TRIAGE, n, 60, iter((said,)))


def _answers(rng: Random, n: int) -> Task:
    use = Use(name="get_order", arguments={"id": str(rng.randint(10_000, 99_999))})
    text = " ".join(rng.choices(WORDS, k=120))
    task = _task(rng, ANSWERS, n, 30, iter((Said(tools=(use,)), Said(text=text))))
    return msgspec.structs.replace(task, leaves=n == 3)
