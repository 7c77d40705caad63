"""``files`` and its kin: records out of folders, page by page."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medical_kg import InputError, Page, StageContext
from medical_kg.formats.clinicaltrials import ClinicalTrialsFormat
from medical_kg.orchestration.contract.errors import PluginBroken, StageTimeout
from medical_kg.sources.clinicaltrials import ClinicalTrialsSource
from medical_kg.sources.files import AutoSource, FilesSource
from medical_kg.sources.openalex import OpenAlexSource
from medical_kg.sources.pmc import PmcSource
from medical_kg.sources.pubmed import PubMedSource

Context = Callable[..., StageContext]


def study(number: int, title: str = "T") -> str:
    names = {"nctId": f"NCT{number:08}", "briefTitle": title}
    return json.dumps({"protocolSection": {"identificationModule": names}})


def nct(*numbers: int) -> list[str]:
    return [f"nct:NCT{number:08}" for number in numbers]


def citation(number: int) -> str:
    return f"<PubmedArticle><MedlineCitation><PMID>{number}</PMID><Article/></MedlineCitation></PubmedArticle>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine good records in four files, two bad ones, and files that are none."""
    top = tmp_path / "input"
    (top / "sub").mkdir(parents=True)
    (top / "a.json").write_text(f"[{study(1)}, {study(2)}, {{}}, {study(3)}]")
    (top / "b.xml.gz").write_bytes(
        gzip.compress(f"<PubmedArticleSet>{citation(1)}{citation(2)}</PubmedArticleSet>".encode())
    )
    (top / "c.bin").write_bytes(b"\x00\x01\x02")
    (top / "sub" / "d.txt").write_text("A note")
    (top / "sub" / "e.jsonl").write_text(f"{study(4)}\n{study(5)}\n{study(6)}\n")
    (top / "README.md").write_text("about")
    (top / ".gitkeep").write_text("")
    return top


EVERYTHING = [*nct(1, 2, 3), "pmid:1", "pmid:2", "file:sub/d.txt", *nct(4, 5, 6)]


def sweep(source: Callable[[], FilesSource], ctx: StageContext, limit: int) -> list[Page]:
    """All pages; ``source`` is asked for each pull, so it may be a new process each time."""
    pages = [source().pull(ctx, None, limit)]
    while pages[-1].cursor is not None:
        pages.append(source().pull(ctx, pages[-1].cursor, limit))
    return pages


def ids(*pages: Page) -> list[str]:
    return [payload.id for page in pages for payload in page.output]


def test_a_folder_gives_its_records(folder: Path, context: Context) -> None:
    """Every record of every file comes once, with where it was found; what cannot be read is rejected."""
    (page,) = sweep(lambda: FilesSource({}), context(folder), 100)
    assert ids(page) == EVERYTHING
    first = page.output[0]
    assert first.format == "clinicaltrials-json"
    assert first.content == study(1).encode()
    assert first.provenance.model_dump() == {
        "source": "files",
        "uri": "a.json",
        "record": "nct:NCT00000001",
        "format": "clinicaltrials-json",
        "sha256": hashlib.sha256(study(1).encode()).hexdigest(),
    }
    assert [(one.item_id, one.reason.split(":")[0]) for one in page.rejected] == [
        ("file:a.json#3", "a.json, /2"),
        ("file:c.bin", "c.bin"),
    ]
    assert (
        "no installed format recognises it (asked: clinicaltrials-json, jats, pubmed-xml, text)"
        in page.rejected[1].reason
    )


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 9, 10])
@pytest.mark.parametrize("fresh", [True, False])
def test_pages_join_to_the_whole(folder: Path, context: Context, limit: int, fresh: bool) -> None:  # noqa: FBT001
    """Whatever the page size, and whether or not the process is the same, the pages join to the whole."""
    kept = FilesSource({})
    pages = sweep(lambda: FilesSource({}) if fresh else kept, context(folder), limit)
    assert ids(*pages) == EVERYTHING
    assert [page.complete for page in pages] == [*(False for _ in pages[1:]), True]
    assert all(1 <= len(page.output) <= limit for page in pages[:-1])
    assert [one.item_id for page in pages for one in page.rejected] == ["file:a.json#3", "file:c.bin"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(limits=st.lists(st.integers(1, 4), min_size=12, max_size=12), most=st.integers(1, 12))
def test_a_limit_counts_over_all_pages(folder: Path, context: Context, limits: list[int], most: int) -> None:
    """The submission's limit is kept over pages and processes."""
    cursor, found = None, []
    for limit in limits:
        page = FilesSource({}).pull(context(folder, limit=most), cursor, limit)
        found += ids(page)
        cursor = page.cursor
        assert not page.complete or found == EVERYTHING
        if cursor is None:
            break
    assert found == EVERYTHING[: min(most, sum(limits), len(EVERYTHING))]


def test_the_same_source_goes_on_without_reading_again(folder: Path, context: Context) -> None:
    """A pull at the cursor just given goes on where the source stands, even when the file is gone by then."""
    source = FilesSource({})
    ctx = context(folder / "sub" / "e.jsonl")
    first = source.pull(ctx, None, 1)
    (folder / "sub" / "e.jsonl").rename(folder / "sub" / "moved")
    (folder / "sub" / "e.jsonl").write_text("{}")
    assert ids(source.pull(ctx, first.cursor, 5)) == nct(5, 6)


def test_submissions_do_not_mix(folder: Path, context: Context) -> None:
    """One source serves several submissions, each from its own place."""
    source = FilesSource({})
    one, two = context(folder, submission="1"), context(folder, submission="2")
    first_one = source.pull(one, None, 2)
    first_two = source.pull(two, None, 4)
    assert ids(source.pull(one, first_one.cursor, 2)) == EVERYTHING[2:4]
    assert ids(source.pull(two, first_two.cursor, 2)) == EVERYTHING[4:6]
    source.close()
    assert ids(source.pull(two, None, 2)) == EVERYTHING[:2]


def test_the_last_record_of_an_id_counts(tmp_path: Path, context: Context, caplog: pytest.LogCaptureFixture) -> None:
    """As in update files, a later record replaces an earlier one of the same page."""
    caplog.set_level("INFO")
    (tmp_path / "a.json").write_text(f"[{study(1, 'old')}, {study(2)}]")
    (tmp_path / "b.json").write_text(study(1, "new"))
    page = FilesSource({}).pull(context(tmp_path), None, 10)
    assert ids(page) == nct(2, 1)
    assert b"new" in page.output[1].content
    assert "1 records were repeated in this batch" in caplog.text


def test_a_record_that_cannot_be_read_takes_no_other_s_place(
    tmp_path: Path, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later one of an id that no document comes of is refused with its reason, and the earlier one is kept."""
    broken = study(1, "new").replace('"protocolSection": {', '"protocolSection": {"conditionsModule": [],')
    (tmp_path / "a.json").write_text(f"[{study(1, 'old')}, {study(2)}, {broken}]")
    page = FilesSource({}).pull(context(tmp_path), None, 10)
    assert ids(page) == nct(1, 2)
    [refused] = page.rejected
    assert (refused.item_id, refused.reason) == (
        "file:a.json#3",
        (
            "a.json: nct:NCT00000001 (a.json): at /protocolSection/conditionsModule: expected an object, found an array; "
            "an earlier record of this id is kept"
        ),
    )
    monkeypatch.setattr(ClinicalTrialsFormat, "parse", lambda *_: 1 / 0)
    assert (
        "nct:NCT00000001: ZeroDivisionError: division"
        in FilesSource({}).pull(context(tmp_path), None, 10).rejected[0].reason
    )
    monkeypatch.undo()
    monkeypatch.setattr(ClinicalTrialsFormat, "native", True)
    assert b"new" in FilesSource({"native": True}).pull(context(tmp_path), None, 10).output[1].content


@pytest.mark.parametrize(
    ("source", "taken", "refused"),
    [
        (
            ClinicalTrialsSource,
            nct(1, 2, 3, 4, 5, 6),
            "it is pubmed-xml; source 'clinicaltrials' reads clinicaltrials-json",
        ),
        (PubMedSource, ["pmid:1", "pmid:2"], "it is text; source 'pubmed' reads pubmed-xml here"),
        (AutoSource, EVERYTHING, "no installed format"),
    ],
)
def test_sources_of_one_kind(
    folder: Path, context: Context, source: type[FilesSource], taken: list[str], refused: str
) -> None:
    """A source of one kind takes its format and rejects files of another, saying which it is."""
    page = source({}).pull(context(folder), None, 100)
    assert ids(page) == taken
    assert any(refused in one.reason for one in page.rejected)
    assert {payload.provenance.source for payload in page.output} == {source.name}


def test_options_choose_files_and_formats(folder: Path, context: Context) -> None:
    """``glob`` leaves other files out in silence; ``formats`` rejects them."""
    assert ids(FilesSource({"glob": "sub/*"}).pull(context(folder), None, 9)) == EVERYTHING[5:]
    page = FilesSource({"formats": ["text"]}).pull(context(folder), None, 9)
    assert ids(page) == ["file:sub/d.txt"]
    assert len(page.rejected) == 4
    page = FilesSource({"max_file_bytes": 100}).pull(context(folder), None, 9)
    assert any("more than 100 bytes" in one.reason for one in page.rejected)


@pytest.mark.parametrize(
    ("source", "options", "reason"),
    [
        (FilesSource, {"formats": ["txt"]}, "source 'files' reads no format 'txt'; did you mean 'text'?"),
        (PmcSource, {"formats": ["text"]}, "source 'pmc' reads no format 'text'; known: jats"),
        (OpenAlexSource, {}, "source 'openalex' reads no format 'openalex-json'; none are known"),
        (FilesSource, {"globs": "*"}, "known options: formats, glob, max_file_bytes"),
    ],
)
def test_wrong_options_are_told(
    folder: Path, context: Context, source: type[FilesSource], options: dict[str, Any], reason: str
) -> None:
    """A format that is not there, or not for this source, is an error before anything is read."""
    with pytest.raises(InputError) as caught:
        source(options).pull(context(folder), None, 1)
    assert reason in str(caught.value)


def test_a_damaged_file_does_not_stop_the_rest(tmp_path: Path, context: Context) -> None:
    """Files that break off keep the records before the break; the files behind them are read."""
    (tmp_path / "a.json").write_text(f"[{study(1)}, {study(2)}, {{")
    (tmp_path / "b.xml").write_text(f"<PubmedArticleSet>{citation(1)}<PubmedArticle>")
    (tmp_path / "c.json.gz").write_bytes(gzip.compress(f"[{study(3)}, {study(4)}]".encode())[:-12])
    (tmp_path / "d.txt").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "e.json").write_bytes(b"")
    (tmp_path / "f.json").write_text(study(5))
    page = FilesSource({}).pull(context(tmp_path), None, 100)
    assert ids(page)[:3] == [*nct(1, 2), "pmid:1"]
    assert ids(page)[-1] == nct(5)[0]
    reasons = {one.item_id: one.reason for one in page.rejected}
    assert list(reasons) == ["file:a.json", "file:b.xml", "file:c.json.gz", "file:d.txt", "file:e.json"]
    assert reasons["file:a.json"].endswith("(after 2 records)")
    assert "not well-formed XML" in reasons["file:b.xml"]
    assert "cut off" in reasons["file:c.json.gz"]
    assert "not UTF-16 text" in reasons["file:d.txt"]
    assert reasons["file:e.json"] == "e.json: the file is empty"


def test_an_unreadable_file_is_rejected(tmp_path: Path, context: Context) -> None:
    """A file this user may not read is rejected with its name."""
    (tmp_path / "a.json").write_text(study(1))
    (tmp_path / "a.json").chmod(0)
    (tmp_path / "b.json").write_text(study(2))
    if os.access(tmp_path / "a.json", os.R_OK):
        pytest.skip("this user may read everything")
    page = FilesSource({}).pull(context(tmp_path), None, 100)
    assert ids(page) == nct(2)
    assert page.rejected[0].reason == "a.json: cannot be opened: Permission denied"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "looked for files of format clinicaltrials-json, jats, pubmed-xml, text, and there are none"),
        ({"README.md": "x", ".x.json": study(1)}, "and there are none (hidden files, links and README files"),
        ({"a": "x", "b": "", "c": " ", "d": "x", "e": "x"}, "b: the file is empty"),
        ({"a": "x", "b": "", "c": " ", "d": "x", "e": "x"}, "… and 2 more"),
        ({"a.json": '{"studies": []}'}, "found no record to read"),
        ({"a.xml": "<PubmedArticleSet/>"}, "found no record to read"),
    ],
)
def test_an_input_without_records_is_an_error(
    tmp_path: Path, context: Context, files: dict[str, str], words: str
) -> None:
    """Nothing to read is said once, with the folder, what was looked for, and what was found instead."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        FilesSource({}).pull(context(tmp_path), None, 10)
    assert str(caught.value).startswith(f"{tmp_path}: found no record to read")
    assert words in str(caught.value)


def test_records_behind_many_bad_files_are_found(tmp_path: Path, context: Context) -> None:
    """The first page goes on until it holds a record, however many files must be rejected before."""
    for number in range(20):
        (tmp_path / f"a{number}").write_text("x")
    (tmp_path / "b.json").write_text(study(1))
    page = FilesSource({}).pull(context(tmp_path), None, 3)
    assert (ids(page), len(page.rejected)) == (nct(1), 20)


@pytest.mark.parametrize(
    ("given_input", "more", "words"),
    [
        ("", {}, "no input was given; name a folder or file with --input"),
        ("gone/away", {}, "input 'gone/away' does not exist (looked from "),
        ("/dev/null", {}, "is neither a folder nor a regular file"),
        (".", {"limit": 0}, "limit must be a whole number from 1, not 0"),
        (".", {"limit": True}, "limit must be a whole number from 1, not True"),
        (".", {"limit": "3"}, "limit must be a whole number from 1, not '3'"),
    ],
)
def test_a_wrong_request_is_told(context: Context, given_input: str, more: dict[str, Any], words: str) -> None:
    """A request that cannot be met is an input error with a way out."""
    with pytest.raises(InputError) as caught:
        FilesSource({}).pull(context(given_input, **more), None, 10)
    assert words in str(caught.value)


@pytest.mark.parametrize("cursor", ["", "x", "[1]", "{}", "7", '["a", "b", "c"]'])
def test_a_foreign_cursor_is_refused(folder: Path, context: Context, cursor: str) -> None:
    """A cursor this source never gave is refused."""
    with pytest.raises(InputError, match="is no cursor of this source"):
        FilesSource({}).pull(context(folder), cursor, 10)


def test_a_broken_format_is_left_out(folder: Path, context: Context, installed: Any, caplog: Any) -> None:
    """One broken plugin harms nobody but who asks for it by name."""
    plugins = installed({**installed().formats, "broken": None})
    page = FilesSource({}).pull(context(folder, plugins=plugins), None, 100)
    assert ids(page) == EVERYTHING
    assert "format broken is left out" in caplog.text
    with pytest.raises(PluginBroken):
        FilesSource({"formats": ["broken"]}).pull(context(folder, plugins=plugins), None, 1)


def test_a_pull_keeps_its_time(folder: Path, context: Context) -> None:
    """A long pull looks at its time."""
    ctx = context(folder)
    ctx.start_call(0.0)
    with pytest.raises(StageTimeout):
        FilesSource({}).pull(ctx, None, 10)


def test_native_formats_are_taken_beside_all_else_where_asked(tmp_path: Path, context: Context) -> None:
    """With ``native`` a PDF is a record like any other; without it the refusal names the way."""
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "b.txt").write_text("Some words.")
    page = FilesSource({"native": True}).pull(context(tmp_path), None, 10)
    assert [payload.format for payload in page.output] == ["pdf", "text"]
    page = FilesSource({}).pull(context(tmp_path), None, 10)
    assert ["native: true" in one.reason for one in page.rejected] == [True]


def test_native_formats_are_taken_only_when_named(tmp_path: Path, context: Context) -> None:
    """A PDF among other files is told for what it is; with the format named, it is given unread."""
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7 broken")
    (tmp_path / "b.txt").write_text("A note")
    page = FilesSource({}).pull(context(tmp_path), None, 9)
    assert [one.id for one in page.output] == ["file:b.txt"]
    (refused,) = page.rejected
    assert refused.reason.startswith("a.pdf: it is a PDF, which is read only")
    (paper,) = FilesSource({"formats": ["pdf"]}).pull(context(tmp_path), None, 9).output
    assert (paper.id, paper.format, paper.content) == ("file:a.pdf", "pdf", b"%PDF-1.7 broken")
