"""Vocabularies that are shipped: the Disease Ontology and HGNC's genes, both CC0, as small tables (``data/NOTICE.md``)."""

from __future__ import annotations

import hashlib
import io
import lzma
from importlib import resources
from typing import TYPE_CHECKING, Any, ClassVar

from medical_kg.vocabularies.contract import Term, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SEPARATOR = "|"


class PackagedVocabulary(Vocabulary):
    """Base of the shipped ones: id, name, synonyms, crosswalks and parents in five columns."""

    file: ClassVar[str]
    kind: ClassVar[str]

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """Take the kind that the vocabulary is about unless the options name one."""
        super().__init__({"kind": self.kind, **(options or {})})

    def fingerprint(self) -> str:
        """Return the packed table's sha256."""
        return hashlib.sha256(self._packed()).hexdigest()

    def terms(self) -> Iterator[Term]:
        """Give the table's rows."""
        for line in io.TextIOWrapper(io.BytesIO(lzma.decompress(self._packed())), encoding="utf-8"):
            ident, name, *cells = line.rstrip("\n").split("\t")
            synonyms, xrefs, parents = (tuple(filter(None, cell.split(SEPARATOR))) for cell in cells)
            yield Term(ident, name, synonyms, xrefs, parents)

    def _packed(self) -> bytes:
        return resources.files("medical_kg.vocabularies").joinpath("data", self.file).read_bytes()


class DiseaseOntology(PackagedVocabulary):
    """The Human Disease Ontology (CC0), with crosswalks to MeSH, UMLS, OMIM, NCI Thesaurus, ICD-10-CM and Orphanet."""

    name: ClassVar[str] = "disease-ontology"
    file: ClassVar[str] = "doid.tsv.xz"
    kind: ClassVar[str] = "condition"


class Hgnc(PackagedVocabulary):
    """Approved human gene symbols and names of HGNC (CC0), with aliases, previous symbols, NCBI Gene and Ensembl ids."""

    name: ClassVar[str] = "hgnc"
    file: ClassVar[str] = "hgnc.tsv.xz"
    kind: ClassVar[str] = "gene"
