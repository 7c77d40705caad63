"""The documents of a submission, as its last stage that gave any left them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from medical_kg.orchestration.contract.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from medical_kg.documents.ir import Document
    from medical_kg.orchestration.contract import Codec
    from medical_kg.orchestration.ledger.contract import OutputRef, StageRecord
    from medical_kg.orchestration.pipeline.plan import Plan
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
    workspace: Workspace, results: Sequence[Mapping[str, StageRecord]], order: Sequence[str], plan: Plan | None
) -> Listing:
    """Return the documents of a submission's batches, given by their results; ``order`` names the stages, first to last.

    How they are stored is what the plan's stages say, so that the package of documents need not be here.
    """
    codec = _codec(plan)
    found: list[Document] = []
    problems: list[str] = []
    total = 0
    for records in results:
        reference = _last(records, order)
        if reference is None:
            continue
        total += reference.items or 0
        if len(found) < MOST:
            try:
                data = workspace.checkpoints.get(reference.digest, reference.suffix)
                found += codec.decode(data) if codec else []
            except (StorageError, ValueError) as error:
                problems.append(str(error))
    if codec is None and total:
        problems.append("the pipeline cannot be loaded now, and only its stages know how documents are stored")
    return Listing(tuple(found[:MOST]), total, tuple(problems))


def _last(records: Mapping[str, StageRecord], order: Sequence[str]) -> OutputRef | None:
    given = [records[name].outputs.get(KEY) for name in order if name in records]
    return next((reference for reference in reversed(given) if reference is not None), None)


def _codec(plan: Plan | None) -> Codec | None:
    written = (key for stage in (plan.stages if plan else ()) for key in stage.type.metadata.writes)
    return next((key.codec for key in written if key.name == KEY), None)


def addresses(document: Document) -> Iterator[tuple[str, str]]:
    """Give where a document can be read, each with its words: its record at home, and the file or address it came from."""
    for identifier in dict.fromkeys((document.id, *document.identifiers)):
        prefix, _, rest = identifier.partition(":")
        if prefix in ADDRESSES and rest:
            yield ADDRESSES[prefix].format(rest), identifier
    if document.provenance.uri:
        yield document.provenance.uri, document.provenance.uri
