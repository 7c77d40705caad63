"""``convert``: turns files, such as downloaded PDFs, into documents."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from medical_kg import ItemRejected, Model, PluginName, Stage, StageContext, StageMetadata, StorageError
from medical_kg.documents.ir import Provenance
from medical_kg.documents.keys import DOCUMENTS, FILES
from medical_kg.documents.records import Payload
from medical_kg.formats.contract import DOOR, check_isolated

if TYPE_CHECKING:
    from medical_kg.documents.ir import Document
    from medical_kg.documents.records import DownloadedFile
    from medical_kg.formats.contract import Format


class ConvertConfig(Model):
    """``format`` reads the files; ``max_bytes`` is the size limit of one."""

    format: Annotated[str, PluginName(DOOR)] = Field(default="pdf", description="the format that reads the files")
    max_bytes: int = Field(default=100 * 1024 * 1024, ge=1, description="size limit of one file, in bytes")


class ConvertStage(Stage[ConvertConfig]):
    """Reads each file by one format. The document has the file's id, and as its root the item the file belongs to."""

    metadata = StageMetadata(
        stage_type="convert",
        version="1.0.0",
        description="Reads each file, such as a downloaded PDF, into a document.",
        reads=(FILES,),
        writes=(DOCUMENTS,),
        mode="item",
        config_model=ConvertConfig,
        needs=("plugins", "files"),
    )

    def open(self, ctx: StageContext) -> None:
        """Load the format.

        Raises:
            UsageError: the format is native, and the stage has no environment.
        """
        self._format: Format = ctx.plugins.get(DOOR, self.config.format)()
        check_isolated(self._format, ctx)

    def process(self, ctx: StageContext, item: DownloadedFile, **reads: Any) -> Document:
        """Return the file's document.

        Raises:
            ItemRejected: the file is of another type, too large, gone or changed, or the format cannot read it.
        """
        del reads
        known = self._format.media_types
        if item.media_type not in known:
            raise ItemRejected(
                f"{item.id}: it is {item.media_type}; format {self._format.name} reads {', '.join(known)}"
            )
        provenance = Provenance(
            source=self.metadata.stage_type, uri=item.url, format=self._format.name, sha256=item.sha256
        )
        content = self._content(ctx, item)
        payload = Payload(id=item.id, format=self._format.name, content=content, provenance=provenance)
        return self._format.parse(payload).model_copy(update={"root": item.root})

    def _content(self, ctx: StageContext, item: DownloadedFile) -> bytes:
        try:
            with ctx.files.open(item.uri) as stream:
                content = stream.read(self.config.max_bytes + 1)
        except StorageError as error:
            raise ItemRejected(f"{item.id}: the file cannot be read: {error}") from error
        if len(content) > self.config.max_bytes:
            raise ItemRejected(f"{item.id}: the file is larger than {self.config.max_bytes:,} bytes")
        if hashlib.sha256(content).hexdigest() != item.sha256:
            raise ItemRejected(f"{item.id}: the file was changed since its sha256 was taken")
        return content
