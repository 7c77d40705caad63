"""Web services that answer with real records of theirs: what is read is what the same records in files give."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from loopback import Server, answer
from lxml import etree
from paged_services import Articles, Citations, Deposits, ServiceOf, Works

from medical_kg.formats.contract import Format, RawRecord
from medical_kg.formats.jats import JatsFormat
from medical_kg.formats.openalex import OpenAlexFormat
from medical_kg.formats.pubmed import PubMedFormat
from medical_kg.orchestration.fetching import HttpService
from medical_kg.stages.ingest import IngestStage
from medical_kg.testing import FakeClock
from medical_kg.testing.harness import opened_stage


def read(server: Server, service: str, query: str, **asked: Any) -> dict[str, bytes]:
    """Return the records of all pages of ten, by id; nothing may be rejected."""
    found: dict[str, bytes] = {}
    http, cursor = HttpService([server.host], clock=FakeClock()), None
    given = {"input": query, **asked}
    with opened_stage(IngestStage, {"adapter": service}, input=given, services={"http": http}) as stage:
        while not found or cursor is not None:
            run = stage.pull(cursor, 10)
            assert run.dead_letters == ()
            found |= {payload.id: payload.content for payload in run.output["payloads"]}
            cursor = run.cursor
    http.close()
    return found


def records_of(reader: Format, content: bytes) -> dict[str, bytes]:
    """Return the records of a file, by id."""
    records = list(reader.records(io.BytesIO(content), "file"))
    return {one.id: one.content for one in records if isinstance(one, RawRecord)}


def serve(made: type[ServiceOf], server: Server, records: Sequence[Any]) -> ServiceOf:
    """Put a service with these records on the server."""
    service = made(server, len(records))
    kept: Callable[[int], Any] = lambda number: records[number - 1]  # noqa: E731  # takes a method's place
    service.record = kept  # type: ignore[method-assign]
    return service


def test_pages_of_clinicaltrials(shared_data: Path, server: Server) -> None:
    """Two recorded pages that follow each other, by the token in the first, and one that is all there is."""
    pages = shared_data / "ctgov" / "api-pages"
    first, second, whole = (
        (pages / f"search_phelan_{name}_20260811.json").read_bytes() for name in ("limit5", "next", "limit50")
    )
    token = json.loads(first)["nextPageToken"]

    def respond(request: Any) -> None:
        following = f"pageToken={token}" in request.path
        answer(second if following else first, media_type="application/json")(request)

    server.routes["/studies"] = respond
    server.routes["/whole"] = answer(whole, media_type="application/json")
    told = [
        one["protocolSection"]["identificationModule"]["nctId"]
        for page in (first, second)
        for one in json.loads(page)["studies"]
    ]
    found = read(server, "clinicaltrials", server.url("/studies?query.term=phelan"), limit=10)
    assert [f"nct:{ident}" for ident in told] == list(found)
    assert len(set(told)) == 10
    assert len(read(server, "clinicaltrials", server.url("/whole"))) == 3


def test_works_of_openalex(shared_data: Path, server: Server) -> None:
    """Byte by byte what the file with the same works gives."""
    content = (shared_data / "openalex" / "utrecht-works-25.json").read_bytes()
    told = json.loads(content)
    works = told if isinstance(told, list) else told["results"]
    service = serve(Works, server, works)
    assert read(server, "openalex", service.query) == records_of(OpenAlexFormat(), json.dumps(works).encode())
    assert len(works) == 25


def test_citations_of_pubmed(shared_data: Path, server: Server) -> None:
    """The 32 citations of a file, fetched in parts of a search."""
    content = (shared_data / "pubmed" / "bibtex-32.xml").read_bytes()
    cited = [etree.tostring(one, encoding="unicode", with_tail=False) for one in etree.fromstring(content)]
    service = serve(Citations, server, cited)
    found = read(server, "pubmed", service.query)
    assert list(found) == list(records_of(PubMedFormat(), content))
    assert len(found) == 32


@pytest.mark.parametrize("made", [Articles, Deposits])
def test_articles_of_pmc(shared_data: Path, server: Server, made: type[ServiceOf]) -> None:
    """Whole articles by both roads: in a set from NCBI, each at its own address from Europe PMC."""
    names = ("PMC1790863.nxml", "PMC2329613.nxml", "PMC3289602.xml", "PMC4041896.xml")
    texts = [(shared_data / "jats" / name).read_bytes() for name in names]
    alone = {ident: bytes_ for text in texts for ident, bytes_ in records_of(JatsFormat(), text).items()}
    shown = [etree.tostring(etree.fromstring(text), encoding="unicode") for text in texts]
    service = serve(made, server, shown)
    found = read(server, "pmc", service.query)
    assert list(found) == list(alone)
    assert len(found) == 4
