"""Which records are one work, and what edges keep."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from medical_kg.documents.records import Entity, Mention
from medical_kg.stores.conformance.graph_samples import (
    JATS,
    OPENALEX,
    PUBMED,
    TRIAL,
    ends,
    work_claim,
    write_record,
)
from medical_kg.stores.contract import Edge, Node

if TYPE_CHECKING:
    from medical_kg.stores.contract import GraphStore


class GraphWorksRules:
    """Rules of works, and of what every edge says."""

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_records_of_one_work_are_one_node(self, graph: GraphStore, seed: int) -> None:
        """Whatever order they come in, the records with one DOI, PMID or PMCID are one node with all that each says."""
        records = [PUBMED, JATS, OPENALEX]
        random.Random(seed).shuffle(records)
        for record in records:
            write_record(graph, record, ("mentions", f"mesh:{record[0]}"))
        expected = Node(
            id="pmid:1",
            kind="article",
            name="By jats",
            identifiers=("doi:10.1/A", "doi:10.1/a", "openalex:W1", "pmcid:PMC5", "pmid:1"),
            roots=3,
        )
        for ident in ("pmid:1", "PMCID:pmc5", "openalex:W1", "doi:10.1/a"):
            assert graph.node(ident) == expected
        assert graph.counts() == {"nodes": 4, "edges": 3}
        said = {("pmid:1", "mentions", f"mesh:{root}", node) for root, node, _, _ in records}
        assert ends(graph.edges("pmid:1", limit=9)) == said
        nodes, edges = graph.neighbors("mesh:jats", depth=2, limit=9)
        assert [node.id for node in nodes] == ["pmid:1", "mesh:openalex", "mesh:pubmed"]
        assert ends(edges) == said
        parts = list(graph.everything())
        assert {part.id for part in parts if isinstance(part, Node)} == {
            "pmid:1",
            "mesh:jats",
            "mesh:openalex",
            "mesh:pubmed",
        }
        assert ends([part for part in parts if isinstance(part, Edge)]) == said

    def test_a_citation_by_doi_reaches_the_article(self, graph: GraphStore) -> None:
        """An article that is only cited, under another of its identifiers, is the article."""
        write_record(graph, ("other", "pmid:9", "article", ("pmid:9",)), ("cites", "doi:10.1/a"))
        write_record(graph, PUBMED)
        assert ends(graph.edges("pmid:1", limit=9)) == {("pmid:9", "cites", "pmid:1", "pmid:9")}

    def test_a_trial_and_its_report_stay_two(self, graph: GraphStore) -> None:
        """An article that reports on a trial is linked to it, even when its record gives the trial's number as its own."""
        write_record(graph, TRIAL, ("studies", "mesh:D1"))
        write_record(graph, ("report", "pmid:7", "article", ("pmid:7", "nct:NCT01")), ("reports_on", "nct:NCT01"))
        assert graph.counts()["nodes"] == 3
        assert ends(graph.edges("pmid:7", limit=9)) == {("pmid:7", "reports_on", "nct:NCT01", "pmid:7")}

    def test_a_shared_doi_of_two_articles_joins_nothing(self, graph: GraphStore) -> None:
        """Two PubMed numbers under one DOI are a mistake of the data, not one article."""
        write_record(graph, ("a", "pmid:1", "article", ("pmid:1", "doi:10.1/a")))
        write_record(graph, ("b", "pmid:2", "article", ("pmid:2", "doi:10.1/a")))
        write_record(graph, ("c", "doi:10.1/a", "article", ("doi:10.1/a",)))
        assert graph.counts()["nodes"] == 3

    def test_many_works_of_one_write_are_joined(self, graph: GraphStore) -> None:
        """Works whose records stand far apart in a large write are joined as well."""
        records = [
            ("r", f"{scheme}{number}", "article", f"doi:10.1/{number}")
            for number in range(600)
            for scheme in ("doi:10.1/", "openalex:W")
        ]
        entities = [
            Entity(id=node, root=root, node=node, kind=kind, name=node, identifiers=(node, doi))
            for root, node, kind, doi in records
        ]
        assert graph.replace(["r"], entities, [], version=0).rows == {"nodes": 600, "edges": 0}
        found = graph.node("openalex:W599")
        assert found is not None
        assert (found.id, found.roots) == ("doi:10.1/599", 1)

    def test_an_edge_goes_with_its_last_document(self, graph: GraphStore) -> None:
        """An edge that two documents state stays while one of them does, and is gone with the last."""
        shared = work_claim("", "mesh:A", "treats", "mesh:B")
        both = [shared.model_copy(update={"root": root, "document": f"pmid:{root}"}) for root in ("1", "2")]
        for one in both:
            graph.replace([one.root], [], [one], version=0)
        assert [edge.document for edge in graph.edges("mesh:A", limit=9)] == ["pmid:1", "pmid:2"]
        graph.remove(["1"], version=1)
        assert [edge.document for edge in graph.edges("mesh:A", limit=9)] == ["pmid:2"]
        graph.erase("2")
        assert graph.edges("mesh:A", limit=9) == []
        assert list(graph.everything()) == []

    def test_ends_nobody_describes_are_nodes_of_the_whole(self, graph: GraphStore) -> None:
        """Every end of an edge is among the nodes, so that a file of the whole graph is complete."""
        graph.replace(["r"], [], [work_claim("r", "x", "treats", "y")], version=0)
        unknown = [Node(id=name, kind="unknown", name=name) for name in ("x", "y")]
        assert list(graph.everything())[:2] == unknown

    def test_an_edge_keeps_its_sentence_and_its_denial(self, graph: GraphStore) -> None:
        """Sentence with its place, polarity, stage version, and confidence are read back as they were written."""
        denied = work_claim("r", "pmid:1", "mentions_as_absent", "mesh:A").model_copy(
            update={
                "evidence": Mention(block="b", start=13, end=17, text="pain"),
                "sentence": Mention(block="b", start=10, end=18, text="No pain."),
                "polarity": "negated",
                "stage": "extract 2.1.0",
                "confidence": 0.8,
            }
        )
        graph.replace(["r"], [], [denied], version=0)
        (edge,) = graph.edges("mesh:A", limit=9)
        found = (edge.sentence, edge.sentence_start, edge.polarity, edge.stage, edge.confidence, edge.document)
        assert found == ("No pain.", 10, "negated", "extract 2.1.0", 0.8, "pmid:1")
