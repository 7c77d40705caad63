"""Upgrading all that a workspace's databases hold, or telling what that would do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from distributions import distribution
from postgres_server import PostgresServer
from sqlalchemy import Engine, text
from support import make_workspace, migrate_to

from medical_kg.orchestration import Installation, Upgrade, Workspace, upgrade
from medical_kg.orchestration.contract.database import open_engine, reading, writing
from medical_kg.orchestration.contract.errors import PluginBroken, SchemaTooNew
from medical_kg.orchestration.ledger.tables import SCHEMA
from medical_kg.orchestration.tenants import provide
from medical_kg.orchestration.upgrading import DOOR


@dataclass
class Shelf:
    """Tables of a plugin: their version is SQLite's ``user_version`` of the tenant's database."""

    version: int

    def found(self, engine: Engine) -> int | None:
        with reading(engine) as connection:
            return connection.execute(text("PRAGMA user_version")).scalar() or None

    def bring_up_to_date(self, engine: Engine) -> None:
        with writing(engine) as connection:
            connection.execute(text(f"PRAGMA user_version = {self.version}"))


def with_shelf(folder: Path, *found: int) -> Workspace:
    """A workspace with a ledger of the second schema, and a shelf of these versions by tenant: default, a, b."""
    workspace = make_workspace(folder)
    for tenant, version in zip(("default", "a", "b"), found, strict=False):
        provide(workspace, tenant)
        if tenant == "default":
            migrate_to(workspace.database_url, "0002")
        engine = open_engine(workspace.of_tenant(tenant).database_url)
        Shelf(version).bring_up_to_date(engine)
        engine.dispose()
    workspace.installation.door(DOOR).add("shelf", Shelf(2))
    return workspace


def test_every_part_of_every_tenant_is_upgraded(tmp_path: Path) -> None:
    """The ledger and what plugins keep; looking changes nothing, and once it is done nothing is due."""
    workspace = with_shelf(tmp_path, 1, 1, 2)
    expected = [
        Upgrade("default", "ledger", "0002", SCHEMA),
        Upgrade("default", "shelf", 1, 2),
        Upgrade("a", "shelf", 1, 2),
        Upgrade("b", "shelf", 2, 2),
    ]
    assert upgrade(workspace, dry_run=True) == upgrade(workspace) == expected
    assert [one.is_due for one in expected] == [True, True, True, False]
    assert [one.is_due for one in upgrade(workspace)] == [False] * 4
    assert workspace.ledger.submissions() == []


def test_a_newer_part_stops_it_before_anything_is_changed(tmp_path: Path) -> None:
    """It is named with the advice to upgrade; the older ones stay as they are."""
    workspace = with_shelf(tmp_path, 1, 10)
    with pytest.raises(SchemaTooNew, match=r"has schema shelf 10, newer than shelf 2, .*; upgrade medical-kg"):
        upgrade(workspace)
    workspace.installation.door(DOOR).add("shelf", Shelf(10))
    assert [one.found for one in upgrade(workspace, dry_run=True)] == ["0002", 1, 10]


def test_a_package_that_cannot_be_asked_stops_it(tmp_path: Path) -> None:
    """Nobody can tell how its tables stand, so nothing is changed."""
    distribution(tmp_path / "site", "shelf-kit", {"shelf": "nowhere:X"}, door=DOOR)
    workspace = Workspace(tmp_path / "kg", installation=Installation(path=[str(tmp_path / "site")]))
    (tmp_path / "kg").mkdir()
    migrate_to(workspace.database_url, "0002")
    with pytest.raises(PluginBroken, match="nowhere"):
        upgrade(workspace)
    workspace = make_workspace(tmp_path / "kg")
    assert [one.found for one in upgrade(workspace, dry_run=True)] == ["0002"]


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    """An empty workspace has nothing to upgrade, and stays empty."""
    assert upgrade(make_workspace(tmp_path)) == []
    assert list(tmp_path.glob("*.db")) == []


def test_a_ledger_on_postgres_is_upgraded(tmp_path: Path, postgres: PostgresServer) -> None:
    """The same on a server."""
    url = postgres.serve(tmp_path)
    workspace = Workspace(tmp_path)
    assert upgrade(workspace) == []
    migrate_to(url, "0002")
    assert upgrade(workspace) == [Upgrade("default", "ledger", "0002", SCHEMA)]
    assert upgrade(workspace, dry_run=True) == [Upgrade("default", "ledger", SCHEMA, SCHEMA)]
