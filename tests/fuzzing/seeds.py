"""What the fuzzing begins with: small files of every kind, and those of ../shared/data where they are on this machine."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

from handmade_pdfs import lines, pdf

from medical_kg.orchestration.pipeline.catalog import shipped_folder

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
MOST_BYTES = 60_000
"""A seed that is larger is not read: its edits would take longer than they tell."""
MOST = 12
"""Seeds of a kind."""

STUDY = {
    "protocolSection": {
        "identificationModule": {"nctId": "NCT00000001", "briefTitle": "A trial", "acronym": "AT"},
        "conditionsModule": {"conditions": ["Asthma"], "keywords": ["breath"]},
        "descriptionModule": {"briefSummary": "It works.\n\n* one\n* two", "detailedDescription": "Long."},
        "eligibilityModule": {"eligibilityCriteria": "Inclusion:\n\n1. Adults", "minimumAge": "18 Years"},
        "statusModule": {"startDateStruct": {"date": "2020-01"}, "overallStatus": "COMPLETED"},
    }
}
WORK = {
    "id": "https://openalex.org/W1",
    "doi": "https://doi.org/10.1/x",
    "title": "A work",
    "abstract_inverted_index": {"Found": [0], "it.": [1]},
    "publication_date": "2020-01-02",
    "best_oa_location": {"pdf_url": "https://example.org/a.pdf"},
}
CITATION = b"""<?xml version="1.0"?><PubmedArticleSet><PubmedArticle><MedlineCitation><PMID Version="1">7</PMID><Article>
<ArticleTitle>On <i>E. coli</i></ArticleTitle><Abstract><AbstractText Label="AIM">Found &lt;it&gt;.</AbstractText></Abstract>
<PublicationTypeList><PublicationType>Review</PublicationType></PublicationTypeList></Article></MedlineCitation><PubmedData>
<ArticleIdList><ArticleId IdType="doi">10.1/x</ArticleId></ArticleIdList></PubmedData></PubmedArticle></PubmedArticleSet>"""
ARTICLE = b"""<!DOCTYPE article PUBLIC "-//NLM//DTD JATS 1.3//EN" "JATS.dtd"><article xml:lang="en"><front><article-meta>
<article-id pub-id-type="pmid">7</article-id><title-group><article-title>T<xref>1</xref></article-title></title-group>
<pub-date><year>2020</year><month>2</month></pub-date><abstract><p>Short.</p></abstract></article-meta></front><body><sec>
<title>S</title><p>Found.</p><table-wrap><label>1</label><table><tr><th colspan="2">A</th></tr><tr><td>b</td><td>c</td></tr>
</table></table-wrap><list><list-item><p>x</p></list-item></list></sec></body><back><ref-list><ref><mixed-citation>R
</mixed-citation></ref></ref-list></back></article>"""
PUBTATOR = b"7|t|A title\n7|a|An abstract of asthma.\n7\t17\t23\tasthma\tDisease\tMESH:D001249\n\n8|t|B\n8|a|C\n"
MARKDOWN = b"---\ntitle: A\n---\n# A\n\nText *of* it.\n\n## B\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- one\n  - two\n\n```\ncode\n```\n"
HTML = b"""<!doctype html><html lang="en"><head><title>A</title><meta charset="utf-8"><meta name="citation_doi" content="10.1/x">
</head><body><nav>menu</nav><main><h1>A</h1><p>Text &amp; more.</p><table><tr><td>1</td></tr></table><ul><li>x</li></ul>
<script>x</script></main></body></html>"""
TEXT = "A title\n\nA paragraph of words.\n\nAnother, with ümläuts.\n".encode()

OF_FORMAT: dict[str, tuple[tuple[bytes, ...], tuple[str, ...]]] = {
    "clinicaltrials-json": (
        (json.dumps(STUDY).encode(), json.dumps({"studies": [STUDY] * 2, "nextPageToken": "t"}).encode()),
        ("ctgov/single/*.json", "ctgov/api-pages/*.json", "robustness/json/*"),
    ),
    "html": ((HTML,), ()),
    "jats": (
        (ARTICLE, b"<pmc-articleset>" + ARTICLE[ARTICLE.index(b"<article") :] + b"</pmc-articleset>"),
        ("jats/*",),
    ),
    "markdown": ((MARKDOWN,), ()),
    "openalex-json": ((json.dumps(WORK).encode(), json.dumps({"results": [WORK]}).encode()), ("openalex/*.json",)),
    "pdf": ((pdf(lines("A title", "Words of it.")),), ("pdf/ugly/*.pdf",)),
    "pubmed-xml": ((CITATION,), ("pubmed/*.xml", "pubmed/entrez/*.xml", "robustness/xml/*")),
    "pubtator": ((PUBTATOR,), ("gold/*/*.txt",)),
    "text": ((TEXT, "\ufeffA\r\nB".encode("utf-16")), ()),
}


def shared(*patterns: str) -> list[bytes]:
    """Return files of ../shared/data, the smallest first; none where it is absent."""
    found = [path for pattern in patterns for path in SHARED.glob(pattern) if path.is_file()]
    small = sorted((path for path in found if path.stat().st_size <= MOST_BYTES), key=lambda path: path.stat().st_size)
    return [path.read_bytes() for path in small[:MOST]]


def of_format(name: str, *, real: bool) -> list[bytes]:
    """Return the seeds of a format; one that is not known here begins with the texts of all the others."""
    own, patterns = OF_FORMAT.get(name, (tuple(seeds[0] for seeds, _ in OF_FORMAT.values()), ()))
    return [*own, *(shared(*patterns) if real else ())]


def packed(*, real: bool) -> list[bytes]:
    """Return files within files: compressed, in archives, one in the other."""
    whole = [PUBTATOR, json.dumps(STUDY).encode(), CITATION]
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(whole):
            archive.writestr(f"folder/{number}.txt", content)
    with tarfile.open(fileobj=tarred, mode="w:gz") as archive:
        info = tarfile.TarInfo("a.txt")
        info.size = len(TEXT)
        archive.addfile(info, io.BytesIO(TEXT))
    made = [*map(gzip.compress, whole), zipped.getvalue(), tarred.getvalue(), gzip.compress(zipped.getvalue())]
    return [*made, *(shared("robustness/archive/*") if real else ())]


def pipelines() -> list[bytes]:
    """Return the shipped pipelines."""
    return [path.read_bytes() for path in sorted(shipped_folder().glob("*.yaml"))]
