"""One book for all price tests, at a fixed moment, with its compiled file in a scratch folder."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from bursar.price import Book, load_book

NOW = datetime(2026, 11, 22, 12)


@pytest.fixture(scope="session", name="home")
def home_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session", name="book")
def book_fixture(home: Path) -> Book:
    return load_book(home=home, now=NOW)
