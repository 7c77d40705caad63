"""The documents of a submission, as its last stage that gave any left them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from medical_kg.orchestration.contract.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from medical_kg.documents.ir import Document
    from medical_kg.orchestration.ledger.contract import StageRecord, Submission
    from medical_kg.orchestration.traces.keys import Pipelines
    from medical_kg.orchestration.workspace import Workspace

KEY = "documents"
MOST = 500
"""How many documents are listed."""
ADDRESSES = {
    "nct": "https://clinicaltrials.gov/study/{}",
    "pmid": "https://pubmed.ncbi.nlm.nih.gov/{}/",
    "pmcid": "https://pmc.ncbi.nlm.nih.gov/articles/{}/",
    "doi": "https://doi.org/{}",
}
"""Where a document with such an identifier can be read."""


class Listing(NamedTuple):
    """The first documents of a submission, how many it has in all, and what could not be read."""

    documents: tuple[Document, ...]
    total: int
    problems: tuple[str, ...] = ()

    @property
    def anchors(self) -> dict[str, str]:
        """By input record, the name of its first document's line on the page."""
        numbered = [(document.root, f"document-{number}") for number, document in enumerate(self.documents, 1)]
        return dict(reversed(numbered))


def listing(
    workspace: Workspace,
    pipelines: Pipelines,
    submission: Submission,
    results: Sequence[Mapping[str, StageRecord]],
    order: Sequence[str],
) -> Listing:
    """Return the documents of a submission's batches, given by their results; ``order`` names the stages, first to last.

    How they are stored is what their stages say, so that the package of documents need not be here.
    """
    found: list[Document] = []
    problems: dict[str, None] = {}
    total = 0
    for record in filter(None, (_last(records, order) for records in results)):
        reference = record.outputs[KEY]
        total += reference.items or 0
        if len(found) >= MOST:
            continue
        key = pipelines.keys(submission, record).get(KEY)
        if key is None or key.codec is None:
            problems[f"no stage here knows how the documents of {record.stage} are stored"] = None
            continue
        try:
            found += key.codec.decode(workspace.checkpoints.get(reference.digest, reference.suffix))
        except (StorageError, ValueError) as error:
            problems[str(error)] = None
    return Listing(tuple(found[:MOST]), total, tuple(problems))


def _last(records: Mapping[str, StageRecord], order: Sequence[str]) -> StageRecord | None:
    given = (records[name] for name in reversed(order) if name in records)
    return next((record for record in given if record.outputs.get(KEY) is not None), None)


def addresses(document: Document) -> Iterator[tuple[str, str]]:
    """Give where a document can be read, each with its words: its record at home, and the file or address it came from."""
    for identifier in dict.fromkeys((document.id, *document.identifiers)):
        prefix, _, rest = identifier.partition(":")
        if prefix in ADDRESSES and rest:
            yield ADDRESSES[prefix].format(rest), identifier
    if document.provenance.uri:
        yield document.provenance.uri, document.provenance.uri
