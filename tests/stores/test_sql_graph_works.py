"""Records of one work are one node of the graph, on either database; a trial and an article about it stay two."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from sqlalchemy import select, text

from medical_kg.documents.ir import Provenance
from medical_kg.documents.records import Claim, Entity, Mention
from medical_kg.orchestration.contract.database import open_engine, reading, writing
from medical_kg.stores.contract import Edge, Node
from medical_kg.stores.sql_graph import SqlGraph
from medical_kg.stores.sql_graph_schema import SUPPORT
from medical_kg.stores.sql_graph_tables import SAME
from medical_kg.stores.sql_schema import SCHEMAS

PUBMED = ("pubmed", "pmid:1", "article", ("pmid:1", "doi:10.1/a", "pmcid:PMC5"))
JATS = ("jats", "pmcid:PMC5", "article", ("pmcid:PMC5", "doi:10.1/A"))
OPENALEX = ("openalex", "openalex:W1", "article", ("openalex:W1", "doi:10.1/a"))
TRIAL = ("trial", "nct:NCT01", "trial", ("nct:NCT01",))
Record = tuple[str, str, str, tuple[str, ...]]


@pytest.fixture
def graph(url: str) -> Iterator[SqlGraph]:
    opened = SqlGraph(url)
    yield opened
    opened.close()


def write(graph: SqlGraph, record: Record, *said: tuple[str, str], version: int = 0) -> None:
    """Write a record that says: predicate, object."""
    root, node, kind, identifiers = record
    entities = [Entity(id=node, root=root, node=node, kind=kind, name=f"By {root}", identifiers=identifiers)]
    others = dict.fromkeys(other for _, other in said)
    kinds = {"nct": "trial", "pmid": "article", "doi": "article"}
    entities += [
        Entity(
            id=other,
            root=root,
            node=other,
            kind=kinds.get(other.split(":")[0], "condition"),
            name=other,
            identifiers=(other,),
        )
        for other in others
    ]
    graph.replace([root], entities, [claim(root, node, *one) for one in said], version=version)


def claim(root: str, subject: str, predicate: str, object_: str) -> Claim:
    return Claim(
        id=f"{subject}{predicate}{object_}",
        root=root,
        subject=subject,
        predicate=predicate,
        object=object_,
        evidence=Mention(text="words"),
        method="structured",
        provenance=Provenance(source="files", uri="file:///x"),
        document=subject,
    )


def ends(edges: list[Edge]) -> set[tuple[str, str, str, str]]:
    return {(edge.subject, edge.predicate, edge.object, edge.document) for edge in edges}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_records_of_one_work_are_one_node(graph: SqlGraph, seed: int) -> None:
    """Whatever order they come in, the records with one DOI, PMID or PMCID are one node with all that each says."""
    records = [PUBMED, JATS, OPENALEX]
    random.Random(seed).shuffle(records)
    for record in records:
        write(graph, record, ("mentions", f"mesh:{record[0]}"))
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


def test_a_citation_by_doi_reaches_the_article(graph: SqlGraph) -> None:
    """An article that is only cited, under another of its identifiers, is the article."""
    write(graph, ("other", "pmid:9", "article", ("pmid:9",)), ("cites", "doi:10.1/a"))
    write(graph, PUBMED)
    assert ends(graph.edges("pmid:1", limit=9)) == {("pmid:9", "cites", "pmid:1", "pmid:9")}


def test_a_trial_and_its_report_stay_two(graph: SqlGraph) -> None:
    """An article that reports on a trial is linked to it, even when its record gives the trial's number as its own."""
    write(graph, TRIAL, ("studies", "mesh:D1"))
    write(graph, ("report", "pmid:7", "article", ("pmid:7", "nct:NCT01")), ("reports_on", "nct:NCT01"))
    assert graph.counts()["nodes"] == 3
    assert ends(graph.edges("pmid:7", limit=9)) == {("pmid:7", "reports_on", "nct:NCT01", "pmid:7")}


def test_a_work_comes_apart_with_the_record_that_joined_it(graph: SqlGraph, url: str) -> None:
    """When the one record that gives both numbers goes, the others are two nodes again, each with its own edges."""
    write(graph, ("a", "pmid:1", "article", ("pmid:1",)), ("mentions", "mesh:A"))
    write(graph, ("b", "pmcid:PMC5", "article", ("pmcid:PMC5",)), ("mentions", "mesh:B"))
    assert graph.counts()["nodes"] == 4
    write(graph, ("c", "openalex:W1", "article", ("openalex:W1", "pmid:1", "pmcid:PMC5")))
    assert graph.counts()["nodes"] == 3
    assert len(graph.edges("pmid:1", limit=9)) == 2
    assert graph.kept("c") == {"nodes": 1, "edges": 0}
    graph.remove(["c"], version=1)
    assert graph.counts()["nodes"] == 4
    assert ends(graph.edges("pmcid:PMC5", limit=9)) == {("pmcid:PMC5", "mentions", "mesh:B", "pmcid:PMC5")}
    engine = open_engine(url)
    with reading(engine) as connection:
        assert connection.execute(select(SAME)).all() == []
    engine.dispose()


def test_a_shared_doi_of_two_articles_joins_nothing(graph: SqlGraph) -> None:
    """Two PubMed numbers under one DOI are a mistake of the data, not one article."""
    write(graph, ("a", "pmid:1", "article", ("pmid:1", "doi:10.1/a")))
    write(graph, ("b", "pmid:2", "article", ("pmid:2", "doi:10.1/a")))
    write(graph, ("c", "doi:10.1/a", "article", ("doi:10.1/a",)))
    assert graph.counts()["nodes"] == 3


def test_many_works_of_one_write_are_joined(graph: SqlGraph) -> None:
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


def test_an_edge_goes_with_its_last_document(graph: SqlGraph) -> None:
    """An edge that two documents state stays while one of them does, and is gone with the last."""
    shared = claim("", "mesh:A", "treats", "mesh:B")
    both = [shared.model_copy(update={"root": root, "document": f"pmid:{root}"}) for root in ("1", "2")]
    for one in both:
        graph.replace([one.root], [], [one], version=0)
    assert [edge.document for edge in graph.edges("mesh:A", limit=9)] == ["pmid:1", "pmid:2"]
    graph.remove(["1"], version=1)
    assert [edge.document for edge in graph.edges("mesh:A", limit=9)] == ["pmid:2"]
    graph.erase("2")
    assert graph.edges("mesh:A", limit=9) == []
    assert list(graph.everything()) == []


def test_ends_nobody_describes_are_nodes_of_the_whole(graph: SqlGraph) -> None:
    """Every end of an edge is among the nodes, so that a file of the whole graph is complete."""
    graph.replace(["r"], [], [claim("r", "x", "treats", "y")], version=0)
    unknown = [Node(id=name, kind="unknown", name=name) for name in ("x", "y")]
    assert list(graph.everything())[:2] == unknown


def test_an_edge_keeps_its_sentence_and_its_denial(graph: SqlGraph) -> None:
    """Sentence with its place, polarity, stage version, and confidence are read back as they were written."""
    denied = claim("r", "pmid:1", "mentions_as_absent", "mesh:A").model_copy(
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


def test_a_graph_of_schema_1_is_upgraded(url: str) -> None:
    """Edges stay; who states one is known where it is about itself; records that are one work are joined."""
    graph = SqlGraph(url)
    write(graph, PUBMED, ("mentions", "mesh:A"))
    write(graph, JATS)
    graph.replace(
        ["r"], [], [claim("r", "mesh:A", "treats", "mesh:B").model_copy(update={"method": "pattern"})], version=0
    )
    graph.close()
    engine = open_engine(url)
    with writing(engine) as connection:  # as the release before left it
        for column in SUPPORT:
            connection.execute(text(f"ALTER TABLE graph_edges DROP COLUMN {column}"))
        for table in ("graph_works", "graph_same"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("DELETE FROM graph_nodes"))
        connection.execute(SCHEMAS.update().where(SCHEMAS.c.half == "graph").values(version=1))
    engine.dispose()
    graph = SqlGraph(url)
    assert graph.counts() == {"nodes": 2, "edges": 2}
    assert {(edge.predicate, edge.document) for edge in graph.edges("mesh:A", limit=9)} == {
        ("treats", ""),
        ("mentions", "pmid:1"),
    }
    found = graph.node("pmcid:PMC5")
    assert found is not None
    assert found.id == "pmid:1"
    assert (graph.edges("mesh:B", limit=9)[0].polarity, graph.edges("mesh:B", limit=9)[0].confidence) == (
        "affirmed",
        None,
    )
    graph.close()
