"""What a graph keeps, merges, replaces, refuses and forgets."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from medical_kg import ContractError
from medical_kg.stores.conformance.graph_samples import (
    NOTHING,
    claim,
    entity,
    write,
)
from medical_kg.stores.contract import Node, Removed, Written

if TYPE_CHECKING:
    from medical_kg.stores.contract import GraphStore, Store


class GraphWritingRules:
    """Rules of ``replace``, ``remove``, ``erase`` and of how nodes merge."""

    def test_nodes_merge_over_roots(self, graph: GraphStore) -> None:
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
        merged = Node(
            id="mesh:A", kind="descriptor", name="asthma, bronchial", identifiers=("mesh:A", "umls:C1"), roots=3
        )
        assert graph.node("mesh:A") == merged
        assert graph.counts() == {"nodes": 1, "edges": 0}

    @pytest.mark.parametrize("order", [("r1", "r2"), ("r2", "r1")])
    def test_equal_numbers_are_settled_by_the_alphabet(self, graph: GraphStore, order: tuple[str, str]) -> None:
        """Of kinds and names used equally often the alphabetically first one is taken, whoever came first."""
        said = {"r1": ("beta", "descriptor"), "r2": ("alpha", "condition")}
        for root in order:
            name, kind = said[root]
            graph.replace([root], [entity(root, "mesh:A", name, kind=kind)], [], version=0)
        node = graph.node("mesh:A")
        assert node is not None
        assert (node.name, node.kind) == ("alpha", "condition")

    def test_a_kind_changes_with_what_most_roots_say(self, graph: GraphStore) -> None:
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

    def test_a_write_replaces_all_rows_of_its_roots(self, graph: GraphStore) -> None:
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

    def test_a_root_without_facts_is_cleared(self, graph: GraphStore) -> None:
        """A root that is named and says nothing keeps no rows."""
        write(graph, r1="mesh:A")
        assert graph.replace(["r1"], [], [], version=0) == Written({"nodes": 0, "edges": 0}, replaced=1, refused=())
        assert graph.counts() == {"nodes": 0, "edges": 0}

    def test_an_older_version_is_refused_per_root(self, graph: GraphStore) -> None:
        """A root that a newer submission wrote is left alone; the others of the same write are taken."""
        write(graph, 5, r1="mesh:A")
        written = write(graph, 3, r1="mesh:OLD mesh:OLDER", r2="mesh:B")
        assert written == Written({"nodes": 4, "edges": 2}, replaced=0, refused=("r1",))
        assert graph.node("mesh:OLD") is None
        assert {edge.object for edge in graph.edges("doc:r1", limit=9)} == {"mesh:A"}
        assert graph.node("mesh:B") is not None

    def test_several_records_of_one_node_and_root_are_one_row(self, graph: GraphStore) -> None:
        """Two documents of a root that name the same thing, or say the same, give one row each."""
        entities = [entity("r1", "n", "first", "x:1"), entity("r1", "n", "second", "y:2")]
        claims = [claim("r1", "d", "n", words="first"), claim("r1", "d", "n", words="second")]
        assert graph.replace(["r1"], entities, claims, version=0).rows == {"nodes": 1, "edges": 1}
        assert graph.node("n") == Node(id="n", kind="condition", name="first", identifiers=("x:1", "y:2"), roots=1)
        assert [edge.evidence for edge in graph.edges("n", limit=9)] == ["first"]

    def test_an_older_write_does_not_bring_a_removed_root_back(self, graph: GraphStore) -> None:
        """Removal leaves the root's version behind, also of a root that had no rows; an equal or newer write is taken."""
        write(graph, 2, r1="mesh:A")
        graph.remove(["r1", "r2"], version=4)
        assert write(graph, 3, r1="mesh:A", r2="mesh:B").refused == ("r1", "r2")
        assert graph.remove(["r1"], version=3) == Removed(0, ("r1",))
        assert graph.counts() == {"nodes": 0, "edges": 0}
        assert write(graph, 4, r1="mesh:A").refused == write(graph, 5, r2="mesh:B").refused == ()
        assert graph.counts() == {"nodes": 4, "edges": 2}

    def test_what_is_kept_of_a_root_is_counted_and_erased(self, graph: GraphStore) -> None:
        """Its statements and edges go, and nodes that only it speaks of; what others say stays."""
        write(graph, 7, r1="mesh:A mesh:B", r2="mesh:A")
        assert graph.kept("r1") == {"nodes": 3, "edges": 2}
        assert graph.erase("r1") == {"nodes": 3, "edges": 2}
        assert graph.erase("r1") == graph.kept("r1") == {"nodes": 0, "edges": 0}
        assert graph.node("mesh:B") is None
        assert (found := graph.node("mesh:A")) is not None
        assert found.roots == 1
        assert write(graph, 1, r1="mesh:B").refused == ()

    def test_removed_roots_are_gone(self, graph: GraphStore) -> None:
        """What removed roots said is gone, what others say stays; roots without rows do not count."""
        write(graph, 5, r1="mesh:A mesh:B", r2="mesh:B")
        assert graph.remove(["r1", "r1", "absent"], version=5) == Removed(1, ())
        assert graph.remove([], version=5) == graph.remove(["r1"], version=5) == Removed(0, ())
        assert graph.node("mesh:A") is None
        assert graph.counts() == {"nodes": 2, "edges": 1}
        graph.remove(["r2"], version=6)
        assert graph.counts() == NOTHING

    def test_an_older_removal_is_refused_per_root(self, graph: GraphStore) -> None:
        """A root that a newer submission wrote is not removed by an older one; the others named with it are."""
        write(graph, 5, r1="mesh:A")
        before = list(graph.everything())
        write(graph, 3, r2="mesh:B")
        assert graph.remove(["r1", "r2"], version=4) == Removed(1, ("r1",))
        assert list(graph.everything()) == before

    def test_stray_records_are_refused(self, graph: GraphStore) -> None:
        """Rows of a root that the write does not name refuse it whole."""
        write(graph, r1="mesh:A")
        before = list(graph.everything())
        with pytest.raises(ContractError, match="does not name: r9"):
            graph.replace(["r1"], [entity("r1", "mesh:B"), entity("r9", "mesh:C")], [], version=0)
        assert list(graph.everything()) == before

    def test_a_graph_opens_again(self, store: Store) -> None:
        """What was written is there for the next one who opens it."""
        for expected in (NOTHING, {"nodes": 2, "edges": 1}):
            with closing(store.graph()) as graph:
                assert graph.counts() == expected
                write(graph, r1="mesh:A")
