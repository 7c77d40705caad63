"""Real documents of every kind: whatever is found stands where it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Mention, Payload
from medical_kg.extraction.lexicon import build
from medical_kg.extraction.mentions import Finder
from medical_kg.extraction.statements import statements
from medical_kg.formats.clinicaltrials import ClinicalTrialsFormat
from medical_kg.formats.contract import Format, RawRecord
from medical_kg.formats.jats import JatsFormat
from medical_kg.formats.pubmed import PubMedFormat
from medical_kg.vocabularies.packaged import DiseaseOntology, Hgnc

SETS: tuple[tuple[Format, str], ...] = (
    (JatsFormat(), "jats/*.*xml"),
    (ClinicalTrialsFormat(), "ctgov/single/*.json"),
    (PubMedFormat(), "pubmed/*/*.xml"),
)


def documents(shared_data: Path) -> list[Document]:
    found = []
    for chosen, pattern in SETS:
        for path in sorted(shared_data.glob(pattern)):
            with path.open("rb") as stream:
                for record in chosen.records(stream, path.name):
                    if isinstance(record, RawRecord):
                        origin = Provenance(source="test", uri=path.name)
                        payload = Payload(id=record.id, format=chosen.name, content=record.content, provenance=origin)
                        found.append(chosen.parse(payload))
    return found


@pytest.mark.slow
def test_every_place_reproduces_the_text(shared_data: Path) -> None:
    """Mentions, sentences and evidence of all documents are the text at their offsets, inside their block, in order."""
    finder = Finder(build([DiseaseOntology(), Hgnc()]))
    kinds: set[str] = set()
    for document in documents(shared_data):
        said = statements(document, finder)
        blocks = {block.id: block for block in document.blocks}

        def is_there(mention: Mention, document: Document = document, blocks: dict = blocks) -> bool:  # type: ignore[type-arg]
            block = blocks[mention.block]
            assert mention.start is not None
            assert mention.end is not None
            inside = block.start <= mention.start < mention.end <= block.end
            return inside and document.text[mention.start : mention.end] == mention.text

        assert all(is_there(mention) for entity in said.entities for mention in entity.mentions)
        assert all(is_there(claim.evidence) and claim.sentence and is_there(claim.sentence) for claim in said.claims)
        assert len({claim.id for claim in said.claims}) == len(said.claims)
        assert len({entity.id for entity in said.entities}) == len(said.entities)
        nodes = {entity.node for entity in said.entities} | {document.id}
        assert all({claim.subject, claim.object} <= nodes for claim in said.claims)
        kinds |= {entity.kind for entity in said.entities}
    assert kinds == {"condition", "gene"}
