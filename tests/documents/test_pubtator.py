"""PubTator's text format: records, annotations, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from medical_kg.documents.pubtator import Annotation, WrongRecord, record, records

TEXT = """
1|t|Lithium toxicity.
1|a|A newborn with seizures.
1\t0\t7\tLithium\tChemical\tD008094
1\t33\t41\tseizures\tDisease\tMESH:D012640|D1+D2
1\t8\t16\ttoxicity\tDisease\t-1
1\tCID\tD008094\tD012640

2|t|Nothing here
3|t|No empty line before
3|a|
"""


def test_records_and_their_annotations() -> None:
    """Offsets count title, one character and abstract; ids are split; no concept is none; relations are passed over."""
    found = [record(lines, first) for first, lines in records(TEXT.splitlines())]
    assert [(one.pmid, one.title, one.abstract) for one in found] == [
        ("1", "Lithium toxicity.", "A newborn with seizures."),
        ("2", "Nothing here", ""),
        ("3", "No empty line before", ""),
    ]
    assert found[0].annotations == (
        Annotation(0, 7, "Lithium", "Chemical", ("D008094",)),
        Annotation(33, 41, "seizures", "Disease", ("MESH:D012640", "D1", "D2")),
        Annotation(8, 16, "toxicity", "Disease"),
    )
    assert [found[0].text[one.start : one.end] for one in found[0].annotations] == ["Lithium", "seizures", "toxicity"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1|a|An abstract alone", r"line 1: no title"),
        ("1|t|Gout\n1\t0\t4\tFlu\tDisease\tD1", "1: the text has 'Gout' at 0-4, not 'Flu'"),
        ("1|t|Gout\n1\t0\tx\tGout\tDisease\tD1", "line 2: the end of an annotation is 'x'"),
        ("nothing of the kind", "no title"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    """A record without title, and an annotation whose words stand elsewhere, are refused with their place."""
    with pytest.raises(WrongRecord, match=says):
        record(text.splitlines())


@pytest.mark.parametrize(
    ("file", "count", "mentions"),
    [
        ("bc5cdr/CDR_DevelopmentSet.PubTator.txt", 500, None),
        ("ncbi-disease/NCBIdevelopset_corpus.txt", 100, 787),
        ("biored/Dev.PubTator", 100, 3533),
    ],
)
def test_real_files(shared_data: Path, file: str, count: int, mentions: int | None) -> None:
    """Every record of the development sets is read, its annotations' words at their places (counts: MANIFEST.tsv)."""
    text = (shared_data / "gold" / file).read_text(encoding="utf-8")
    found = [record(lines, first) for first, lines in records(text.splitlines())]
    assert len(found) == count
    assert mentions in (None, sum(len(one.annotations) for one in found))
