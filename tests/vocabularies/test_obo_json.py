"""``obo-json``: OBO Graphs and lists of terms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medical_kg import InputError
from medical_kg.vocabularies.contract import Term
from medical_kg.vocabularies.obo_json import OboJsonVocabulary

OBO = "http://purl.obolibrary.org/obo/"


def terms(path: Path, data: Any, **options: Any) -> list[Term]:
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return list(OboJsonVocabulary({"path": str(path), **options}).terms())


def test_obo_graphs(tmp_path: Path) -> None:
    """Classes with labels become terms; addresses become CURIEs; deprecated classes, properties and unlabelled ones do not."""
    meta = {
        "synonyms": [
            {"pred": "hasExactSynonym", "val": "T2D"},
            {"pred": "hasRelatedSynonym", "val": "sugar"},
        ],
        "xrefs": [{"val": "MESH:D003924"}],
    }
    nodes = [
        {"id": f"{OBO}MONDO_0005148", "lbl": "type 2 diabetes mellitus", "type": "CLASS", "meta": meta},
        {"id": f"{OBO}MONDO_1", "lbl": "gone", "meta": {"deprecated": True}},
        {"id": f"{OBO}RO_1", "lbl": "part of", "type": "PROPERTY"},
        {"id": f"{OBO}MONDO_2"},
    ]
    edges = [
        {"sub": f"{OBO}MONDO_0005148", "pred": "is_a", "obj": f"{OBO}MONDO_0005015"},
        {"sub": f"{OBO}MONDO_0005148", "pred": f"{OBO}RO_1", "obj": f"{OBO}MONDO_9"},
    ]
    expected = Term("MONDO:0005148", "type 2 diabetes mellitus", ("T2D",), ("MESH:D003924",), ("MONDO:0005015",))
    assert terms(tmp_path / "m.json", {"graphs": [{"nodes": nodes, "edges": edges}]}) == [expected]
    (wider,) = terms(tmp_path / "m.json", {"graphs": [{"nodes": nodes}]}, scopes=["EXACT", "RELATED"])
    assert wider.synonyms == ("T2D", "sugar")


def test_a_list_of_terms(tmp_path: Path) -> None:
    """An id without prefix takes the namespace; a crosswalk's prefix is not doubled; obsolete and nameless ones are left out."""
    listed = [
        {
            "id": "0000004",
            "namespace": "mondo",
            "name": "adrenocortical insufficiency",
            "synonyms": ["hypoadrenalism"],
            "xrefs": [{"namespace": "MESH", "id": "D000309"}, {"namespace": "DOID", "id": "DOID:10493"}],
            "relations": {"is_a": ["0002816"]},
        },
        {"id": "1", "namespace": "mondo", "name": "obsolete thing"},
        {"id": "2", "namespace": "mondo", "name": "x", "obsolete": True},
        {"id": "3", "namespace": "mondo"},
    ]
    assert terms(tmp_path / "m.json", listed) == [
        Term(
            "MONDO:0000004",
            "adrenocortical insufficiency",
            ("hypoadrenalism",),
            ("MESH:D000309", "DOID:10493"),
            ("MONDO:0002816",),
        )
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "is not JSON"), ("{}", "neither OBO Graphs"), ("[1]", "neither OBO Graphs"), ("[" * 200_000, "is not JSON")],
)
def test_other_json_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """What is no JSON, or other JSON, is one message with the file."""
    with pytest.raises(InputError, match=says):
        terms(tmp_path / "m.json", text)


def test_mondo(shared_data: Path) -> None:
    """The real file gives adrenocortical insufficiency with the crosswalks that stand there."""
    vocabulary = OboJsonVocabulary({"path": str(shared_data / "vocab" / "mondo.json.xz")})
    found = next(one for one in vocabulary.terms() if one.id == "MONDO:0000004")
    assert (found.name, found.parents) == ("adrenocortical insufficiency", ("MONDO:0002816",))
    assert "hypoadrenalism" in found.synonyms
    assert {"DOID:10493", "MESH:D000309"} <= set(found.xrefs)
