"""Stage ``ingest``: feeds a pipeline with the records of a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from medical_kg import Model, Page, PluginName, PluginOptions, Stage, StageContext, StageMetadata
from medical_kg.documents.keys import PAYLOADS
from medical_kg.sources.contract import DOOR

if TYPE_CHECKING:
    from medical_kg.sources.contract import Source


class IngestConfig(Model):
    """Which source to read, and its own options."""

    adapter: Annotated[str, PluginName(DOOR)] = Field(description="the source that is read")
    options: Annotated[dict[str, Any], PluginOptions("adapter")] = Field(
        default_factory=dict, description="the source's own options"
    )


class IngestStage(Stage[IngestConfig]):
    """Pulls pages of payloads from the source named in its config."""

    metadata: ClassVar[StageMetadata] = StageMetadata(
        stage_type="ingest",
        version="1.1.0",
        description="Reads the input's records from a source, as they were found.",
        writes=(PAYLOADS,),
        mode="stream",
        config_model=IngestConfig,
        needs=("http", "plugins"),
    )

    def open(self, ctx: StageContext) -> None:
        """Make the source; it opens nothing before the first pull."""
        self._source: Source = ctx.plugins.get(DOOR, self.config.adapter)(self.config.options)

    def close(self) -> None:
        """Let the source go."""
        self._source.close()

    def pull(self, ctx: StageContext, cursor: str | None, limit: int) -> Page:
        """Give the source's next page and log how many records it could not take."""
        page = self._source.pull(ctx, cursor, limit)
        if page.rejected:
            ctx.logger.warning("%d records were rejected, first %s", len(page.rejected), page.rejected[0].reason)
        return page
