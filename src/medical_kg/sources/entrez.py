"""NCBI's E-utilities: records of one of its databases, by a search or by ids.

A search is asked once and kept by NCBI (its history server); its records are then fetched in parts
(https://www.ncbi.nlm.nih.gov/books/NBK25499/). NCBI allows three requests a second, ten with a key
(https://www.ncbi.nlm.nih.gov/books/NBK25497/), which is kept to whatever the policy of the stage allows.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

from pydantic import Field, StringConstraints

from medical_kg import ItemRejected, Secret, TransientError
from medical_kg.sources.contract import Count, Query, cursor_of, place_of, since_of
from medical_kg.sources.files import FilesOptions, FilesSource
from medical_kg.sources.live import (
    Part,
    Place,
    Service,
    ServicePage,
    address_of,
    count_of,
    key_in,
    offset_of,
    page_of,
    parameter,
    read_body,
    shown,
    with_query,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medical_kg import Page, StageContext
    from medical_kg.sources.contract import SourceOptions

SEARCH = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/esearch.fcgi"
PER_SECOND, PER_SECOND_WITH_KEY = 3.0, 10.0
MOST_RECORDS = 9_999
"""NCBI gives no more of one search."""
MOST_BYTES = 100 * 1024 * 1024
"""Of a part; 500 citations have some 10 MB, 50 articles some 15."""

Number = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*$")]


class EntrezOptions(FilesOptions):
    """Options of the sources that may ask NCBI."""

    query: Query = Field(
        default_factory=dict,
        description="parameters of a search, such as term, mindate or reldate; asked where no input is given",
    )
    ids: tuple[Number, ...] = Field(default=(), description="records by NCBI's numbers, in place of a search")
    contact: str = Field(default="", description="a mail address, which NCBI writes to before it shuts a client out")
    api_key: Secret | None = Field(default=None, description="where a key of NCBI's stands; without it none is sent")


class Database(NamedTuple):
    """One of NCBI's databases.

    Attributes:
        name: what NCBI calls it.
        format: the format that reads its records.
        root: the element that a set of them is.
        prefix: what stands before a record's number in its id here.
        updated: the field of a search that says when a record was updated.
        most: how many are fetched at once.
    """

    name: str
    format: str
    root: str
    prefix: str
    updated: str
    most: int


class EntrezSource(FilesSource):
    """Records of one database of NCBI, from files, by a search or by ids."""

    database: ClassVar[Database]
    options_model: ClassVar[type[SourceOptions]] = EntrezOptions
    options: EntrezOptions

    def pull(self, ctx: StageContext, cursor: str | None, limit: int) -> Page:
        """Give the next page; see ``Source.pull``."""
        address = address_of(ctx, SEARCH, self.options.query, self.options.ids)
        if address is None:
            return super().pull(ctx, cursor, limit)
        who = {"tool": "medical-kg", "email": self.options.contact, "api_key": key_in(self.options.api_key)}
        address = with_query(address, {name: value for name, value in who.items() if value})
        if self.options.ids and not ctx.input.get("input"):
            return Listed(self.database, self.numbers()).pull(ctx, self.name, address, cursor, limit)
        return Searched(self.database).pull(ctx, self.name, self._since(ctx, address), cursor, limit)

    def numbers(self) -> tuple[str, ...]:
        """Return the numbers of the records that are asked for by ids, each once."""
        return tuple(dict.fromkeys(ident.removeprefix("PMC") for ident in self.options.ids))

    def _since(self, ctx: StageContext, address: str) -> str:
        """Return a search that leaves out what was not updated since; its own term still holds."""
        since = since_of(ctx)
        if since is None:
            return address
        updated = f"{since:%Y/%m/%d}:3000/12/31[{self.database.updated}]"
        return with_query(address, {"term": f"({parameter(address, 'term')}) AND {updated}"})


class Kept(NamedTuple):
    """A search that NCBI keeps: its names for it, how many of its records were fetched, and how many there are."""

    environment: str
    key: str
    start: Count
    total: Count


class Searched(Service):
    """The parts of a search that NCBI keeps; the token holds its names for the search, and how many were fetched."""

    def __init__(self, database: Database) -> None:
        """Search in this database."""
        self._database, self.format, self.most = database, database.format, database.most

    def page(self, ctx: StageContext, address: str, place: Place, size: int) -> ServicePage:
        """Search, if that was not done, and fetch a part."""
        kept = place_of(Kept, place.token) if place.token else self._search(ctx, address)
        if not kept.total:
            return ServicePage((), "", 0)
        asked: dict[str, str | int] = {
            "WebEnv": kept.environment,
            "query_key": kept.key,
            "retstart": kept.start,
            "retmax": size,
        }
        behind = kept._replace(start=kept.start + size)
        following = cursor_of(behind) if behind.start < kept.total else ""
        return ServicePage((_fetched(ctx, self._database, address, asked),), following, kept.total)

    def _search(self, ctx: StageContext, address: str) -> Kept:
        more: dict[str, str | int] = {"db": self._database.name, "usehistory": "y", "retmode": "json", "retmax": 0}
        content = _read(ctx, with_query(address, more))
        with page_of(address, "result of a search"):
            found = json.loads(content)["esearchresult"]
            if "ERROR" in found:
                raise TransientError(f"{shown(address)}: {found['ERROR']}")
            total = count_of(found["count"])
            kept = Kept(str(found["webenv"]), str(found["querykey"]), 0, total) if total else Kept("", "", 0, 0)
        if total > MOST_RECORDS:
            raise ItemRejected(
                f"{shown(address)}: the search finds {total:,} records, and NCBI gives no more than {MOST_RECORDS:,} of one; "
                "narrow it, for instance by mindate and maxdate, or read files of whole collections"
            )
        return kept


class Listed(Service):
    """The records of a list of numbers; the token is how many of them were fetched."""

    def __init__(self, database: Database, numbers: Sequence[str]) -> None:
        """Ask this database for these."""
        self._database, self._numbers, self.format, self.most = database, numbers, database.format, database.most

    def page(self, ctx: StageContext, address: str, place: Place, size: int) -> ServicePage:
        """Fetch the next ones."""
        start = offset_of(place.token)
        numbers, behind, total = self._numbers[start : start + size], start + size, len(self._numbers)
        part = _fetched(ctx, self._database, address, {"id": ",".join(numbers)})
        asked = [f"{self._database.prefix}{number}" for number in numbers]
        return ServicePage((part,), str(behind) if behind < total else "", total, asked)


def _fetched(ctx: StageContext, database: Database, address: str, which: dict[str, str | int]) -> Part:
    """Fetch records; the search's own parameters do not go along."""
    who = {name: value for name in ("tool", "email", "api_key") if (value := parameter(address, name))}
    fetch = shown(address).replace("esearch.fcgi", "efetch.fcgi")
    content = _read(ctx, with_query(fetch, {"db": database.name, **which, "retmode": "xml", **who}))
    if f"<{database.root}".encode() not in content[:2000]:
        raise TransientError(f"{fetch}: the answer is no {database.root}")
    return Part(shown(address), content)


def _read(ctx: StageContext, address: str) -> bytes:
    return read_body(ctx, address, MOST_BYTES, PER_SECOND_WITH_KEY if parameter(address, "api_key") else PER_SECOND)
