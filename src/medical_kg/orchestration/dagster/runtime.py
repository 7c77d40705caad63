"""A plan as a Dagster job: ``open_batch``, one op per stage, ``close_batch``.

An op has one Out per key its stage writes, ``passed`` where a stage only comes after it, and ``done``; one In per key
and writer, and one Nothing In per order-only dependency. A stage that waits emits ``done`` alone, so Dagster skips what
depends on it and the run ends successfully. Each input and output costs Dagster several writes, so there are no more
than the wiring needs.
"""

# No postponed annotations here: Dagster looks at the type of an op's context.

from collections.abc import Iterator, Mapping
from typing import Any

from dagster import (
    AssetMaterialization,
    DependencyDefinition,
    Failure,
    Field,
    GraphDefinition,
    In,
    JobDefinition,
    MetadataValue,
    MultiDependencyDefinition,
    NodeInvocation,
    Nothing,
    OpDefinition,
    OpExecutionContext,
    Out,
    Output,
    multi_or_in_process_executor,
)

from medical_kg.orchestration.dagster import attach
from medical_kg.orchestration.dagster.naming import (
    CLOSE,
    OPEN,
    PIPELINE_TAG,
    PLUGIN_TAG,
    WIRING_TAG,
    dagster_name,
    op_names,
    wiring_of,
)
from medical_kg.orchestration.dagster.references import KEY, reference_io_manager
from medical_kg.orchestration.execution import Outcome, execute_stage
from medical_kg.orchestration.isolation.errors import harmless
from medical_kg.orchestration.pipeline.plan import Plan, PlannedStage
from medical_kg.orchestration.runner import settle, start
from medical_kg.orchestration.workspace import Workspace

LAUNCH_CONFIG = Field(
    {
        "input": Field(str, is_required=False, description="what to process: a path"),
        "limit": Field(int, is_required=False, description="take at most so many input records"),
        "full_refresh": Field(bool, is_required=False, description="process unchanged input records as well"),
        "since": Field(str, is_required=False, description="ask only for what was updated since then: last, or a time"),
        "tenant": Field(str, is_required=False, description="whose submission it is"),
    },
    is_required=False,
    description="for a run started by hand; a run that carries a batch needs none",
)


def build_job(workspace: Workspace, plan: Plan) -> JobDefinition:
    """Return the Dagster job of a plan. It runs in one process unless its run config chooses another executor."""
    names = op_names([stage.name for stage in plan.stages])
    graph = GraphDefinition(
        name=dagster_name(plan.name),
        description=plan.description or None,
        node_defs=[
            _open_op(workspace, plan),
            *(_stage_op(workspace, plan, stage, names) for stage in plan.stages),
            _close_op(workspace, plan),
        ],
        dependencies=_wiring(plan, names),
    )
    return graph.to_job(
        resource_defs={KEY: reference_io_manager},
        executor_def=multi_or_in_process_executor,
        config={"execution": {"config": {"in_process": {}}}},
        tags=_tags(plan),
    )


def _tags(plan: Plan) -> dict[str, str]:
    used = {stage.type.name: str(stage.type.origin) for stage in plan.stages}
    return {PIPELINE_TAG: plan.name, WIRING_TAG: wiring_of(plan)} | {
        f"{PLUGIN_TAG}{name}": origin for name, origin in used.items()
    }


def _wiring(plan: Plan, names: Mapping[str, str]) -> dict[NodeInvocation, dict[str, Any]]:
    wiring: dict[NodeInvocation, dict[str, Any]] = {_node(plan, OPEN): {}}
    for stage in plan.stages:
        inputs: dict[str, Any] = {}
        if not stage.depends_on:
            inputs["batch"] = DependencyDefinition(OPEN, "batch")
        for binding in stage.bindings:
            for writer in binding.writers:
                inputs[_in(binding.key.name, names[writer])] = DependencyDefinition(names[writer], binding.key.name)
        for before in stage.order_only:
            inputs[_after(names[before])] = DependencyDefinition(names[before], "passed")
        wiring[_node(plan, names[stage.name])] = inputs
    ends = [DependencyDefinition(names[stage.name], "done") for stage in plan.stages]
    wiring[_node(plan, CLOSE)] = {"done": MultiDependencyDefinition(list(ends))}
    return wiring


def _node(plan: Plan, op: str) -> NodeInvocation:
    """Use an op in its job under its short name, which run config, step keys and the UI have."""
    return NodeInvocation(_unique(plan, op), alias=op)


def _unique(plan: Plan, op: str) -> str:
    """Return an op's name among those of every pipeline: Dagster wants no two of one name in a code location."""
    return f"{dagster_name(plan.name)}__{op}"


def _in(key: str, writer: str) -> str:
    return f"{key}__from__{writer}"


def _after(before: str) -> str:
    return f"after__{before}"


def _open_op(workspace: Workspace, plan: Plan) -> OpDefinition:
    def open_batch(context: OpExecutionContext, _: Mapping[str, Any]) -> Iterator[Output[None]]:
        if attach.driven(context) is None:
            attach.open_batch(context, workspace, plan)
            with attach.attached(context, workspace) as opened:
                start(opened)
        yield Output(None, "batch")

    outs = {"batch": Out(Nothing)}
    return OpDefinition(compute_fn=open_batch, name=_unique(plan, OPEN), ins={}, outs=outs, config_schema=LAUNCH_CONFIG)


def _close_op(workspace: Workspace, plan: Plan) -> OpDefinition:
    def close_batch(context: OpExecutionContext, _: Mapping[str, Any]) -> Iterator[Output[None]]:
        if attach.driven(context) is None:
            with attach.attached(context, workspace) as run:
                batch = settle(run)
            context.log.info("batch %s is %s", batch.id, batch.status)
        yield Output(None)

    ins, outs = {"done": In(Nothing)}, {"result": Out(Nothing)}
    return OpDefinition(compute_fn=close_batch, name=_unique(plan, CLOSE), ins=ins, outs=outs)


def _stage_op(workspace: Workspace, plan: Plan, stage: PlannedStage, names: Mapping[str, str]) -> OpDefinition:
    metadata = stage.type.metadata
    leads = any(stage.name in later.order_only for later in plan.stages)

    def run_stage(context: OpExecutionContext, _: Mapping[str, Any]) -> Iterator[Output[None] | AssetMaterialization]:
        with attach.attached(context, workspace) as run:
            outcome = execute_stage(run, stage.name)
        if outcome.status == "failed":
            raise Failure(outcome.record.error if outcome.record else None, allow_retries=False) from harmless(
                outcome.error
            )
        shown = _shown(outcome)
        if outcome.emitted:
            yield AssetMaterialization([dagster_name(plan.name), names[stage.name]], metadata=shown)
            for key in metadata.writes:
                yield Output(None, key.name, metadata=shown)
            if leads:
                yield Output(None, "passed")
        yield Output(None, "done")

    ins: dict[str, In] = {} if stage.depends_on else {"batch": In(Nothing)}
    ins |= {_in(b.key.name, names[writer]): In() for b in stage.bindings for writer in b.writers}
    ins |= {_after(names[before]): In(Nothing) for before in stage.order_only}
    outs = {key.name: Out(is_required=False, io_manager_key=KEY, description=str(key)) for key in metadata.writes}
    if leads:
        outs["passed"] = Out(Nothing, is_required=False)
    outs["done"] = Out(Nothing, is_required=False)
    return OpDefinition(
        compute_fn=run_stage,
        name=_unique(plan, names[stage.name]),
        ins=ins,
        outs=outs,
        description=metadata.description,
        tags={"medical_kg/stage_type": stage.type.name},
    )


def _shown(outcome: Outcome) -> dict[str, MetadataValue[Any]]:
    record = outcome.record
    if record is None:
        return {}
    numbers = {**record.counts, "dead_letters": record.dead_letters, "retries": record.retries}
    texts = {"status": outcome.status, **record.origin}
    return {
        **{name: MetadataValue.float(float(number)) for name, number in numbers.items()},
        **{name: MetadataValue.text(text) for name, text in texts.items()},
    }
