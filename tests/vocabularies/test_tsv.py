"""``tsv``: tables by column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medical_kg import InputError
from medical_kg.vocabularies.contract import Term
from medical_kg.vocabularies.tsv import TsvVocabulary

GENES = (
    "HGNC ID\tApproved symbol\tApproved name\tStatus\tAliases\tEntrez\n"
    "HGNC:5\tA1BG\talpha-1-B glycoprotein\tApproved\tX1, X2\t1\n"
    "HGNC:6\tA1S9T\tsymbol withdrawn\tSymbol Withdrawn\t\t\n"
)


def terms(path: Path, text: str, **options: Any) -> list[Term]:
    path.write_text(text, encoding="utf-8")
    return list(TsvVocabulary({"path": str(path), **options}).terms())


def test_columns_by_name_with_a_header(tmp_path: Path) -> None:
    """Named columns are found in the header, rows are kept by a column's value, bare ids get their prefix."""
    columns = {
        "id": "HGNC ID",
        "name": "Approved symbol",
        "synonyms": ["Approved name", "Aliases"],
        "xref_columns": {"NCBIGENE": "Entrez"},
    }
    found = terms(tmp_path / "g.tsv", GENES, header=True, separator=",", columns=columns, keep={"Status": "Approved"})
    assert found == [Term("HGNC:5", "A1BG", ("alpha-1-B glycoprotein", "X1", "X2"), ("NCBIGENE:1",))]


def test_columns_by_number_with_prefix_and_categories(tmp_path: Path) -> None:
    """Numbers count from 0; ids and parents without prefix get it; empty rows and comments are passed over."""
    text = "# MeSH\nD1\tCalcimycin\tA 23187\tD03.1|D02.2\tD0|X:7\n\n"
    columns = {"categories": 3, "parents": 4}
    assert terms(tmp_path / "m.tsv", text, prefix="MESH", columns=columns) == [
        Term("MESH:D1", "Calcimycin", ("A 23187",), (), ("MESH:D0", "X:7"), ("D03.1", "D02.2"))
    ]


def test_a_kind_and_crosswalks_of_their_own_columns(tmp_path: Path) -> None:
    """A row may say what it is, and hold CURIEs."""
    columns = {"synonyms": [], "xrefs": 2, "kind": 3}
    found = terms(tmp_path / "m.tsv", "A:1\tGout\tMESH:D6|DOID:1\tcondition\n", columns=columns)
    assert found == [Term("A:1", "Gout", (), ("MESH:D6", "DOID:1"), kind="condition")]


def test_a_row_without_its_columns_is_named(tmp_path: Path) -> None:
    """A row that is too short stops the reading with file and line; cells that may be missing are empty."""
    with pytest.raises(InputError, match=r"m\.tsv, line 2: no column 1"):
        terms(tmp_path / "m.tsv", "A:1\tGout\nA:2\n")


def test_an_unknown_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    """A column name that the header does not have is refused, with the header's names or the advice to read one."""
    with pytest.raises(InputError, match="no column 'Label'; it has id, name"):
        terms(tmp_path / "m.tsv", "id\tname\n", header=True, columns={"name": "Label"})
    with pytest.raises(InputError, match="header: true"):
        terms(tmp_path / "m.tsv", "id\tname\n", columns={"name": "Label"})


def test_rows_without_id_or_name_are_left_out(tmp_path: Path) -> None:
    """A row needs an id and a name."""
    assert terms(tmp_path / "m.tsv", "A:1\t \n\tGout\n") == []
