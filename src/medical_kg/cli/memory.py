"""A pipeline run in memory for a command, with nothing kept of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from medical_kg.cli.output import plural
from medical_kg.orchestration.contract.errors import PipelineInvalid, StageFailed, UsageError

if TYPE_CHECKING:
    from medical_kg.cli.state import State

SHOWN = 3


def run_in_memory(state: State, pipeline: str, given: str, keys: Collection[str]) -> Mapping[str, list[Any]]:
    """Run a pipeline over an input and return what some keys hold; rejected items are told on standard error.

    Raises:
        PipelineNotFound: there is no such pipeline.
        PipelineInvalid: it does not pass the check.
        UsageError: it gives none of the keys, or waits for something.
        StageFailed: a stage failed.
    """
    from medical_kg.cli.pipelines import catalog_of
    from medical_kg.testing import run_pipeline

    catalog = catalog_of(state)
    path = catalog.find(pipeline)
    plan = catalog.check(path, state.plugins, environments=state.place.environments).plan
    if plan is None:
        raise PipelineInvalid(str(path), catalog.check(path, state.plugins).problems)
    written = {key.name for stage in plan.stages for key in stage.type.metadata.writes}
    if missing := sorted(set(keys) - written):
        raise UsageError(f"pipeline {plan.name!r} gives no {', '.join(missing)}; it gives {', '.join(sorted(written))}")
    run = run_pipeline(
        path.read_text(encoding="utf-8"),
        input=given,
        policies=catalog.policies(path).by_name,
        plugins=state.plugins,
        services={"http": state.http},
    )
    for stage, error in run.errors.items():
        raise StageFailed(stage, run.submission_id, error)
    if run.waiting:
        raise UsageError(f"pipeline {plan.name!r} waits at {', '.join(run.waiting)}; measure one that does not wait")
    if letters := run.dead_letters:
        reasons = "".join(f"\n  {one.item_id}: {one.message}" for one in letters[:SHOWN])
        state.note(f"{plural(len(letters), 'item')} could not be processed:{reasons}")
    return {key: list(run.state[key]) for key in keys}
