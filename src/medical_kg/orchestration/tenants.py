"""Tenants: what stages keep of each but the default lies in a folder and a database of its own.

A stage sees them as its workspace, so rows of one tenant cannot be another's, whatever package wrote the stage. Where the
workspace's database is SQLite, the tenant's is a file in the tenant's folder; on Postgres it is a schema of its own in the
same database, as the ``search_path`` in its URL. The ledger is one: there the tenant is part of the keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import InputError, StorageError, near

if TYPE_CHECKING:
    from collections.abc import Mapping

    from medical_kg.orchestration.contract import WorkspaceView

DEFAULT = "default"
TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
FOLDER = "tenants"
SCHEMA = "tenant_"
DATABASE = "medical-kg.db"


def sqlite_in(folder: Path, name: str = DATABASE) -> str:
    """Return the URL of a database in a folder."""
    # In a URL these characters have a meaning.
    return f"sqlite:///{str(folder).replace('%', '%25').replace('?', '%3F')}/{name}"


@dataclass(frozen=True, slots=True)
class TenantView:
    """Service ``workspace`` of a tenant: its own folder and database, and the settings that all share."""

    root: Path
    database_url: str
    _workspace: WorkspaceView

    def settings(self, table: str) -> Mapping[str, Any]:
        """Return one table of ``medical_kg.toml``, empty where there is none."""
        return self._workspace.settings(table)


def checked(tenant: str) -> str:
    """Return a tenant's name, which becomes that of a folder and of a schema.

    Raises:
        InputError: it cannot be one.
    """
    if not TENANT.fullmatch(tenant):
        msg = f"a tenant cannot be called {tenant!r}; use lower-case letters, digits, - and _, at most 40, e.g. 'cardiology-2'"
        raise InputError(msg)
    return tenant


def view_of(workspace: WorkspaceView, tenant: str) -> WorkspaceView:
    """Return the workspace as this tenant's stages see it; nothing is made or opened."""
    if tenant == DEFAULT:
        return workspace
    folder = workspace.root / FOLDER / checked(tenant)
    if _is_sqlite(workspace):
        return TenantView(folder, sqlite_in(folder), workspace)
    return TenantView(folder, _in_schema(workspace.database_url, f"{SCHEMA}{tenant}"), workspace)


def existing(workspace: WorkspaceView, tenant: str) -> WorkspaceView:
    """Return the workspace as this tenant's stages see it, of a tenant that has run something.

    Raises:
        InputError: there is no such tenant.
    """
    known = [DEFAULT, *tenants(workspace)]
    if tenant not in known:
        raise InputError(f"there is no tenant {tenant!r}; {near(tenant, known)}")
    return view_of(workspace, tenant)


def tenants(workspace: WorkspaceView) -> list[str]:
    """Return the tenants besides the default that have a place, in order."""
    if _is_sqlite(workspace):
        return sorted(path.name for path in (workspace.root / FOLDER).glob("*/") if TENANT.fullmatch(path.name))
    from sqlalchemy import inspect

    from medical_kg.orchestration.contract.database import opened, reading

    with opened(workspace.database_url) as engine, reading(engine) as connection:
        found = inspect(connection).get_schema_names()
    return sorted(name.removeprefix(SCHEMA) for name in found if name.startswith(SCHEMA))


def database_urls(workspace: WorkspaceView) -> list[str]:
    """Return the databases of all tenants, the workspace's own first."""
    return [workspace.database_url, *(view_of(workspace, name).database_url for name in tenants(workspace))]


def provide(workspace: WorkspaceView, tenant: str) -> None:
    """See that a tenant has its place, before its stages run; many processes may do so at once.

    Raises:
        InputError: the tenant cannot be called so.
        StorageError: the place cannot be made.
    """
    if checked(tenant) != DEFAULT:
        _provide(workspace.root / FOLDER / tenant, tenant, None if _is_sqlite(workspace) else workspace.database_url)


@lru_cache(maxsize=1024)
def _provide(folder: Path, tenant: str, server: str | None) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"the folder {folder} of a tenant cannot be made: {error.strerror or error}") from error
    if server is not None:
        _make_schema(server, f"{SCHEMA}{tenant}")


def _make_schema(url: str, name: str) -> None:
    from sqlalchemy.schema import CreateSchema

    from medical_kg.orchestration.contract.database import opened, take_turn, writing

    with opened(url) as engine, writing(engine) as connection:
        # Postgres's own IF NOT EXISTS fails when two come at the same moment.
        take_turn(connection, "tenants")
        connection.execute(CreateSchema(name, if_not_exists=True))


def _is_sqlite(workspace: WorkspaceView) -> bool:
    return workspace.database_url.startswith("sqlite")


def _in_schema(url: str, name: str) -> str:
    from sqlalchemy import make_url

    parsed = make_url(url)
    # The last one counts.
    options = " ".join((*parsed.normalized_query.get("options", ()), f'-c search_path="{name}"'))
    return parsed.update_query_dict({"options": options}).render_as_string(hide_password=False)
