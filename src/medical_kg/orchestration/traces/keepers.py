"""The stages that keep things outside of the engine: all that a tenant's submissions use or have used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import MedicalKGError
from medical_kg.orchestration.execution import Instances
from medical_kg.orchestration.execution.fingerprint import fields_of, plain_config
from medical_kg.orchestration.execution.keeping import NAMES, ask_keeper
from medical_kg.orchestration.pipeline.plan import Plan, PlannedStage
from medical_kg.orchestration.resilience import Policy
from medical_kg.orchestration.runner import make_run
from medical_kg.orchestration.telemetry.events import Events

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.contract import Batch, StageRecord, Submission
    from medical_kg.orchestration.traces.scan import Scan
    from medical_kg.orchestration.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Keeper:
    """A stage that keeps things, with a batch of the submission that uses it."""

    plan: Plan
    stage: PlannedStage
    batch: Batch

    @property
    def name(self) -> str:
        """What people read: the stage's type, and its config where that is not the usual one."""
        plain = plain_config(self.stage.config)
        told = ", ".join(f"{field}={value}" for field, value in fields_of(plain).items())
        return f"{self.stage.type.name} ({told})" if told else self.stage.type.name


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A stage that has kept things and cannot be asked any more."""

    stage_type: str
    pipeline: str
    reason: str

    def __str__(self) -> str:
        """Return it in words."""
        return f"stage type {self.stage_type} of pipeline {self.pipeline}: {self.reason}"


class Keepers:
    """Finds the stages that keep things, and asks each once.

    Where a pipeline's file has changed since, its former stages are asked as well, with the config the ledger has.
    """

    def __init__(self, workspace: Workspace, scan: Scan) -> None:
        """Look them up."""
        self._workspace, self._scan = workspace, scan
        self.unreachable: list[Unreachable] = []
        self._found: dict[tuple[str, str], Keeper] = {}
        for submission in scan.submissions():
            self._look(submission)

    def _look(self, submission: Submission) -> None:
        batches = self._workspace.ledger.batches(submission.id)
        plan = self._scan.pipelines.plan(submission)
        for stage in plan.stages if plan else ():
            if plan and stage.type.metadata.keeps:
                self._add(Keeper(plan, stage, batches[0]))
        for batch in batches:
            for record in self._workspace.ledger.results(batch.id).values():
                self._look_back(submission, batch, record, plan)

    def _add(self, keeper: Keeper) -> None:
        key = (f"{keeper.stage.type.origin}/{keeper.stage.type.name}", keeper.stage.config.model_dump_json())
        self._found.setdefault(key, keeper)

    def _look_back(self, submission: Submission, batch: Batch, record: StageRecord, plan: Plan | None) -> None:
        """Take up a stage as it was when it gave a result, unless it still is so."""
        metadata = self._scan.pipelines.metadata(submission, record)
        if metadata is None:
            self._miss(record, submission, "it is not installed any more; install it again, and run this again")
            return
        kept = record.parts.config if record.parts else None
        if not metadata.keeps or kept is None or any(_is(one.stage, record, kept) for one in self._found.values()):
            return
        try:
            type_ = self._workspace.installation.stages.get(record.stage_type)
            config = type_.metadata.config_model.model_validate(nested(kept))
        except (MedicalKGError, ValueError) as error:
            self._miss(record, submission, f"its former config cannot be used any more: {error}")
            return
        stage = PlannedStage(record.stage, type_, config, "default", Policy())
        base = plan or Plan(
            submission.pipeline, submission.pipeline_version, self._workspace.root, "", (), {}, submission.batch_size
        )
        self._add(Keeper(replace(base, stages=(*base.stages, stage)), stage, batch))

    def _miss(self, record: StageRecord, submission: Submission, reason: str) -> None:
        missed = Unreachable(record.stage_type, submission.pipeline, reason)
        if missed not in self.unreachable:
            self.unreachable.append(missed)

    def __iter__(self) -> Iterator[Keeper]:
        """Give each once, in the order they were first used."""
        return iter(self._found.values())

    def ask(self, keeper: Keeper, method: str, argument: str) -> Any:
        """Call a method of the stage; see ``ask_keeper`` for what it raises."""
        with self._instances() as instances:
            run = make_run(self._workspace, keeper.plan, keeper.batch, Events(), instances)
            return ask_keeper(run, keeper.stage, method, argument)

    @contextmanager
    def _instances(self) -> Iterator[Instances]:
        instances = Instances()
        try:
            yield instances
        finally:
            instances.close()

    def roots_named(self, name: str) -> list[str]:
        """Return the input records that go by a name, as the stages know them; each once."""
        return list(dict.fromkeys(root for keeper in self for root in self.ask(keeper, NAMES, name)))


def _is(planned: PlannedStage, record: StageRecord, kept: Mapping[str, Any]) -> bool:
    return planned.type.name == record.stage_type and fields_of(plain_config(planned.config)) == dict(kept)


def nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config from its fields by dotted names, as ``fields_of`` gives them."""
    config: dict[str, Any] = {}
    for path, value in fields.items():
        *above, name = path.split(".")
        place = config
        for part in above:
            place = place.setdefault(part, {})
        if name:
            place[name] = value
    return config
