"""A pipeline in memory: checked, run and recorded by the engine, with nothing left behind."""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from medical_kg.orchestration.contract import Attachment, Signal, Stage, StageMetadata, StateKey
from medical_kg.orchestration.contract.errors import ContractError, PipelineInvalid, PluginError
from medical_kg.orchestration.execution import BatchRun, Instances
from medical_kg.orchestration.ledger.contract import UNFINISHED, NewSubmission
from medical_kg.orchestration.pipeline.check import check
from medical_kg.orchestration.registry import Installation, PluginSettings
from medical_kg.orchestration.runner import PlainEngine, held, settle, start
from medical_kg.orchestration.signals import LedgerSignals
from medical_kg.orchestration.telemetry.events import Events
from medical_kg.testing.events import RecordedEvents
from medical_kg.testing.fakes import FakeClock, FakeFiles, FakeWorkspace
from medical_kg.testing.fresh import codec_of
from medical_kg.testing.http import FakeHttp
from medical_kg.testing.memory import MemoryCheckpoints, memory_ledger
from medical_kg.testing.state import StateView

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.contract import Batch, DeadLetter, Ledger, Status, Wait
    from medical_kg.orchestration.pipeline.plan import Plan, PlannedStage
    from medical_kg.orchestration.resilience import Policy

ACTOR = "test"
GIVEN = "given"
"""The stage, and its type, that stands for what gave the initial state."""
GIVEN_TYPE = "given-state"


def run_pipeline(  # noqa: PLR0913  # each is one thing a test may say
    pipeline: str | Mapping[str, Any],
    *,
    stages: Iterable[type[Stage[Any]]] = (),
    state: Mapping[str, Any] | None = None,
    input: Mapping[str, Any] | str | None = None,  # noqa: A002  # the word of the command line and of ctx.input
    services: Mapping[str, Any] | None = None,
    policies: Mapping[str, Policy] | None = None,
    workspace: Path | None = None,
    clock: FakeClock | None = None,
    plugins: Installation | None = None,
) -> PipelineRun:
    """Check a pipeline and run it in memory until nothing is left that can be done now.

    Args:
        pipeline: its text as in a file, or the same as a mapping.
        stages: stage classes or decorated functions that it may use besides the installed types; one with the name of
            an installed type takes its place.
        state: what the stages at the head find already there, by key name.
        input: what ``ctx.input`` holds; a text stands for ``{"input": text}``.
        services: in place of the fakes (``files``, ``http``, ``workspace``); ``signals`` are the ledger's own.
        policies: the resilience policies that the pipeline may name.
        workspace: a folder for stages that need one; unless given, one that is deleted with the run.
        clock: time; it stands still but for sleeping.
        plugins: what is installed behind the doors; unless given, what really is.

    Raises:
        PipelineInvalid: the check found errors; all of them are listed.
        ContractError: ``state`` holds a key that no stage of the pipeline reads.
    """
    installation = _installation(stages, plugins)
    text = pipeline if isinstance(pipeline, str) else yaml.safe_dump(dict(pipeline), sort_keys=False)
    if state:
        text = _with_state(text, state, installation)
    result = check(text, installation.stages, installation, policies or {}, file="<pipeline>")
    if result.plan is None:
        raise PipelineInvalid("<pipeline>", result.problems)
    asked = {"input": input} if isinstance(input, str) else dict(input or {})
    run = PipelineRun(result.plan, asked, installation, dict(services or {}), workspace, clock or FakeClock())
    return run.resume()


class PipelineRun:
    """A submission of a pipeline in memory: how it stands, and going on with it.

    Attributes:
        plan: the pipeline as the check understood it.
        clock: its time; ``clock.advance(seconds)`` lets deadlines pass.
        events: what happened.
        ledger: the durable record, for what the properties below do not tell.
    """

    def __init__(
        self,
        plan: Plan,
        asked: Mapping[str, Any],
        installation: Installation,
        services: dict[str, Any],
        workspace: Path | None,
        clock: FakeClock,
    ) -> None:
        """Open the submission; nothing runs yet."""
        self.plan, self.clock, self.events = plan, clock, RecordedEvents()
        ledger = memory_ledger(clock)
        # Closed with the run, so that nobody need think of it.
        weakref.finalize(self, ledger.close)
        self.ledger: Ledger = ledger
        self._checkpoints = MemoryCheckpoints()
        self._services = services
        self._services.setdefault("plugins", installation)
        self._workspace = workspace
        self._bus = Events([self.events])
        self.submission_id = ledger.open_submission(_request(plan, asked))[0].id

    @property
    def status(self) -> Status:
        """The submission's status, e.g. completed, waiting or failed."""
        return self.ledger.submission(self.submission_id).status

    @property
    def counts(self) -> dict[str, dict[str, float]]:
        """What each stage counted, summed over the batches."""
        found: dict[str, dict[str, float]] = {}
        for record in self._records():
            totals = found.setdefault(record.stage, {})
            for name, number in record.counts.items():
                totals[name] = totals.get(name, 0) + number
        return found

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """The items that could not be processed."""
        return self.ledger.dead_letters(self.submission_id)

    @property
    def errors(self) -> dict[str, str]:
        """Why stages failed, by stage."""
        return {one.stage: one.error or "" for one in self._records() if one.status == "failed"}

    @property
    def put_off(self) -> dict[str, float]:
        """When the stages that could not go on are to run again, by stage, in seconds since the epoch."""
        found = [one for one in self._records() if one.status == "postponed"]
        return {one.stage: one.calls.again_at for one in found if one.calls and one.calls.again_at}

    @property
    def waiting(self) -> dict[str, Wait]:
        """What stages wait for now, by stage."""
        waiting = [record for record in self._records() if record.status == "waiting"]
        waits = {record.stage: self.ledger.wait(record.batch_id, record.stage) for record in waiting}
        return {stage: wait for stage, wait in waits.items() if wait is not None}

    @property
    def state(self) -> StateView:
        """What the pipeline holds: of each key the values that no later stage replaced, over all batches."""
        keys = {key.name: key for stage in self.plan.stages for key in stage.type.metadata.writes}
        found = {name: self._value(key, self._last_writers(key)) for name, key in keys.items()}
        values = {name: value[0] for name, value in found.items() if value}
        return StateView(f"pipeline {self.plan.name!r}", keys.values(), values)

    def output(self, stage: str) -> StateView:
        """Return what one stage gave, over all batches; raises ``KeyError`` for a stage it does not have."""
        names = [one.name for one in self.plan.stages]
        if stage not in names:
            raise KeyError(f"{stage!r} is no stage of the pipeline; its stages are {', '.join(names)}")
        keys = self.plan.stage(stage).type.metadata.writes
        found = {key.name: self._value(key, [stage]) for key in keys}
        return StateView(f"stage {stage!r}", keys, {name: value[0] for name, value in found.items() if value})

    def signal(self, name: str, value: Any = True, *, attachments: Iterable[Attachment] = ()) -> PipelineRun:  # noqa: FBT002  # a signal's natural value
        """Tell a signal, and go on with what it wakes."""
        at = self.clock.now()
        told = Signal(name=name, value=value, attachments=tuple(attachments), actor=ACTOR, at=at)
        self.ledger.tell(self.submission_id, told)
        return self.resume()

    def resume(self) -> PipelineRun:
        """Go on: failed batches again, waiting ones whose signal was told or whose deadline has passed."""
        for batch in self.ledger.batches(self.submission_id):
            if batch.status == "failed":
                self.ledger.reopen(batch.id, ACTOR)
        instances = Instances()
        try:
            while self.status in UNFINISHED and (ready := self.ledger.ready(limit=1, submission_id=self.submission_id)):
                self._run_batch(ready[0], instances)
        finally:
            instances.close()
        return self

    def _run_batch(self, batch: Batch, instances: Instances) -> None:
        with held(self.ledger, batch) as claimed:
            run = BatchRun(
                plan=self.plan,
                submission=self.ledger.submission(self.submission_id),
                batch=claimed,
                ledger=self.ledger,
                checkpoints=self._checkpoints,
                services=self._services_of,
                clock=self.clock,
                events=self._bus,
                instances=instances,
                draw=lambda: 0.5,
            )
            start(run)
            PlainEngine().run(run)
            settle(run)

    def _services_of(self, run: BatchRun, planned: PlannedStage) -> Mapping[str, Any]:
        signals = LedgerSignals(run.ledger, run.submission, run.batch, planned.name, self.clock)
        needs = planned.type.metadata.needs
        return {
            need: signals if need == "signals" and need not in self._services else self._service(need) for need in needs
        }

    def _service(self, name: str) -> Any:
        if name not in self._services:
            made: dict[str, Callable[[], Any]] = {
                "files": FakeFiles,
                "http": FakeHttp,
                "workspace": lambda: FakeWorkspace(self._folder),
            }
            self._services[name] = made[name]()
        return self._services[name]

    @cached_property
    def _folder(self) -> Path:
        if self._workspace is not None:
            return self._workspace
        folder = Path(tempfile.mkdtemp(prefix="medical-kg-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _records(self) -> list[Any]:
        batches = self.ledger.batches(self.submission_id)
        return [record for batch in batches for record in self.ledger.results(batch.id).values()]

    def _last_writers(self, key: StateKey[Any]) -> list[str]:
        writers = [stage.name for stage in self.plan.stages if key in stage.type.metadata.writes]
        return [name for name in writers if not self.plan.descendants(name) & set(writers)]

    def _value(self, key: StateKey[Any], writers: Iterable[str]) -> list[Any]:
        """Return the value of a key in a list, which is empty where no writer has given one."""
        wanted = set(writers)
        refs = [
            record.outputs[key.name]
            for record in self._records()
            if record.stage in wanted and record.status == "completed"
        ]
        values = [codec_of(key).decode(self._checkpoints.get(ref.digest, ref.suffix)) for ref in refs]
        if key.is_list and values:
            return [[item for value in values for item in value]]
        return values[-1:]


def _installation(stages: Iterable[type[Stage[Any]]], plugins: Installation | None) -> Installation:
    given = list(stages)
    # In code they come from one distribution, which counts before every other.
    prefer = {one.metadata.stage_type: "in-code" for one in given}
    if GIVEN_TYPE in prefer:
        raise ContractError(f"stage type {GIVEN_TYPE!r}", "this name is taken by run_pipeline for the initial state")
    installation = plugins or Installation(PluginSettings(prefer=prefer))
    for one in given:
        installation.stages.add(one.metadata.stage_type, one)
    return installation


def _request(plan: Plan, asked: Mapping[str, Any]) -> NewSubmission:
    return NewSubmission(
        tenant="test",
        pipeline=plan.name,
        pipeline_version=plan.version,
        pipeline_path=str(plan.path),
        pipeline_digest=plan.digest,
        batch_size=plan.batch_size,
        input=json.loads(json.dumps(asked)),
        actor=ACTOR,
    )


def _with_state(text: str, state: Mapping[str, Any], installation: Installation) -> str:
    """Return the pipeline with a stage at its head that gives the initial state."""
    found = yaml.safe_load(text)
    nodes = found.get("stages") if isinstance(found, dict) else None
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        return text  # the check says what is wrong with it
    keys = _keys_read(nodes, installation)
    if unknown := sorted(state.keys() - keys.keys()):
        listed = ", ".join(sorted(keys)) or "none"
        what = f"state gives {', '.join(unknown)}, which no stage of the pipeline reads; read are {listed}"
        raise ContractError("run_pipeline", what, key=unknown[0])
    values = {keys[name]: value for name, value in state.items()}
    installation.stages.add(GIVEN_TYPE, _given(values))
    after = [{**node, "depends_on": node.get("depends_on") or [GIVEN]} for node in nodes]
    return yaml.safe_dump({**found, "stages": [{"name": GIVEN, "type": GIVEN_TYPE}, *after]}, sort_keys=False)


def _keys_read(nodes: list[dict[str, Any]], installation: Installation) -> dict[str, StateKey[Any]]:
    keys: dict[str, StateKey[Any]] = {}
    for node in nodes:
        try:
            metadata = installation.stages.get(str(node.get("type"))).metadata
        except PluginError:
            continue  # the check says so
        keys |= {key.name: key for key in metadata.read_keys}
    return keys


def _given(values: Mapping[StateKey[Any], Any]) -> type[Stage[Any]]:
    metadata = StageMetadata(
        stage_type=GIVEN_TYPE, version="1", description="Gives the initial state.", writes=tuple(values)
    )
    return type("Given", (Stage,), {"metadata": metadata, "run": lambda _self, _ctx: dict(values)})
