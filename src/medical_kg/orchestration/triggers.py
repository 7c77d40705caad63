"""Triggers: a signal that is told starts a submission of each pipeline that asks for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ValidationError

from medical_kg.orchestration.contract import Clause, Condition
from medical_kg.orchestration.contract.errors import MedicalKGError, RecordNotFound
from medical_kg.orchestration.ledger.records import ident_of, key_of
from medical_kg.orchestration.ledger.requests import Origin
from medical_kg.orchestration.pipeline.catalog import Catalog
from medical_kg.orchestration.pipeline.spec import TriggerSpec
from medical_kg.orchestration.submissions import open_submission

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import Signal
    from medical_kg.orchestration.ledger.contract import Ledger, Submission
    from medical_kg.orchestration.workspace import Workspace

logger = logging.getLogger(__name__)

FACT_LENGTH = 12


class Triggered(NamedTuple):
    """A pipeline that a signal starts: the name it gives itself, and its file."""

    pipeline: str
    path: Path


def start_triggered(
    workspace: Workspace, submission: Submission, signal: Signal, batch_id: str | None = None
) -> list[Submission]:
    """Open a submission of each pipeline that the signal starts, in the tenant of the submission it was told to.

    Nothing is run. The new submission's input names the signal, the submission and the batch, and the same signal, with
    its attachments, is told to it. Telling the same again finds what was started before. A pipeline is not started by
    what it has led to itself. One that cannot be started is a warning in the log: the signal stands without it.

    Args:
        workspace: whose pipelines may be started: those that can be named.
        submission: whom the signal was told to, or whose stage told it.
        signal: what was told.
        batch_id: the batch it was told to, or whose stage told it.
    """
    wanted = list(triggered_by(workspace, signal))
    ancestors = frozenset(_line(workspace.ledger, submission)) if wanted else frozenset()
    started = []
    for found in wanted:
        if found.pipeline in ancestors:
            logger.warning("signal %s does not start pipeline %s, which led to it", signal.name, found.pipeline)
            continue
        try:
            started.append(_open(workspace, found, _origin(signal, submission, batch_id)))
        except MedicalKGError as error:
            logger.warning("signal %s could not start pipeline %s: %s", signal.name, found.pipeline, error)
    return started


def triggered_by(workspace: Workspace, signal: Signal) -> Iterator[Triggered]:
    """Give the pipelines that ask for this signal with this value; a file that cannot be read asks for none."""
    for entry in Catalog(workspace.pipeline_folders).entries():
        try:
            asking = _Asking.model_validate(entry.value())
        except ValidationError:
            continue
        if any(_asks(one, signal) for one in asking.triggers):
            yield Triggered(asking.name, entry.path)


class _Asking(BaseModel):
    """What of a pipeline file matters here; whether the rest of it is right is seen when it is started."""

    name: str
    triggers: list[TriggerSpec] = []


def _asks(trigger: TriggerSpec, signal: Signal) -> bool:
    condition = Condition(clauses=(Clause(field=trigger.signal, value=trigger.equals),))
    return condition.holds({signal.name: signal.value}, {})


def _origin(signal: Signal, submission: Submission, batch_id: str | None) -> Origin:
    fact = key_of(signal.model_dump(mode="json", exclude={"actor", "at"}))[:FACT_LENGTH]
    return Origin(signal=signal.name, fact=fact, submission=submission.id, batch=batch_id, told=signal)


def _line(ledger: Ledger, submission: Submission) -> Iterator[str]:
    """Give the pipelines of a submission and of those that led to it."""
    seen: set[str] = set()
    while submission.id not in seen:
        seen.add(submission.id)
        yield submission.pipeline
        try:
            submission = ledger.submission(str(submission.input.get("submission")))
        except RecordNotFound:
            return


def _open(workspace: Workspace, found: Triggered, origin: Origin) -> Submission:
    tenant = workspace.ledger.submission(origin.submission).tenant
    opened = open_submission(
        workspace,
        str(found.path),
        tenant=tenant,
        actor=origin.told.actor,
        ident=ident_of([tenant, found.pipeline, origin.submission, origin.batch, origin.fact]),
        origin=origin,
    )
    logger.info("signal %s started submission %s of pipeline %s", origin.signal, opened.id, found.pipeline)
    return opened
