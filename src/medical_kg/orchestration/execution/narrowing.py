"""Stored values with only what descends from some input records: what a replay takes over from its parent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.state import type_names
from medical_kg.orchestration.execution.fingerprint import fingerprint_of, why_not_reused
from medical_kg.orchestration.isolation.remote import RemoteCodec
from medical_kg.orchestration.ledger.contract import OutputRef

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StateKey
    from medical_kg.orchestration.execution.batch import BatchRun, Checkpoints
    from medical_kg.orchestration.execution.storing import Made
    from medical_kg.orchestration.ledger.contract import StageRecord
    from medical_kg.orchestration.pipeline.plan import Plan, PlannedStage


def replayed_roots(run: BatchRun) -> frozenset[str]:
    """Return the input records that a replay batch is about."""
    letters = run.ledger.dead_letters(run.submission.id)
    return frozenset(one.root or one.item_id for one in letters if one.batch_id == run.batch.id)


def narrowed(
    made: Made, plan: Plan, keys: Iterable[StateKey[Any]], roots: Collection[str], checkpoints: Checkpoints
) -> Made:
    """Return a pulled page without the records that are not to be replayed; it leads to no next batch."""
    outputs = {key.name: narrow(here(plan, key), made.outputs[key.name], roots, checkpoints) for key in keys}
    failures = [one for one in made.failures if (one.root or one.item_id) in roots]
    counts = {name: ref.items for name, ref in outputs.items() if ref.items is not None}
    return replace(made, outputs=outputs, counts=counts, failures=failures, cursor=None)


def here(plan: Plan, key: StateKey[Any]) -> StateKey[Any]:
    """Return a key that can be decoded in this process: that of another stage, where its own stage runs elsewhere.

    Only one of the very same type will do: a reader may declare a plainer one, whose codec would leave fields out.
    """
    if not isinstance(key.codec, RemoteCodec):
        return key
    known = [one for stage in plan.stages for one in (*stage.type.metadata.read_keys, *stage.type.metadata.writes)]
    named = (one for one in known if one == key and not isinstance(one.codec, RemoteCodec))
    return next((one for one in named if type_names(one.item_type)[0] == type_names(key.item_type)[0]), key)


def narrow(key: StateKey[Any], ref: OutputRef, roots: Collection[str] | None, checkpoints: Checkpoints) -> OutputRef:
    """Return a stored value with only the items of these roots.

    Whole where items have none, where ``roots`` is None, and where no stage of this process can decode it: the replay
    then does more than it must, which changes nothing in what comes of it.
    """
    if roots is None or not key.is_list or key.root_of is None or isinstance(key.codec, RemoteCodec):
        return ref
    assert key.codec is not None  # noqa: S101  # a state key always has one once it is made
    items = [item for item in key.codec.decode(checkpoints.get(ref.digest, ref.suffix)) if key.root_of(item) in roots]
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
    again = {stage} | plan.descendants(stage)
    for planned in plan.stages:
        former = results.get(planned.name)
        if planned.name in again or former is None or former.status != "completed":
            continue
        if kept.keys() >= set(planned.depends_on) and _holds(planned, former, results, checkpoints):
            outputs = {
                key.name: narrow(here(plan, key), former.outputs[key.name], roots, checkpoints)
                for key in planned.type.metadata.writes
            }
            kept[planned.name] = _narrowed_record(planned, former, kept, outputs)
    return tuple(kept.values())


def _holds(
    planned: PlannedStage, former: StageRecord, results: dict[str, StageRecord], checkpoints: Checkpoints
) -> bool:
    mark, parts = fingerprint_of(planned, digests(planned, results))
    stream = planned.type.metadata.mode == "stream"
    return not why_not_reused(
        former, mark, parts, stream=stream, has=lambda ref: checkpoints.has(ref.digest, ref.suffix)
    )


def _narrowed_record(
    planned: PlannedStage, former: StageRecord, kept: dict[str, StageRecord], outputs: dict[str, OutputRef]
) -> StageRecord:
    mark, parts = fingerprint_of(planned, digests(planned, kept))
    # Its figures are the parent's; here it adds none.
    none: dict[str, Any] = {"counts": {}, "retries": 0, "dead_letters": 0, "finished_at": former.started_at}
    return former.model_copy(update={"outputs": outputs, "fingerprint": mark, "parts": parts, **none})


def digests(planned: PlannedStage, results: Mapping[str, StageRecord]) -> dict[str, list[str]]:
    """Return the digests of what a stage reads, by key, from the results of the stages that wrote it."""
    return {
        binding.key.name: [results[writer].outputs[binding.key.name].digest for writer in binding.writers]
        for binding in planned.bindings
    }
