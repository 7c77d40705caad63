"""``submissions report``: one page that needs nothing else, and in which texts stay texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import Result

from medical_kg.cli import page as page_folder
from medical_kg.cli.page.documents import Listing, addresses
from medical_kg.cli.page.flow import Edge, columns, cut, picture
from medical_kg.cli.page.markup import link, table, tag, text
from medical_kg.cli.page.submission import _letters
from medical_kg.documents.ir import Document, Provenance
from medical_kg.orchestration.api import StageTotals
from medical_kg.orchestration.ledger.contract import DeadLetter

if TYPE_CHECKING:
    from chromium import Chromium

Cli = Callable[..., Result]
EVIL = '<img src="x" onerror="window.owned=1"> & <script>window.owned=1</script>'


class Read(HTMLParser):
    """What stands in a page: names of elements, ids, links, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        given = {name: value or "" for name, value in attrs}
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.loads += [name for name in given if name in ("src", "srcset", "action") or name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def done(cli: Cli, feed: Path, notes: Path) -> str:
    """The id of a submission of three notes and a file that nothing reads; one note is hostile."""
    (notes / "odd.bin").write_bytes(b"\0\1\2\xff" * 10)
    (notes / "evil.txt").write_text(f"{EVIL}\n\nNothing here.\n", encoding="utf-8")
    found = json.loads(cli("run", feed, "--input", notes, "--engine", "plain", "--json").stdout)
    return str(found["submission"]["id"])


def written(cli: Cli, ident: str, out: Path) -> str:
    result = cli("submissions", "report", ident, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"wrote {out}\n"
    return out.read_text(encoding="utf-8")


def test_the_page_tells_how_a_submission_stands(cli: Cli, done: str, here: Path) -> None:
    """Pipeline, stages with counts, the dead letter with its reason, documents with where they are, provenance."""
    page = Read(written(cli, done, here / "r.html"))
    for words in (
        f"submission {done}",
        "4 payloads",
        "ingest → parse: payloads",
        "odd.bin",
        "medical_kg.stages.parse:ParseStage",
        "note1.txt",
        "feed 1",
    ):
        assert words in page.text, words
    assert {"pipeline", "stages", "dead-letters", "documents", "batches", "provenance"} <= set(page.ids)
    assert {"stage-ingest", "stage-parse", "document-1", "document-4"} <= set(page.ids)


def test_the_page_loads_nothing_and_texts_stay_texts(cli: Cli, done: str, here: Path) -> None:
    """No script, no picture, nothing fetched; a hostile title is shown as it is; links within the page lead somewhere."""
    raw = written(cli, done, here / "r.html")
    page = Read(raw)
    assert not page.names & {"script", "img", "link", "iframe", "object", "form"}
    assert page.loads == []
    assert EVIL in page.text
    assert "url(" not in raw
    assert "default-src 'none'" in unescape(raw)
    inside = [address[1:] for address in page.links if address.startswith("#")]
    assert inside
    assert set(inside) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_a_page_can_be_written_when_much_is_gone(cli: Cli, done: str, here: Path, feed: Path) -> None:
    """Without the pipeline's file, with broken YAML in its place, and without the stored results."""
    for stored in (here / ".medical-kg" / "checkpoints").rglob("*.jsonl"):
        stored.unlink()
    page = Read(written(cli, done, here / "r.html"))
    assert "Not read: " in page.text
    feed.write_text("name: [", encoding="utf-8")
    assert "stage-parse" in Read(written(cli, done, here / "r.html")).ids


def test_documents_that_only_another_process_parses_are_listed(cli: Cli, feed: Path, notes: Path, here: Path) -> None:
    """A stage of this process that hands them on knows how they are stored; without one that is said, and all else stands."""
    for more, shown in (
        ("\n  - {name: valid, type: ir-validation, depends_on: [parse]}\n", "note1.txt"),
        ("", "Not read: "),
    ):
        text = feed.read_text(encoding="utf-8").replace("type: parse,", "type: parse, environment: process,")
        path = here / f"feed{len(more)}.yaml"
        path.write_text(text.rstrip() + more, encoding="utf-8")
        found = json.loads(cli("run", path, "--input", notes, "--engine", "plain", "--json").stdout)
        page = Read(written(cli, found["submission"]["id"], here / "r.html"))
        assert shown in page.text


def test_a_waiting_submission_has_stages_that_have_not_begun(cli: Cli, gated: Path, notes: Path, here: Path) -> None:
    """They stand in the picture and in the table."""
    found = json.loads(cli("run", gated, "--input", notes, "--engine", "plain", "--json").stdout)
    page = Read(written(cli, found["submission"]["id"], here / "r.html"))
    assert page.text.count("not begun") >= 2
    assert "None: every item was processed." in page.text


def test_where_it_cannot_be_written_is_told(cli: Cli, done: str, here: Path) -> None:
    """One message and the exit code of a wrong request; as JSON the file is named."""
    result = cli("submissions", "report", done, "--out", here / "no" / "r.html")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "r.html cannot be written: No such file or directory" in result.stderr
    assert cli("submissions", "report", "nope", "--out", here / "r.html").exit_code == 2
    told = json.loads(cli("submissions", "report", done, "--out", here / "r.html", "--json").stdout)
    assert told == {"file": str(here / "r.html"), "bytes": (here / "r.html").stat().st_size}


def test_what_is_no_markup_is_escaped() -> None:
    """In text and in attributes; signs that no page may hold are replaced."""
    assert tag("b", "<i>", class_='"x"') == '<b class="&quot;x&quot;">&lt;i&gt;</b>'
    assert tag("p", tag("b", 1), None, " & ") == "<p><b>1</b> &amp; </p>"
    assert text("a\0b\ud800\x1b") == "a\ufffdb\ufffd\ufffd"
    assert "<td" in table(("a",), [(1,)], right=("a",))


@pytest.mark.parametrize(
    ("address", "followed"),
    [
        ("https://doi.org/10.1/x?a=1&b=2", True),
        ("file:///data/a%20b.xml", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("trials/NCT1.json", False),
        ("http://[", False),
    ],
)
def test_only_addresses_that_may_be_followed_are_links(address: str, followed: bool) -> None:  # noqa: FBT001  # a case
    """A record may say anything of where it is from."""
    assert link(address, "there").startswith("<a ") is followed
    assert "there" in link(address, "there")


def document(name: str, **fields: str) -> Document:
    origin = Provenance(source="files", uri=fields.pop("uri", ""))
    return Document(id=name, root=f"root:{name}", kind="text", title="", text="", sections=(), provenance=origin)


def test_a_document_can_be_read_at_home_and_where_it_came_from() -> None:
    """Of identifiers those with a home on the web; then the file."""
    one = document("pmid:1", uri="file:///a.xml").model_copy(update={"identifiers": ("pmid:1", "doi:10.1/x", "isbn:1")})
    assert list(addresses(one)) == [
        ("https://pubmed.ncbi.nlm.nih.gov/1/", "pmid:1"),
        ("https://doi.org/10.1/x", "doi:10.1/x"),
        ("file:///a.xml", "file:///a.xml"),
    ]
    assert list(addresses(document("file:a"))) == []


def test_dead_letters_lead_to_their_document() -> None:
    """Where it is on the page; tracebacks can be opened, and a long list is cut with a word on it."""
    letters = [
        DeadLetter(
            submission_id="s",
            batch_id="b",
            stage="chunk",
            item_id=f"{name}#1",
            root=f"root:{name}",
            error="ValueError",
            message="no <way>",
            traceback="line 1" if name == "a" else "",
            at=0,
        )
        for name in ("a", "b")
    ]
    section = _letters(letters, Listing((document("x"), document("a")), 2))
    page = Read(section)
    assert page.links == ["#document-2"]
    assert "ValueError: no <way>" in page.text
    assert page.text.count("line 1") == 1
    assert "The first 1,000 of 2,002." in Read(_letters(letters * 1001, Listing((), 0))).text


def test_stages_stand_behind_all_they_wait_for() -> None:
    """A column is the longest way to a stage; every edge goes to the right."""
    edges = [Edge("a", "b", ("k",)), Edge("b", "d", ("k",)), Edge("a", "d", ()), Edge("a", "c", ("k",))]
    assert columns(["a", "b", "c", "d"], edges) == [["a"], ["b", "c"], ["d"]]
    assert columns([], []) == []
    total = StageTotals("a", "chunk", "completed", {"chunks": 3, "none": 0}, 2, 0, 1.5)
    drawn = Read(picture(["a", "b"], [Edge("a", "b", ())], {"a": total}))
    for words in ("3 chunks", "1.50 s", "2 dead letters", "not begun", "a → b: order only"):
        assert words in drawn.text
    assert cut("x" * 40) == "x" * 19 + "…"
    assert "svg" in Read(picture([], [], {})).names


def test_the_page_in_a_browser(cli: Cli, done: str, here: Path, chromium: Chromium) -> None:
    """Light and dark are two pictures; nothing is asked for, nothing runs, nothing overflows, boxes hold their text."""
    written(cli, done, here / "r.html")
    tab = chromium.open(here / "r.html")
    grounds, pictures = [], []
    for scheme in ("light", "dark"):
        tab.prefer(scheme)
        grounds.append(tab.ask("getComputedStyle(document.body).backgroundColor"))
        pictures.append(tab.screenshot())
    assert grounds == ["rgb(246, 247, 249)", "rgb(18, 22, 29)"]
    assert pictures[0] != pictures[1]
    assert min(map(len, pictures)) > 20_000  # an empty page of this size has about 5,000 bytes
    assert [address.partition(":")[0] for address in tab.requests()] == ["file"]
    assert tab.complaints() == []
    assert tab.ask("window.owned") is None
    assert tab.ask("document.documentElement.scrollWidth <= window.innerWidth") is True
    assert tab.ask(BOXES_HOLD_THEIR_TEXT) == [2, True]


BOXES_HOLD_THEIR_TEXT = """(() => {
  const stages = [...document.querySelectorAll('.stage')];
  return [stages.length, stages.every(stage => {
    const box = stage.querySelector('.box').getBoundingClientRect();
    return box.width > 100 && [...stage.querySelectorAll('text')].every(text => {
      const inner = text.getBoundingClientRect();
      return inner.left >= box.left && inner.right <= box.right && inner.bottom <= box.bottom;
    });
  })];
})()"""


def test_long_words_stay_in_their_box(here: Path, chromium: Chromium) -> None:
    """Names, types and counts of any length are cut; a stage that is not completed says so first."""
    counts = {"documents": 20_000_000, "entities": 446}
    totals = {
        name: StageTotals(name, "knowledge-graph-and-more", status, counts, 1234, 0, 98_765.4)
        for name, status in (("a-stage-with-a-very-long-name", "completed"), ("mm_validation_mm", "failed"))
    }
    style = (Path(page_folder.__file__).parent / "page.css").read_text(encoding="utf-8")
    drawn = picture(list(totals), [], totals)
    assert "failed, knowledge-g…" in Read(drawn).text
    (here / "p.html").write_text(
        f"<!doctype html><meta charset='utf-8'><style>{style}</style>{drawn}", encoding="utf-8"
    )
    assert chromium.open(here / "p.html").ask(BOXES_HOLD_THEIR_TEXT) == [2, True]
