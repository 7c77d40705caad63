"""Stage ``parse``: turns payloads into documents."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, ValidationError

from medical_kg import InputError, ItemRejected, Model, Stage, StageContext, StageMetadata, StorageError, optional
from medical_kg.documents.ir import Document
from medical_kg.documents.keys import DOCUMENTS, FILES, PAYLOADS
from medical_kg.documents.records import CONVERTED
from medical_kg.formats.contract import DOOR, check_isolated
from medical_kg.orchestration.contract.model import problems_in

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from medical_kg import Attachment
    from medical_kg.documents.records import DownloadedFile, Payload
    from medical_kg.formats.contract import Format

MAX_CONVERTED_BYTES = 64 * 1024 * 1024
BARE = "text"
"""The kind of a converted document that knows nothing about itself but its text."""


class ParseConfig(Model):
    """How much a converter's document is asked for where a file of the payload was downloaded."""

    converted: Literal["preferred", "required"] = Field(
        default="preferred",
        description="whether a payload with a downloaded file is rejected while no converter's document has come",
    )


class ParseStage(Stage[ParseConfig]):
    """Parses each payload by its format; a converter's document attached to a signal is preferred.

    An attachment counts for a payload when its ``item_id`` is the payload's id and its media type is
    ``application/vnd.medical-kg.document+json``. Such a document keeps everything but its root, which becomes the
    payload's id. One of kind ``text`` gives its text and sections to the document that the payload is without it, which
    keeps its id, title and facts.
    """

    metadata: ClassVar[StageMetadata] = StageMetadata(
        stage_type="parse",
        version="1.2.0",
        description="Turns each payload into a document with text, structure and structured facts.",
        reads=(PAYLOADS, optional(FILES)),
        writes=(DOCUMENTS,),
        mode="item",
        config_model=ParseConfig,
        needs=("plugins", "signals", "files"),
    )

    def open(self, ctx: StageContext) -> None:
        """Keep formats by name once they were used."""
        del ctx
        self._formats: dict[str, Format] = {}
        self._batch: tuple[StageContext | None, Mapping[str, Attachment], Collection[str]] = (None, {}, ())

    def process(
        self, ctx: StageContext, item: Payload, files: list[DownloadedFile] | None = None, **reads: Any
    ) -> Document:
        """Return the payload's document.

        Raises:
            ItemRejected: it cannot be read, its format lacks a package, or its converter's document has not come.
            UsageError: its format is native, and the stage has no environment.
        """
        del reads
        attachments, downloaded = self._look(ctx, files)
        if item.id in attachments:
            return self._with_text(ctx, item, _converted_document(ctx, item, attachments[item.id]))
        if self.config.converted == "required" and item.id in downloaded:
            raise ItemRejected(
                f"{item.id}: its file was downloaded, but no converter's document of it has come; the converter may tell "
                "why, and a replay reads it when it has"
            )
        chosen = self._format(ctx, item)
        check_isolated(chosen, ctx)
        return _parsed(chosen, item)

    def _look(
        self, ctx: StageContext, files: list[DownloadedFile] | None
    ) -> tuple[Mapping[str, Attachment], Collection[str]]:
        # One look per batch, not per item: a batch's calls share one context.
        if self._batch[0] is not ctx:
            told = sorted(ctx.signals.all().values(), key=lambda signal: signal.at)
            attached = [one for signal in told for one in signal.attachments if one.media_type == CONVERTED]
            downloaded = frozenset(one.root for one in files or ())
            self._batch = (ctx, {one.item_id: one for one in attached if one.item_id}, downloaded)
        return self._batch[1:]

    def _format(self, ctx: StageContext, item: Payload) -> Format:
        if item.format not in self._formats:
            self._formats[item.format] = ctx.plugins.get(DOOR, item.format)()
        return self._formats[item.format]

    def _with_text(self, ctx: StageContext, item: Payload, converted: Document) -> Document:
        chosen = self._format(ctx, item)
        if converted.kind != BARE or chosen.native:
            return converted.model_copy(update={"root": item.id})
        document = _parsed(chosen, item)
        text = {"text": converted.text, "sections": converted.sections}
        about = {**document.metadata, **converted.metadata, "text_from": converted.provenance.model_dump()}
        return document.model_copy(update={**text, "metadata": about})


def _parsed(chosen: Format, payload: Payload) -> Document:
    """Read a payload; what its format lacks here refuses it alone, since others of the batch have other formats."""
    try:
        return chosen.parse(payload)
    except InputError as lacking:
        raise ItemRejected(f"{payload.id}: {lacking}") from lacking


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
        return Document.model_validate_json(content)
    except ValidationError as error:
        raise ItemRejected(f"{where} is no valid document: {problems_in(error, 'document')}") from None
