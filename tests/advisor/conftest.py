"""The book of the installed prices, and a way to plant a ledger."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from bursar.price import load_book
from bursar.price.book import Book
from tests.advisor.planting import NOW, Ledger, Line

Plant = Callable[[list[Line]], Ledger]


@pytest.fixture(scope="session")
def book() -> Book:
    return load_book(now=NOW)


@pytest.fixture
def plant(tmp_path: Path, book: Book) -> Plant:
    numbers = count()

    def planted(lines: list[Line]) -> Ledger:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return Ledger(lines, folder, book)

    return planted
