"""``obo``: OBO flat files."""

from __future__ import annotations

from pathlib import Path

import pytest

from medical_kg import InputError
from medical_kg.vocabularies.contract import Term
from medical_kg.vocabularies.obo import OboVocabulary

OBO = r"""format-version: 1.2
ontology: hp

[Term]
id: HP:0000001
name: All

[Term]
id: HP:0001250
name: Seizure ! a comment
namespace: phenotype
synonym: "Epileptic \"fit\"" EXACT layperson [ORCID:0]
synonym: "Seizures" EXACT plural_form []
synonym: "Attack" RELATED []
synonym: "Fits, old" EXACT obsolete_synonym []
synonym: "no scope" []
xref: UMLS:C0036572 {source="x"}
xref: SNOMEDCT_US:91175000 "Seizure"
is_a: HP:0012638 ! Abnormal nervous system physiology

[Term]
id: HP:0000002
name: obsolete thing
is_obsolete: true

[Typedef]
id: part_of
name: part of
"""


def test_terms_with_synonyms_crosswalks_and_parents(tmp_path: Path) -> None:
    """Exact synonyms count, also with a type; related, untyped and discarded ones, comments and obsolete terms do not."""
    path = tmp_path / "hp.obo"
    path.write_text(OBO, encoding="utf-8")
    root, seizure = OboVocabulary({"path": str(path)}).terms()
    assert root == Term("HP:0000001", "All")
    assert seizure == Term(
        "HP:0001250",
        "Seizure",
        ('Epileptic "fit"', "Seizures"),
        ("UMLS:C0036572", "SNOMEDCT_US:91175000"),
        ("HP:0012638",),
        ("phenotype",),
    )


def test_scopes_choose_the_synonyms(tmp_path: Path) -> None:
    """A synonym without scope is a related one, as the format says."""
    path = tmp_path / "hp.obo"
    path.write_text(OBO, encoding="utf-8")
    _, seizure = OboVocabulary({"path": str(path), "scopes": ["RELATED"]}).terms()
    assert seizure.synonyms == ("Attack", "no scope")


def test_a_file_without_terms_is_refused(tmp_path: Path) -> None:
    """Something else than OBO is said to be that, instead of giving nothing."""
    path = tmp_path / "x.obo"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"no \[Term\] stanza"):
        list(OboVocabulary({"path": str(path)}).terms())


def test_the_human_phenotype_ontology(shared_data: Path) -> None:
    """The real file gives 19,944 terms less 555 obsolete ones; Seizure stands there as read by eye."""
    terms = {one.id: one for one in OboVocabulary({"path": str(shared_data / "vocab" / "hp.obo.xz")}).terms()}
    assert len(terms) == 19_944 - 555
    assert terms["HP:0001250"].name == "Seizure"
    assert "Epileptic seizure" in terms["HP:0001250"].synonyms
