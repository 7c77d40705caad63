"""A batch's pull, as the ledger sees it: what was seen before is skipped, and what is gone from the source is removed."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract import REMOVED, RemovedRoot
from medical_kg.orchestration.execution.budget import share_of
from medical_kg.orchestration.execution.fingerprint import fingerprint, fingerprint_of
from medical_kg.orchestration.execution.inputs import HANDED
from medical_kg.orchestration.execution.narrowing import asked
from medical_kg.orchestration.execution.sweeping import MOST_PAGES
from medical_kg.orchestration.ledger.contract import OutputRef
from medical_kg.orchestration.ledger.records import input_record
from medical_kg.orchestration.ledger.sweeps import Missing, Pulled, Sweep

if TYPE_CHECKING:
    from medical_kg.orchestration.execution.batch import BatchRun, Checkpoints
    from medical_kg.orchestration.execution.storing import Made
    from medical_kg.orchestration.ledger.contract import StageRecord
    from medical_kg.orchestration.pipeline.plan import Plan, PlannedStage

logger = logging.getLogger(__name__)

PARTS = frozenset({"limit", "updated_since"})
"""With one of these only a part of the input is asked for, and nothing can be said of the rest."""
NAMED = 3
"""How many records a message names."""


def pipeline_fingerprint(plan: Plan) -> str:
    """Return the sha256 over everything of a pipeline that decides what comes of an input record.

    These are its stages with their names and wiring, and what the fingerprint of each is made of. The pipeline's
    version and description, its policies and its batch size are not among them.
    """
    parts = [
        (stage.name, stage.depends_on, fingerprint(stage, {}), [(one.key.name, one.writers) for one in stage.bindings])
        for stage in plan.stages
    ]
    return hashlib.sha256(json.dumps(sorted(parts)).encode()).hexdigest()


def settled_fingerprint(plan: Plan, results: Mapping[str, StageRecord]) -> str:
    """Return the fingerprint under which a batch with these results was processed.

    Empty where some were made by another version of the pipeline's file. What a stream stage gave is judged by its
    content, not by how it came about.
    """
    rest = (stage for stage in plan.stages if stage.type.metadata.mode != "stream")
    return pipeline_fingerprint(plan) if all(_made_by(stage, results.get(stage.name)) for stage in rest) else ""


def _made_by(planned: PlannedStage, record: StageRecord | None) -> bool:
    if record is None or record.parts is None:
        return False
    now, then = fingerprint_of(planned, {})[1].digests, record.parts.digests
    return all(then.get(name) == digest for name, digest in now.items() if name != "inputs")


def meet(run: BatchRun, digests: Mapping[str, str], rejected: Sequence[str], *, process_all: bool) -> Collection[str]:
    """Tell the ledger what was found, and return the roots that may be skipped.

    A full refresh skips nothing, nor does what is not the state of a source (``process_all``); a replay skips everything
    but what it is about, and the ledger is told nothing of what it meets.
    """
    if run.batch.parent is not None:
        return digests.keys() - asked(run, digests)
    mark = pipeline_fingerprint(run.plan)
    batch = run.batch
    known = run.ledger.meet(batch.id, batch.generation, digests, fingerprint=mark, rejected=rejected)
    return () if process_all or run.submission.input.get("full_refresh") else known


def finished(run: BatchRun, made: Made) -> tuple[Made, Pulled, Sweep | None]:
    """Return a pull with what is handed to the stores, what the batch takes on, and what there is to tell."""
    swept = made.swept
    assert swept is not None  # noqa: S101  # a stream stage sweeps
    pulled = Pulled(digests=swept.digests)
    if run.batch.parent is not None:
        return made, pulled, None
    read_by = pipeline_fingerprint(run.plan) if swept.complete else ""
    told = Sweep(
        unchanged=swept.unchanged, changed=len(swept.digests), pages=swept.pages, read_by=read_by, total=swept.total
    )
    if not (swept.complete and PARTS.isdisjoint(run.submission.input) and _removes(run.plan)):
        return made, pulled, told
    missing = run.ledger.missing(run.batch.id, [input_record(one) for one in made.failures])
    if reason := _refusal(run, missing):
        logger.warning("%s", reason)
        return made, pulled, told.model_copy(update={"withheld": len(missing.roots), "reason": reason})
    if missing.roots:
        outputs = {**made.outputs, HANDED: _stored(missing.roots, run.checkpoints)}
        made = replace(made, outputs=outputs)
    told = told.model_copy(update={"removed": len(missing.roots)})
    return made, pulled.model_copy(update={"sweep_done": True}), told


def _removes(plan: Plan) -> bool:
    """Whether any stage would be told what is gone."""
    return any(REMOVED in stage.type.metadata.read_keys for stage in plan.stages)


def pages_of(run: BatchRun, stage: str) -> int:
    """Return how many pages a batch may pull: a replay as many as the batch did from which it descends."""
    if run.batch.parent is None:
        return MOST_PAGES
    batch = run.batch
    while batch.parent is not None:
        batch = run.ledger.batch(batch.parent)
    former = run.ledger.results(batch.id).get(stage)
    return former.sweep.pages if former is not None and former.sweep is not None else 1


def _stored(roots: Sequence[str], checkpoints: Checkpoints) -> OutputRef:
    codec: Any = REMOVED.codec
    digest = checkpoints.put(codec.encode([RemovedRoot(id=root) for root in roots]), codec.suffix)
    return OutputRef(digest=digest, suffix=codec.suffix, items=len(roots))


def _refusal(run: BatchRun, missing: Missing) -> str:
    """Return why the missing roots are not removed; empty where they are, and where there are none."""
    gone = len(missing.roots)
    if not gone:
        return ""
    begins = (
        f"{gone:,} of {missing.known:,} records seen before are absent from the source now ({_some(missing.roots)}), but "
        "were not removed"
    )
    if missing.unread:
        return (
            f"{begins}, because what could not be read may hold them: {_some(missing.unread)}; mend that or take it out "
            "of the input, and run again"
        )
    most = run.submission.input.get("max_removed", run.plan.max_removed_items)
    if gone > share_of(most, missing.known):
        return (
            f"{begins}, because max_removed_items is {most}; if they are to go, run again with "
            f"--max-removed {gone}, or raise it in the pipeline"
        )
    return ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
