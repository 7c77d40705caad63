"""The shipped vocabularies: there, attributed, and what their sources say."""

from __future__ import annotations

from importlib import resources

import pytest

from medical_kg import InputError
from medical_kg.orchestration.registry import Installation
from medical_kg.vocabularies.contract import DOOR, Term, Vocabulary
from medical_kg.vocabularies.packaged import DiseaseOntology, Hgnc


def test_the_disease_ontology() -> None:
    """A known disease stands there as in the source, with its crosswalks but without SNOMED codes."""
    terms = {one.id: one for one in DiseaseOntology().terms()}
    assert terms["DOID:4"] == Term("DOID:4", "disease", (), ("MESH:D004194", "NCIT:C2991", "UMLS:C0012634"))
    assert terms["DOID:15"].synonyms == ("genital system disease",)
    assert terms["DOID:15"].parents == ("DOID:7",)
    assert len(terms) == 11_454
    assert not any("SNOMED" in ref for one in terms.values() for ref in one.xrefs)


def test_hgnc() -> None:
    """Approved genes with aliases, previous symbols and crosswalks; withdrawn symbols are not there."""
    terms = {one.id: one for one in Hgnc().terms()}
    assert terms["HGNC:24086"] == Term(
        "HGNC:24086",
        "A1CF",
        ("APOBEC1 complementation factor", "ACF", "ASP", "ACF64", "ACF65", "APOBEC1CF"),
        ("NCBIGENE:29974", "ENSEMBL:ENSG00000148584"),
    )
    assert terms["HGNC:37133"].synonyms == ("A1BG antisense RNA 1", "FLJ23569", "NCRNA00181", "A1BGAS", "A1BG-AS")
    assert "HGNC:6" not in terms


def test_fingerprints_are_of_the_content() -> None:
    """The two differ, and each is the same for every instance."""
    assert DiseaseOntology().fingerprint() == DiseaseOntology().fingerprint() != Hgnc().fingerprint()


def test_kinds_may_be_named_anew() -> None:
    """A shipped vocabulary knows what it is about, and takes the options of every vocabulary."""
    assert DiseaseOntology().options.kind == "condition"
    assert Hgnc({"kind": "locus"}).options.kind == "locus"
    with pytest.raises(InputError, match="vocabulary 'hgnc'"):
        Hgnc({"path": "x"})


def test_every_vocabulary_has_the_name_of_its_entry() -> None:
    """What stands behind the door is a Vocabulary under its own name."""
    installation = Installation()
    names = installation.door(DOOR).names()
    assert {"disease-ontology", "hgnc", "obo", "obo-json", "tsv"} <= set(names)
    for name in names:
        found = installation.door(DOOR).get(name)
        assert issubclass(found, Vocabulary)
        assert found.name == name


def test_shipped_data_is_attributed() -> None:
    """Each packed table is named in the notice beside it."""
    data = resources.files("medical_kg.vocabularies").joinpath("data")
    notice = data.joinpath("NOTICE.md").read_text(encoding="utf-8")
    tables = [one.name for one in data.iterdir() if one.name.endswith(".xz")]
    assert sorted(tables) == ["doid.tsv.xz", "hgnc.tsv.xz"]
    assert all(name in notice for name in tables)
