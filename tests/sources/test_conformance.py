"""The conformance suite, held against every built-in source, and against sources that break its rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Server
from paged_services import SERVICES, Articles, Citations, ServiceOf

from medical_kg import InputError, Page
from medical_kg.orchestration.fetching import HttpService
from medical_kg.sources.clinicaltrials import ClinicalTrialsSource
from medical_kg.sources.conformance import SourceCase, SourceConformance
from medical_kg.sources.contract import Source
from medical_kg.sources.files import FilesSource
from medical_kg.sources.openalex import OpenAlexSource
from medical_kg.sources.pmc import PmcSource
from medical_kg.sources.pubmed import PubMedSource
from medical_kg.testing import FakeClock

SOURCES: tuple[type[Source], ...] = (ClinicalTrialsSource, OpenAlexSource, PmcSource, PubMedSource)
OF_NAME = {source.name: source for source in SOURCES}
COUNT = 5


class TestFiles(SourceConformance):
    @pytest.fixture
    def case(self, tmp_path: Path) -> SourceCase:
        full, empty = tmp_path / "full", tmp_path / "empty"
        for folder in (full, empty):
            folder.mkdir()
        for name in ("a.txt", "b.txt", "c.txt"):
            (full / name).write_text(f"Words of {name}.")
        records = [f"file:{name}" for name in ("a.txt", "b.txt", "c.txt")]
        return SourceCase(FilesSource, {"input": str(full)}, records, empty={"input": str(empty)}, incremental=True)


@pytest.fixture
def http(server: Server) -> Iterator[HttpService]:
    """A client that may ask the server."""
    service = HttpService([server.host], clock=FakeClock())
    yield service
    service.close()


class TestServices(SourceConformance):
    @pytest.fixture(params=SERVICES, ids=lambda service: service.__name__)
    def case(self, request: pytest.FixtureRequest, server: Server, http: HttpService) -> SourceCase:
        service: ServiceOf = request.param(server, COUNT)
        return SourceCase(OF_NAME[service.adapter], {"input": service.query}, service.ids(), services={"http": http})


class TestIds(SourceConformance):
    """Records that are asked for by their ids; the address of NCBI stands in the code, so the server stands in for it."""

    @pytest.fixture(params=[(Citations, PubMedSource), (Articles, PmcSource)], ids=["pubmed", "pmc"])
    def case(
        self,
        request: pytest.FixtureRequest,
        server: Server,
        http: HttpService,
        monkeypatch: pytest.MonkeyPatch,
    ) -> SourceCase:
        made, source = request.param
        service: ServiceOf = made(server, COUNT)
        monkeypatch.setattr("medical_kg.sources.entrez.SEARCH", service.query)
        options = {"ids": [str(number) for number in service.numbers]}
        return SourceCase(source, {}, service.ids(), options, services={"http": http})


class Words(Source):
    """Gives words, one place after the other; a subclass breaks a rule."""

    name = "words"

    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        from medical_kg.documents.ir import Provenance
        from medical_kg.documents.records import Payload

        if cursor is not None and not (cursor.isdecimal() and int(cursor) > 0):
            raise InputError(f"{cursor!r} is no cursor of this source")
        first, end = int(cursor or 0), int(ctx.input.get("limit", 3))
        mine = range(first, min(first + limit, end))
        digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of "x"
        made = [Provenance(source="words", uri="u", record=f"w:{n}", format="text", sha256=digest) for n in mine]
        found = [Payload(id=one.record, format="text", content=b"x", provenance=one) for one in made]
        following = None if mine.stop >= end else str(mine.stop)
        return Page(found, following, complete=following is None and end == 3)


class Forgetful(Words):
    """Knows where it stands, and not what it is asked."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.at: str | None = None

    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        page = super().pull(ctx, self.at, limit)
        self.at = page.cursor
        return page


class Boastful(Words):
    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        page = super().pull(ctx, cursor, limit)
        return Page(page.output, page.cursor, complete=True)


class Greedy(Words):
    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        return super().pull(ctx, cursor, limit + 1)


class Lenient(Words):
    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        return super().pull(ctx, cursor if cursor and cursor.isdecimal() and int(cursor) else None, limit)


class Nameless(Words):
    name = "others"


RULES = SourceConformance()
BROKEN = {
    Forgetful: lambda case: RULES.test_every_record_is_given_once(case, 1, restart=True),
    Boastful: RULES.test_the_last_page_says_that_this_is_all,
    Greedy: RULES.test_pages_keep_to_the_limit,
    Lenient: lambda case: RULES.test_what_is_no_cursor_is_refused(case, "x"),
    Nameless: RULES.test_records_say_where_they_come_from,
}


@pytest.mark.parametrize("made", SERVICES, ids=lambda service: service.__name__)
def test_a_service_that_finds_nothing(made: type[ServiceOf], server: Server, http: HttpService) -> None:
    """It is told, unless only what was updated is asked for."""
    service = made(server, 0)
    asked = {"input": service.query}
    case = SourceCase(OF_NAME[service.adapter], asked, [], empty=asked, incremental=True, services={"http": http})
    RULES.test_nothing_to_read_is_told(case)
    RULES.test_nothing_updated_is_no_mistake(case)


def case_of(source: type[Source]) -> SourceCase:
    return SourceCase(source, {"input": "here"}, ["w:0", "w:1", "w:2"])


class TestWords(SourceConformance):
    @pytest.fixture
    def case(self) -> SourceCase:
        return case_of(Words)


@pytest.mark.parametrize("source", BROKEN, ids=lambda source: source.__name__)
def test_a_source_that_breaks_a_rule_fails(source: type[Source]) -> None:
    """The rule is not one that any source passes."""
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        BROKEN[source](case_of(source))


def test_every_built_in_source_is_tried() -> None:
    """None is left out: ``auto`` is ``files`` under another name."""
    import tomllib

    text = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    named = tomllib.loads(text)["project"]["entry-points"]["medical_kg.sources"]
    assert set(named) == {*OF_NAME, "files", "auto"}
