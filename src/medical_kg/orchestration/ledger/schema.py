"""Bringing a database to the schema this release knows.

Alembic is imported only when something is to be done: an up-to-date database opens without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from medical_kg.orchestration.contract.database import reading, shown, take_turn, writing
from medical_kg.orchestration.contract.errors import SchemaTooNew, StorageError
from medical_kg.orchestration.discovery import find_damaged
from medical_kg.orchestration.ledger.tables import SCHEMA, VERSION_TABLE

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


def bring_up_to_date(engine: Engine) -> None:
    """Create the ledger's tables, or upgrade them; two processes may do so at once.

    Raises:
        SchemaTooNew: a newer release wrote the database.
        StorageError: an installed distribution is damaged, so that alembic cannot be loaded.
    """
    with reading(engine) as connection:
        found = revision(connection)
    if found == SCHEMA:
        return
    with writing(engine) as connection:
        take_turn(connection, "ledger schema")
        _refuse_newer(engine, revision(connection))
        _migrate(connection)


class LedgerTables:
    """The ledger's tables, as ``contract.schemas.KeptTables``."""

    version = SCHEMA
    bring_up_to_date = staticmethod(bring_up_to_date)

    def found(self, engine: Engine) -> str | None:
        """Return the schema that a database has; None where it has no ledger."""
        with reading(engine) as connection:
            return revision(connection)


def revision(connection: Connection) -> str | None:
    """Return the schema the database has; None when it has no ledger."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    # The table's name is a constant of this package.
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608


def _refuse_newer(engine: Engine, found: str | None) -> None:
    if found is not None and found > SCHEMA:
        raise SchemaTooNew(shown(engine.url), found, SCHEMA)


def _migrate(connection: Connection) -> None:
    try:
        from alembic import command
        from alembic.config import Config
    except Exception as error:
        # It asks every installed distribution for plugins of its own, and a damaged one ends that.
        if said := "; ".join(f"{name}: {reason}" for name, reason in find_damaged()):
            raise StorageError(f"the ledger's schema cannot be made beside a damaged distribution: {said}") from error
        raise

    config = Config()
    config.set_main_option("script_location", "medical_kg.orchestration.ledger:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
