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


def bring_up_to_date(engine: Engine, schema: Schema) -> None:
    """Make the tables of a half, or change them to this release's; two processes may do so at once.

    Raises:
        SchemaTooNew: a newer release wrote them.
    """
    with reading(engine) as connection:
        found = version_of(connection, schema)
    if found is not None and found > schema.version:
        raise SchemaTooNew(shown(engine.url), f"{schema.half} {found}", f"{schema.half} {schema.version}")
    if found != schema.version:
        with writing(engine) as connection:
            take_turn(connection, "store tables")
            _upgrade(connection, schema, version_of(connection, schema))


def version_of(connection: Connection, schema: Schema) -> int | None:
    """Return the version of a half's tables in a database; None where it has none."""
    known = set(inspect(connection).get_table_names())
    if SCHEMAS.name in known:
        query = select(SCHEMAS.c.version).where(SCHEMAS.c.half == schema.half)
        found: int | None = connection.execute(query).scalar()
        if found is not None:
            return found
    return 1 if known & set(schema.tables.tables) else None


def _upgrade(connection: Connection, schema: Schema, found: int | None) -> None:
    METADATA.create_all(connection)
    schema.tables.create_all(connection)
    for version in range(schema.version if found is None else found, schema.version):
        schema.steps[version + 1](connection)
    upsert = insert(SCHEMAS)
    upsert = upsert.on_conflict_do_update(index_elements=["half"], set_={"version": upsert.excluded.version})
    connection.execute(upsert, {"half": schema.half, "version": schema.version})
