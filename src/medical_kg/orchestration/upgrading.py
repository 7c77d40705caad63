"""Bringing everything that a workspace's databases hold to the schemas of this release, or telling what that would do.

Whoever opens a part brings it up to date as well; this does so for all parts, at a moment of the operator's choice.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medical_kg.orchestration.contract.errors import SchemaTooNew
from medical_kg.orchestration.tenants import DEFAULT, tenants

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Engine

    from medical_kg.orchestration.contract.schemas import KeptTables
    from medical_kg.orchestration.workspace import Workspace

DOOR = "medical_kg.schemas"
LEDGER = "ledger"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """One part of a tenant's database: the schema that was found, and the one that this release knows."""

    tenant: str
    part: str
    found: int | str
    version: int | str

    @property
    def is_due(self) -> bool:
        """Whether there is anything to change."""
        return self.found != self.version

    @property
    def is_newer(self) -> bool:
        """Whether a newer release wrote it."""
        return int(self.found) > int(self.version)


def upgrade(workspace: Workspace, *, dry_run: bool = False) -> list[Upgrade]:
    """Bring ledger and kept tables of every tenant to this release's schemas; parts that are not there yet are left out.

    Args:
        workspace: where.
        dry_run: only look.

    Raises:
        SchemaTooNew: a newer release wrote a part; nothing was changed in any.
        PluginBroken: a package that keeps tables cannot be loaded; likewise.
        StorageError: a part could not be changed; it is as it was, and others may have been changed.
    """
    from medical_kg.orchestration.contract.database import shown

    found = []
    with closing(_Databases(workspace)) as databases:
        for tenant, engine, parts in databases:
            for part, kept in parts.items():
                if (version := kept.found(engine)) is not None:
                    found.append((Upgrade(tenant, part, version, kept.version), engine, kept))
        for one, engine, _ in found:
            if one.is_newer:
                raise SchemaTooNew(shown(engine.url), f"{one.part} {one.found}", f"{one.part} {one.version}")
        for one, engine, kept in found:
            if one.is_due and not dry_run:
                kept.bring_up_to_date(engine)
    return [one for one, _, _ in found]


class _Databases:
    """The databases that are there, with what may be kept in each."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._opened: list[Engine] = []
        door = workspace.installation.door(DOOR)
        self._kept: Mapping[str, KeptTables] = {name: door.get(name) for name in door.names()}

    def __iter__(self) -> Iterator[tuple[str, Engine, Mapping[str, KeptTables]]]:
        from medical_kg.orchestration.contract.database import open_engine
        from medical_kg.orchestration.ledger.schema import LedgerTables

        for tenant in (DEFAULT, *tenants(self._workspace)):
            engine = open_engine(self._workspace.of_tenant(tenant).database_url)
            self._opened.append(engine)
            # Opening a file that is not there would make it.
            if engine.dialect.name != "sqlite" or Path(engine.url.database or "").is_file():
                yield tenant, engine, {LEDGER: LedgerTables(), **self._kept} if tenant == DEFAULT else self._kept

    def close(self) -> None:
        for engine in self._opened:
            engine.dispose()
