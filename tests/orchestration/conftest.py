"""What tests of several parts of the engine run on."""

from __future__ import annotations

from pathlib import Path

import pytest
from postgres_server import PostgresServer
from support import ENGINES

from medical_kg.orchestration import api


@pytest.fixture(params=[*ENGINES, "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> api.EngineName:
    """Either engine on SQLite, and the plain one on Postgres."""
    if request.param != "postgres":
        return request.param  # type: ignore[no-any-return]  # pytest does not know the parameters' type
    server: PostgresServer = request.getfixturevalue("postgres")
    server.serve(tmp_path)
    return "plain"
