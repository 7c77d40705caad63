"""The contract of the store holds on either database: every test that asks for a URL runs on both."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from postgres_server import PostgresServer


@pytest.fixture(params=["sqlite", "postgres"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Gives URLs of empty databases."""
    numbers = itertools.count()
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path / f'kg{next(numbers)}.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return lambda: server.emptied(f"store{next(numbers)}")


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    """The URL of an empty database."""
    return new_url()
