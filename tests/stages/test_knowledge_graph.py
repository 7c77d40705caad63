"""``knowledge-graph``: what a batch says stands in the store, once, and the receipt says so."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from medical_kg.documents.ir import Concept, Document, Fact, Provenance
from medical_kg.documents.keys import CLAIMS, ENTITIES, GRAPH_RECEIPT
from medical_kg.documents.records import Claim, Entity, GraphReceipt, RemovedRoot
from medical_kg.stages.extract import ExtractConfig, ExtractStage
from medical_kg.stages.knowledge_graph import KnowledgeGraphStage
from medical_kg.stores.contract import Store, Unsupported
from medical_kg.stores.database import DatabaseStore
from medical_kg.stores.sql_graph import SqlGraph
from medical_kg.testing import FakeWorkspace, StageRun, run_stage


class Stores:
    """The plugins service with the stores of a test."""

    stores: dict[str, type[Store]] = {"database": DatabaseStore, "bare": Store}  # noqa: RUF012  # a test's constant

    def get(self, door: str, name: str) -> type[Store]:
        assert door == "medical_kg.stores"
        return self.stores[name]


def document(root: str, *conditions: str) -> Document:
    facts = tuple(
        Fact(predicate="studies", object=Concept(kind="condition", name=name), pointer=f"/c/{at}", evidence=name)
        for at, name in enumerate(conditions)
    )
    return Document(
        id=f"nct:{root}",
        root=root,
        kind="trial",
        title=f"Trial {root}",
        text="",
        sections=(),
        facts=facts,
        provenance=Provenance(source="files", uri=f"file:///{root}.json"),
    )


def extracted(*documents: Document) -> dict[str, Any]:
    """What ``extract`` makes of the documents."""
    stage = ExtractStage(ExtractConfig())
    outputs = [stage.process(None, one) for one in documents]  # type: ignore[arg-type]  # extract asks nothing of ctx
    entities: list[Entity] = [one for output in outputs for one in output[ENTITIES]]
    claims: list[Claim] = [one for output in outputs for one in output[CLAIMS]]
    return {"entities": entities, "claims": claims}


def write(folder: Path, config: dict[str, Any] | None = None, /, **keywords: Any) -> StageRun:
    return run_stage(KnowledgeGraphStage, config, workspace=folder, services={"plugins": Stores()}, **keywords)


def receipt(run: StageRun) -> GraphReceipt:
    found = run.output["graph_receipt"]
    assert isinstance(found, GraphReceipt)
    return found


@pytest.fixture
def graph(tmp_path: Path) -> Any:
    opened = SqlGraph(FakeWorkspace(tmp_path).database_url)
    yield opened
    opened.close()


def test_nodes_and_edges_are_readable_from_the_store(tmp_path: Path, graph: SqlGraph) -> None:
    """After a run the store gives the batch's nodes and edges, and the receipt their numbers."""
    run = write(tmp_path, **extracted(document("r1", "Asthma", "Pain"), document("r2", "Pain")))
    assert receipt(run) == GraphReceipt(store="database", nodes=4, edges=3)
    assert run.counts == {"nodes": 4, "edges": 3, "removed": 0, "refused": 0}
    assert graph.counts() == {"nodes": 4, "edges": 3}
    assert [edge.subject for edge in graph.edges("condition:pain", limit=9)] == ["nct:r1", "nct:r2"]


def test_a_second_run_merges(tmp_path: Path, graph: SqlGraph) -> None:
    """Running again replaces the roots' rows; the store holds nothing twice, and the receipt says what stands."""
    one, two = document("r1", "Asthma"), document("r2", "Pain")
    write(tmp_path, **extracted(one, two))
    assert receipt(write(tmp_path, **extracted(one, two))).model_dump() == {
        "store": "database",
        "nodes": 4,
        "edges": 2,
        "replaced": 2,
        "removed": 0,
        "refused": 0,
    }
    assert graph.counts() == {"nodes": 4, "edges": 2}


def test_a_document_without_facts_clears_what_it_said(tmp_path: Path, graph: SqlGraph) -> None:
    """Where documents can be read, their roots are replaced, also those that say nothing any more."""
    write(tmp_path, **extracted(document("r1", "Asthma"), document("r2", "Pain")))
    run = write(tmp_path, entities=[], claims=[], documents=[document("r1")])
    assert receipt(run) == GraphReceipt(store="database", nodes=0, edges=0, replaced=1)
    assert graph.node("condition:asthma") is None
    assert graph.node("condition:pain") is not None


def test_without_documents_the_roots_of_entities_are_replaced(tmp_path: Path, graph: SqlGraph) -> None:
    """Where no documents are upstream, entities and claims tell the roots; others are left alone."""
    write(tmp_path, **extracted(document("r1", "Asthma"), document("r2", "Pain")))
    write(tmp_path, **extracted(document("r1", "Fever")))
    assert graph.node("condition:asthma") is None
    assert graph.node("condition:fever") is not None
    assert graph.node("condition:pain") is not None


def test_removed_roots_are_removed(tmp_path: Path, graph: SqlGraph, caplog: pytest.LogCaptureFixture) -> None:
    """Roots gone from the source leave the graph, and are counted as removed; one that is back is kept."""
    caplog.set_level(logging.INFO)
    write(tmp_path, **extracted(document("r1", "Asthma"), document("r2", "Pain")))
    gone = [RemovedRoot(id="r1"), RemovedRoot(id="r3"), RemovedRoot(id="r9")]
    run = write(tmp_path, removed=gone, **extracted(document("r3", "Fever")))
    assert receipt(run) == GraphReceipt(store="database", nodes=2, edges=1, removed=1)
    assert graph.node("nct:r1") is None
    assert graph.counts() == {"nodes": 4, "edges": 2}
    assert "removed 1 root(s)" in caplog.text


def test_an_older_submission_changes_nothing(tmp_path: Path, graph: SqlGraph, caplog: pytest.LogCaptureFixture) -> None:
    """The submission's sequence is the version: what a newer one wrote is left alone, and said."""
    write(tmp_path, sequence=2, **extracted(document("r1", "Asthma")))
    run = write(tmp_path, sequence=1, **extracted(document("r1", "Old", "Older")))
    assert receipt(run) == GraphReceipt(store="database", nodes=2, edges=1, refused=1)
    assert run.counts["refused"] == 1
    assert graph.node("condition:old") is None
    assert "1 root(s) were left alone: a newer submission wrote or removed them (r1)" in caplog.text


def test_removals_keep_the_order_of_submissions(tmp_path: Path, graph: SqlGraph) -> None:
    """An older sweep does not remove what a newer submission wrote, nor an older batch bring back what is removed."""
    write(tmp_path, sequence=7, **extracted(document("r1", "Asthma")))
    run = write(tmp_path, sequence=6, removed=[RemovedRoot(id="r1")], entities=[], claims=[])
    assert receipt(run) == GraphReceipt(store="database", nodes=0, edges=0, refused=1)
    assert graph.node("condition:asthma") is not None
    run = write(tmp_path, sequence=8, removed=[RemovedRoot(id="r1")], entities=[], claims=[])
    assert receipt(run) == GraphReceipt(store="database", nodes=0, edges=0, removed=1)
    assert receipt(write(tmp_path, sequence=7, **extracted(document("r1", "Asthma")))).refused == 1
    assert graph.counts() == {"nodes": 0, "edges": 0}


def test_a_root_that_is_back_is_not_forgotten(tmp_path: Path, graph: SqlGraph) -> None:
    """A root that is both removed and present is present: the version it stands at keeps guarding it."""
    write(tmp_path, sequence=2, **extracted(document("r1", "Asthma")))
    write(tmp_path, sequence=1, removed=[RemovedRoot(id="r1")], **extracted(document("r1", "Old")))
    assert graph.node("condition:old") is None
    assert graph.node("condition:asthma") is not None


def test_an_empty_batch_gives_an_honest_receipt(tmp_path: Path) -> None:
    """Nothing to write is written as nothing."""
    assert receipt(write(tmp_path, entities=[], claims=[])) == GraphReceipt(store="database", nodes=0, edges=0)


def test_a_store_without_a_graph_is_an_error(tmp_path: Path) -> None:
    """A store that has no graph says so; no receipt is made up."""
    with pytest.raises(Unsupported, match="has no graph"):
        write(tmp_path, {"store": "bare"}, entities=[], claims=[])


def test_config_names_a_store_and_nothing_else() -> None:
    """Unknown fields are refused; the store is marked as a name behind the stores' door, for the check."""
    model = KnowledgeGraphStage.metadata.config_model
    with pytest.raises(ValidationError):
        model.model_validate({"stores": "database"})
    (mark,) = model.model_fields["store"].metadata
    assert mark.door == "medical_kg.stores"
    assert KnowledgeGraphStage.metadata.writes == (GRAPH_RECEIPT,)
