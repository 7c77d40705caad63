"""A real workspace around one stage: what gives its reads, the stage, the ledger and the checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from medical_kg.orchestration.contract import NoConfig, Stage, StageMetadata, StateKey
from medical_kg.orchestration.execution import BatchRun, Instances
from medical_kg.orchestration.ledger.contract import NewSubmission
from medical_kg.orchestration.pipeline.plan import Binding, Plan, PlannedStage
from medical_kg.orchestration.registry import STAGES, Installation, Origin, StageType
from medical_kg.orchestration.resilience import Policy
from medical_kg.orchestration.runner import PlainEngine, run_batch
from medical_kg.orchestration.telemetry.events import Events
from medical_kg.orchestration.workspace import Workspace
from medical_kg.testing.events import RecordedEvents
from medical_kg.testing.fakes import FakeClock

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.contract import Batch, Ledger, StageRecord
    from medical_kg.testing.case import StageCase

STAGE = "under-test"
SUBMISSION = "s-conformance"
DISTRIBUTION = "conformance"

Answer = dict[str, Any]


def run_around(case: StageCase, folder: Path, *, kill: str = "", die: Callable[[], None] | None = None) -> Answer:
    """Run a case's stage in a real workspace, or go on with what was begun there, and say how it stands.

    Args:
        case: the stage, its config and reads.
        folder: the workspace's folder.
        kill: call ``die`` ``before`` or ``after`` the stage's first commit.
        die: ends the process.
    """
    recorded = RecordedEvents()
    workspace = _Workspace(folder, case, (kill, die) if kill and die else None)
    instances = Instances()
    try:
        plan = plan_around(case)
        submission, _ = workspace.ledger.open_submission(_request(case, plan, folder))
        while todo := _unfinished(workspace.ledger.batches(submission.id)):
            run_batch(workspace, plan, todo[0], PlainEngine(), Events([recorded]), instances)
        return _answer(workspace.ledger, submission.id, recorded)
    finally:
        instances.close()
        workspace.close()


def plan_around(case: StageCase) -> Plan:
    """Return a plan of one stage per read, and the stage that reads them."""
    metadata = case.stage_type.metadata
    name = case.more.get("stage_name") or STAGE
    given = [key for key in metadata.read_keys if case.reads.get(key.name) is not None]
    feeds = [_planned(_feed(number, key, case.reads[key.name])) for number, key in enumerate(given)]
    writers = {key: (feed.name,) for key, feed in zip(given, feeds, strict=True)}
    conditions = case.more.get("conditions", {})
    config = metadata.config_model.model_validate(dict(case.config))
    completed = case.stage_type.configure(config, stage=name, conditions=conditions)
    stage = PlannedStage(
        name=name,
        type=_type(case.stage_type),
        config=completed,
        policy_name="default",
        policy=case.more.get("policy") or Policy(),
        depends_on=tuple(feed.name for feed in feeds),
        bindings=tuple(Binding(key, writers.get(key, ())) for key in metadata.read_keys),
        conditions=conditions,
    )
    return Plan(
        name="conformance",
        version="1",
        path=Path("conformance.yaml"),
        digest="",
        stages=(*feeds, stage),
        conditions=conditions,
        batch_size=case.more.get("limit", 100),
    )


def _feed(number: int, key: StateKey[Any], value: Any) -> type[Stage[Any]]:
    """Return a stage type that gives one value."""

    def run(_self: Stage[Any], _ctx: Any, **_reads: Any) -> Any:
        return {key: value}

    metadata = StageMetadata(stage_type=f"gives-{number}", version="1", description=f"Gives {key}.", writes=(key,))
    return type("Feed", (Stage,), {"metadata": metadata, "run": run, "__module__": __name__})


def _planned(cls: type[Stage[Any]]) -> PlannedStage:
    return PlannedStage(cls.metadata.stage_type, _type(cls), NoConfig(), "default", Policy())


def _type(cls: type[Stage[Any]]) -> StageType:
    name = cls.metadata.stage_type
    origin = Origin(STAGES, name, DISTRIBUTION, "0", f"{cls.__module__}:{cls.__qualname__}")
    return StageType(name, cls, cls.metadata, origin)


def _request(case: StageCase, plan: Plan, folder: Path) -> NewSubmission:
    return NewSubmission(
        tenant="test",
        pipeline=plan.name,
        pipeline_version=plan.version,
        pipeline_path=str(folder / plan.path),
        pipeline_digest=plan.digest,
        batch_size=plan.batch_size,
        input=case.more.get("input", {}),
        actor="conformance",
        id=SUBMISSION,
    )


def _unfinished(batches: list[Batch]) -> list[Batch]:
    return [batch for batch in batches if batch.status in ("pending", "running")]


def _answer(ledger: Ledger, submission_id: str, recorded: RecordedEvents) -> Answer:
    batches = ledger.batches(submission_id)
    records = {f"{batch.ordinal} {name}": one for batch in batches for name, one in ledger.results(batch.id).items()}
    letters = ledger.dead_letters(submission_id)
    return {
        "status": ledger.submission(submission_id).status,
        "errors": [record.error for record in records.values() if record.error],
        "results": {name: _result(record) for name, record in sorted(records.items())},
        "dead_letters": [[letter.stage, letter.item_id, letter.error] for letter in letters],
        "events": [f"{type(event).__name__} {getattr(event, 'stage', '')}".strip() for event in recorded],
    }


def _result(record: StageRecord) -> Answer:
    digests = {name: ref.digest for name, ref in record.outputs.items()}
    return {"status": record.status, "outputs": digests, "counts": dict(record.counts)}


class _Workspace(Workspace):
    """A workspace whose stages get the services of the case, and whose ledger may end the process."""

    def __init__(self, folder: Path, case: StageCase, kill: tuple[str, Callable[[], None]] | None) -> None:
        clock = case.more.get("clock") or FakeClock()
        super().__init__(folder / "workspace", clock=clock, installation=Installation())
        self._case, self._kill = case, kill

    @property
    def ledger(self) -> Ledger:
        real = super().ledger
        return real if self._kill is None else cast("Ledger", _DeadlyLedger(real, self._case, *self._kill))

    def services(self, run: BatchRun, planned: PlannedStage) -> Mapping[str, Any]:
        given = self._case.more.get("services", {})
        needs = planned.type.metadata.needs
        return {**super().services(run, planned), **{name: given[name] for name in needs if name in given}}


class _DeadlyLedger:
    """A ledger at which the process ends before or after the stage's commit."""

    def __init__(self, ledger: Ledger, case: StageCase, when: str, die: Callable[[], None]) -> None:
        self._ledger, self._when, self._die = ledger, when, die
        self._stage = case.more.get("stage_name") or STAGE

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def commit(self, record: StageRecord, generation: int, **more: Any) -> None:
        if record.stage == self._stage and self._when == "before":
            self._die()
        self._ledger.commit(record, generation, **more)
        if record.stage == self._stage:
            self._die()
