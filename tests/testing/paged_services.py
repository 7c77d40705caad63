"""Web services of records on the loopback server, as the real ones answer; each can be made to misbehave."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from loopback import Handler, Server, answer

Asked = dict[str, str]


class ServiceOf:
    """A service with records of these numbers; ``pages`` counts the pages of records it was asked for.

    ``before`` is called with the number of the page (from 1) before each; what it returns is answered instead.
    ``total`` is the total it tells, by page; ``behind`` where the page after an offset begins. ``asked`` are the parameters of
    each page it was asked for, ``record`` makes the record of a number.
    """

    adapter: str
    path: str

    def __init__(self, server: Server, count: int) -> None:
        self.asked: list[Asked] = []
        self.numbers = list(range(1, count + 1))
        self.pages = 0
        self.before: Callable[[int], Handler | None] = lambda _: None
        self.total: Callable[[int], Any] = lambda _: len(self.numbers)
        self.behind: Callable[[int], int] = lambda offset: offset
        self.server = server
        self.serve()

    @property
    def query(self) -> str:
        """The address of a query."""
        return self.server.url(self.path)

    def serve(self) -> None:
        """Put its addresses on the server."""
        self.server.routes[self.path] = self._respond

    def _respond(self, request: BaseHTTPRequestHandler) -> None:
        asked = {name: values[-1] for name, values in parse_qs(urlsplit(request.path).query).items()}
        self.pages += 1
        self.asked.append(asked)
        instead = self.before(self.pages)
        (instead or answer(self.page(asked), media_type="application/json"))(request)

    def record(self, number: int) -> Any:
        """Return the record of a number, as it stands in a page."""
        raise NotImplementedError

    def page(self, asked: Asked) -> bytes:
        """Return the body of a page."""
        raise NotImplementedError

    def ids(self) -> list[str]:
        """Return the ids of all its records."""
        raise NotImplementedError

    def part(self, offset: int, size: int) -> tuple[list[int], int | None]:
        """Return the numbers of a page, and where the next one begins."""
        behind = self.behind(offset + size)
        return self.numbers[offset : offset + size], behind if behind < len(self.numbers) else None


class Trials(ServiceOf):
    """As ClinicalTrials.gov: tokens, and a total with the first page."""

    adapter, path = "clinicaltrials", "/api/v2/studies"

    def record(self, number: int) -> Any:
        names = {"nctId": f"NCT{number:08}", "briefTitle": "T"}
        return {"protocolSection": {"identificationModule": names}}

    def page(self, asked: Asked) -> bytes:
        offset = int(asked.get("pageToken", "t0")[1:])
        numbers, behind = self.part(offset, int(asked["pageSize"]))
        told: dict[str, object] = {"studies": [self.record(number) for number in numbers]}
        told |= {"nextPageToken": f"t{behind}"} if behind is not None else {}
        told |= {"totalCount": self.total(self.pages)} if offset == 0 else {}
        return json.dumps(told).encode()

    def ids(self) -> list[str]:
        return [f"nct:NCT{number:08}" for number in self.numbers]


class Works(ServiceOf):
    """As OpenAlex: cursors, a total on every page, and an empty page at the end."""

    adapter, path = "openalex", "/works"

    def record(self, number: int) -> Any:
        return {"id": f"https://openalex.org/W{number}", "title": "T"}

    def page(self, asked: Asked) -> bytes:
        offset = 0 if asked["cursor"] == "*" else int(asked["cursor"][1:])
        size = int(asked["per-page"])
        works = [self.record(one) for one in self.numbers[offset : offset + size]]
        following = f"c{self.behind(offset + size)}" if works else None
        meta = {"count": self.total(self.pages), "next_cursor": following}
        return json.dumps({"meta": meta, "results": works}).encode()

    def ids(self) -> list[str]:
        return [f"openalex:W{number}" for number in self.numbers]


TITLE = "<Article><ArticleTitle>Fever in children</ArticleTitle></Article>"


class Citations(ServiceOf):
    """As PubMed: a search that is kept, fetched in parts."""

    adapter, path = "pubmed", "/esearch.fcgi"
    root = "PubmedArticleSet"

    def serve(self) -> None:
        self.server.routes[self.path] = self._search
        self.server.routes["/efetch.fcgi"] = self._respond

    def _search(self, request: BaseHTTPRequestHandler) -> None:
        kept = {"count": str(self.total(1)), "webenv": "MCID_1", "querykey": "1"}
        answer(json.dumps({"esearchresult": kept}).encode())(request)

    def record(self, number: int) -> Any:
        return f"<PubmedArticle><MedlineCitation><PMID>{number}</PMID>{TITLE}</MedlineCitation></PubmedArticle>"

    def page(self, asked: Asked) -> bytes:
        return f"<{self.root}>{''.join(map(self.record, self.fetched(asked)))}</{self.root}>".encode()

    def fetched(self, asked: Asked) -> list[int]:
        """Return the numbers that are asked for: a part of the search, or by ids."""
        if "id" in asked:
            return [one for one in map(int, asked["id"].split(",")) if one in self.numbers]
        assert (asked["WebEnv"], asked["query_key"]) == ("MCID_1", "1")
        start = int(asked["retstart"])
        return self.numbers[start : start + int(asked["retmax"])]

    def ids(self) -> list[str]:
        return [f"pmid:{number}" for number in self.numbers]


class Articles(Citations):
    """As PubMed Central: the same, with whole articles."""

    adapter, root = "pmc", "pmc-articleset"

    def record(self, number: int) -> Any:
        return article(number)

    def ids(self) -> list[str]:
        return [f"pmcid:PMC{number}" for number in self.numbers]


def article(number: int) -> str:
    """Return a small article of PMC."""
    ident = f"<article-id pub-id-type='pmcid'>PMC{number}</article-id>"
    return f"<article><front><article-meta>{ident}</article-meta></front></article>"


class Deposits(ServiceOf):
    """As Europe PMC: cursors, a total on every page, and each article at an address of its own."""

    adapter, path = "pmc", "/europepmc/rest/search"

    def serve(self) -> None:
        super().serve()
        for number in self.numbers:
            self.server.routes[f"/europepmc/rest/PMC{number}/fullTextXML"] = partial(self._text, number)

    def _text(self, number: int, request: BaseHTTPRequestHandler) -> None:
        answer(self.record(number).encode(), media_type="text/xml")(request)

    def record(self, number: int) -> Any:
        return f"<!DOCTYPE article>{article(number)}"

    def page(self, asked: Asked) -> bytes:
        offset = 0 if asked["cursorMark"] == "*" else int(asked["cursorMark"][1:])
        size = int(asked["pageSize"])
        found = [{"id": "1", "source": "MED", "pmcid": f"PMC{one}"} for one in self.numbers[offset : offset + size]]
        told = {"hitCount": self.total(self.pages), "nextCursorMark": f"c{self.behind(offset + size)}"}
        return json.dumps({**told, "resultList": {"result": found}}).encode()

    def ids(self) -> list[str]:
        return [f"pmcid:PMC{number}" for number in self.numbers]


SERVICES: tuple[type[ServiceOf], ...] = (Trials, Works, Citations, Articles, Deposits)
