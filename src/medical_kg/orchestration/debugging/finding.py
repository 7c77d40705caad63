"""Which values stood before a stage: the last batch that met a document, and what is still stored of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medical_kg.orchestration.contract.errors import RecordNotFound, UsageError, near
from medical_kg.orchestration.debugging.directly import check_here
from medical_kg.orchestration.ledger.records import input_record
from medical_kg.orchestration.traces.keepers import Keepers
from medical_kg.orchestration.traces.scan import Found, Scan

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.contract import StageRecord
    from medical_kg.orchestration.pipeline.plan import Plan, PlannedStage
    from medical_kg.orchestration.workspace import Workspace


def meeting(workspace: Workspace, ident: str, tenant: str, submission: str | None) -> tuple[str, Found]:
    """Return the id of a document's input record, and the last batch that met it.

    Raises:
        RecordNotFound: there is none.
        UsageError: several may be it, as their results are not stored any more.
    """
    wanted = None if submission is None else workspace.ledger.submission(submission).id
    for root in _roots(workspace, ident, tenant):
        if found := _last(workspace, root, tenant, wanted):
            return root, found
    place = f"document of tenant {tenant}" if wanted is None else f"document of submission {wanted}"
    raise RecordNotFound(place, ident)


def _roots(workspace: Workspace, ident: str, tenant: str) -> Iterator[str]:
    yield ident
    yield from Keepers(workspace, Scan(workspace, tenant, ident)).roots_named(ident)


def _last(workspace: Workspace, root: str, tenant: str, submission: str | None) -> Found | None:
    traces = workspace.ledger.traces(tenant, root)
    lettered = {letter.batch_id for letter in traces.dead_letters}
    seen = {one.submission_id for one in traces.seen}
    pruned: list[Found] = []
    for found in Scan(workspace, tenant, root).batches(newest_first=True):
        if submission not in (None, found.submission.id):
            continue
        if found.holds or found.batch.id in lettered:
            return found
        if found.submission.id in seen and any(held.gone for held in found.values.values()):
            pruned.append(found)
    if len(pruned) > 1:
        told = pruned[0].submission
        raise UsageError(
            f"the stored results of {root} are gone (`workspace prune` takes them away), so nothing tells which batch it was "
            f"in; run its input again: `medical-kg run {told.pipeline} --input {told.input.get('input')} --full-refresh`"
        )
    return next(iter(pruned), None)


@dataclass(frozen=True, slots=True)
class Before:
    """The stored results of a batch that can be taken over, and why others cannot, by stage."""

    records: Mapping[str, StageRecord]
    lacking: Mapping[str, str]

    def can_begin(self, planned: PlannedStage) -> bool:
        """Whether everything that a stage reads and depends on is there."""
        return planned.type.metadata.mode == "stream" or self.records.keys() >= {*planned.writers, *planned.depends_on}


def taken_up(
    workspace: Workspace, plan: Plan, root: str, found: Found, stage: str, until: str | None
) -> tuple[list[PlannedStage], Mapping[str, StageRecord]]:
    """Return the stages to run, in order, and the stored results of others that they stand on.

    Raises:
        UsageError: the pipeline has no such stage, what the first reads is not stored any more or has nothing of the document, ``until`` does not
            depend on it, or a stage cannot be imported here.
    """
    wanted = _wanted(plan, stage, until)
    before = _before(workspace, plan, found)
    first = plan.stage(stage)
    if not before.can_begin(first):
        raise UsageError(_not_stored(plan, first, before, root))
    if first.type.metadata.mode != "stream" and (reason := _not_there(plan, first, found)):
        raise UsageError(f"{reason}{_ended(workspace, found, root)}")
    for planned in wanted:
        check_here(planned)
    names = {planned.name for planned in wanted}
    return wanted, {name: record for name, record in before.records.items() if name not in names}


def _wanted(plan: Plan, stage: str, until: str | None) -> list[PlannedStage]:
    names = [planned.name for planned in plan.stages]
    for name in (stage, until or stage):
        if name not in names:
            raise UsageError(f"pipeline {plan.name!r} has no stage {name!r}; {near(name, names)}")
    below = {stage} | plan.descendants(stage)
    if until is not None and until not in below:
        after = ", ".join(name for name in names if name in below)
        raise UsageError(f"stage {until!r} does not depend on {stage!r}; these do: {after}")
    chosen = below if until is None else below & ({until} | plan.ancestors(until))
    return [planned for planned in plan.stages if planned.name in chosen]


def _before(workspace: Workspace, plan: Plan, found: Found) -> Before:
    records, lacking = {}, {}
    for planned in plan.stages:
        former = found.results.get(planned.name)
        if reason := _why_not(workspace, planned, former):
            lacking[planned.name] = reason
        elif former is not None:
            records[planned.name] = former
    return Before(records, lacking)


def _why_not(workspace: Workspace, planned: PlannedStage, former: StageRecord | None) -> str:
    """Return why a stage's stored result cannot be taken over; empty where it can."""
    if former is None:
        return "has no result in that batch"
    if former.status != "completed":
        return f"is {former.status}"
    if former.stage_type != planned.type.name:
        return f"was of type {former.stage_type} then"
    for key in planned.type.metadata.writes:
        ref = former.outputs.get(key.name)
        if ref is None:
            return f"gave no {key.name} then"
        if not workspace.checkpoints.has(ref.digest, ref.suffix):
            return "gave a result that is not stored any more (`workspace prune` takes results away)"
    return ""


def _not_stored(plan: Plan, first: PlannedStage, before: Before, root: str) -> str:
    missing = dict.fromkeys((*first.writers, *first.depends_on))
    reasons = "; ".join(f"{name} {before.lacking[name]}" for name in missing if name in before.lacking)
    can = [planned for planned in plan.stages if before.can_begin(planned)]
    names = ", ".join(
        f"{one.name} (which reads the source again)" if one.type.metadata.mode == "stream" else one.name for one in can
    )
    way = (
        f"begin with {names}: `medical-kg documents debug {root} --from {can[0].name}`"
        if can
        else "run its input again"
    )
    return f"{root} cannot be taken up at stage {first.name!r}: {reasons}; {way}"


def _not_there(plan: Plan, first: PlannedStage, found: Found) -> str:
    """Return that nothing of the document is in what a stage reads; empty where there is, or where nobody can tell."""
    read = [found.values.get((writer, binding.key.name)) for binding in first.bindings for writer in binding.writers]
    if not read or any(held is None or held.items or held.mixed for held in read):
        return ""
    above: Collection[str] = plan.ancestors(first.name)
    last = [one.name for one in plan.stages if one.name in above and _gives(found, one.name)]
    there = f"; it was last there after {last[-1]!r}" if last else ""
    return f"nothing of the document is in what stage {first.name!r} read{there}"


def _gives(found: Found, stage: str) -> bool:
    return any(held.items for (name, _), held in found.values.items() if name == stage)


def _ended(workspace: Workspace, found: Found, root: str) -> str:
    letters = workspace.ledger.dead_letters(found.submission.id)
    mine = [one for one in letters if input_record(one) == root]
    return "".join(f"; stage {one.stage!r} rejected it ({one.message}): begin there" for one in mine[:1])
