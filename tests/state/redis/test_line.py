"""The line to a server, before a server that fails when it is told to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bursar.state.redis.line import BATCH, Line
from bursar.state.terms import StoreLost
from state.redis.rig import run

RESERVE = ("reserve", "a.1")


class Unsteady:
    """In place of a Link: does every batch, and loses the answers that it is told to."""

    place = "nowhere"
    errors = (OSError,)

    def __init__(self) -> None:
        self.is_open = False
        self.life = "life"
        self.number = 0
        self.batches: list[list[Any]] = []
        self.loses: list[bool] = []
        """Of each batch to come, whether its answer is lost."""

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    def forget_moves(self) -> None: ...

    async def run(self, head: tuple[Any, ...], operations: list[Any]) -> Any:
        await asyncio.sleep(0)
        if operations[0][0] == "hello":
            return self.life, 1, [self.number]
        self.batches.append(operations)
        self.number = head[2]
        if self.loses and self.loses.pop(0):
            raise ConnectionResetError("the answer is lost")
        return self.life, 1, [0] * len(operations)

    @property
    def steps(self) -> list[str]:
        return [one[0] for batch in self.batches for one in batch]


def line_to(link: Unsteady) -> Line:
    return Line(link, nodes=1, timeout_ms=250, most_waiting=10_000)  # type: ignore[arg-type]


async def until_quiet(line: Line) -> None:
    for _ in range(300):
        try:
            await line.ask(("look",))
            return
        except StoreLost:
            await asyncio.sleep(0.01)


def test_what_is_to_be_undone_outlives_another_failure() -> None:
    async def steps() -> None:
        link = Unsteady()
        line = line_to(link)
        link.loses = [True, True, True]
        with pytest.raises(StoreLost):
            await line.ask(RESERVE)
        await asyncio.sleep(0.5)
        await until_quiet(line)
        origin = link.batches[1][0][2]
        assert link.steps == ["reserve", "undo", "undo", "undo", "look"]
        assert {one[1:] for batch in link.batches[1:] for one in batch[:1] if one[0] == "undo"} == {
            ("a.1", origin)
        }
        await line.close()

    run(steps())


def test_only_what_was_done_is_undone() -> None:
    async def steps() -> None:
        link = Unsteady()
        line = line_to(link)
        await line.ask(("look",))
        link.loses = [True]
        with pytest.raises(StoreLost):
            await line.ask(RESERVE)
        link.number -= 1
        await until_quiet(line)
        assert "undo" not in link.steps
        await line.close()

    run(steps())


def test_operations_go_together_in_the_order_they_were_asked() -> None:
    async def steps() -> None:
        link = Unsteady()
        line = line_to(link)
        await asyncio.gather(*(line.ask(("look", number)) for number in range(3 * BATCH)))
        assert [len(batch) for batch in link.batches] == [BATCH] * 3
        assert [one[1] for batch in link.batches for one in batch] == list(range(3 * BATCH))
        await line.close()

    run(steps())


def test_in_another_life_only_telling_is_let_through() -> None:
    async def steps() -> None:
        link = Unsteady()
        line = line_to(link)
        await line.ask(("look",))
        link.loses, link.life, link.number = [True], "another", 0
        with pytest.raises(StoreLost):
            await line.ask(RESERVE)
        await until_quiet(line)
        assert line.is_strange
        with pytest.raises(StoreLost, match="lost its counts"):
            await line.ask(RESERVE)
        await line.ask(("rebuild", "node"))
        assert not line.is_strange
        assert await line.ask(RESERVE) == 0
        assert "undo" not in link.steps
        await line.close()

    run(steps())


def test_closing_ends_what_waits() -> None:
    class Slow(Unsteady):
        async def run(self, head: tuple[Any, ...], operations: list[Any]) -> Any:
            if operations[0][0] != "hello":
                await asyncio.sleep(60)
            return await super().run(head, operations)

    async def steps() -> None:
        line = Line(Slow(), nodes=1, timeout_ms=60_000, most_waiting=10)  # type: ignore[arg-type]
        asked = [asyncio.ensure_future(line.ask(RESERVE)) for _ in range(3)]
        await asyncio.sleep(0.01)
        asked.append(asyncio.ensure_future(line.ask(RESERVE)))
        await asyncio.sleep(0)
        await line.close()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(one) for one in answers} == {StoreLost}

    run(steps())
