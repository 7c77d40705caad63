"""The schema of each half of the SQL store: made, brought up to date, or refused, when the half is opened.

Each half counts its schemas in ``store_schemas``. Tables of releases that did not count yet are schema 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import Column, Integer, MetaData, Table, inspect, select

from medical_kg.orchestration.contract.database import WORDS, insert, reading, shown, take_turn, writing
from medical_kg.orchestration.contract.errors import SchemaTooNew

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

METADATA = MetaData()

SCHEMAS = Table(
    "store_schemas",
    METADATA,
    Column("half", WORDS, primary_key=True),
    Column("version", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of a half as this release knows them.

    Attributes:
        half: ``index`` or ``graph``.
        version: raised by one with each change of the tables.
        tables: what there is; missing ones are made.
        steps: by the version it leads to, what changes tables that are there already.
    """

    half: str
    version: int
    tables: MetaData
    steps: Mapping[int, Callable[[Connection], None]] = field(default_factory=dict)

    def found(self, engine: Engine) -> int | None:
        """Return the version of the tables in a database; None where it has none."""
        with reading(engine) as connection:
            return self._found(connection)

    def bring_up_to_date(self, engine: Engine) -> None:
        """Make the tables of a half, or change them to this release's; two processes may do so at once.

        Raises:
            SchemaTooNew: a newer release wrote them.
        """
        found = self.found(engine)
        if found is not None and found > self.version:
            raise SchemaTooNew(shown(engine.url), f"{self.half} {found}", f"{self.half} {self.version}")
        if found != self.version:
            with writing(engine) as connection:
                take_turn(connection, "store tables")
                self._upgrade(connection, self._found(connection))

    def _found(self, connection: Connection) -> int | None:
        known = set(inspect(connection).get_table_names())
        if SCHEMAS.name in known:
            query = select(SCHEMAS.c.version).where(SCHEMAS.c.half == self.half)
            found: int | None = connection.execute(query).scalar()
            if found is not None:
                return found
        return 1 if known & set(self.tables.tables) else None

    def _upgrade(self, connection: Connection, found: int | None) -> None:
        METADATA.create_all(connection)
        self.tables.create_all(connection)
        for version in range(self.version if found is None else found, self.version):
            self.steps[version + 1](connection)
        upsert = insert(SCHEMAS)
        upsert = upsert.on_conflict_do_update(index_elements=["half"], set_={"version": upsert.excluded.version})
        connection.execute(upsert, {"half": self.half, "version": self.version})
