"""Citations of PubMed: from files, such as the yearly baseline, or from NCBI, by a search or by ids."""

from __future__ import annotations

from typing import ClassVar

from medical_kg.sources.entrez import Database, EntrezSource


class PubMedSource(EntrezSource):
    """Citations of PubMed.

    The input is a folder or file, or the address of a search:
    ``https://eutils.ncbi.nlm.nih.gov/entrez/eutils/esearch.fcgi?term=asthma``.
    """

    name: ClassVar[str] = "pubmed"
    reads: ClassVar[tuple[str, ...]] = ("pubmed-xml",)
    database: ClassVar[Database] = Database("pubmed", "pubmed-xml", "PubmedArticleSet", "pmid:", "mdat", 500)
