"""Every source of a web service, against a server on the loopback address that also misbehaves."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from loopback import Server, answer
from misbehaving import busy, fails, garbled, mistyped, reset, truncated
from paged_services import SERVICES, Articles, Asked, Citations, Deposits, ServiceOf, Trials, Works

from medical_kg import InputError, TransientError
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.contract.secrets import redacted
from medical_kg.orchestration.fetching import HttpService
from medical_kg.orchestration.resilience import Policy, RateLimit
from medical_kg.stages.ingest import IngestStage
from medical_kg.testing import FakeClock, FakeHttp, StageRun
from medical_kg.testing.harness import opened_stage

Made = Callable[[int], ServiceOf]


@pytest.fixture(params=SERVICES, ids=lambda service: service.__name__)
def made(request: pytest.FixtureRequest, server: Server) -> Made:
    """Makes a service with so many records."""
    return lambda count: request.param(server, count)


def read(service: ServiceOf, limit: int = 10, restart: bool = False, **more: Any) -> list[StageRun]:  # noqa: FBT001, FBT002  # a case
    """All batches of a reading; with ``restart`` each by a stage of its own, as after a kill."""
    asked = {"input": service.query, **more.pop("asked", {})}
    config = {"adapter": service.adapter, "options": more.pop("options", {})}
    clock = FakeClock()
    http = HttpService([service.server.host], clock=clock)
    keywords = {"input": asked, "services": {"http": http}, "clock": clock, **more}
    runs: list[StageRun] = []
    cursor: str | None = None
    while not runs or cursor is not None:
        with opened_stage(IngestStage, config, **keywords) as stage:
            runs.append(stage.pull(cursor, limit))
            while not restart and runs[-1].cursor is not None:
                runs.append(stage.pull(runs[-1].cursor, limit))
        cursor = runs[-1].cursor
    http.close()
    return runs


def ids(runs: list[StageRun]) -> list[str]:
    return [payload.id for run in runs for payload in run.output["payloads"]]


def letters(runs: list[StageRun]) -> list[str]:
    return [letter.message for run in runs for letter in run.dead_letters]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("count", [1, 10, 25])
def test_every_record_is_given_once(made: Made, count: int, restart: bool) -> None:  # noqa: FBT001  # a case
    """Batch by batch, also by a new process for each; the last batch says that this is all."""
    service = made(count)
    runs = read(service, restart=restart)
    assert ids(runs) == service.ids()
    assert letters(runs) == []
    assert [run.complete for run in runs] == [False] * (len(runs) - 1) + [True]
    assert all(len(run.output["payloads"]) <= 10 for run in runs)


def test_a_limit_ends_the_reading(made: Made) -> None:
    """No more is asked for than that, and what was not read is not taken for gone."""
    service = made(25)
    runs = read(service, asked={"limit": 13})
    assert ids(runs) == service.ids()[:13]
    assert not any(run.complete for run in runs)
    assert letters(runs) == []


def test_nothing_found_is_told(made: Made) -> None:
    """As with an empty folder: an empty answer is more likely a mistake in the query."""
    with pytest.raises(InputError, match="finds nothing for this query"):
        read(made(0))


TROUBLE = {
    "busy": busy(after=7),
    "500": fails(500),
    "502 as html": fails(502, b"<html>bad gateway</html>", "text/html"),
    "reset": reset(),
    "truncated": truncated(b'{"studies": [' + b" " * 500),
    "garbled": garbled(b"{}"),
    "a page of html": mistyped(b"<html>log in</html>", "text/html"),
    "100,000 arrays": answer(b"[" * 100_000),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_what_passes_costs_nothing(made: Made, trouble: str) -> None:
    """Each page fails once and is asked for again by the policy: every record is given once."""
    service = made(25)
    service.before = lambda page: TROUBLE[trouble] if page % 2 else None
    if trouble == "garbled":
        pytest.skip("a body that is not encoded as it says does not pass")
    runs = read(service, policy=Policy(max_attempts=3))
    assert ids(runs) == service.ids()
    assert letters(runs) == []


def test_a_token_that_leads_back_is_told(made: Made) -> None:
    """The reading ends with what is missing, and nothing is taken for gone."""
    service = made(25)
    service.behind = lambda offset: min(offset, 10)
    if isinstance(service, Citations):
        pytest.skip("its parts are counted here")
    runs = read(service)
    assert set(ids(runs)) <= set(service.ids())
    assert not any(run.complete for run in runs)
    assert len(letters(runs)) == 1
    assert any(words in letters(runs)[0] for words in ("names itself", "pages repeat", "nothing new"))


def test_an_empty_page_that_leads_on_is_told(server: Server) -> None:
    """It might go on for ever."""
    service = Trials(server, 25)
    service.before = lambda page: answer(b'{"studies": [], "nextPageToken": "t11"}') if page == 2 else None
    runs = read(service)
    assert ids(runs) == service.ids()[:10]
    assert "gives nothing new and names another one (t11)" in letters(runs)[0]
    assert not any(run.complete for run in runs)


def test_more_records_than_there_are_is_told(server: Server) -> None:
    """Then a page has come twice, perhaps in place of another."""
    service = Trials(server, 25)
    service.total = lambda _: 12
    runs = read(service)
    assert ids(runs) == service.ids()[:20]
    assert "gives more records (20) than it says there are (12): pages repeat" in letters(runs)[0]
    assert not any(run.complete for run in runs)


def test_a_page_that_is_skipped_is_told(made: Made) -> None:
    """By how many records are missing."""
    service = made(25)
    service.behind = lambda offset: offset + 5 if offset == 10 else offset
    if isinstance(service, Citations):
        pytest.skip("its parts are counted here")
    runs = read(service)
    assert set(service.ids()) - set(ids(runs)) == set(service.ids()[10:15])
    assert letters(runs) == [
        "the service says there are 25 records and gave 20: 5 are missing. Run it again: what is unchanged is skipped"
    ]
    assert not any(run.complete for run in runs)


def test_a_total_that_changes_is_no_loss(server: Server) -> None:
    """The last total that was told counts."""
    service = Works(server, 25)
    service.total = lambda page: min(22 + page, 25)
    runs = read(service)
    assert ids(runs) == service.ids()
    assert (letters(runs), runs[-1].complete) == ([], True)


@pytest.mark.parametrize("told", ["many", -1, 2.5, True, "-3", "\u00b2", [25]])
def test_a_total_that_is_no_number_is_no_page(made: Made, told: object) -> None:
    """It may pass, as any other answer that is none."""
    service = made(5)
    service.total = lambda _: told
    with pytest.raises(TransientError, match=r"the answer is no (page of (studies|works|results)|result of a search)"):
        read(service)


def test_a_query_that_is_refused_fails_the_stage(made: Made) -> None:
    """With the service's answer, and nothing was read."""
    service = made(5)
    service.before = lambda _: fails(400, b"no such field")
    with pytest.raises(InputError, match="HTTP 400"):
        read(service)


def test_options_ask_where_no_input_is_given(server: Server) -> None:
    """A query in the pipeline is asked; an input given with the run counts instead."""
    config = {
        "adapter": "clinicaltrials",
        "options": {"query": {"query.cond": "asthma"}, "updated_since": "2026-01-31"},
    }
    address = "https://clinicaltrials.gov/api/v2/studies"
    http = FakeHttp(allow_hosts=["clinicaltrials.gov"])
    with opened_stage(IngestStage, config, services={"http": http}) as stage, pytest.raises(InputError, match="404"):
        stage.pull(None, 5)
    updated = "AREA%5BLastUpdatePostDate%5DRANGE%5B2026-01-31%2CMAX%5D"
    query = f"query.cond=asthma&filter.advanced={updated}&pageSize=5&format=json&countTotal=true"
    assert http.urls == [f"{address}?{query}"]


def test_too_many_citations_are_refused(server: Server) -> None:
    """NCBI gives no more than 9,999 of a search, so a larger one is not begun."""
    service = Citations(server, 3)
    service.total = lambda _: 10_000
    with pytest.raises(InputError, match="narrow it"):
        read(service)
    assert service.pages == 0


def test_what_is_wrong_at_ncbi_may_pass(server: Server) -> None:
    """It answers with success, and an error in the words of its search."""
    service = Citations(server, 3)
    server.routes[service.path] = answer(b'{"esearchresult": {"ERROR": "Search Backend failed"}}')
    with pytest.raises(TransientError, match=r"esearch\.fcgi: Search Backend failed"):
        read(service)


def test_a_place_that_is_no_number_is_refused() -> None:
    """Where records are asked for by ids, a place is how many were read."""
    config = {"adapter": "pubmed", "options": {"ids": ["1", "2"]}}
    with (
        opened_stage(IngestStage, config, services={"http": FakeHttp()}) as stage,
        pytest.raises(InputError, match="'x' is no place in a list of records"),
    ):
        stage.pull('["x", 1, 0, 2]', 5)


def test_a_key_is_sent_and_stands_nowhere(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key goes to NCBI with each request; no record, cursor or message has it."""
    monkeypatch.setenv("NCBI_KEY", "s3cret")
    service = Citations(server, 25)
    runs = read(service, options={"api_key": {"env": "NCBI_KEY"}, "contact": "me@example.org"})
    assert all("api_key=s3cret" in path and "email=me%40example.org" in path for path, _ in server.seen)
    told = [payload.model_dump_json() for run in runs for payload in run.output["payloads"]]
    assert not [one for one in [*told, *(str(run.cursor) for run in runs)] if "s3cret" in one]
    assert redacted("the key is s3cret") == "the key is ***"


@pytest.mark.parametrize(("made", "key", "pace"), [(Citations, "", 3), (Citations, "s3cret", 10), (Works, "", 10)])
@pytest.mark.parametrize("policy", [Policy(), Policy(rate_limit=RateLimit(rate_limit_per_second=100))])
def test_services_are_asked_no_more_often_than_they_allow(
    policy: Policy, made: type[ServiceOf], key: str, pace: int, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NCBI three times a second, ten with a key, OpenAlex ten; whatever the policy allows."""
    monkeypatch.setenv("A_KEY", key)
    clock = FakeClock()
    read(made(server, 25), options={"api_key": {"env": "A_KEY"}} if key else {}, clock=clock, policy=policy)
    assert len(server.seen) > 2
    assert clock.slept == pytest.approx([1 / pace] * (len(server.seen) - 1))


@pytest.mark.parametrize("adapter", ["pubmed", "openalex"])
def test_a_key_that_is_not_there_is_told(adapter: str, server: Server) -> None:
    """Rather than ask without it."""
    service = Citations(server, 1) if adapter == "pubmed" else Works(server, 1)
    with pytest.raises(UsageError, match="the environment variable NO_SUCH_KEY, which is not set"):
        read(service, options={"api_key": {"env": "NO_SUCH_KEY"}})


def test_an_address_is_no_folder() -> None:
    """A source of files says so."""
    given = {"input": "https://example.org/x"}
    with (
        opened_stage(IngestStage, {"adapter": "files"}, input=given) as stage,
        pytest.raises(InputError, match="is an address, and this source reads files"),
    ):
        stage.pull(None, 5)


LATER = "2026-11-20T04:00:00+00:00"


@pytest.mark.parametrize(
    ("adapter", "address", "sent"),
    [
        (
            "clinicaltrials",
            "https://clinicaltrials.gov/api/v2/studies?filter.advanced=AREA[Phase]1",
            {"filter.advanced": "(AREA[Phase]1) AND AREA[LastUpdatePostDate]RANGE[2026-11-20,MAX]"},
        ),
        (
            "openalex",
            "https://api.openalex.org/works?filter=type:article",
            {"filter": "type:article,from_updated_date:2026-11-20"},
        ),
        (
            "pubmed",
            "https://eutils.ncbi.nlm.nih.gov/esearch.fcgi?term=a+OR+b",
            {"term": "(a OR b) AND 2026/11/20:3000/12/31[mdat]"},
        ),
        (
            "pmc",
            "https://eutils.ncbi.nlm.nih.gov/esearch.fcgi?term=a+OR+b",
            {"term": "(a OR b) AND 2026/11/20:3000/12/31[pmcrdat]"},
        ),
        (
            "pmc",
            "https://www.ebi.ac.uk/europepmc/webservices/rest/search?query=a+OR+b",
            {"query": "(a OR b) AND OPEN_ACCESS:y AND UPDATE_DATE:[2026-11-20 TO 3000-12-31]"},
        ),
    ],
)
def test_only_what_was_updated_is_asked_for(adapter: str, address: str, sent: Asked) -> None:
    """In each service's own words, beside the query as it is."""
    http = FakeHttp(allow_hosts=[urlsplit(address).hostname or ""])
    given = {"input": address, "updated_since": LATER}
    with (
        opened_stage(IngestStage, {"adapter": adapter}, input=given, services={"http": http}) as stage,
        pytest.raises(InputError, match="404"),
    ):
        stage.pull(None, 5)
    (url,) = http.urls
    asked = dict(parse_qsl(urlsplit(url).query))
    assert {name: asked[name] for name in sent} == sent


def test_files_are_asked_for_by_when_they_were_written(tmp_path: Path) -> None:
    """Or came to their place, whichever is later: an old file that is copied here is new."""
    for name in ("old.txt", "new.txt"):
        (tmp_path / name).write_text(name)
    os.utime(tmp_path / "old.txt", (1, 1))
    hour = datetime.now(UTC) - timedelta(hours=1)
    for since, found in ((hour, 2), (hour + timedelta(days=1), 0)):
        asked = {"input": str(tmp_path), "updated_since": since.isoformat()}
        with opened_stage(IngestStage, {"adapter": "files"}, input=asked) as stage:
            run = stage.pull(None, 5)
        assert (len(run.output["payloads"]), run.complete) == (found, True)


@pytest.mark.parametrize(("made", "adapter"), [(Citations, "pubmed"), (Articles, "pmc")])
def test_ids_that_a_database_does_not_have_are_named(
    made: type[ServiceOf], adapter: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One dead letter for each; the others are read."""
    service = made(server, 3)
    monkeypatch.setattr("medical_kg.sources.entrez.SEARCH", service.query)
    wanted = ["3", "77", "1", "3"]
    runs = read(service, asked={"input": ""}, options={"ids": wanted})
    assert ids(runs) == [service.ids()[2], service.ids()[0]]
    prefix = service.ids()[0][:-1]
    assert letters(runs) == [f"{adapter} gives no record {prefix}77"]
    assert (service.asked[0]["id"], runs[-1].complete) == ("3,77,1", True)


def test_ids_of_another_form_are_refused() -> None:
    """``PMC`` before a number is one of PubMed Central only."""
    with (
        opened_stage(IngestStage, {"adapter": "pmc", "options": {"ids": ["PMC7"]}}) as stage,
        pytest.raises(InputError, match="is not allowed"),
    ):
        stage.pull(None, 5)
    with (
        pytest.raises(InputError, match=r"ids\.0: "),
        opened_stage(IngestStage, {"adapter": "pubmed", "options": {"ids": ["PMC7"]}}),
    ):
        pass


def test_europe_pmc_is_asked_by_ids(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each article at its own address, without a search; what is not there is a dead letter of its own."""
    service = Deposits(server, 3)
    monkeypatch.setattr("medical_kg.sources.pmc.REST", service.query.removesuffix("/search"))
    options = {"service": "europepmc", "ids": ["PMC2", "9", "3"]}
    runs = read(service, asked={"input": ""}, options=options)
    assert ids(runs) == ["pmcid:PMC2", "pmcid:PMC3"]
    assert (len(letters(runs)), service.pages) == (1, 0)
    assert "PMC9/fullTextXML: HTTP 404" in letters(runs)[0]


def test_an_article_that_is_no_article_is_asked_for_again(server: Server) -> None:
    """As a page would be; one that Europe PMC does not have costs itself alone."""
    service = Deposits(server, 3)
    text = service.server.routes["/europepmc/rest/PMC2/fullTextXML"]
    service.server.routes["/europepmc/rest/PMC2/fullTextXML"] = [answer(b"<html>wait</html>"), text]  # type: ignore[list-item]  # as it came
    service.server.routes["/europepmc/rest/PMC3/fullTextXML"] = fails(404)
    runs = read(service, policy=Policy(max_attempts=2))
    assert ids(runs) == ["pmcid:PMC1", "pmcid:PMC2"]
    assert len(letters(runs)) == 1
    assert runs[-1].complete


def test_bad_records_of_different_pages_are_told_apart(server: Server) -> None:
    """By their number in the reading: none takes another's place."""
    service = Trials(server, 15)
    made = service.record
    service.record = lambda number: {} if number in (2, 12) else made(number)  # type: ignore[method-assign]
    runs = read(service)
    letters = [letter.item_id.rpartition("#")[2] for run in runs for letter in run.dead_letters]
    assert letters == ["2", "12"]
    assert len(ids(runs)) == 13


def test_a_page_of_bad_records_only_is_read_past(server: Server) -> None:
    """A batch has something in it, and each of them is a dead letter."""
    service = Trials(server, 15)
    made = service.record
    service.record = lambda number: {} if number <= 10 else made(number)  # type: ignore[method-assign]
    (run,) = read(service)
    assert ids([run]) == service.ids()[10:]
    assert (len(letters([run])), run.complete) == (10, True)


def test_a_key_of_openalex_is_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """With each request, and with the mail address."""
    monkeypatch.setenv("OPENALEX_KEY", "s3cret")
    service = Works(server, 12)
    read(service, options={"api_key": {"env": "OPENALEX_KEY"}, "contact": "me@example.org"})
    assert {(asked["api_key"], asked["mailto"]) for asked in service.asked} == {("s3cret", "me@example.org")}


@pytest.mark.parametrize("adapter", ["pubmed", "openalex"])
def test_a_refusal_tells_no_key(adapter: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that was asked has the key; the message has neither it nor the mail address."""
    monkeypatch.setenv("A_KEY", "s3cret")
    service = Citations(server, 1) if adapter == "pubmed" else Works(server, 1)
    service.before = lambda _: fails(400, b"no such field")
    options = {"api_key": {"env": "A_KEY"}, "contact": "me@example.org"}
    with pytest.raises(InputError, match="HTTP 400") as caught:
        read(service, options=options)
    assert any("api_key=s3cret" in path for path, _ in server.seen)
    told = "".join(traceback.format_exception(caught.value))
    assert [word for word in ("api_key=s3", "me@example", "me%40example") if word in told] == []
