"""Lexicons: what concepts are kept, what they are, and by which id they merge; and keeping a lexicon."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from given_vocabulary import Given

from medical_kg.extraction import cache
from medical_kg.extraction.cache import key_of, lexicon_of, load, save
from medical_kg.extraction.lexicon import build, kind_of
from medical_kg.extraction.mentions import Finder
from medical_kg.vocabularies.contract import Term, VocabularyOptions

LOGGER = logging.getLogger("test")
GOUT = Term("D:1", "Gout", ("podagra",), ("MESH:D006073", "UMLS:C1"), kind="condition")
FEVER = Term("D:2", "Fever", (), ("MESH:D1", "MESH:D2"), kind="condition")


def nodes(text: str, *vocabularies: Given) -> list[tuple[str, ...]]:
    return [one.concept.identifiers for one in Finder(build(vocabularies)).find(text, [(0, len(text))])]


def test_a_one_to_one_crosswalk_to_mesh_is_the_node() -> None:
    """A concept takes its MeSH id first when it has one that no other of the vocabulary has; prefixes are in lower case."""
    both = Given([GOUT, FEVER])
    assert nodes("gout fever", both) == [("mesh:D006073", "d:1", "umls:C1"), ("d:2", "mesh:D1", "mesh:D2")]
    twice = Given([GOUT, Term("D:3", "Tophus", (), ("MESH:D006073",), kind="condition")])
    assert nodes("gout", twice) == [("d:1", "mesh:D006073", "umls:C1")]


def test_of_equal_names_the_first_vocabulary_counts_but_names_come_before_synonyms() -> None:
    """A synonym of the first vocabulary gives way to a name of a later one; otherwise the first vocabulary counts."""
    first = Given([Term("A:1", "Gouty arthritis", ("gout",), kind="condition"), Term("A:2", "Fever", kind="condition")])
    second = Given([Term("B:1", "Gout", kind="condition"), Term("B:2", "Fever", kind="condition")])
    assert nodes("gout and fever", first, second) == [("b:1",), ("a:2",)]


MESH = VocabularyOptions(kind="", kinds={"C": "condition", "C23.550.291": "", "D12.776": "", "D": "chemical"})


@pytest.mark.parametrize(
    ("categories", "kind"),
    [
        (("C10.1",), "condition"),
        (("C23.550.291.1",), ""),
        (("D02.1", "C10.1"), "condition"),
        (("D02.1", "D12.776.1"), ""),
        (("D02.1",), "chemical"),
        (("Z01",), ""),
        ((), ""),
    ],
)
def test_kinds_by_category(categories: tuple[str, ...], kind: str) -> None:
    """The longest beginning counts, of several kinds the one that is named first; an empty one leaves the concept out."""
    assert kind_of(Term("X", "x", categories=categories), MESH) == kind


def test_a_kind_of_its_own_comes_first() -> None:
    """What the vocabulary says of the concept counts before its categories."""
    assert kind_of(Term("X", "x", categories=("D02",), kind="drug"), MESH) == "drug"


def test_branches_are_left_out_with_all_below() -> None:
    """``without`` takes out a concept and what is below it at any depth, also where there is a circle."""
    terms = [
        Term("X:1", "inheritance", parents=("X:3",)),
        Term("X:2", "dominance", parents=("X:1",)),
        Term("X:3", "penetrance", parents=("X:2",)),
        Term("X:4", "asthma"),
    ]
    assert nodes("inheritance dominance penetrance asthma", Given(terms, kind="condition", without=["X:1"])) == [
        ("x:4",)
    ]


def test_concepts_without_a_kind_are_left_out() -> None:
    """What nobody says what it is is not looked for."""
    assert nodes("asthma", Given([Term("X:4", "asthma")])) == []


@pytest.fixture
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_loaded", type(cache._loaded)())


def test_a_kept_lexicon_is_the_same(tmp_path: Path) -> None:
    """Written and read again it finds the same, names with letters that count too."""
    lexicon = build([Given([GOUT, FEVER, Term("G:1", "SET", ("TAF-I\u03b2",), kind="gene")])])
    save(lexicon, tmp_path / "a" / "l.npz")
    again = load(tmp_path / "a" / "l.npz")
    text = "Gout with podagra, set, SET and TAF-I\u03b2 in fever"
    found = Finder(lexicon).find(text, [(0, len(text))])
    assert len(found) == 5
    assert Finder(again).find(text, [(0, len(text))]) == found
    assert [one.name for one in (tmp_path / "a").iterdir()] == ["l.npz"]


@pytest.mark.usefixtures("_fresh")
def test_a_lexicon_is_made_once(tmp_path: Path) -> None:
    """The process keeps it; another process finds it in the workspace; other terms or options make another."""
    first = Given([GOUT])
    lexicon = lexicon_of([first], tmp_path, LOGGER)
    again = Given([GOUT])
    assert lexicon_of([again], tmp_path, LOGGER) is lexicon
    cache._loaded.clear()
    assert lexicon_of([again], tmp_path, LOGGER).lines == lexicon.lines
    assert (first.reads, again.reads) == (1, 0)
    for other in (Given([FEVER]), Given([GOUT], without=["D:9"])):
        assert key_of([other]) != key_of([first])


@pytest.mark.usefixtures("_fresh")
def test_only_a_few_lexicons_are_kept(tmp_path: Path) -> None:
    """A process holds two, a workspace eight."""
    for number in range(10):
        lexicon_of([Given([Term(f"D:{number}", "Gout", kind="condition")])], tmp_path, LOGGER)
    assert len(cache._loaded) == 2
    assert len(list((tmp_path / cache.FOLDER).iterdir())) == 8


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no zip", "half"])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: bytes | str, caplog: pytest.LogCaptureFixture) -> None:
    """An empty, wrong or cut file is told in the log, and replaced by a good one."""
    lexicon_of([Given([GOUT])], tmp_path, LOGGER)
    (path,) = (tmp_path / cache.FOLDER).iterdir()
    good = path.read_bytes()
    path.write_bytes(damage if isinstance(damage, bytes) else good[: len(good) // 2])
    cache._loaded.clear()
    assert len(lexicon_of([Given([GOUT])], tmp_path, LOGGER).lines) == 1
    assert "cannot be used and is made again" in caplog.text
    assert load(path).lines


@pytest.mark.usefixtures("_fresh")
def test_a_workspace_that_cannot_be_written_is_no_obstacle(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The lexicon is made all the same, and the log tells that it was not kept."""
    (tmp_path / "cache").write_text("a file, no folder", encoding="utf-8")
    assert len(lexicon_of([Given([GOUT])], tmp_path, LOGGER).lines) == 1
    assert "cannot be kept" in caplog.text
