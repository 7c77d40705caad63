"""Works of OpenAlex: from files, or from its API (https://docs.openalex.org/how-to-use-the-api/get-lists-of-entities)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from medical_kg import Secret
from medical_kg.sources.contract import Query, since_of
from medical_kg.sources.files import FilesOptions, FilesSource
from medical_kg.sources.live import (
    Part,
    Place,
    Service,
    ServicePage,
    address_of,
    count_of,
    key_in,
    page_of,
    parameter,
    read_body,
    shown,
    with_query,
)

if TYPE_CHECKING:
    from medical_kg import Page, StageContext
    from medical_kg.sources.contract import SourceOptions

WORKS = "https://api.openalex.org/works"
PER_SECOND = 10.0
"""OpenAlex' limit (https://docs.openalex.org/how-to-use-the-api/rate-limits-and-authentication)."""
MOST_BYTES = 50 * 1024 * 1024
"""Of a page; 200 works have some 5 MB."""
FIRST = "*"
"""OpenAlex' word for the first page of a reading by cursor."""


class OpenAlexOptions(FilesOptions):
    """Options of ``openalex``."""

    query: Query = Field(
        default_factory=dict,
        description="parameters of a query, such as filter or search; asked where no input is given",
    )
    contact: str = Field(default="", description="a mail address, which OpenAlex answers more reliably")
    api_key: Secret | None = Field(
        default=None, description="where a key of OpenAlex' stands, which its filters by date of update need"
    )


class OpenAlexSource(FilesSource):
    """Works of OpenAlex.

    The input is a folder or file, or the address of a query: ``https://api.openalex.org/works?filter=doi:10.1371/…``.
    """

    name: ClassVar[str] = "openalex"
    reads: ClassVar[tuple[str, ...]] = ("openalex-json",)
    options_model: ClassVar[type[SourceOptions]] = OpenAlexOptions
    options: OpenAlexOptions

    def pull(self, ctx: StageContext, cursor: str | None, limit: int) -> Page:
        """Give the next page; see ``Source.pull``."""
        address = address_of(ctx, WORKS, self.options.query)
        if address is None:
            return super().pull(ctx, cursor, limit)
        who = {"mailto": self.options.contact, "api_key": key_in(self.options.api_key)}
        address = with_query(address, {name: value for name, value in who.items() if value})
        if since := since_of(ctx):
            wanted = (parameter(address, "filter"), f"from_updated_date:{since.date().isoformat()}")
            address = with_query(address, {"filter": ",".join(filter(None, wanted))})
        return Works().pull(ctx, self.name, address, cursor, limit)


class Works(Service):
    """The service's pages, by its cursor, which does not shift when works are added meanwhile."""

    format = "openalex-json"
    most = 200

    def page(self, ctx: StageContext, address: str, place: Place, size: int) -> ServicePage:
        """Ask for a page; every page tells the total."""
        asked = with_query(address, {"per-page": size, "cursor": place.token or FIRST})
        content = read_body(ctx, asked, MOST_BYTES, PER_SECOND)
        with page_of(address, "page of works"):
            told = json.loads(content)
            following, total, works = told["meta"].get("next_cursor"), told["meta"].get("count"), len(told["results"])
            total = None if total is None else count_of(total)
        # The last page names another one, which is empty.
        ends = not works or (total is not None and place.given + place.bad + works >= total)
        return ServicePage((Part(shown(address), content),), "" if ends else str(following or ""), total)
