"""Europe PMC, the second road to the articles of PubMed Central (https://europepmc.org/RestfulWebService).

A search gives ids, and the text of each open-access article is at an address of its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from medical_kg import ItemRejected, TransientError
from medical_kg.sources.live import (
    Part,
    Place,
    Service,
    ServicePage,
    count_of,
    offset_of,
    page_of,
    read_body,
    shown,
    with_query,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medical_kg import StageContext

REST = "https://www.ebi.ac.uk/europepmc/webservices/rest"
FIRST = "*"
"""Europe PMC's word for the first page of a reading by cursor."""
MOST_BYTES = 50 * 1024 * 1024
"""Of a page of ids, or of an article."""


class EuropePmc(Service):
    """The articles that a search finds, or those of ``ids`` (``PMC…``), one request each."""

    format = "jats"
    most = 25

    def __init__(self, ids: Sequence[str] = ()) -> None:
        """Ask for these, or for what the search finds."""
        self._ids = ids

    def page(self, ctx: StageContext, address: str, place: Place, size: int) -> ServicePage:
        """Ask for a page of ids, unless they are given, and for each article."""
        if self._ids:
            start = offset_of(place.token)
            found, behind = self._ids[start : start + size], start + size
            following, total = str(behind) if behind < len(self._ids) else "", len(self._ids)
        else:
            found, following, total = _search(ctx, address, place, size)
        return ServicePage([_article(ctx, address, ident) for ident in found], following, total)


def _search(ctx: StageContext, address: str, place: Place, size: int) -> tuple[list[str], str, int]:
    """Return the ids of a page, the cursor of the next one, and how many there are."""
    asked: dict[str, str | int] = {
        "format": "json",
        "resultType": "lite",
        "pageSize": size,
        "cursorMark": place.token or FIRST,
    }
    content = read_body(ctx, with_query(address, asked), MOST_BYTES)
    with page_of(address, "page of results"):
        told = json.loads(content)
        results, total = told["resultList"]["result"], count_of(told["hitCount"])
        found = [_ident(one) for one in results]
    # The last page may name itself, or an empty one.
    ends = not found or place.given + place.bad + len(found) >= total
    return found, "" if ends else str(told.get("nextCursorMark") or ""), total


def _ident(result: dict[str, Any]) -> str:
    """Return an article's id in PubMed Central, or Europe PMC's own where it has none."""
    return str(result.get("pmcid") or f"{result['source']}/{result['id']}")


def _article(ctx: StageContext, address: str, ident: str) -> Part:
    where = f"{shown(address).removesuffix('/search')}/{ident}/fullTextXML"
    try:
        content = read_body(ctx, where, MOST_BYTES)
    except ItemRejected as error:
        return Part(where, problem=str(error))
    if b"<article" not in content[:20_000]:
        raise TransientError(f"{where}: the answer is no article")
    return Part(where, content)
