"""``download``: fetches the files that payloads link to into the workspace's file area."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from pydantic import Field

from medical_kg import ItemRejected, Model, Stage, StageContext, StageMetadata
from medical_kg.documents.keys import FILES, PAYLOADS
from medical_kg.documents.records import DownloadedFile
from medical_kg.orchestration.contract.urls import safe_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from medical_kg.documents.records import Payload
    from medical_kg.orchestration.contract import Fetched

PDF = "application/pdf"
HTML = "text/html"
SNIFFED_BYTES = 1024
"""A PDF's mark may stand anywhere in its first 1024 bytes (ISO 32000-1, annex H.3.4.1)."""
SUFFIXES = {PDF: ".pdf", HTML: ".html", "application/xml": ".xml", "text/xml": ".xml", "text/plain": ".txt"}


class DownloadConfig(Model):
    """Which files to take.

    ``media_types`` are taken, told from the content where it can be (PDF, HTML), else from what the server says.
    ``max_bytes`` is the size limit of one file. With ``required``, a payload that has links of which none could be
    taken is rejected; without, each failed link is logged.
    """

    media_types: tuple[str, ...] = Field(default=(PDF,), min_length=1, description="those that are taken")
    max_files_per_item: int = Field(default=10, ge=1, description="files taken of one payload, at most")
    max_bytes: int = Field(default=100 * 1024 * 1024, ge=1, description="size limit of one file, in bytes")
    required: bool = Field(
        default=False, description="reject a payload with links of which none could be taken; else that is logged"
    )


class DownloadStage(Stage[DownloadConfig]):
    """Tries a payload's links in order. Fetching again gives the same records: files are named by their content."""

    metadata = StageMetadata(
        stage_type="download",
        version="1.0.0",
        description="Fetches the files that payloads link to, checks them and stores them by content.",
        reads=(PAYLOADS,),
        writes=(FILES,),
        mode="item",
        config_model=DownloadConfig,
        flat=True,
        needs=("http", "files"),
    )

    def process(self, ctx: StageContext, item: Payload, **reads: Any) -> list[DownloadedFile]:
        """Return a record for each file taken; a payload without links gives none.

        Raises:
            ItemRejected: files are required and no link gave one.
            TransientError: a link may work later; the whole item is tried again.
        """
        del reads
        files: dict[str, DownloadedFile] = {}
        refusals: list[str] = []
        for link in dict.fromkeys(item.links):
            if len(files) == self.config.max_files_per_item:
                break
            try:
                file = self._fetch(ctx, item, link)
                files.setdefault(file.id, file)
            except ItemRejected as refusal:
                refusals.append(str(refusal))
        self._tell(ctx, item, refusals, found=bool(files))
        return list(files.values())

    def _tell(self, ctx: StageContext, item: Payload, refusals: list[str], *, found: bool) -> None:
        if refusals and self.config.required and not found:
            raise ItemRejected(f"{item.id}: none of {len(refusals)} link(s) could be taken: {'; '.join(refusals)}")
        for refusal in refusals:
            ctx.logger.warning("%s: a link was not taken: %s", item.id, refusal)

    def _fetch(self, ctx: StageContext, item: Payload, link: str) -> DownloadedFile:
        with ctx.http.get(link, max_bytes=self.config.max_bytes) as response:
            head, chunks = _peek(_timed(ctx, response.chunks()))
            media_type = self._checked_type(response, head)
            stored = ctx.files.put(chunks, suffix=SUFFIXES.get(media_type, ""))
        return DownloadedFile(
            id=f"{item.id}#{stored.sha256[:16]}",
            root=item.id,
            url=safe_url(link),
            uri=stored.uri,
            sha256=stored.sha256,
            size=stored.size,
            media_type=media_type,
        )

    def _checked_type(self, response: Fetched, head: bytes) -> str:
        said = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        found = media_type_of(head, said)
        wanted = ", ".join(self.config.media_types)
        if not head:
            raise ItemRejected(f"{response.url}: the file is empty")
        if found not in self.config.media_types:
            claim = f" (though sent as {said})" if said and said != found else ""
            raise ItemRejected(f"{response.url}: the content is {found or 'of no stated type'}{claim}, not {wanted}")
        return found


def media_type_of(head: bytes, said: str) -> str:
    """Return the media type of a file from its first bytes, or what was said of it where they do not tell.

    What is said to be a PDF and does not begin like one is not one.
    """
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html")):
        return HTML
    if b"%PDF-" in head:
        return PDF
    return "application/octet-stream" if said == PDF else said


def _peek(chunks: Iterator[bytes]) -> tuple[bytes, Iterable[bytes]]:
    """Return the first bytes, and the whole content again."""
    first: list[bytes] = []
    size = 0
    while size < SNIFFED_BYTES and (chunk := next(chunks, None)) is not None:
        first.append(chunk)
        size += len(chunk)
    return b"".join(first)[:SNIFFED_BYTES], chain(first, chunks)


def _timed(ctx: StageContext, chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        ctx.check_timeout()
        yield chunk
