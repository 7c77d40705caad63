"""A workspace with shelves in it, its ledger in either database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from postgres_server import PostgresServer
from shelves import SHELVED, TYPES
from support import make_workspace

from medical_kg.orchestration.workspace import Workspace


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Workspace]:
    """Makes a workspace with these pipelines."""
    return lambda *pipelines: make_workspace(tmp_path / "kg", *(pipelines or (SHELVED,)), **TYPES)


@pytest.fixture(params=["sqlite", "postgres"])
def make_either(
    request: pytest.FixtureRequest, tmp_path: Path, make: Callable[..., Workspace]
) -> Callable[..., Workspace]:
    """The same, its ledger in either database."""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        server.serve(tmp_path / "kg")
    return make
