"""The SQL graph: merging over roots, replacing, refusing what is older, and finding the way around."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_kg.documents.ir import Provenance
from medical_kg.documents.records import Claim, Entity, Mention
from medical_kg.orchestration.contract.database import open_engine, reading
from medical_kg.orchestration.contract.errors import ContractError
from medical_kg.stores.contract import Edge, Node, Removed, Written
from medical_kg.stores.database import DatabaseStore
from medical_kg.stores.graph_rows import Variant, merged_node
from medical_kg.stores.sql_graph import SqlGraph

PROVENANCE = Provenance(source="files", uri="file:///x.json")
CONTENT_TABLES = ("graph_statements", "graph_nodes", "graph_identifiers", "graph_edges")


@pytest.fixture
def graph(url: str) -> Iterator[SqlGraph]:
    opened = SqlGraph(url)
    yield opened
    opened.close()


def entity(root: str, node: str, name: str = "", *identifiers: str, kind: str = "condition") -> Entity:
    named = identifiers or ((node,) if ":" in node else ())
    return Entity(id=f"{root}/{node}", root=root, node=node, kind=kind, name=name or node, identifiers=named)


def claim(root: str, subject: str, object_: str, predicate: str = "studies", words: str = "words") -> Claim:
    return Claim(
        id=f"{root}/{subject}/{predicate}/{object_}",
        root=root,
        subject=subject,
        predicate=predicate,
        object=object_,
        evidence=Mention(pointer="/c/0", text=words),
        method="structured",
        provenance=PROVENANCE,
    )


def star(root: str, *concepts: str) -> tuple[list[Entity], list[Claim]]:
    """A document node named after its root, and what it speaks of."""
    document = f"doc:{root}"
    entities = [entity(root, document, f"Document {root}", kind="trial"), *(entity(root, one) for one in concepts)]
    return entities, [claim(root, document, one) for one in concepts]


def write(graph: SqlGraph, version: int = 0, /, **concepts: str) -> Written:
    """Write one star per keyword: ``r1="mesh:A mesh:B"``."""
    stars = [star(root, *names.split()) for root, names in concepts.items()]
    entities = [one for some, _ in stars for one in some]
    claims = [one for _, some in stars for one in some]
    return graph.replace(list(concepts), entities, claims, version=version)


def rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """The content tables as they lie in the database; Postgres keeps no order of its own."""
    engine = open_engine(url)
    with reading(engine) as connection:
        found = {
            table: list(map(tuple, connection.exec_driver_sql(f"SELECT * FROM {table}"))) for table in CONTENT_TABLES
        }
    return found if engine.dialect.name == "sqlite" else {table: sorted(lines) for table, lines in found.items()}


def test_nodes_merge_over_roots(graph: SqlGraph) -> None:
    """One node id is one node; its kind and name are what most roots say, its identifiers all of them."""
    graph.replace(
        ["r1", "r2", "r3"],
        [
            entity("r1", "mesh:A", "Asthma", "mesh:A"),
            entity("r2", "mesh:A", "asthma, bronchial", "mesh:A", "umls:C1", kind="descriptor"),
            entity("r3", "mesh:A", "asthma, bronchial", "mesh:A", kind="descriptor"),
        ],
        [],
        version=0,
    )
    merged = Node(id="mesh:A", kind="descriptor", name="asthma, bronchial", identifiers=("mesh:A", "umls:C1"), roots=3)
    assert graph.node("mesh:A") == merged
    assert graph.counts() == {"nodes": 1, "edges": 0}


@pytest.mark.parametrize("order", [("r1", "r2"), ("r2", "r1")])
def test_equal_numbers_are_settled_by_the_alphabet(graph: SqlGraph, order: tuple[str, str]) -> None:
    """Of kinds and names used equally often the alphabetically first one is taken, whoever came first."""
    said = {"r1": ("beta", "descriptor"), "r2": ("alpha", "condition")}
    for root in order:
        name, kind = said[root]
        graph.replace([root], [entity(root, "mesh:A", name, kind=kind)], [], version=0)
    node = graph.node("mesh:A")
    assert node is not None
    assert (node.name, node.kind) == ("alpha", "condition")


def test_a_kind_changes_with_what_most_roots_say(graph: SqlGraph) -> None:
    """A node follows its statements: when those of one kind go, the other kind is its own."""
    graph.replace(
        ["r1", "r2", "r3"],
        [entity(root, "mesh:A", kind=kind) for root, kind in [("r1", "chemical"), ("r2", "drug"), ("r3", "drug")]],
        [],
        version=0,
    )
    kinds = []
    for gone in (["nobody"], ["r2"], ["r1"]):
        graph.remove(gone, version=0)
        node = graph.node("mesh:A")
        kinds.append(node.kind if node else None)
    assert kinds == ["drug", "chemical", "drug"]


@given(st.permutations([("b", "x", 2), ("a", "x", 1), ("a", "y", 1), ("c", "z", 1)]))
def test_merging_does_not_depend_on_order(said: list[tuple[str, str, int]]) -> None:
    """However the statements come, the merged node is the same."""
    variants = [Variant("n", kind, name, f'["{name}"]', roots) for kind, name, roots in said]
    assert merged_node(variants) == {
        "id": "n",
        "kind": "a",
        "name": "x",
        "identifiers": '["x", "y", "z"]',
        "roots": 5,
        "words": "x",
    }


def test_a_write_replaces_all_rows_of_its_roots(graph: SqlGraph) -> None:
    """What a root no longer says is gone, with nodes nobody speaks of; what others say stays."""
    write(graph, r1="mesh:A mesh:B", r2="mesh:B mesh:C")
    written = write(graph, r1="mesh:D")
    assert written == Written({"nodes": 2, "edges": 1}, replaced=1, refused=())
    assert graph.node("mesh:A") is None
    shared = graph.node("mesh:B")
    assert shared is not None
    assert shared.roots == 1
    assert {edge.object for edge in graph.edges("doc:r1", limit=9)} == {"mesh:D"}
    assert {edge.object for edge in graph.edges("doc:r2", limit=9)} == {"mesh:B", "mesh:C"}


def test_a_root_without_facts_is_cleared(graph: SqlGraph) -> None:
    """A root that is named and says nothing keeps no rows."""
    write(graph, r1="mesh:A")
    assert graph.replace(["r1"], [], [], version=0) == Written({"nodes": 0, "edges": 0}, replaced=1, refused=())
    assert graph.counts() == {"nodes": 0, "edges": 0}


def test_an_equal_write_leaves_every_row_as_it_is(graph: SqlGraph, url: str) -> None:
    """Writing the same again, in another order and version, leaves all content tables equal row for row."""
    entities, claims = star("r1", "mesh:A", "mesh:B")
    more_entities, more_claims = star("r2", "mesh:B", "condition:heart failure")
    entities, claims = [*entities, *more_entities], [*claims, *more_claims]
    graph.replace(["r1", "r2"], entities, claims, version=1)
    before = rows(url)
    random.Random(7).shuffle(entities)
    random.Random(8).shuffle(claims)
    graph.replace(["r2", "r1"], entities, claims, version=2)
    assert rows(url) == before
    assert all(before.values())


def test_the_order_of_writes_does_not_show(graph: SqlGraph, url: str, new_url: Callable[[], str]) -> None:
    """Roots written one by one, backwards, give the same rows as all at once."""
    said = {"r1": "mesh:A mesh:B", "r2": "mesh:B", "r3": "mesh:C mesh:A"}
    write(graph, 0, **said)
    other_url = new_url()
    other = SqlGraph(other_url)
    for root in reversed(said):
        write(other, 0, **{root: said[root]})
    other.close()
    assert rows(other_url) == rows(url)


def test_an_older_version_is_refused_per_root(graph: SqlGraph) -> None:
    """A root that a newer submission wrote is left alone; the others of the same write are taken."""
    write(graph, 5, r1="mesh:A")
    written = write(graph, 3, r1="mesh:OLD mesh:OLDER", r2="mesh:B")
    assert written == Written({"nodes": 4, "edges": 2}, replaced=0, refused=("r1",))
    assert graph.node("mesh:OLD") is None
    assert {edge.object for edge in graph.edges("doc:r1", limit=9)} == {"mesh:A"}
    assert graph.node("mesh:B") is not None


def test_a_broken_write_changes_nothing(graph: SqlGraph, url: str) -> None:
    """A write is one transaction: rows of a root it does not name refuse it whole."""
    write(graph, r1="mesh:A")
    before = rows(url)
    with pytest.raises(ContractError, match="does not name: r9"):
        graph.replace(["r1"], [entity("r1", "mesh:B"), entity("r9", "mesh:C")], [], version=0)
    assert rows(url) == before


def test_several_records_of_one_node_and_root_are_one_row(graph: SqlGraph) -> None:
    """Two documents of a root that name the same thing, or say the same, give one row each."""
    entities = [entity("r1", "n", "first", "x:1"), entity("r1", "n", "second", "y:2")]
    claims = [claim("r1", "d", "n", words="first"), claim("r1", "d", "n", words="second")]
    assert graph.replace(["r1"], entities, claims, version=0).rows == {"nodes": 1, "edges": 1}
    assert graph.node("n") == Node(id="n", kind="condition", name="first", identifiers=("x:1", "y:2"), roots=1)
    assert [edge.evidence for edge in graph.edges("n", limit=9)] == ["first"]


def test_removed_roots_leave_no_rows(graph: SqlGraph, url: str) -> None:
    """What removed roots said is gone, what others say stays; roots without rows do not count."""
    write(graph, 5, r1="mesh:A mesh:B", r2="mesh:B")
    assert graph.remove(["r1", "r1", "absent"], version=5) == Removed(1, ())
    assert graph.remove([], version=5) == graph.remove(["r1"], version=5) == Removed(0, ())
    assert graph.node("mesh:A") is None
    assert graph.counts() == {"nodes": 2, "edges": 1}
    graph.remove(["r2"], version=6)
    assert not any(rows(url).values())


def test_an_older_removal_is_refused_per_root(graph: SqlGraph, url: str) -> None:
    """A root that a newer submission wrote is not removed by an older one; the others named with it are."""
    write(graph, 5, r1="mesh:A")
    before = rows(url)
    write(graph, 3, r2="mesh:B")
    assert graph.remove(["r1", "r2"], version=4) == Removed(1, ("r1",))
    assert rows(url) == before


def test_an_older_write_does_not_bring_a_removed_root_back(graph: SqlGraph) -> None:
    """Removal leaves the root's version behind, also of a root that had no rows; an equal or newer write is taken."""
    write(graph, 2, r1="mesh:A")
    graph.remove(["r1", "r2"], version=4)
    assert write(graph, 3, r1="mesh:A", r2="mesh:B").refused == ("r1", "r2")
    assert graph.remove(["r1"], version=3) == Removed(0, ("r1",))
    assert graph.counts() == {"nodes": 0, "edges": 0}
    assert write(graph, 4, r1="mesh:A").refused == write(graph, 5, r2="mesh:B").refused == ()
    assert graph.counts() == {"nodes": 4, "edges": 2}


def test_edge_carries_its_provenance(graph: SqlGraph) -> None:
    """An edge says which root states it, by which words, where, how, and from which source; one row per root."""
    unplaced = claim("r2", "a", "b", words="w2")
    placed = Mention(pointer="/c/0", block="b7", start=0, end=2, text="w1")
    graph.replace(
        ["r1", "r2"], [], [unplaced.model_copy(update={"root": "r1", "evidence": placed}), unplaced], version=0
    )
    first, second = graph.edges("a", limit=9)
    assert first == Edge(
        subject="a",
        predicate="studies",
        object="b",
        root="r1",
        evidence="w1",
        pointer="/c/0",
        block="b7",
        start=0,
        end=2,
        method="structured",
        source="files",
        uri="file:///x.json",
    )
    assert (second.root, second.evidence, second.block, second.start, second.end) == ("r2", "w2", "", None, None)


def test_edges_in_both_directions_up_to_the_limit(graph: SqlGraph) -> None:
    """Edges that leave a node come before those that reach it; a loop is one edge; the limit is kept."""
    graph.replace(["r"], [], [claim("r", "n", "n"), claim("r", "a", "n"), claim("r", "n", "z")], version=0)
    ends = [(edge.subject, edge.object) for edge in graph.edges("n", limit=9)]
    assert ends == [("n", "n"), ("n", "z"), ("a", "n")]
    assert len(graph.edges("n", limit=2)) == 2


def test_node_is_found_by_any_identifier(graph: SqlGraph) -> None:
    """An identifier leads to its node whatever its case; of several nodes the one most roots speak of."""
    graph.replace(
        ["r1", "r2"],
        [
            entity("r1", "pmid:1", "Article", "pmid:1", "doi:10.1/Ab"),
            entity("r1", "pmid:2", "Twin", "pmid:2", "doi:10.1/ab"),
            entity("r2", "pmid:2", "Twin", "pmid:2"),
        ],
        [],
        version=0,
    )
    found = graph.node("DOI:10.1/AB")
    assert found is not None
    assert found.id == "pmid:2"
    assert graph.node("pmid:3") is None


def test_roots_are_found_by_any_identifier(graph: SqlGraph) -> None:
    """Those of every node that an identifier leads to, whatever its case; none for what nobody speaks of."""
    said = [entity("r1", "pmid:1", "", "pmid:1", "doi:10.1/Ab"), entity("r2", "pmid:2", "", "pmid:2", "doi:10.1/ab")]
    graph.replace(["r1", "r2", "r3"], [*said, entity("r3", "gout", "Gout")], [], version=0)
    assert graph.roots("DOI:10.1/AB") == {"r1", "r2"}
    assert graph.roots("pmid:2") == {"r2"}
    assert graph.roots("gout") == {"r3"}
    assert graph.roots("pmid:3") == frozenset()


def test_find_ranks_what_matches_best(graph: SqlGraph) -> None:
    """Id and identifier first, then the equal name, names that begin so, words inside, parts of words."""
    names = {
        "mesh:D1": "failure of the kidney",
        "mesh:D2": "Heart Failure",
        "mesh:D3": "Heart-failure clinic",
        "mesh:D4": "FAILURE",
        "mesh:D5": "Nonfailure",
        "failure": "something else",
    }
    graph.replace(["r"], [entity("r", node, name) for node, name in names.items()], [], version=0)
    assert [node.id for node in graph.find(" Failure ", limit=9)] == [
        "mesh:D4",
        "mesh:D1",
        "mesh:D2",
        "mesh:D3",
        "mesh:D5",
    ]
    assert [node.id for node in graph.find("failure", limit=2)] == ["failure", "mesh:D4"]
    assert [node.id for node in graph.find("d3", limit=9)] == ["mesh:D3"]
    assert [node.id for node in graph.find("MESH:d3", limit=9)] == ["mesh:D3"]
    assert graph.find("  ", limit=9) == graph.find("absent", limit=9) == []


def test_find_prefers_what_most_roots_speak_of(graph: SqlGraph) -> None:
    """Among equal matches the better known node comes first."""
    graph.replace(
        ["r1", "r2"], [entity("r1", "a", "Pain"), entity("r1", "b", "Pain"), entity("r2", "b", "Pain")], [], version=0
    )
    assert [(node.id, node.roots) for node in graph.find("pain", limit=9)] == [("b", 2), ("a", 1)]


def test_find_takes_words_in_any_order(graph: SqlGraph) -> None:
    """All words must be in the name; the text as it stands comes before its words, those before parts of words."""
    names = {
        "a": "Lung Cancer",
        "b": "Lung cancer, small cell",
        "c": "Advanced lung cancer",
        "d": "Cancer of the lung",
        "e": "Cancer-bearing sublung",
        "f": "Lung abscess",
        "g": "Lungs and cancers",
    }
    graph.replace(["r"], [entity("r", node, name) for node, name in names.items()], [], version=0)
    assert [node.id for node in graph.find("lung cancer", limit=9)] == ["a", "b", "c", "g", "d", "e"]
    assert [node.id for node in graph.find("CANCER, lung", limit=9)] == ["a", "g", "d", "c", "b", "e"]
    assert [node.id for node in graph.find("lungs cancers", limit=1)] == ["a"]
    assert graph.find("lung cancer surgery", limit=9) == []
    assert [node.id for node in graph.find("lung " * 2000, limit=1)] == ["a"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("non small cell", "Carcinoma, Non-Small-Cell Lung"),
        ("sjogren", "Sjögren Syndrome"),
        ("SJÖGREN'S", "Sjogren's syndrome"),
        ("kidney diseases", "Chronic Kidney Disease"),
        ("disease kidney", "Kidney Diseases"),
        ("type 2 diabetes", "Diabetes Mellitus, Type 2"),
        ("abscess", "Abscess"),
    ],
)
def test_find_looks_past_spelling(graph: SqlGraph, text: str, name: str) -> None:
    """Case, accents, hyphens, commas and plurals do not keep a name from being found."""
    graph.replace(["r"], [entity("r", "a", name), entity("r", "b", "Small type")], [], version=0)
    assert [node.id for node in graph.find(text, limit=9)] == ["a"]


def test_find_takes_signs_as_they_are(graph: SqlGraph) -> None:
    """Signs that mean something to the database mean nothing in a search, and signs alone find no name."""
    graph.replace(["r"], [entity("r", "a", "100% oxygen"), entity("r", "b", "oxygen_x")], [], version=0)
    assert graph.find("%", limit=9) == []
    assert [node.id for node in graph.find("100%", limit=9)] == ["a"]
    assert [node.id for node in graph.find("_", limit=9)] == ["b"]


def test_neighbors_by_levels(graph: SqlGraph) -> None:
    """Each hop adds a level, nearest first; the start is not among them; edges run between all of them."""
    write(graph, r1="mesh:A mesh:B", r2="mesh:B mesh:C", r3="mesh:C mesh:D")
    reached = {depth: graph.neighbors("mesh:A", depth=depth, limit=99) for depth in range(5)}
    assert {depth: [node.id for node in nodes] for depth, (nodes, _) in reached.items()} == {
        0: [],
        1: ["doc:r1"],
        2: ["doc:r1", "mesh:B"],
        3: ["doc:r1", "mesh:B", "doc:r2"],
        4: ["doc:r1", "mesh:B", "doc:r2", "mesh:C"],
    }
    assert [(edge.subject, edge.object) for edge in reached[3][1]] == [
        ("doc:r1", "mesh:A"),
        ("doc:r1", "mesh:B"),
        ("doc:r2", "mesh:B"),
    ]


def test_neighbors_keep_the_limit(graph: SqlGraph) -> None:
    """The limit bounds the nodes, also inside a level and beyond one group of the database's questions."""
    write(graph, r1=" ".join(f"mesh:{number:04}" for number in range(1200)))
    nodes, edges = graph.neighbors("doc:r1", depth=3, limit=7)
    assert [node.id for node in nodes] == [f"mesh:{number:04}" for number in range(7)]
    assert len(edges) == 7
    nodes, _ = graph.neighbors("mesh:0000", depth=2, limit=3)
    assert [node.id for node in nodes] == ["doc:r1", "mesh:0001", "mesh:0002"]
    nodes, edges = graph.neighbors("mesh:0000", depth=2, limit=5000)
    assert (len(nodes), len(edges)) == (1200, 1200)


def test_neighbors_leave_out_ends_nobody_describes(graph: SqlGraph) -> None:
    """An edge may lead to a node without a statement: the edge is shown, a node is not made up."""
    graph.replace(["r"], [entity("r", "a")], [claim("r", "a", "b")], version=0)
    nodes, edges = graph.neighbors("a", depth=2, limit=9)
    assert nodes == []
    assert [(edge.subject, edge.object) for edge in edges] == [("a", "b")]


def test_content_outlives_the_connection(graph: SqlGraph, url: str) -> None:
    """What was written is there for the next process, by way of the store's door."""
    write(graph, r1="mesh:A")
    graph.close()
    again = DatabaseStore(url).graph()
    assert again.counts() == {"nodes": 2, "edges": 1}
    again.close()


def test_what_is_kept_of_a_root_is_counted_and_erased(graph: SqlGraph) -> None:
    """Its statements and edges go, and nodes that only it speaks of; what others say stays."""
    write(graph, 7, r1="mesh:A mesh:B", r2="mesh:A")
    assert graph.kept("r1") == {"nodes": 3, "edges": 2}
    assert graph.erase("r1") == {"nodes": 3, "edges": 2}
    assert graph.erase("r1") == graph.kept("r1") == {"nodes": 0, "edges": 0}
    assert graph.node("mesh:B") is None
    assert (found := graph.node("mesh:A")) is not None
    assert found.roots == 1
    assert write(graph, 1, r1="mesh:B").refused == ()
