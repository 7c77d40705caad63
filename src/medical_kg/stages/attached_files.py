"""``attached-files``: feeds a pipeline with the files that came with the signal that started it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, BinaryIO

from pydantic import Field

from medical_kg import InputError, Model, Page, Rejected, Stage, StageContext, StageMetadata, StorageError
from medical_kg.documents.keys import FILES
from medical_kg.documents.records import DownloadedFile
from medical_kg.orchestration.contract.urls import safe_url

if TYPE_CHECKING:
    from medical_kg import Attachment

READ_BYTES = 1024 * 1024


class AttachedFilesConfig(Model):
    """``signal`` names the signal whose attachments are taken; without it, that which started the submission."""

    signal: str | None = Field(
        default=None,
        min_length=1,
        description="the signal whose attachments are taken; that which started it unless given",
    )


class AttachedFilesStage(Stage[AttachedFilesConfig]):
    """Gives every attachment of one signal in one batch, so that what is said of them is said of all.

    An attachment without an item, or whose file cannot be read or is another than was told, is rejected alone.
    """

    metadata = StageMetadata(
        stage_type="attached-files",
        version="1.0.0",
        description="Reads the files that are attached to the signal that started the pipeline.",
        writes=(FILES,),
        mode="stream",
        config_model=AttachedFilesConfig,
        needs=("signals", "files"),
    )

    def pull(self, ctx: StageContext, cursor: str | None, limit: int) -> Page:
        """Return all of them at once; a batch's worth is what was told.

        Raises:
            InputError: no such signal was told to this submission.
        """
        del cursor, limit
        name = self.config.signal or ctx.input.get("signal")
        if name is None:
            raise InputError(
                f"no signal has started submission {ctx.submission_id}: pipeline {ctx.pipeline} is started by a signal that "
                "is told to a submission of another pipeline (triggers), not by hand"
            )
        signal = ctx.signals.all().get(name)
        if signal is None:
            raise InputError(f"the signal {name!r} has not been told to submission {ctx.submission_id}")
        files: dict[str, DownloadedFile] = {}
        rejected: list[Rejected] = []
        for attachment in signal.attachments:
            ctx.check_timeout()
            found = _file(ctx, attachment)
            if isinstance(found, Rejected):
                rejected.append(found)
            else:
                files.setdefault(found.id, found)
        return Page(list(files.values()), None, rejected, process_all=True)


def _file(ctx: StageContext, attachment: Attachment) -> DownloadedFile | Rejected:
    uri, item = safe_url(attachment.uri), attachment.item_id
    if not item:
        return Rejected(uri, f"{uri}: the attachment does not name the item it belongs to")
    try:
        with ctx.files.open(attachment.uri) as stream:
            sha256, size = _measure(ctx, stream)
    except (StorageError, OSError) as error:
        return Rejected(item, f"{item}: the attached file {uri} cannot be read: {error}", root=item)
    if attachment.sha256 and sha256 != attachment.sha256.lower():
        return Rejected(item, f"{item}: the attached file {uri} does not have the sha256 its signal named", root=item)
    return DownloadedFile(
        id=f"{item}#{sha256[:16]}",
        root=item,
        url=uri,
        uri=attachment.uri,
        sha256=sha256,
        size=size,
        media_type=attachment.media_type,
    )


def _measure(ctx: StageContext, stream: BinaryIO) -> tuple[str, int]:
    digest: Any = hashlib.sha256()
    size = 0
    while chunk := stream.read(READ_BYTES):
        ctx.check_timeout()
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size
