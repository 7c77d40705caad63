"""The page of a neighbourhood: one file, looked at in a real browser, where texts stay texts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from strange_graph import edge

from medical_kg.graphs.page import page
from medical_kg.stores.contract import Edge, Node

if TYPE_CHECKING:
    from chromium import Chromium, Tab


@pytest.fixture
def tab(chromium: Chromium, tmp_path: Path, nodes: list[Node], edges: list[Edge]) -> Tab:
    """The page of the small graph, open."""
    path = tmp_path / "page.html"
    path.write_text(page(nodes[0], nodes[1:], edges, notice="Only 2 <nodes>"), encoding="utf-8")
    return chromium.open(path)


def panel(tab: Tab) -> str:
    found = tab.ask("document.querySelector('aside').innerText")
    assert isinstance(found, str)
    return found


def test_the_page_asks_for_nothing_and_runs_nothing_of_the_texts(tab: Tab, nodes: list[Node]) -> None:
    """In a browser the page loads only itself, and no script or picture in a title runs or is fetched."""
    assert tab.ask("document.documentElement.dataset.ready") == "yes"
    tab.ask("document.querySelectorAll('.node, .edge').forEach(one => one.dispatchEvent(new MouseEvent('click')))")
    tab.ask("document.querySelector('#node-1').dispatchEvent(new MouseEvent('click'))")
    assert " ".join(nodes[1].name.split())[:40] in panel(tab)
    assert tab.ask("window.owned") is None
    assert tab.ask("[document.scripts.length, document.images.length]") == [2, 0]
    assert [address.partition(":")[0] for address in tab.requests()] == ["file"]
    assert tab.complaints() == []
    assert tab.ask("document.title") == "Heart Failure · medical-kg"
    assert tab.ask("[...document.links].map(link => link.protocol).includes('javascript:')") is False


def test_the_picture_is_seen_in_light_and_dark(tab: Tab) -> None:
    """Every node and label stands in view; a reader who prefers dark gets a dark page."""
    inside = """(() => {
      const view = document.querySelector("svg.graph").getBoundingClientRect();
      return [...document.querySelectorAll(".node circle, .node text")].every((one) => {
        const box = one.getBoundingClientRect();
        return box.width > 0 && box.left >= view.left && box.right <= view.right && box.top >= view.top && box.bottom <= view.bottom;
      });
    })()"""
    assert tab.ask(inside) is True
    grounds = []
    pictures = []
    for scheme in ("light", "dark"):
        tab.prefer(scheme)
        grounds.append(tab.ask("getComputedStyle(document.body).backgroundColor"))
        pictures.append(tab.screenshot())
    assert grounds == ["rgb(246, 247, 249)", "rgb(18, 22, 29)"]
    assert pictures[0] != pictures[1]
    assert min(map(len, pictures)) > 20_000  # an empty page of this size has about 5,000 bytes


def test_names_can_be_read_and_cover_no_other(chromium: Chromium, tmp_path: Path) -> None:
    """In a crowded picture names keep their size, those that would cover another stay out, and the one asked for is there."""
    crowd = [Node(id=f"n:{at}", kind="k", name=f"A rather long name, {at}") for at in range(80)]
    path = tmp_path / "page.html"
    path.write_text(page(crowd[0], crowd[1:], [edge("n:0", "p", one.id) for one in crowd[1:]]), encoding="utf-8")
    tab = chromium.open(path)
    heights, chosen, met = tab.ask("""(() => {
      const names = [...document.querySelectorAll(".node text")].filter((one) => getComputedStyle(one).visibility === "visible");
      const boxes = names.map((one) => one.getBoundingClientRect());
      const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
      return [boxes.map((one) => one.height), names.includes(document.querySelector("#node-0 text")),
        boxes.some((one, nth) => boxes.slice(nth + 1).some((other) => meet(one, other)))];
    })()""")
    assert 10 < len(heights) < 80
    assert min(heights) > 10
    assert (chosen, met) == (True, False)


def test_a_keyboard_does_all(tab: Tab) -> None:
    """Tab and Enter choose, an edge shows its sentences with the words marked and links; keys move, zoom and clear."""
    tab.ask("document.querySelector('#edge-2').focus()")
    tab.press("Enter")
    assert panel(tab).splitlines()[0] == "Drug X → Heart Failure"
    assert "2 stated, by 2 documents" in panel(tab)
    assert (
        tab.ask("[...document.querySelectorAll('aside mark')].map(mark => mark.textContent)") == ["heart failure"] * 2
    )
    assert (
        tab.ask("document.querySelector('aside blockquote').textContent")
        == "\N{GRINNING FACE} Drug X for heart failure."
    )
    assert tab.ask("[...document.querySelectorAll('aside a')].map(link => link.href)") == [
        "https://pubmed.ncbi.nlm.nih.gov/1/",
        "file:///citations.xml",
        "https://pubmed.ncbi.nlm.nih.gov/2/",
    ]
    assert "dictionary · extract 2.1.0 · confidence 0.8" in panel(tab)
    tab.press("Tab")
    tab.press("Enter")
    assert panel(tab).splitlines()[0] == "Heart Failure"
    tab.press("Escape")
    assert panel(tab).splitlines()[0] == "Choose a node or a connection"
    before = tab.ask("document.querySelector('#view').getAttribute('transform')")
    tab.press("+")
    tab.press("ArrowLeft")
    assert tab.ask("document.querySelector('#view').getAttribute('transform')") != before
    tab.press("0")
    assert tab.ask("document.querySelector('#view').getAttribute('transform')") == before


def test_a_mouse_does_all(tab: Tab) -> None:
    """A click on a node shows what is said of it, with denial; dragging moves the picture; a kind can be left out."""
    where = "(() => { const box = document.querySelector('#node-1 circle').getBoundingClientRect(); "
    where += "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    point = tuple(tab.ask(where))
    tab.drag(point, point)
    assert "denied" in panel(tab)
    corner = (30.0, 120.0)
    tab.drag(corner, (corner[0] + 70, corner[1] + 20))
    moved = tab.ask(where)
    assert [round(moved[0] - point[0]), round(moved[1] - point[1])] == [70, 20]
    tab.ask("document.querySelector('.legend [data-kind=drug]').click()")
    assert tab.ask("[...document.querySelectorAll('.off')].map(one => one.id).sort()") == ["edge-2", "node-2"]
    tab.ask(
        "(find => { find.value = 'PMID:1'; find.dispatchEvent(new Event('input')); })(document.querySelector('#find'))"
    )
    assert tab.ask("[...document.querySelectorAll('.node:not(.faded)')].map(one => one.id)") == ["node-1"]


def told(html: str) -> dict[str, Any]:
    match = re.search(r'id="graph-data">(.*?)</script>', html)
    assert match
    found: dict[str, Any] = json.loads(match[1])
    return found


def test_the_data_of_the_page_is_the_graph(nodes: list[Node], edges: list[Edge]) -> None:
    """Nodes, edges by their ends, and each statement with document, words and support stand in the page as they are."""
    data = told(page(nodes[0], nodes[1:], edges))
    assert [node["name"] for node in data["nodes"]] == [node.name for node in nodes]
    assert [(join["from"], join["to"], len(join["said"])) for join in data["edges"]] == [
        (0, 0, 1),
        (1, 0, 1),
        (2, 0, 2),
    ]
    first, second = data["edges"][2]["said"]
    assert (first["document"], first["address"]) == ("pmid:1", "https://pubmed.ncbi.nlm.nih.gov/1/")
    assert (second["file"], second["fileAddress"]) == ("javascript:window.owned=3", "")


def test_without_script_the_picture_is_there(nodes: list[Node], edges: list[Edge]) -> None:
    """The picture is SVG in the page: every node with its name, every connection with what it says, in words."""
    html = page(nodes[0], nodes[1:], edges, notice="Only 2 <nodes>")
    assert html.count('<g class="node ') == 3
    assert 'aria-label="Drug X treats Heart Failure"' in html
    assert 'class="edge negated"' in html
    assert '<p class="cut">Only 2 &lt;nodes&gt;</p>' in html
    assert "mesh:D006333 · 3 nodes · 4 statements · 2 documents" in html


def test_the_marked_words_are_counted_as_javascript_counts() -> None:
    """The places of words in a sentence count UTF-16 units; words that are not in it mark nothing."""
    node = Node(id="a", kind="k", name="a")

    def marked(**more: Any) -> Any:
        return told(page(node, [], [edge("a", "p", "a", **more)]))["edges"][0]["said"][0]["marked"]

    assert marked() == [14, 27]  # the face is two units: "XX Drug X for " is 14
    assert marked(start=None) == [14, 27]
    assert marked(start=105, end=118) == [14, 27]
    assert marked(evidence="elsewhere") == [0, 0]
    assert marked(evidence="\N{GRINNING FACE} Drug X for heart failure.") == [0, 0]
    twice = {"sentence": "pain, no pain", "evidence": "pain", "sentence_start": 0, "start": 9, "end": 13}
    assert marked(**twice) == [9, 13]


def test_edges_both_ways_bend_and_edges_out_of_the_picture_are_left_out() -> None:
    """Two connections between the same nodes lie beside each other; one whose end is not shown is not drawn."""
    pair = [Node(id=name, kind="k", name=name) for name in "ab"]
    html = page(pair[0], pair[1:], [edge("a", "p", "b"), edge("b", "p", "a"), edge("a", "p", "gone")])
    paths = re.findall(r'class="seen" d="([^"]+)"', html)
    assert len(paths) == 2
    middles = [path.split("Q")[1].split()[:2] for path in paths]
    assert middles[0] != middles[1]
