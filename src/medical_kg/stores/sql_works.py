"""Which records share identifiers, directly or by way of others, as a table of records and their identifiers has it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import select

from medical_kg.orchestration.contract.database import in_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Column, Connection


def related(
    connection: Connection, record: Column[str], identifier: Column[str], records: Iterable[str]
) -> Mapping[str, frozenset[str]]:
    """Return these records and all that are related to them, with their identifiers.

    ``record`` and ``identifier`` are columns of one table; a record that is not in it has no identifiers.
    """
    carried: dict[str, frozenset[str]] = {}
    asked: set[str] = set()
    news = set(records)
    while news:
        found = _pairs(connection, record, identifier, news)
        carried |= {one: frozenset(found.get(one, ())) for one in news}
        identifiers = set().union(*found.values()) - asked
        asked |= identifiers
        bearers = _pairs(connection, identifier, record, identifiers)
        news = {one for records in bearers.values() for one in records} - carried.keys()
    return carried


def _pairs(
    connection: Connection, given: Column[str], asked: Column[str], values: Iterable[str]
) -> dict[str, set[str]]:
    """Return, by values of one column, those of the other."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for group in in_groups(sorted(values)):
        for value, pair in connection.execute(select(given, asked).where(given.in_(group))):
            found[value].add(pair)
    return found
