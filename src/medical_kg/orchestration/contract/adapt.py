"""Old stages with ``execute(ctx, upstream)`` as stage types of today."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from medical_kg.orchestration.contract.errors import ContractError, MetadataError
from medical_kg.orchestration.contract.metadata import StageMetadata
from medical_kg.orchestration.contract.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from medical_kg.orchestration.contract.context import StageContext


class LegacyStage(Protocol):
    """A stage as the old runtime knew it."""

    def execute(self, ctx: LegacyContext, upstream: Any) -> Any:
        """Work on the value of the stage before it."""


@dataclass(frozen=True)
class LegacyDefinition:
    """What an old builder was given: the stage's type and name and its config as a plain mapping."""

    type: str
    name: str
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LegacyContext:
    """The old context's fields, filled from today's: a submission is its job, an item its document."""

    tenant_id: str
    job_id: str
    doc_id: str | None
    correlation_id: str
    pipeline_name: str
    metadata: Mapping[str, Any]


def adapt(builder: Callable[[LegacyDefinition], LegacyStage], metadata: StageMetadata) -> type[Stage[Any]]:
    """Return a stage type that runs an old stage unchanged.

    ``builder`` is called once per process and config. Its stage's ``execute(ctx, upstream)`` gets as ``upstream`` the
    value of the one key read, a mapping by key name where several are read, None where none is. In item mode it is
    called per item; a stream cannot be adapted, since the old contract had none.

    Raises:
        MetadataError: the builder is not callable, the metadata is no ``StageMetadata``, or it asks for stream mode or
            ``items_per_call``.
    """
    if not isinstance(metadata, StageMetadata):
        raise MetadataError(f"adapted builder {builder!r}", "metadata", metadata, "must be a StageMetadata record")
    plugin = f"stage type {metadata.stage_type!r}"
    if not callable(builder):
        raise MetadataError(plugin, "builder", builder, "must be callable")
    if metadata.mode == "stream" or metadata.items_per_call is not None:
        raise MetadataError(plugin, "mode", metadata.mode, "execute(ctx, upstream) can serve batch and item mode only")
    attributes = {"metadata": metadata, "builder": staticmethod(builder), "__module__": _module_of(builder)}
    return type("".join(word.title() for word in metadata.stage_type.split("-")), (_Adapted,), attributes)


def _module_of(builder: Any) -> str:
    return str(getattr(builder, "__module__", None) or __name__)


class _Adapted(Stage[Any]):
    builder: Callable[[LegacyDefinition], LegacyStage]

    def open(self, ctx: StageContext) -> None:
        definition = LegacyDefinition(self.metadata.stage_type, ctx.stage, self.config.model_dump())
        self._stage = self.builder(definition)
        if not callable(getattr(self._stage, "execute", None)):
            what = f"its builder returned {type(self._stage).__name__}, which has no execute(ctx, upstream)"
            raise ContractError(f"stage type {self.metadata.stage_type!r}", what)

    def run(self, ctx: StageContext, **reads: Any) -> Any:
        upstream = next(iter(reads.values())) if len(reads) == 1 else reads or None
        return self._stage.execute(_legacy_context(ctx, None), upstream)

    def process(self, ctx: StageContext, item: Any, **reads: Any) -> Any:
        first = self.metadata.read_keys[0]
        assert first.id_of is not None  # noqa: S101  # metadata refuses item mode without an id
        upstream = {first.name: item, **reads} if reads else item
        return self._stage.execute(_legacy_context(ctx, first.id_of(item)), upstream)


def _legacy_context(ctx: StageContext, doc_id: str | None) -> LegacyContext:
    return LegacyContext(
        tenant_id=ctx.tenant,
        job_id=ctx.submission_id,
        doc_id=doc_id,
        correlation_id=ctx.batch_id,
        pipeline_name=ctx.pipeline,
        metadata=dict(ctx.input),
    )
