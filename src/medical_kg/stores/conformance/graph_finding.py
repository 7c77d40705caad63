"""What is found in a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from medical_kg.documents.records import Mention
from medical_kg.stores.conformance.graph_samples import (
    claim,
    entity,
    write,
)
from medical_kg.stores.contract import Edge

if TYPE_CHECKING:
    from medical_kg.stores.contract import GraphStore


class GraphFindingRules:
    """Rules of ``find``, ``node``, ``roots``, ``edges`` and ``neighbors``."""

    def test_edge_carries_its_provenance(self, graph: GraphStore) -> None:
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

    def test_edges_in_both_directions_up_to_the_limit(self, graph: GraphStore) -> None:
        """Edges that leave a node come before those that reach it; a loop is one edge; the limit is kept."""
        graph.replace(["r"], [], [claim("r", "n", "n"), claim("r", "a", "n"), claim("r", "n", "z")], version=0)
        ends = [(edge.subject, edge.object) for edge in graph.edges("n", limit=9)]
        assert ends == [("n", "n"), ("n", "z"), ("a", "n")]
        assert len(graph.edges("n", limit=2)) == 2

    def test_node_is_found_by_any_identifier(self, graph: GraphStore) -> None:
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

    def test_roots_are_found_by_any_identifier(self, graph: GraphStore) -> None:
        """Those of every node that an identifier leads to, whatever its case; none for what nobody speaks of."""
        said = [
            entity("r1", "pmid:1", "", "pmid:1", "doi:10.1/Ab"),
            entity("r2", "pmid:2", "", "pmid:2", "doi:10.1/ab"),
        ]
        graph.replace(["r1", "r2", "r3"], [*said, entity("r3", "gout", "Gout")], [], version=0)
        assert graph.roots("DOI:10.1/AB") == {"r1", "r2"}
        assert graph.roots("pmid:2") == {"r2"}
        assert graph.roots("gout") == {"r3"}
        assert graph.roots("pmid:3") == frozenset()

    def test_find_ranks_what_matches_best(self, graph: GraphStore) -> None:
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

    def test_find_prefers_what_most_roots_speak_of(self, graph: GraphStore) -> None:
        """Among equal matches the better known node comes first."""
        graph.replace(
            ["r1", "r2"],
            [entity("r1", "a", "Pain"), entity("r1", "b", "Pain"), entity("r2", "b", "Pain")],
            [],
            version=0,
        )
        assert [(node.id, node.roots) for node in graph.find("pain", limit=9)] == [("b", 2), ("a", 1)]

    def test_find_takes_words_in_any_order(self, graph: GraphStore) -> None:
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
    def test_find_looks_past_spelling(self, graph: GraphStore, text: str, name: str) -> None:
        """Case, accents, hyphens, commas and plurals do not keep a name from being found."""
        graph.replace(["r"], [entity("r", "a", name), entity("r", "b", "Small type")], [], version=0)
        assert [node.id for node in graph.find(text, limit=9)] == ["a"]

    def test_find_takes_signs_as_they_are(self, graph: GraphStore) -> None:
        """Signs that mean something to the database mean nothing in a search, and signs alone find no name."""
        graph.replace(["r"], [entity("r", "a", "100% oxygen"), entity("r", "b", "oxygen_x")], [], version=0)
        assert graph.find("%", limit=9) == []
        assert [node.id for node in graph.find("100%", limit=9)] == ["a"]
        assert [node.id for node in graph.find("_", limit=9)] == ["b"]

    def test_neighbors_by_levels(self, graph: GraphStore) -> None:
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

    def test_neighbors_keep_the_limit(self, graph: GraphStore) -> None:
        """The limit bounds the nodes, also inside a level and beyond one group of the database's questions."""
        write(graph, r1=" ".join(f"mesh:{number:04}" for number in range(1200)))
        nodes, edges = graph.neighbors("doc:r1", depth=3, limit=7)
        assert [node.id for node in nodes] == [f"mesh:{number:04}" for number in range(7)]
        assert len(edges) == 7
        nodes, _ = graph.neighbors("mesh:0000", depth=2, limit=3)
        assert [node.id for node in nodes] == ["doc:r1", "mesh:0001", "mesh:0002"]
        nodes, edges = graph.neighbors("mesh:0000", depth=2, limit=5000)
        assert (len(nodes), len(edges)) == (1200, 1200)

    def test_neighbors_leave_out_ends_nobody_describes(self, graph: GraphStore) -> None:
        """An edge may lead to a node without a statement: the edge is shown, a node is not made up."""
        graph.replace(["r"], [entity("r", "a")], [claim("r", "a", "b")], version=0)
        nodes, edges = graph.neighbors("a", depth=2, limit=9)
        assert nodes == []
        assert [(edge.subject, edge.object) for edge in edges] == [("a", "b")]
