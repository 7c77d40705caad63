"""How names may be written: acronyms to the letter, no ordinary words, adjectives, natural order, drugs without salt."""

from __future__ import annotations

import pytest

from medical_kg.extraction.forms import Form, forms, is_acronym, usable
from medical_kg.vocabularies.contract import Term


def written(name: str, kind: str = "condition", *synonyms: str) -> list[Form]:
    return list(forms(Term("X:1", name, synonyms), kind))


@pytest.mark.parametrize("name", ["COPD", "TNFa", "mTOR2A", "AIDS", "p53", "IL6", "Ebo"])
def test_acronyms(name: str) -> None:
    """Several capitals, a capital and a digit, or three characters: case counts."""
    assert is_acronym(name)


@pytest.mark.parametrize("name", ["Asthma", "asthma", "Gout", "Vitamin A", "Cisplatin"])
def test_no_acronyms(name: str) -> None:
    """Words, capitalised or not, and several words."""
    assert not is_acronym(name)


@pytest.mark.parametrize(
    "name", ["was", "Was", "All", "disease", "Diseases", "lead", "Cold", "an", "x", "12", "--", ""]
)
def test_ordinary_words_are_no_names(name: str) -> None:
    """Function words, heads alone, everyday words, single characters and what has no letter are never looked for."""
    assert not usable(name)


def test_an_acronym_may_spell_an_ordinary_word() -> None:
    """ALL and WAS in capitals are names, and need these capitals; two letters need a definition in the document."""
    assert written("WAS") == [Form(("was",), "WAS")]
    assert written("MI") == []


def test_one_word_gene_names_need_their_case() -> None:
    """Whatever a symbol looks like, it has to stand there as written; a gene's full name does not."""
    assert written("Rosa", "gene", "alpha-1 glycoprotein") == [
        Form(("rosa",), "Rosa"),
        Form(("alpha", "1", "glycoprotein")),
    ]


@pytest.mark.parametrize(
    ("name", "adjective"),
    [
        ("Hypertension", "hypertensive"),
        ("epilepsy", "epileptic"),
        ("Ischemia", "ischemic"),
        ("Thrombosis", "thrombotic"),
        ("Arrhythmia", "arrhythmic"),
        ("neurotoxicity", "neurotoxic"),
    ],
)
def test_conditions_have_adjectives(name: str, adjective: str) -> None:
    """A one-word condition is also looked for as its adjective; nothing else has one."""
    assert Form((adjective,)) in written(name)
    assert len(written(name, "chemical")) == 1


def test_inverted_names_are_put_right() -> None:
    """``Neoplasms, Abdominal`` is written ``abdominal neoplasms``; a chemical's commas are part of its name."""
    assert Form(("abdominal", "neoplasm")) in written("Neoplasms, Abdominal")
    assert written("1,2-dihydroxybenzene, pure", "chemical") == [Form(("1", ",", "2", "dihydroxybenzene", ",", "pure"))]


def test_drugs_are_written_without_their_salt() -> None:
    """``Quetiapine Fumarate`` is mostly written ``quetiapine``; short first words are elements."""
    assert Form(("quetiapine",)) in written("Quetiapine Fumarate", "chemical")
    assert Form(("zinc",)) not in written("Zinc Sulfate", "chemical")


def test_very_long_names_are_left_out() -> None:
    """A name of more words than anybody writes out is not looked for."""
    assert written(" ".join(["methyl"] * 17), "chemical") == []
