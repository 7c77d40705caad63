"""Studies of ClinicalTrials.gov: from files, or from its API, version 2 (https://clinicaltrials.gov/data-api/api)."""

from __future__ import annotations

import json
from datetime import date  # pydantic reads the annotation
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from medical_kg.sources.contract import Query, since_of
from medical_kg.sources.files import FilesOptions, FilesSource
from medical_kg.sources.live import (
    Part,
    Place,
    Service,
    ServicePage,
    address_of,
    count_of,
    page_of,
    parameter,
    read_body,
    shown,
    with_query,
)

if TYPE_CHECKING:
    from medical_kg import Page, StageContext
    from medical_kg.sources.contract import SourceOptions

STUDIES = "https://clinicaltrials.gov/api/v2/studies"
MOST_BYTES = 200 * 1024 * 1024
"""Of a page: a thousand studies with results have some 100 MB."""


class ClinicalTrialsOptions(FilesOptions):
    """Options of ``clinicaltrials``."""

    query: Query = Field(
        default_factory=dict,
        description="parameters of a query, such as query.cond or filter.overallStatus; asked where no input is given",
    )
    updated_since: date | None = Field(
        default=None, description="only studies whose last update was posted on this day or later"
    )


class ClinicalTrialsSource(FilesSource):
    """Studies of ClinicalTrials.gov.

    The input is a folder or file, or the address of a query: ``https://clinicaltrials.gov/api/v2/studies?query.cond=asthma``.
    """

    name: ClassVar[str] = "clinicaltrials"
    reads: ClassVar[tuple[str, ...]] = ("clinicaltrials-json",)
    options_model: ClassVar[type[SourceOptions]] = ClinicalTrialsOptions
    options: ClinicalTrialsOptions

    def pull(self, ctx: StageContext, cursor: str | None, limit: int) -> Page:
        """Give the next page; see ``Source.pull``."""
        address = address_of(ctx, STUDIES, self.options.query)
        if address is None:
            return super().pull(ctx, cursor, limit)
        days = [since.date()] if (since := since_of(ctx)) else []
        days += [self.options.updated_since] if self.options.updated_since else []
        return Studies().pull(ctx, self.name, _updated(address, max(days, default=None)), cursor, limit)


class Studies(Service):
    """The service's pages; its token may be used again, so a killed reading goes on with the page it had begun."""

    format = "clinicaltrials-json"
    most = 1000

    def page(self, ctx: StageContext, address: str, place: Place, size: int) -> ServicePage:
        """Ask for a page; the total is told with the first one."""
        more: dict[str, str | int] = {"pageSize": size, "format": "json", "countTotal": "true"}
        if place.token:
            more["pageToken"] = place.token
        asked = with_query(address, more)
        content = read_body(ctx, asked, MOST_BYTES)
        with page_of(address, "page of studies"):
            told = json.loads(content)
            following, total = told.get("nextPageToken") or "", told.get("totalCount")
            total = None if total is None else count_of(total)
            told["studies"]  # it must be there
        return ServicePage((Part(shown(address), content),), str(following), total)


def _updated(address: str, day: date | None) -> str:
    """Return a query that leaves out what was not updated since a day; its own advanced filter still holds."""
    if day is None:
        return address
    own = parameter(address, "filter.advanced")
    updated = f"AREA[LastUpdatePostDate]RANGE[{day.isoformat()},MAX]"
    return with_query(address, {"filter.advanced": f"({own}) AND {updated}" if own else updated})
