"""The library, on either database."""

from __future__ import annotations

from pathlib import Path

import pytest
from library import Library
from postgres_server import PostgresServer


@pytest.fixture(params=["sqlite", "postgres"])
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Library:
    """The library, its ledger on either database."""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        server.serve(tmp_path)
    return Library(tmp_path)


@pytest.fixture
def local(tmp_path: Path) -> Library:
    """The library on SQLite."""
    return Library(tmp_path)
