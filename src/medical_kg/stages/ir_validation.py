"""Stage ``ir-validation``: lets only sound documents go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from medical_kg import ItemRejected, NoConfig, Stage, StageContext, StageMetadata
from medical_kg.documents.keys import DOCUMENTS
from medical_kg.documents.validate import findings

if TYPE_CHECKING:
    from medical_kg.documents.ir import Document


class IrValidationStage(Stage[NoConfig]):
    """Passes a valid document on unchanged and rejects any other with all its findings."""

    metadata: ClassVar[StageMetadata] = StageMetadata(
        stage_type="ir-validation",
        version="1.0.0",
        description="Checks ids, offsets, blocks and facts of each document; only sound ones go on.",
        reads=(DOCUMENTS,),
        writes=(DOCUMENTS,),
        mode="item",
    )

    def process(self, ctx: StageContext, item: Document, **reads: Any) -> Document:
        """Return the same document, or reject it."""
        del ctx, reads
        found = findings(item)
        if found:
            listed = "; ".join(map(str, found))
            count = f"{len(found)} finding{'s' if len(found) > 1 else ''}"
            raise ItemRejected(f"document {item.id!r} of {item.root!r} is not valid, {count}: {listed}")
        return item
