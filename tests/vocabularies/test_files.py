"""What vocabularies in files share: packing, sums, bounds and refusals."""

from __future__ import annotations

import gzip
import hashlib
import lzma
from pathlib import Path
from typing import Any

import pytest

from medical_kg import InputError
from medical_kg.vocabularies.obo_json import OboJsonVocabulary
from medical_kg.vocabularies.tsv import TsvVocabulary

TABLE = "C1\tAsthma\tbronchial asthma|wheeze\nC2\tGout\t\n"


def table(path: Path, **options: Any) -> TsvVocabulary:
    return TsvVocabulary({"path": str(path), **options})


@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), (".xz", lzma.compress), (".gz", gzip.compress)])
def test_packed_files_give_the_same_terms(tmp_path: Path, suffix: str, pack: Any) -> None:
    """A table gives the same terms plain, as .xz and as .gz, and its fingerprint is the file's own sha256."""
    path = tmp_path / f"t.tsv{suffix}"
    path.write_bytes(pack(TABLE.encode()))
    vocabulary = table(path)
    assert [(one.id, one.name, one.synonyms) for one in vocabulary.terms()] == [
        ("C1", "Asthma", ("bronchial asthma", "wheeze")),
        ("C2", "Gout", ()),
    ]
    assert vocabulary.fingerprint() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_changed_file_is_refused_where_its_sum_was_named(tmp_path: Path) -> None:
    """With ``sha256`` another file is an error that names both sums; the right one passes."""
    path = tmp_path / "t.tsv"
    path.write_text(TABLE, encoding="utf-8")
    right = hashlib.sha256(TABLE.encode()).hexdigest()
    assert table(path, sha256=right.upper()).fingerprint() == right
    with pytest.raises(InputError, match=f"its sha256 is {right}, not abc"):
        table(path, sha256="abc").fingerprint()


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        (None, "t.tsv", "does not exist"),
        (b"\xff\xfe\x00", "t.tsv", "is not UTF-8 text"),
        (b"no xz", "t.tsv.xz", "cannot be read"),
        (lzma.compress(b"C1\tAsthma\t\n" * 99)[:-9], "t.tsv.xz", "cannot be read"),
        (b"no gz", "t.tsv.gz", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_a_wrong_input(tmp_path: Path, content: bytes | None, name: str, says: str) -> None:
    """A missing, damaged or wrongly encoded file is one InputError that names it."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says) as refused:
        list(table(tmp_path / name).terms())
    assert name in str(refused.value)


@pytest.mark.parametrize("content", [b"C1\tAsthma\n" * 500_000, b"[" + b" " * 5_000_000, "\u00e6".encode() * 2_500_000])
def test_a_file_that_unpacks_to_more_than_its_bound_is_refused(tmp_path: Path, content: bytes) -> None:
    """``max_bytes`` bounds what is unpacked, also where it is one line without end, or of other letters."""
    path = tmp_path / "bomb.json.xz"
    path.write_bytes(lzma.compress(content))
    with pytest.raises(InputError, match="more than 2,000,000 bytes"):
        list(OboJsonVocabulary({"path": str(path), "max_bytes": 2_000_000}).terms())


def test_wrong_options_are_all_named() -> None:
    """Unknown options and missing ones stand in one message with the known ones."""
    with pytest.raises(
        InputError, match=r"path: Field required; pth: .*known options: columns, header, keep, kind"
    ) as refused:
        TsvVocabulary({"pth": "x"})
    assert "vocabulary 'tsv'" in str(refused.value)
