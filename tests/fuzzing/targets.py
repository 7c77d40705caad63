"""What is fuzzed, each as a function of bytes that raises on a finding; formats and sources are those of the registry."""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import seeds

from medical_kg import InputError, ItemRejected, TransientError
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Payload
from medical_kg.documents.validate import findings
from medical_kg.formats.contract import DOOR as FORMATS
from medical_kg.formats.contract import HEAD_BYTES, BadRecord, Format
from medical_kg.orchestration.fetching import FetchedFile
from medical_kg.orchestration.pipeline import check
from medical_kg.orchestration.pipeline.catalog import shipped_folder
from medical_kg.orchestration.pipeline.policies import load_policies
from medical_kg.orchestration.registry import Installation
from medical_kg.sources.conformance import Feed
from medical_kg.sources.contract import DOOR as SOURCES
from medical_kg.testing.harness import opened_stage

REFUSALS = (InputError, ItemRejected, TransientError)
"""What bad input may be answered with."""
RECORDS = 50
"""Of a file so many records are read; an edited one has no more to tell."""


@dataclass(frozen=True)
class Target:
    """A function to be called with edited ``seeds``; it raises where the rule is broken.

    ``files`` are names that bytes are tried under, one after the other.
    """

    name: str
    call: Callable[[bytes], None]
    seeds: Sequence[bytes] = field(repr=False)


@cache
def installed() -> Installation:
    return Installation()


def targets(*, real: bool) -> Iterator[Target]:
    """Give every target; with ``real`` they begin with files of ../shared/data as well."""
    for name in installed().names(FORMATS):
        yield Target(f"format {name}", partial(read_format, name), seeds.of_format(name, real=real))
    every = [one for name in seeds.OF_FORMAT for one in seeds.of_format(name, real=False)]
    yield Target("a folder of files", read_folder, [*every, *seeds.packed(real=real)])
    for name, answers in ANSWERS.items():
        yield Target(f"answers to {name}", partial(read_answers, name), answers)
    for name in installed().names(SOURCES):
        yield Target(f"cursor of {name}", partial(read_from, name), CURSORS)
    yield Target("pipeline file", check_pipeline, seeds.pipelines())


def read_format(name: str, data: bytes) -> None:
    """A format gives records or refuses; each record gives a document that can be checked and stored, or is refused."""
    chosen: Format = installed().get(FORMATS, name)()
    assert chosen.sniff(data[:HEAD_BYTES], f"a.{name}") in (True, False)
    with suppress(ItemRejected):
        for number, record in enumerate(chosen.records(Slow(data), "a")):
            if number == RECORDS:
                return
            if isinstance(record, BadRecord):
                assert record.place
                assert record.reason
            elif not chosen.native:  # those are parsed in a process of their own, which may die
                parse(chosen, record.id, record.content)


def parse(chosen: Format, ident: str, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    origin = Provenance(source="fuzz", uri="a", record=ident, format=chosen.name, sha256=digest)
    try:
        document = chosen.parse(Payload(id=ident, format=chosen.name, content=content, provenance=origin))
    except ItemRejected:
        return
    wrong = {one.code for one in findings(document) if one.severity == "error"}
    assert not wrong - MAY_BE_FOUND, wrong
    if not wrong:
        assert Document.model_validate_json(document.model_dump_json()) == document


MAY_BE_FOUND = {"empty-document", "unstorable-text", "bad-identifier", "empty-fact"}
"""What the stage ``ir-validation`` is there for; offsets and ids are the format's own work."""


class Slow(io.BytesIO):
    """Gives fewer bytes than asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size, 1000) if size and size > 0 else size)


NAMES = ("a", "a.json", "a.xml", "a.gz", "a.zip", "a.tar.gz", "a.pdf", "a.txt")


def read_folder(data: bytes) -> None:
    """A folder is read to its end, or refused as a whole."""
    folder = Path(tempfile.mkdtemp(prefix="medical-kg-fuzz-"))
    try:
        name = NAMES[len(data) % len(NAMES)]
        (folder / name).write_bytes(data)
        (folder / "good.txt").write_bytes(b"A good text.")
        found = pulled("files", {"max_file_bytes": 10_000_000, "native": True}, {"input": str(folder)})
        assert "file:good.txt" in found
    finally:
        shutil.rmtree(folder)


def pulled(name: str, options: Mapping[str, Any], given: Mapping[str, Any], http: Any = None) -> list[str]:
    """Return the ids of what a source gives; it must come to an end."""
    services = {} if http is None else {"http": http}
    source = installed().get(SOURCES, name)(options)
    found: list[str] = []
    cursor: str | None = None
    with opened_stage(Feed, input=given, services=services) as stage:
        for _ in range(1000):
            page = source.pull(stage.ctx, cursor, RECORDS)
            found += [payload.id for payload in page.output]
            assert all(one.item_id and one.reason for one in page.rejected)
            cursor = page.cursor
            if cursor is None:
                return found
    msg = "the pages do not end"
    raise AssertionError(msg)


class Says:
    """Service ``http`` that answers everything alike, a few times; then the server is gone."""

    def __init__(self, body: bytes) -> None:
        self.body, self.left = body, 20

    def get(self, url: str, *, headers: Any = None, max_bytes: int | None = None, **_: Any) -> FetchedFile:
        self.left -= 1
        if not self.left:
            raise TransientError("the server is gone")
        return FetchedFile(url, io.BytesIO(self.body), max_bytes or 1 << 30)


SERVICES = "https://example.org"
SEARCH = b'{"esearchresult": {"count": "3", "webenv": "MCID_1", "querykey": "1", "retmax": "0", "idlist": []}}'
LITE = b'{"hitCount": 2, "nextCursorMark": "Ab", "resultList": {"result": [{"id": "1", "source": "MED", "pmcid": "PMC1"}]}}'
ANSWERS: Mapping[str, Sequence[bytes]] = {
    "clinicaltrials": seeds.of_format("clinicaltrials-json", real=False),
    "openalex": [b'{"meta": {"count": 2, "next_cursor": "x"}, "results": [{"id": "https://openalex.org/W1"}]}'],
    "pubmed": [SEARCH, seeds.CITATION],
    "pmc": [SEARCH, *seeds.of_format("jats", real=False)],
    "pmc/europepmc": [LITE, seeds.ARTICLE],
}


def read_answers(name: str, data: bytes) -> None:
    """Whatever a service answers, a source comes to an end or refuses."""
    source, _, road = name.partition("/")
    with suppress(*REFUSALS):
        pulled(source, {}, {"input": f"{SERVICES}/{road}/search?term=x"}, Says(data))
    # The first answer is right, what comes after it is not.
    if source in ("pubmed", "pmc"):
        with suppress(*REFUSALS):
            pulled(source, {}, {"input": f"{SERVICES}/{road}/search?term=x"}, Then(LITE if road else SEARCH, data))


class Then(Says):
    """The same, with one answer before it."""

    def __init__(self, first: bytes, body: bytes) -> None:
        super().__init__(body)
        self.first: bytes | None = first

    def get(self, url: str, *, headers: Any = None, max_bytes: int | None = None, **_: Any) -> FetchedFile:
        if self.first is None:
            return super().get(url, headers=headers, max_bytes=max_bytes)
        first, self.first = self.first, None
        return FetchedFile(url, io.BytesIO(first), max_bytes or 1 << 30)


CURSORS = [
    b'["a.txt", 1, 1]',
    b'["t2", 10, 0, 25]',
    b'["", 0, 0, null]',
    b'["[\\"MCID_1\\", \\"1\\", 10, 25]", 10, 0, 25]',
    b'["10", 10, 0, 25]',
]


@cache
def folder() -> Path:
    made = Path(tempfile.mkdtemp(prefix="medical-kg-fuzz-"))
    for name in ("a.txt", "b.txt"):
        (made / name).write_text(f"Words of {name}.")
    return made


def read_from(name: str, data: bytes) -> None:
    """A text is refused, or is what the source itself would give: then it reads on and repeats nothing it was not to."""
    cursor = data.decode(errors="replace")
    for given in (str(folder()), f"{SERVICES}/search?term=x"):
        source = installed().get(SOURCES, name)({})
        with opened_stage(Feed, input={"input": given}, services={"http": Says(b"{}")}) as stage, suppress(*REFUSALS):
            page = source.pull(stage.ctx, cursor, RECORDS)
            assert {payload.id for payload in page.output} <= {"file:a.txt", "file:b.txt"}
            assert cursor.startswith('["')


@cache
def policies() -> Any:
    return load_policies(shipped_folder() / "resilience.yaml").by_name


def check_pipeline(data: bytes) -> None:
    """A pipeline's file is a plan or has problems, each with a place."""
    path = folder() / "fuzzed.yaml"
    path.write_bytes(data)
    result = check(path, installed().stages, installed(), policies())
    assert (result.plan is None) == bool(result.errors)
    assert all(one.line >= 1 and one.column >= 1 and len(str(one)) < 5000 for one in result.problems)
