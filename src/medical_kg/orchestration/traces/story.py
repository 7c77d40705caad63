"""A document's story: which submissions saw it, what each stage made of it, and where it is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from medical_kg.orchestration.contract.errors import MedicalKGError, RecordNotFound
from medical_kg.orchestration.ledger.traces import LedgerTraces
from medical_kg.orchestration.services import FileArea
from medical_kg.orchestration.traces.keepers import Keepers
from medical_kg.orchestration.traces.scan import Scan

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.contract import Batch, StageRecord, Submission
    from medical_kg.orchestration.ledger.forgetting import Forgotten
    from medical_kg.orchestration.traces.scan import Found
    from medical_kg.orchestration.workspace import Workspace

Made = Literal["gave", "took", "gave nothing", "dead letter", "failed", "waiting", "postponed", "not known"]


@dataclass(frozen=True, slots=True)
class StageStory:
    """What a stage made of the document.

    ``made`` is ``gave`` (records, counted in ``gave`` by key), ``took`` (it read the document and gives no records of
    documents), ``gave nothing``, ``dead letter``, ``failed``, ``waiting`` or ``postponed`` (the stage, with its batch), or ``not
    known`` (its checkpoint is gone). Times are seconds since the epoch.
    """

    stage: str
    stage_type: str
    made: Made
    gave: Mapping[str, int]
    started_at: float
    finished_at: float


@dataclass(frozen=True, slots=True)
class BatchStory:
    """A batch that has met the document."""

    submission: Submission
    batch: Batch
    stages: tuple[StageStory, ...]


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file in the workspace that records of the document speak of; ``size`` is in bytes, None when it is gone."""

    uri: str
    sha256: str
    size: int | None


@dataclass(frozen=True, slots=True)
class KeptBy:
    """What a stage keeps of the document outside of the engine; ``problem`` says why it could not tell."""

    stage: str
    kept: Mapping[str, int]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that is known of a document in a tenant's submissions; ``root`` is the id of its input record.

    ``forgotten`` says who asked to forget it, and when.
    """

    root: str
    tenant: str
    batches: tuple[BatchStory, ...]
    ledger: LedgerTraces
    kept: tuple[KeptBy, ...]
    files: tuple[KeptFile, ...]
    forgotten: Forgotten | None = None

    @property
    def known(self) -> bool:
        """Whether there is any trace of it."""
        return bool(
            self.batches
            or self.forgotten
            or self.files
            or self.ledger != LedgerTraces()
            or any(any(one.kept.values()) for one in self.kept)
        )


def trace(workspace: Workspace, ident: str, *, tenant: str = "default") -> Story:
    """Tell a document's story; nothing is changed.

    Args:
        workspace: where to look.
        ident: the id of the input record, or another identifier of the document that a store knows.
        tenant: whose submissions.

    Raises:
        RecordNotFound: there is no trace of it.
    """
    story = tell(workspace, tenant, ident)
    if story.known:
        return story
    for root in Keepers(workspace, Scan(workspace, tenant, ident)).roots_named(ident):
        return tell(workspace, tenant, root)
    raise RecordNotFound(f"document of tenant {tenant}", ident)


def tell(workspace: Workspace, tenant: str, root: str) -> Story:
    """Tell the story of exactly this input record, even if there is nothing to tell."""
    scan = Scan(workspace, tenant, root)
    ledger = workspace.ledger.traces(tenant, root)
    # A replay takes a dead letter along, so it tells of every batch of its submission.
    dead = {(letter.submission_id, letter.stage) for letter in ledger.dead_letters}
    lettered = {letter.batch_id for letter in ledger.dead_letters}
    met = [found for found in scan.batches() if found.holds or found.batch.id in lettered]
    files = {uri for found in met for held in found.values.values() for uri in held.files}
    files |= {one.attachment.uri for one in ledger.attached}
    return Story(
        root=root,
        tenant=tenant,
        batches=tuple(BatchStory(one.submission, one.batch, _stages(scan, one, dead)) for one in met),
        ledger=ledger,
        kept=tuple(_kept(Keepers(workspace, scan), root)),
        files=tuple(_files(workspace, files)),
        forgotten=next(iter(workspace.ledger.forgotten(tenant, root)), None),
    )


def _stages(scan: Scan, found: Found, dead: set[tuple[str, str]]) -> tuple[StageStory, ...]:
    """Tell of the stages that met the document: that had it in what they read, or gave records of it."""
    there = {name for (_, name), held in found.values.items() if held.items}
    told = []
    for record in found.results.values():
        metadata = scan.pipelines.metadata(found.submission, record)
        reads = {key.name for key in metadata.read_keys} if metadata else set()
        gave = {
            name: held.items for (stage, name), held in found.values.items() if stage == record.stage and held.items
        }
        is_dead = (found.submission.id, record.stage) in dead
        unread = [held for (stage, _), held in found.values.items() if stage == record.stage and held.gone]
        if gave or is_dead or unread or reads & there:
            mixed = not record.outputs or any(h.mixed for (s, _), h in found.values.items() if s == record.stage)
            made = _made(record, gave=bool(gave), dead=is_dead, gone=bool(unread), mixed=mixed)
            times = (record.started_at, record.finished_at)
            told.append(StageStory(record.stage, record.stage_type, made, gave, *times))
    return tuple(told)


def _made(record: StageRecord, *, gave: bool, dead: bool, gone: bool, mixed: bool) -> Made:
    if record.status != "completed":
        return record.status
    if gave:
        return "gave"
    if dead:
        return "dead letter"
    if gone:
        return "not known"
    return "took" if mixed else "gave nothing"


def _kept(keepers: Keepers, root: str) -> Iterable[KeptBy]:
    for keeper in keepers:
        try:
            yield KeptBy(keeper.name, keepers.ask(keeper, "kept", root))
        except MedicalKGError as error:
            yield KeptBy(keeper.name, {}, str(error))
    yield from (KeptBy(one.stage_type, {}, str(one)) for one in keepers.unreachable)


def _files(workspace: Workspace, uris: Iterable[str]) -> Iterable[KeptFile]:
    area = FileArea(workspace.root / "files")
    for uri in sorted(uris):
        path = area.path(uri)
        if path is not None:
            yield KeptFile(uri, path.name[:64], path.stat().st_size if path.exists() else None)


def plain(story: Story) -> dict[str, Any]:
    """Return a story as plain values."""
    return {
        "document": story.root,
        "tenant": story.tenant,
        "batches": [
            {
                "submission": one.submission.id,
                "pipeline": one.submission.pipeline,
                "batch": one.batch.id,
                "status": one.batch.status,
                "dagster_run": one.batch.run_id,
                "created_at": one.batch.created_at,
                "stages": [_fields(stage) for stage in one.stages],
            }
            for one in story.batches
        ],
        **story.ledger.model_dump(mode="json"),
        "kept": [_fields(one) for one in story.kept],
        "files": [_fields(one) for one in story.files],
        "forgotten": story.forgotten and story.forgotten.model_dump(mode="json"),
    }


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
