"""Where the values stand that a stage reads: those of its writers, and what the engine itself gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract import REMOVED

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StateKey
    from medical_kg.orchestration.ledger.contract import OutputRef, StageRecord
    from medical_kg.orchestration.pipeline.plan import Plan, PlannedStage

HANDED = "(removed)"
"""The engine's own output beside those of the stream stage; no state key can have this name."""

Outputs = Mapping[str, Mapping[str, "OutputRef"]]
"""What stages gave: by stage, then by key."""


def outputs_of(results: Mapping[str, StageRecord]) -> Outputs:
    """Return what the stages of these results gave."""
    return {name: record.outputs for name, record in results.items()}


def inputs(plan: Plan, planned: PlannedStage, outputs: Outputs) -> dict[str, list[OutputRef]]:
    """Return what a stage reads, by key. Raises ``KeyError`` where a writer gave nothing."""
    above = plan.ancestors(planned.name)
    upstream = {name: given for name, given in outputs.items() if name in above}
    return {
        binding.key.name: [outputs[writer][binding.key.name] for writer in binding.writers]
        + handed(binding.key, upstream)
        for binding in planned.bindings
    }


def digests(plan: Plan, planned: PlannedStage, outputs: Outputs) -> dict[str, list[str]]:
    """Return the digests of what a stage reads, by key. Raises ``KeyError`` where a writer gave nothing."""
    return {name: [ref.digest for ref in refs] for name, refs in inputs(plan, planned, outputs).items()}


def handed(key: StateKey[Any], outputs: Outputs) -> list[OutputRef]:
    """Return where the records stand that the engine gives under a key, next to the writers of these outputs."""
    if key != REMOVED:
        return []
    return [given[HANDED] for given in outputs.values() if HANDED in given]
