"""``signal``: tells a named fact, so that a waiting stage or another pipeline can go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from medical_kg import Attachment, Model, Stage, StageContext, StageMetadata, optional
from medical_kg.documents.keys import DOCUMENTS, FILES
from medical_kg.documents.records import CONVERTED
from medical_kg.orchestration.contract.errors import UsageError

if TYPE_CHECKING:
    from medical_kg.documents.ir import Document
    from medical_kg.documents.records import DownloadedFile


class SignalConfig(Model):
    """What to tell and to whom.

    ``signal`` is the name a condition's ``field`` asks for (``ledger.X`` is another spelling of ``X``). Without
    ``pipeline`` the stage's own submission is told, with it every unfinished submission of that pipeline, with ``reply`` the
    submission, and batch, whose signal started this one. ``attach`` sends the batch's files or documents along, one
    document for each item; then the own submission is told for this batch alone.
    """

    signal: str = Field(min_length=1, description="the name a condition's field asks for")
    value: Any = Field(default=True, description="what is told")
    pipeline: str | None = Field(
        default=None, min_length=1, description="tells every unfinished submission of this pipeline instead of its own"
    )
    reply: bool = Field(default=False, description="tells the submission whose signal started this one")
    attach: Literal["files", "documents"] | None = Field(default=None, description="what is sent along")

    @field_validator("signal")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        return name.removeprefix("ledger.")

    @model_validator(mode="after")
    def _one_audience(self) -> SignalConfig:
        if self.reply and self.pipeline is not None:
            msg = "`reply` does not go with `pipeline`: a reply has its hearer"
            raise ValueError(msg)
        return self


class SignalStage(Stage[SignalConfig]):
    """Tells a signal when the batch reaches it. Telling again the same changes nothing."""

    metadata = StageMetadata(
        stage_type="signal",
        version="1.1.0",
        description="Tells a signal, with files or documents, to its own submission or to those of another pipeline.",
        reads=(optional(FILES), optional(DOCUMENTS)),
        config_model=SignalConfig,
        needs=("signals", "files"),
    )

    def run(
        self,
        ctx: StageContext,
        files: list[DownloadedFile] | None = None,
        documents: list[Document] | None = None,
        **reads: Any,
    ) -> None:
        """Tell the signal; the log says how many submissions heard it.

        Raises:
            UsageError: what should be attached is written by no stage before this one.
        """
        del reads
        config = self.config
        attached: list[Attachment] | None = None
        if config.attach == "files":
            attached = [_file(one) for one in self._there(ctx, files)]
        elif config.attach == "documents":
            first: dict[str, Document] = {}
            for one in self._there(ctx, documents):
                first.setdefault(one.root, one)
            attached = [_document(ctx, one) for one in first.values()]
        told = ctx.signals.tell(
            config.signal, config.value, attachments=attached, pipeline=config.pipeline, reply=config.reply
        )
        self._say(ctx, told, attached)

    def _there(self, ctx: StageContext, found: list[Any] | None) -> list[Any]:
        if found is None:
            attach = self.config.attach
            raise UsageError(f"stage {ctx.stage!r} is to attach {attach}, but no stage before it writes {attach}")
        return found

    def _say(self, ctx: StageContext, told: int, attached: list[Attachment] | None) -> None:
        config = self.config
        audience = "this submission" if config.pipeline is None else f"pipeline {config.pipeline!r}"
        if config.reply:
            audience = "the submission that started this one"
        along = "" if attached is None else f" with {len(attached)} attachment(s)"
        if told:
            ctx.logger.info("told %s to %s%s: %d submission(s)", config.signal, audience, along, told)
        else:
            ctx.logger.warning(
                "told %s to %s, but no unfinished submission is there to hear it", config.signal, audience
            )


def _file(one: DownloadedFile) -> Attachment:
    return Attachment(uri=one.uri, media_type=one.media_type, sha256=one.sha256, item_id=one.root)


def _document(ctx: StageContext, one: Document) -> Attachment:
    ctx.check_timeout()
    stored = ctx.files.put([one.model_dump_json().encode()], suffix=".json")
    return Attachment(uri=stored.uri, media_type=CONVERTED, sha256=stored.sha256, item_id=one.root)
