"""Stage ``ir-validation``: lets only what is sound go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from medical_kg import ItemRejected, NoConfig, Stage, StageContext, StageMetadata
from medical_kg.documents.keys import DOCUMENTS
from medical_kg.documents.validate import findings, usable

if TYPE_CHECKING:
    from medical_kg.documents.ir import Document


class IrValidationStage(Stage[NoConfig]):
    """Passes a valid document on unchanged; errors reject it, warnings cost what they name.

    A document goes on without identifiers and facts that say nothing; its metadata then list the findings, each with
    severity, code, place and message. One with an error is rejected with all its findings.
    """

    metadata: ClassVar[StageMetadata] = StageMetadata(
        stage_type="ir-validation",
        version="1.1.0",
        description="Checks ids, offsets, blocks and facts of each document; only sound ones go on.",
        reads=(DOCUMENTS,),
        writes=(DOCUMENTS,),
        mode="item",
    )

    def process(self, ctx: StageContext, item: Document, **reads: Any) -> Document:
        """Return the document, or what is usable of it, or reject it."""
        del reads
        found = findings(item)
        if any(one.severity == "error" for one in found):
            listed = "; ".join(map(str, found))
            count = f"{len(found)} finding{'s' if len(found) > 1 else ''}"
            raise ItemRejected(f"document {item.id!r} of {item.root!r} is not valid, {count}: {listed}")
        if not found:
            return item
        ctx.logger.warning("document %s goes on without: %s", item.id, "; ".join(map(str, found)))
        listed_findings = [{"severity": one.severity, **one._asdict()} for one in found]
        return usable(item).model_copy(update={"metadata": {**item.metadata, "findings": listed_findings}})
