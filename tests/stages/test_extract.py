"""``extract``: facts become entities and claims with exact spans."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_kg import InputError, ItemRejected, StageContext
from medical_kg.documents.build import DocumentBuilder
from medical_kg.documents.ir import Block, Concept, Document, Fact, Provenance, Section
from medical_kg.documents.keys import CLAIMS, ENTITIES
from medical_kg.documents.records import Claim, Entity, Mention
from medical_kg.extraction.naming import node_of, normal_name
from medical_kg.stages.extract import ExtractConfig, ExtractStage, Spans
from medical_kg.testing import run_stage

CTX = StageContext(
    pipeline="p",
    stage="extract",
    submission_id="s",
    batch_id="b",
    tenant="t",
    config=None,
    logger=logging.LoggerAdapter(logging.getLogger("test")),
)
TITLE = "Aspirin in heart failure"
BODY = "Painful swelling is common. Pain and Heart Failure were treated with aspirin."
TEXT = f"{TITLE}\n{BODY}"
BODY_START = len(TITLE) + 1
PROVENANCE = Provenance(source="files", uri="file:///trial.json", format="clinicaltrials-json", sha256="ab")


def document(*facts: Fact, **more: Any) -> Document:
    blocks = (
        Block(id="b0", kind="title", start=0, end=len(TITLE)),
        Block(id="b1", start=BODY_START, end=len(TEXT)),
    )
    fields: dict[str, Any] = {
        "id": "nct:NCT01",
        "root": "r1",
        "kind": "trial",
        "title": TITLE,
        "text": TEXT,
        "sections": (Section(id="s", blocks=blocks),),
        "identifiers": ("nct:NCT01", "EUDRACT:2020-1"),
        "provenance": PROVENANCE,
    }
    return Document(**(fields | {"facts": facts} | more))


def fact(name: str, *identifiers: str, kind: str = "condition", predicate: str = "studies", at: str = "/c/0") -> Fact:
    concept = Concept(kind=kind, name=name, identifiers=identifiers)
    return Fact(predicate=predicate, object=concept, pointer=at, evidence=name)


def extract(one: Document) -> tuple[list[Entity], list[Claim]]:
    output = ExtractStage(ExtractConfig()).process(CTX, one)
    return output[ENTITIES], output[CLAIMS]


def test_document_is_a_node() -> None:
    """A document without facts gives its own node, all its identifiers kept, and no claim."""
    entities, claims = extract(document())
    assert claims == []
    assert [(one.node, one.kind, one.name, one.identifiers) for one in entities] == [
        ("nct:NCT01", "trial", TITLE, ("nct:NCT01", "eudract:2020-1"))
    ]
    assert entities[0].mentions == (Mention(block="b0", start=0, end=len(TITLE), text=TITLE),)


def test_fact_becomes_entity_and_claim_with_its_span() -> None:
    """A fact whose words stand in the text carries their exact span beside the pointer."""
    entities, (claim,) = extract(document(fact("Heart Failure", "MESH:D006333")))
    start = TEXT.index("Heart Failure")
    evidence = Mention(pointer="/c/0", block="b1", start=start, end=start + 13, text="Heart Failure")
    assert entities[1].model_dump(exclude={"id"}) == {
        "root": "r1",
        "node": "mesh:D006333",
        "kind": "condition",
        "name": "Heart Failure",
        "identifiers": ("mesh:D006333",),
        "mentions": (evidence.model_dump(),),
    }
    assert (claim.subject, claim.predicate, claim.object) == ("nct:NCT01", "studies", "mesh:D006333")
    assert (claim.evidence, claim.method, claim.provenance, claim.root) == (evidence, "structured", PROVENANCE, "r1")
    assert TEXT[evidence.start : evidence.end] == evidence.text


def test_words_that_do_not_stand_in_the_text_keep_their_pointer() -> None:
    """Evidence found only in the structured data has a pointer and no span."""
    _, (claim,) = extract(document(fact("Oedema")))
    assert claim.evidence == Mention(pointer="/c/0", text="Oedema")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("Pain", TEXT.index("Pain and")),
        (" swelling ", TEXT.index("swelling")),
        ("failure\nPainful", None),
        ("wellin", None),
        ("common.", TEXT.index("common.")),
        ("", None),
        ("  ", None),
        ("absent", None),
    ],
)
def test_span_is_whole_words_inside_one_block(words: str, found: int | None) -> None:
    """Words count as found where no word is cut and no block's end is crossed."""
    span = Spans(document()).find(words)
    assert (span and span[1]) == found
    if span:
        block, start, end = span
        assert TEXT[start:end] == words.strip()
        assert block.start <= start <= end <= block.end


def test_text_outside_all_blocks_is_no_evidence() -> None:
    """A span must lie in a block; text before the first or between blocks belongs to none."""
    section = Section(id="s", blocks=(Block(id="b1", start=BODY_START, end=len(TEXT)),))
    assert Spans(document(sections=(section,))).find("Aspirin") is None


@given(st.data())
def test_every_span_reproduces_its_words(data: st.DataObject) -> None:
    """Whatever words are found, the span's text is exactly those words."""
    words = data.draw(st.sampled_from(TEXT.split()))
    span = Spans(document()).find(words)
    assert span is None or TEXT[span[1] : span[2]] == words


@pytest.mark.parametrize(
    ("concept", "node"),
    [
        (Concept(kind="condition", name="Asthma", identifiers=("MeSH:D001249", "x:1")), "mesh:D001249"),
        (Concept(kind="condition", name="Asthma", identifiers=(" ", "x: 1 ")), "x:1"),
        (Concept(kind="condition", name="Asthma", identifiers=("local",)), "local"),
        (Concept(kind="condition", name="  Heart \n FAILURE, "), "condition:heart failure"),
        (Concept(kind="intervention", name="Placebo (oral)"), "intervention:placebo (oral)"),
        (Concept(kind="condition", name="Straße"), "condition:strasse"),
        (Concept(kind="condition", name="-"), "condition:-"),
        (Concept(kind="condition", name=" "), None),
    ],
)
def test_node_of_a_concept(concept: Concept, node: str | None) -> None:
    """The first identifier decides, its prefix in lower case; else the kind and the normalised name."""
    assert node_of(concept) == node


@given(st.text())
def test_normal_name_is_settled(name: str) -> None:
    """Normalising a second time changes nothing, and case and outer white space never matter."""
    once = normal_name(name)
    assert normal_name(once) == once
    assert normal_name(f"  {name}\t") == once


def test_same_node_merges_within_a_document() -> None:
    """Facts of one node give one entity with all mentions and identifiers, and a claim per predicate."""
    entities, claims = extract(
        document(
            fact("Heart Failure", "mesh:D006333", at="/c/0"),
            fact("cardiac failure", "mesh:D006333", "umls:C1", at="/c/1"),
            fact("Heart Failure", "mesh:D006333", predicate="mentions", at="/k/0"),
        )
    )
    assert [one.node for one in entities] == ["nct:NCT01", "mesh:D006333"]
    assert entities[1].name == "Heart Failure"
    assert entities[1].identifiers == ("mesh:D006333", "umls:C1")
    assert [mention.pointer for mention in entities[1].mentions] == ["/c/0", "/c/1", "/k/0"]
    assert [(claim.predicate, claim.evidence.pointer) for claim in claims] == [
        ("studies", "/c/0"),
        ("mentions", "/k/0"),
    ]


def test_fact_about_the_document_itself_joins_its_node() -> None:
    """A document that names itself stays one node."""
    entities, _ = extract(document(fact("A trial", "NCT:NCT01", kind="trial")))
    assert [(one.node, one.name) for one in entities] == [("nct:NCT01", TITLE)]


def test_ids_are_unique_and_the_same_each_time() -> None:
    """Ids depend on root, document and what is said, on nothing else."""
    one = document(fact("Pain"), fact("Asthma"), fact("Pain", predicate="mentions"))
    other = document(fact("Pain"), root="r2")
    entities, claims = extract(one)
    more_entities, more_claims = extract(other)
    assert extract(one) == (entities, claims)
    ids = [one.id for one in (*entities, *more_entities)] + [one.id for one in (*claims, *more_claims)]
    assert len(set(ids)) == len(ids) == 9


def test_concept_without_name_takes_its_node_as_name() -> None:
    """A node always has a name to show."""
    entities, _ = extract(document(fact("", "pmid:12", kind="article")))
    assert entities[1].name == "pmid:12"


def test_document_without_title_is_named_by_its_id() -> None:
    """A document without a title still has a name."""
    entities, _ = extract(document(title=" "))
    assert entities[0].name == "nct:NCT01"


def test_nameless_concept_is_rejected_with_its_place() -> None:
    """A fact about nothing rejects the document, saying where it stands."""
    with pytest.raises(ItemRejected, match=r"nct:NCT01: studies at /c/0 names a condition without"):
        extract(document(fact(" ")))


def test_count_is_entities_and_claims() -> None:
    """The counter gives both numbers of the handled output."""
    entities, claims = extract(document(fact("Pain"), fact("Asthma")))
    counter = ExtractStage.metadata.output_counter
    assert counter is not None
    assert counter({ENTITIES: entities, CLAIMS: claims}) == {"entities": 3, "claims": 2}


def test_concepts_of_the_text_stand_beside_the_facts(tmp_path: Path) -> None:
    """With a vocabulary the text is read too; a node that both give keeps the fact's name and has both's mentions."""
    table = tmp_path / "t.tsv"
    table.write_text("MESH:D006333\tCardiac Failure\theart failure\nMESH:D010146\tPain\t\n", encoding="utf-8")
    choice = {"vocabulary": "tsv", "options": {"path": str(table), "kind": "condition"}}
    one = document(fact("Heart Failure", "MESH:D006333"))
    run = run_stage(ExtractStage, {"vocabularies": [choice]}, documents=[one], workspace=tmp_path)
    entities: dict[str, Entity] = {entity.node: entity for entity in run.output[ENTITIES.name]}
    assert list(entities) == ["nct:NCT01", "mesh:D006333", "mesh:D010146"]
    assert entities["mesh:D006333"].name == "Heart Failure"
    assert [mention.text for mention in entities["mesh:D006333"].mentions] == [
        "Heart Failure",
        "heart failure",
        "Heart Failure",
    ]
    claims: list[Claim] = run.output[CLAIMS.name]
    assert [(claim.predicate, claim.object, claim.method) for claim in claims] == [
        ("studies", "mesh:D006333", "structured"),
        ("mentions", "mesh:D006333", "dictionary"),
        ("mentions", "mesh:D010146", "dictionary"),
    ]
    assert claims[2].sentence is not None
    assert claims[2].sentence.text == "Pain and Heart Failure were treated with aspirin."


def test_a_vocabulary_that_cannot_be_read_stops_the_stage(tmp_path: Path) -> None:
    """A file that is not there is told before any document is read."""
    choice = {"vocabulary": "obo", "options": {"path": str(tmp_path / "hp.obo")}}
    with pytest.raises(InputError, match=r"hp\.obo does not exist"):
        run_stage(ExtractStage, {"vocabularies": [choice]}, documents=[document()], workspace=tmp_path)


def test_a_shipped_vocabulary_is_named_in_a_word(tmp_path: Path) -> None:
    """A vocabulary without options is its name alone; the Disease Ontology finds a disease by its MeSH node."""
    builder = DocumentBuilder()
    builder.block("No asthma; congestive heart failure.")
    one = builder.build(id="file:a", root="r", kind="text", title="a", provenance=PROVENANCE)
    run = run_stage(ExtractStage, {"vocabularies": ["disease-ontology"]}, documents=[one], workspace=tmp_path)
    assert [(claim.predicate, claim.object) for claim in run.output[CLAIMS.name]] == [
        ("mentions_as_absent", "mesh:D001249"),
        ("mentions", "mesh:D006333"),
    ]


def test_a_claim_says_who_states_it_and_what_found_it() -> None:
    """Every claim has its document, the stage with its version, and a confidence; a document's own data are certain."""
    (claim,) = ExtractStage(ExtractConfig()).process(CTX, document(fact("Heart Failure")))[CLAIMS]
    version = ExtractStage.metadata.version
    assert (claim.document, claim.stage, claim.confidence) == ("nct:NCT01", f"extract {version}", 1.0)


def test_a_fact_without_identifier_meets_the_concept_of_its_name(tmp_path: Path) -> None:
    """A condition that a document only names is the vocabulary's node of this name and kind; one with an id stays as it is."""
    table = tmp_path / "t.tsv"
    table.write_text("MESH:D006333\tCardiac Failure\theart failure\nMESH:D010146\tPain\t\n", encoding="utf-8")
    choice = {"vocabulary": "tsv", "options": {"path": str(table), "kind": "condition"}}
    facts = [
        fact("Heart failure (HF)", at="/c/0"),
        fact("Severe pain", at="/c/1"),
        fact("pain", kind="intervention", at="/c/2"),
        fact("Pain", "local:7", at="/c/3"),
    ]
    run = run_stage(ExtractStage, {"vocabularies": [choice]}, documents=[document(*facts)], workspace=tmp_path)
    structured = [claim.object for claim in run.output[CLAIMS.name] if claim.method == "structured"]
    assert structured == ["mesh:D006333", "condition:severe pain", "intervention:pain", "local:7"]
