"""Bringing everything that a workspace's databases hold to the schemas of this release, or telling what that would do.

Whoever opens a part brings it up to date as well; this does so for all parts, at a moment of the operator's choice.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medical_kg.orchestration.contract.errors import SchemaTooNew
from medical_kg.orchestration.tenants import DEFAULT, tenants

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    with ExitStack() as stack:
        parts = list(_parts(workspace, stack))
        for one, engine, _ in parts:
            if one.is_newer:
                raise SchemaTooNew(shown(engine.url), f"{one.part} {one.found}", f"{one.part} {one.version}")
        for one, engine, kept in parts:
            if one.is_due and not dry_run:
                kept.bring_up_to_date(engine)
    return [one for one, _, _ in parts]


def _parts(workspace: Workspace, stack: ExitStack) -> Iterator[tuple[Upgrade, Engine, KeptTables]]:
    """Give what there is in the tenants' databases, which stay open as long as the stack."""
    from medical_kg.orchestration.contract.database import opened
    from medical_kg.orchestration.ledger.schema import LedgerTables

    door = workspace.installation.door(DOOR)
    of_packages: dict[str, KeptTables] = {name: door.get(name) for name in door.names()}
    for tenant in (DEFAULT, *tenants(workspace)):
        engine = stack.enter_context(opened(workspace.of_tenant(tenant).database_url))
        # Asking a file that is not there would make it.
        if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").is_file():
            continue
        own: dict[str, KeptTables] = {LEDGER: LedgerTables()} if tenant == DEFAULT else {}
        for part, kept in (own | of_packages).items():
            if (found := kept.found(engine)) is not None:
                yield Upgrade(tenant, part, found, kept.version), engine, kept
