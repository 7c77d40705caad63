"""Stage ``parse``: turns payloads into documents."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError

from medical_kg import ItemRejected, NoConfig, Stage, StageContext, StageMetadata, StorageError
from medical_kg.documents.ir import Document
from medical_kg.documents.keys import DOCUMENTS, PAYLOADS
from medical_kg.formats.contract import DOOR
from medical_kg.orchestration.contract.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from medical_kg import Attachment
    from medical_kg.documents.records import Payload
    from medical_kg.formats.contract import Format

CONVERTED = "application/vnd.medical-kg.document+json"
"""Media type of a document in our own representation, made by a converter outside."""

MAX_CONVERTED_BYTES = 64 * 1024 * 1024


class ParseStage(Stage[NoConfig]):
    """Parses each payload by its format; a converter's document attached to a signal is preferred.

    An attachment counts for a payload when its ``item_id`` is the payload's id and its media type is
    ``application/vnd.medical-kg.document+json``. Such a document keeps everything but its root, which becomes the
    payload's id.
    """

    metadata: ClassVar[StageMetadata] = StageMetadata(
        stage_type="parse",
        version="1.0.0",
        description="Turns each payload into a document with text, structure and structured facts.",
        reads=(PAYLOADS,),
        writes=(DOCUMENTS,),
        mode="item",
        needs=("plugins", "signals", "files"),
    )

    def open(self, ctx: StageContext) -> None:
        """Keep formats by name once they were used."""
        del ctx
        self._formats: dict[str, Format] = {}
        self._converted: tuple[StageContext | None, Mapping[str, Attachment]] = (None, {})

    def process(self, ctx: StageContext, item: Payload, **reads: Any) -> Document:
        """Return the payload's document."""
        del reads
        attachment = self._attachments(ctx).get(item.id)
        if attachment is not None:
            return _converted_document(ctx, item, attachment)
        if item.format not in self._formats:
            self._formats[item.format] = ctx.plugins.get(DOOR, item.format)()
        chosen = self._formats[item.format]
        if chosen.native and not ctx.isolated:
            raise UsageError(
                f"stage {ctx.stage!r}: format {chosen.name!r} is read by native code, which a bad file may crash or hang; "
                "run the stage in a worker process: add `environment: limited` to it"
            )
        return chosen.parse(item)

    def _attachments(self, ctx: StageContext) -> Mapping[str, Attachment]:
        # One look per batch, not per item: a batch's calls share one context.
        if self._converted[0] is not ctx:
            told = sorted(ctx.signals.all().values(), key=lambda signal: signal.at)
            attached = [one for signal in told for one in signal.attachments if one.media_type == CONVERTED]
            self._converted = (ctx, {one.item_id: one for one in attached if one.item_id})
        return self._converted[1]


def _converted_document(ctx: StageContext, payload: Payload, attachment: Attachment) -> Document:
    where = f"{payload.id}: the converted document {attachment.uri}"
    try:
        with ctx.files.open(attachment.uri) as stream:
            content = stream.read(MAX_CONVERTED_BYTES + 1)
    except StorageError as error:
        raise ItemRejected(f"{where} cannot be read: {error}") from error
    if len(content) > MAX_CONVERTED_BYTES:
        raise ItemRejected(f"{where} is larger than {MAX_CONVERTED_BYTES:,} bytes")
    if attachment.sha256 and hashlib.sha256(content).hexdigest() != attachment.sha256.lower():
        raise ItemRejected(f"{where} does not have the sha256 its signal named; it was changed or cut off")
    try:
        document = Document.model_validate_json(content)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'document'}: {one['msg']}" for one in error.errors())
        raise ItemRejected(f"{where} is no valid document: {wrong}") from None
    return document.model_copy(update={"root": payload.id})
