"""Small stage types and plans made in code, for tests of the engine: it knows no stage type, so neither do these."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
from pydantic import BaseModel, ConfigDict

from medical_kg.orchestration.checkpoints import CheckpointStore
from medical_kg.orchestration.contract import Clause, Condition, Page, Stage, StageMetadata, StateKey, Waiting
from medical_kg.orchestration.contract.database import open_engine, writing
from medical_kg.orchestration.crew import EngineName
from medical_kg.orchestration.execution import BatchRun
from medical_kg.orchestration.ledger.contract import NewSubmission
from medical_kg.orchestration.ledger.sql import open_ledger
from medical_kg.orchestration.ledger.tables import HISTORY
from medical_kg.orchestration.pipeline.plan import Binding, Plan, PlannedStage
from medical_kg.orchestration.registry import STAGES, Installation, Origin, StageType
from medical_kg.orchestration.resilience import Policy
from medical_kg.orchestration.telemetry.events import Events
from medical_kg.orchestration.workspace import Workspace
from medical_kg.testing import FakeClock

ENGINES: list[EngineName] = ["plain", "dagster"]


class Word(BaseModel):
    """A record for tests."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    root: str
    text: str = ""


def words(name: str, **more: Any) -> StateKey[list[Word]]:
    return StateKey(name, list[Word], id="id", root="root", **more)


WORDS, UPPER, LOWER = words("words"), words("upper"), words("lower")
TALLY: StateKey[dict[str, int]] = StateKey("tally", dict[str, int])


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = 3
    bad: tuple[str, ...] = ()


class Feed(Stage[Config]):
    """Gives ``number`` words, ``limit`` at a time."""

    metadata = StageMetadata(
        stage_type="feed", version="1.0", description="Feeds.", writes=(WORDS,), mode="stream", config_model=Config
    )

    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        first = int(cursor or 0)
        last = min(first + limit, self.config.number)
        found = [Word(id=f"w{n}", root=f"w{n}", text=f"word {n}") for n in range(first, last)]
        return Page(found, None if last == self.config.number else str(last))


class Shout(Stage[Config]):
    """Upper-cases words one by one; words named in ``bad`` cannot be."""

    metadata = StageMetadata(
        stage_type="shout",
        version="1.0",
        description="Shouts.",
        reads=(WORDS,),
        writes=(UPPER,),
        mode="item",
        config_model=Config,
    )

    def process(self, ctx: Any, item: Word, **reads: Any) -> Word:
        if item.id in self.config.bad:
            raise ValueError(f"{item.id} is bad")
        return item.model_copy(update={"text": item.text.upper()})


class Whisper(Stage[Config]):
    """Lower-cases words one by one."""

    metadata = StageMetadata(
        stage_type="whisper",
        version="1.0",
        description="Whispers.",
        reads=(WORDS,),
        writes=(LOWER,),
        mode="item",
        config_model=Config,
    )

    def process(self, ctx: Any, item: Word, **reads: Any) -> Word:
        return item.model_copy(update={"text": item.text.lower()})


class Tally(Stage[Config]):
    """Counts what the branches gave."""

    metadata = StageMetadata(
        stage_type="tally",
        version="1.0",
        description="Tallies.",
        reads=(UPPER, LOWER),
        writes=(TALLY,),
        config_model=Config,
        output_counter=lambda out: {"tallied": sum(out[TALLY].values())},
    )

    def run(self, ctx: Any, **reads: Any) -> dict[str, int]:
        return {name: len(value) for name, value in reads.items()}


def stage_type(cls: type[Stage[Any]]) -> StageType:
    name = cls.metadata.stage_type
    origin = Origin(STAGES, name, "tests", "0", f"{cls.__module__}:{cls.__qualname__}")
    return StageType(name, cls, cls.metadata, origin)


def planned(cls: type[Stage[Any]], after: Iterable[str] = (), **more: Any) -> PlannedStage:
    """A stage named like its type unless ``name`` is given; ``bindings`` maps keys to writers."""
    bindings: Mapping[StateKey[Any], tuple[str, ...]] = more.pop("bindings", {})
    after = tuple(after)
    bound = {writer for writers in bindings.values() for writer in writers}
    values: dict[str, Any] = {
        "name": cls.metadata.stage_type,
        "config": cls.metadata.config_model(**more.pop("config", {})),
        "policy_name": "default",
        "policy": Policy(),
        "order_only": tuple(name for name in after if name not in bound),
        **more,
    }
    return PlannedStage(
        type=stage_type(cls),
        depends_on=after,
        bindings=tuple(Binding(key, tuple(writers)) for key, writers in bindings.items()),
        **values,
    )


def diamond(**configs: Mapping[str, Any]) -> Plan:
    """Feed → shout and whisper → tally."""
    return plan(
        planned(Feed, config=configs.get("feed", {})),
        planned(Shout, ["feed"], bindings={WORDS: ("feed",)}, config=configs.get("shout", {})),
        planned(Whisper, ["feed"], bindings={WORDS: ("feed",)}),
        planned(Tally, ["shout", "whisper"], bindings={UPPER: ("shout",), LOWER: ("whisper",)}),
    )


def plan(*stages: PlannedStage, **more: Any) -> Plan:
    text = repr([stage.name for stage in stages])
    values: dict[str, Any] = {"conditions": {}, "batch_size": 2, **more}
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Plan(name="test", version="1", path=Path("test.yaml"), digest=digest, stages=stages, **values)


def open_run(folder: Path, made: Plan, **more: Any) -> BatchRun:
    """A claimed first batch of a new submission of a plan, in a ledger and checkpoint store of its own."""
    clock = more.pop("clock", None) or FakeClock()
    ledger = more.pop("ledger", None) or open_ledger(f"sqlite:///{folder / 'ledger.db'}", clock=clock)
    new = NewSubmission(
        tenant="test",
        pipeline=made.name,
        pipeline_version=made.version,
        pipeline_path=str(made.path),
        pipeline_digest=made.digest,
        batch_size=made.batch_size,
        input={"input": "x"},
        actor="tester",
    )
    submission, _ = ledger.open_submission(new)
    batch = ledger.claim(ledger.batches(submission.id)[0].id, "tester", lease_seconds=60)
    services = {"plugins": Installation()}
    return BatchRun(
        plan=made,
        submission=submission,
        batch=batch,
        ledger=ledger,
        checkpoints=CheckpointStore(str(folder / "checkpoints")),
        services=lambda run, stage: {name: services[name] for name in stage.type.metadata.needs},
        clock=clock,
        events=Events([more.pop("heard", []).append]),
        draw=lambda: 0.5,
        **more,
    )


class Gate(Stage[Config]):
    """Waits, up to ``number`` seconds, until the signal ``open`` is true."""

    metadata = StageMetadata(
        stage_type="barrier", version="1.0", description="Waits.", config_model=Config, needs=("signals",)
    )

    def run(self, ctx: Any, **reads: Any) -> Waiting | None:
        condition = Condition(clauses=(Clause(field="open", value=True),))
        if ctx.timed_out or ctx.signals.holds(condition):
            return None
        return Waiting(condition, timedelta(seconds=self.config.number), "continue" if self.config.bad else "fail")


DIAMOND = """\
name: diamond
version: "1"
batch_size: 2
stages:
  - {name: feed, type: feed, config: {number: 5}}
  - {name: shout, type: shout, depends_on: [feed], config: {bad: [w3]}}
  - {name: whisper, type: whisper, depends_on: [feed]}
  - {name: tally, type: tally, depends_on: [shout, whisper]}
"""

GATED = """\
name: gated
version: "1"
stages:
  - {name: feed, type: feed, config: {number: 1}}
  - {name: barrier, type: barrier, depends_on: [feed], config: {number: 100}}
  - {name: shout, type: shout, depends_on: [barrier]}
  - {name: whisper, type: whisper, depends_on: [feed]}
"""


AT_ONCE = """\
policies:
  default: {max_attempts: 3, timeout_seconds: 60, backoff: {strategy: none, initial: 0.0, maximum: 0.0, jitter: false}}
"""
"""What is tried again under the machine's clock waits for nothing in between."""


def make_workspace(
    folder: Path, *pipelines: str, clock: FakeClock | None = None, **types: type[Stage[Any]]
) -> Workspace:
    """A workspace whose only stage types are those above (and ``types``), with these pipelines in it."""
    installation = Installation(path=[])
    for cls in (Feed, Shout, Whisper, Tally, Gate, *types.values()):
        installation.stages.add(cls.metadata.stage_type, cls)
    (folder / "pipelines").mkdir(parents=True, exist_ok=True)
    for text in pipelines:
        name = text.split()[1]
        (folder / "pipelines" / f"{name}.yaml").write_text(text, encoding="utf-8")
    if clock is None:
        (folder / "pipelines" / "resilience.yaml").write_text(AT_ONCE, encoding="utf-8")
    return Workspace(folder, clock=clock, installation=installation)


def edit(workspace: Workspace, old: str, new: str) -> None:
    """Change the one pipeline of a workspace."""
    (file,) = set((workspace.root / "pipelines").glob("*.yaml")) - {workspace.root / "pipelines" / "resilience.yaml"}
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def migrate_to(url: str, revision: str) -> None:
    """Give a database the ledger's tables as an earlier release made them."""
    engine = open_engine(url)
    config = alembic.config.Config()
    config.set_main_option("script_location", "medical_kg.orchestration.ledger:migrations")
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, revision)
    engine.dispose()


def of_earlier_release(workspace: Workspace, submission_id: str) -> str:
    """Make a submission as releases left it that kept no text of its pipeline: nothing to go on with but the file."""
    began = (HISTORY.c.submission_id == submission_id, HISTORY.c.event == "submitted")
    engine = open_engine(workspace.database_url)
    with writing(engine) as connection:
        connection.execute(HISTORY.update().where(*began).values(detail={}))
    engine.dispose()
    return submission_id
