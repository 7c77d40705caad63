"""What a search of the SQL index is restricted to, as a query for the keys of chunks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import JSON, ColumnElement, cast, func, literal, or_, select

from medical_kg.stores.contract import EVERYTHING
from medical_kg.stores.sql_index_tables import CHUNKS, DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection, Select

    from medical_kg.stores.contract import Filters


def allowed(connection: Connection, filters: Filters) -> Select[tuple[int]] | None:
    """Return a query for the keys of the chunks that are left; None where nothing is filtered."""
    if filters == EVERYTHING:
        return None
    joined = select(CHUNKS.c.key).join(DOCUMENTS)
    return joined.where(*_conditions(connection, filters))


def _conditions(connection: Connection, filters: Filters) -> Iterator[ColumnElement[bool]]:
    if filters.sources:
        yield or_(DOCUMENTS.c.source.in_(filters.sources), DOCUMENTS.c.format.in_(filters.sources))
    if filters.kinds:
        yield DOCUMENTS.c.kind.in_(filters.kinds)
    if filters.since is not None:
        yield DOCUMENTS.c.year >= filters.since
    if filters.until is not None:
        yield DOCUMENTS.c.year <= filters.until
    if filters.roots is not None:
        yield DOCUMENTS.c.root.in_(_listed(connection, filters.roots))


def _listed(connection: Connection, values: Iterable[str]) -> Select[tuple[str]]:
    """Return a query that gives these values: as one JSON text, since a statement takes so many values and no more."""
    given = literal(json.dumps(sorted(values)))
    if connection.dialect.name == "sqlite":
        rows = func.json_each(given).table_valued("value")
    else:
        rows = func.json_array_elements_text(cast(given, JSON)).table_valued("value")
    return select(rows.c.value)
