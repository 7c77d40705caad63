"""``download``: fetches the files that payloads link to into the workspace's file area."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from medical_kg import ItemRejected, Model, Stage, StageContext, StageMetadata, TransientError
from medical_kg.documents.keys import FILES, PAYLOADS
from medical_kg.documents.records import DownloadedFile
from medical_kg.downloads.arriving import Arriving
from medical_kg.downloads.links import LINKS, LinksFrom, links_of
from medical_kg.downloads.media import PDF, SUFFIXES, media_type_of
from medical_kg.orchestration.contract.urls import safe_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from medical_kg.documents.records import Payload
    from medical_kg.orchestration.contract import Fetched

REMEMBERED_SECONDS = 1800.0
"""How long what came of a failed attempt is good for the next: less than files that nobody mentions are kept for."""


class DownloadConfig(Model):
    """Which files to take.

    ``links_from`` says where a payload has its addresses: ``links``, those that its source found, or finders that take them
    from its content. ``media_types`` are taken, told from the content where it can be, else from what the server says.
    ``max_bytes`` is the size limit of one file. With ``required``, a payload that has links of which none could be
    taken is rejected; without, each failed link is logged.
    """

    links_from: tuple[LinksFrom, ...] = Field(default=(LINKS,), min_length=1, description="where the addresses stand")
    media_types: tuple[str, ...] = Field(default=(PDF,), min_length=1, description="those that are taken")
    max_files_per_item: int = Field(default=10, ge=1, description="files taken of one payload, at most")
    max_bytes: int = Field(default=100 * 1024 * 1024, ge=1, description="size limit of one file, in bytes")
    required: bool = Field(
        default=False, description="reject a payload with links of which none could be taken; else that is logged"
    )


class DownloadStage(Stage[DownloadConfig]):
    """Tries a payload's links in order. Fetching again gives the same records: files are named by their content.

    When an attempt at a payload fails, the next asks only for what it lacks: links that are settled are not asked again,
    and a file that broke off is gone on with where the server can.
    """

    metadata = StageMetadata(
        stage_type="download",
        version="2.0.0",
        description="Fetches the files that payloads link to, checks them and stores them by content.",
        reads=(PAYLOADS,),
        writes=(FILES,),
        mode="item",
        config_model=DownloadConfig,
        flat=True,
        needs=("http", "files"),
    )

    _trial: _Trial | None = None

    def close(self) -> None:
        """Give up what is under way."""
        self._forget()

    def process(self, ctx: StageContext, item: Payload, **reads: Any) -> list[DownloadedFile]:
        """Return a record for each file taken; a payload without links gives none.

        Raises:
            ItemRejected: files are required and no link gave one.
            TransientError: a link may work later; the whole item is tried again.
        """
        del reads
        trial = self._trial_of(ctx, item)
        try:
            self._take(ctx, item, trial)
            self._tell(ctx, item, trial)
        except TransientError:
            trial.pause()
            raise
        except BaseException:
            self._forget()
            raise
        self._forget()
        return list(trial.files.values())

    def _take(self, ctx: StageContext, item: Payload, trial: _Trial) -> None:
        for link in trial.links:
            if len(trial.files) == self.config.max_files_per_item:
                break
            if link in trial.settled:
                continue
            try:
                file = self._fetch(ctx, item, link, trial.arriving(ctx, link, self.config.max_bytes))
                trial.files.setdefault(file.id, file)
            except ItemRejected as refusal:
                trial.refusals.append(str(refusal))
                trial.discard()
            trial.settled.add(link)

    def _tell(self, ctx: StageContext, item: Payload, trial: _Trial) -> None:
        refusals = trial.refusals
        if refusals and self.config.required and not trial.files:
            raise ItemRejected(f"{item.id}: none of {len(refusals)} link(s) could be taken: {'; '.join(refusals)}")
        for refusal in refusals:
            ctx.logger.warning("%s: a link was not taken: %s", item.id, refusal)

    def _fetch(self, ctx: StageContext, item: Payload, link: str, arriving: Arriving) -> DownloadedFile:
        with ctx.http.get(link, headers=arriving.headers, max_bytes=self.config.max_bytes) as response:

            def tell(head: bytes) -> None:
                arriving.media_type = self._checked_type(response, head)

            arriving.receive(response, tell, _timed(ctx, response.chunks()))
        stored = arriving.keep(SUFFIXES.get(arriving.media_type, ""))
        return DownloadedFile(
            id=f"{item.id}#{stored.sha256[:16]}",
            root=item.id,
            url=safe_url(link),
            uri=stored.uri,
            sha256=stored.sha256,
            size=stored.size,
            media_type=arriving.media_type,
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

    def _trial_of(self, ctx: StageContext, item: Payload) -> _Trial:
        now = ctx.clock.monotonic()
        trial = self._trial
        if trial is None or trial.key != (ctx.batch_id, item.id) or now - trial.begun > REMEMBERED_SECONDS:
            self._forget()
            links, refusals = links_of(item, self.config.links_from)
            trial = self._trial = _Trial((ctx.batch_id, item.id), now, links, refusals)
        return trial

    def _forget(self) -> None:
        if self._trial is not None:
            self._trial.discard()
        self._trial = None


class _Trial:
    """What is known of one payload's links so far, over its attempts."""

    def __init__(self, key: tuple[str, str], begun: float, links: list[str], refusals: list[str]) -> None:
        self.key, self.begun, self.links, self.refusals = key, begun, links, refusals
        self.files: dict[str, DownloadedFile] = {}
        self.settled: set[str] = set()
        self._arriving: tuple[str, Arriving] | None = None

    def arriving(self, ctx: StageContext, link: str, limit: int) -> Arriving:
        """Return what came of a link so far, to be gone on with, or a fresh start."""
        if self._arriving is not None and self._arriving[0] == link and self._arriving[1].resumable:
            return self._arriving[1]
        self.discard()
        self._arriving = (link, Arriving(ctx.files.begin, limit))
        return self._arriving[1]

    def pause(self) -> None:
        """Keep what the next attempt can go on with, and nothing else."""
        if self._arriving is not None and not self._arriving[1].resumable:
            self.discard()

    def discard(self) -> None:
        """Give up what came of a link in part."""
        if self._arriving is not None:
            self._arriving[1].discard()
        self._arriving = None


def _timed(ctx: StageContext, chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        ctx.check_timeout()
        yield chunk
