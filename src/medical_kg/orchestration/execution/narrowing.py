"""Stored values with only what descends from some input records: what a replay takes over from its parent."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.state import type_names
from medical_kg.orchestration.execution.failing import Failure
from medical_kg.orchestration.execution.fingerprint import fingerprint_of, why_not_reused
from medical_kg.orchestration.execution.inputs import digests, outputs_of
from medical_kg.orchestration.execution.sweeping import rooted
from medical_kg.orchestration.isolation.remote import RemoteCodec
from medical_kg.orchestration.ledger.contract import OutputRef
from medical_kg.orchestration.ledger.records import input_record

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StateKey
    from medical_kg.orchestration.execution.batch import BatchRun, Checkpoints
    from medical_kg.orchestration.execution.storing import Made
    from medical_kg.orchestration.ledger.contract import DeadLetter, StageRecord
    from medical_kg.orchestration.pipeline.plan import Plan, PlannedStage


def asked(run: BatchRun, names: Collection[str]) -> set[str]:
    """Return those of the records that a page gives, or rejects, which a replay is about.

    What could not be read may go by another name once it is mended. So a record that the submission has not met before is
    taken for one of those that are asked for.
    """
    if run.only:
        return set(run.only.intersection(names))
    letters = run.ledger.dead_letters(run.submission.id)
    mine = {input_record(one) for one in letters if one.batch_id == run.batch.id}
    others = {input_record(one) for one in letters if one.batch_id != run.batch.id}
    strange = set(names) - mine - others
    return mine.intersection(names) | strange - run.ledger.met(run.batch.id, strange)


def narrowed(made: Made, run: BatchRun, planned: PlannedStage) -> Made:
    """Return what a replay pulled without the failures that it is not about; it leads to no next batch.

    A record that the input does not give any more fails again, instead of being lost without a word.
    """
    wanted = asked(run, [input_record(one) for one in made.failures])
    failures = [one for one in made.failures if input_record(one) in wanted]
    metadata = planned.type.metadata
    if made.swept is not None and len(rooted(metadata)) == len(metadata.writes):
        mine = [one for one in run.ledger.dead_letters(run.submission.id) if one.batch_id == run.batch.id]
        failures += _gone(mine, wanted | made.swept.digests.keys(), planned.name)
    return replace(made, failures=failures, cursor=None)


def _gone(letters: Collection[DeadLetter], found: Collection[str], stage: str) -> list[Failure]:
    missing = [one for one in letters if input_record(one) not in found]
    renamed = set(found) - {input_record(one) for one in letters}
    if len(missing) <= len(renamed):
        return []
    told = "the input does not give it any more, at least not where it was and by this name"
    idents = {one.item_id if one.stage == stage else input_record(one): one.root for one in missing}
    return [Failure(ident, root, "Gone", told) for ident, root in idents.items()]


def _is_readable(key: StateKey[Any]) -> bool:
    return key.is_list and key.root_of is not None and not isinstance(key.codec, RemoteCodec)


def _items(key: StateKey[Any], ref: OutputRef, checkpoints: Checkpoints) -> list[Any]:
    assert key.codec is not None  # noqa: S101  # a state key always has one once it is made
    found: list[Any] = key.codec.decode(checkpoints.get(ref.digest, ref.suffix))
    return found


def here(plan: Plan, key: StateKey[Any]) -> StateKey[Any]:
    """Return a key that can be decoded in this process: that of another stage, where its own stage runs elsewhere.

    Only one of the very same type will do: a reader may declare a plainer one, whose codec would leave fields out.
    """
    if not isinstance(key.codec, RemoteCodec):
        return key
    known = [one for stage in plan.stages for one in (*stage.type.metadata.read_keys, *stage.type.metadata.writes)]
    named = (one for one in known if one == key and not isinstance(one.codec, RemoteCodec))
    return next((one for one in named if type_names(one.item_type)[0] == type_names(key.item_type)[0]), key)


def narrow(
    key: StateKey[Any], ref: OutputRef, wanted: Callable[[str], bool] | None, checkpoints: Checkpoints
) -> OutputRef:
    """Return a stored value with only the items of those roots that are wanted.

    Whole where items have none, where ``wanted`` is None, and where no stage of this process can decode it: the replay
    then does more than it must, which changes nothing in what comes of it.
    """
    if wanted is None or not _is_readable(key) or key.root_of is None or key.codec is None:
        return ref
    items = [item for item in _items(key, ref, checkpoints) if wanted(key.root_of(item))]
    digest = checkpoints.put(key.codec.encode(items), key.codec.suffix)
    return OutputRef(digest=digest, suffix=key.codec.suffix, items=len(items))


def taken_over(
    plan: Plan,
    results: dict[str, StageRecord],
    stage: str,
    roots: Collection[str] | None,
    checkpoints: Checkpoints,
) -> tuple[StageRecord, ...]:
    """Return the results of a batch that a replay from ``stage`` need not make again, narrowed to the roots.

    These are the stages that are not downstream of it and whose results would be reused as they stand.
    """
    kept: dict[str, StageRecord] = {}
    wanted = None if roots is None else roots.__contains__
    again = {stage} | plan.descendants(stage)
    for planned in plan.stages:
        former = results.get(planned.name)
        if planned.name in again or former is None or former.status != "completed":
            continue
        if kept.keys() >= set(planned.depends_on) and _holds(plan, planned, results, checkpoints):
            outputs = {
                key.name: narrow(here(plan, key), former.outputs[key.name], wanted, checkpoints)
                for key in planned.type.metadata.writes
            }
            kept[planned.name] = _narrowed_record(plan, planned, former, kept, outputs)
    return tuple(kept.values())


def _holds(plan: Plan, planned: PlannedStage, results: dict[str, StageRecord], checkpoints: Checkpoints) -> bool:
    former = results[planned.name]
    mark, parts = fingerprint_of(planned, digests(plan, planned, outputs_of(results)))
    stream = planned.type.metadata.mode == "stream"
    return not why_not_reused(
        former, mark, parts, stream=stream, has=lambda ref: checkpoints.has(ref.digest, ref.suffix)
    )


def _narrowed_record(
    plan: Plan,
    planned: PlannedStage,
    former: StageRecord,
    kept: dict[str, StageRecord],
    outputs: dict[str, OutputRef],
) -> StageRecord:
    mark, parts = fingerprint_of(planned, digests(plan, planned, outputs_of(kept)))
    # Its figures are the parent's; here it adds none.
    none: dict[str, Any] = {
        "counts": {},
        "retries": 0,
        "dead_letters": 0,
        "calls": None,
        "finished_at": former.started_at,
    }
    return former.model_copy(update={"outputs": outputs, "fingerprint": mark, "parts": parts, **none})
