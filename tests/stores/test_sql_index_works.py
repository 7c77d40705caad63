"""Records of one work in the index: found by shared identifiers, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from medical_kg.documents.ir import Document, Provenance
from medical_kg.stores.sql_index import SqlIndex

PROVENANCE = Provenance(source="test", uri="mem:")


@pytest.fixture
def index(url: str) -> Iterator[SqlIndex]:
    """An index of five records that share identifiers."""
    with closing(SqlIndex(url)) as opened:
        documents = [
            record("pmid:1", "doi:10.1/ABC"),
            record("openalex:W1", "doi:10.1/abc", "pmcid:PMC7"),
            record("pmcid:PMC7"),
            record("nct:NCT1", "pmid:1", kind="trial"),
            record("pmid:2", "nct:NCT1"),
        ]
        opened.replace(documents, [], [], version=1)
        yield opened


def record(ident: str, *identifiers: str, kind: str = "article") -> Document:
    return Document(
        id=ident,
        root=f"root:{ident}",
        kind=kind,
        title="",
        text="",
        sections=(),
        identifiers=(ident, *identifiers),
        provenance=PROVENANCE,
    )


def test_records_that_share_identifiers_are_one_work(index: SqlIndex) -> None:
    """Directly or by way of a third, whatever case a DOI has; a trial and the article that reports on it stay two."""
    assert index.same_work(["openalex:W1", "nct:NCT1", "pmid:2"]) == {
        "openalex:W1": ("pmid:1", "pmcid:PMC7", "openalex:W1"),
        "nct:NCT1": ("nct:NCT1",),
        "pmid:2": ("pmid:2",),
    }
    assert index.same_work(["pmid:404"]) == {"pmid:404": ("pmid:404",)}
    assert index.same_work([]) == {}


def test_a_work_comes_apart_with_the_record_that_joined_it(index: SqlIndex) -> None:
    """What a removed or replaced record said of identifiers no longer counts."""
    index.remove(["root:openalex:W1"], version=2)
    assert index.same_work(["pmid:1"]) == {"pmid:1": ("pmid:1",)}
    index.replace([record("pmcid:PMC7", "doi:10.1/abc")], [], [], version=2)
    assert index.same_work(["pmid:1"]) == {"pmid:1": ("pmid:1", "pmcid:PMC7")}
