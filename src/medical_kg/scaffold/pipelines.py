"""A pipeline file that uses a new stage, led up to by stages of a pipeline that is there already."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.pipeline import Catalog
from medical_kg.scaffold.render import fill

if TYPE_CHECKING:
    from medical_kg.orchestration.pipeline import Plan
    from medical_kg.orchestration.registry import Installation


@dataclass(frozen=True, slots=True)
class LeadIn:
    """Stages of a pipeline that together write what a new stage reads, as its file has them.

    ``last`` names those that the new stage depends on, ``pipeline`` the pipeline they were taken from.
    """

    stages: tuple[Mapping[str, Any], ...] = ()
    last: tuple[str, ...] = ()
    pipeline: str = ""


def lead_in(keys: Collection[str], installation: Installation, catalog: Catalog) -> LeadIn | None:
    """Return the shortest way to have all of ``keys`` written, taken from a pipeline of the catalog; None if none has.

    A way that waits for one of the pipeline's conditions is not taken: they stand outside its stages.
    """
    if not keys:
        return LeadIn()
    plans = [catalog.check(entry.path, installation).plan for entry in catalog.entries()]
    ways = [way for plan in plans if plan is not None for way in _ways(plan, keys)]
    return min(ways, key=lambda way: (len(way.stages), way.pipeline), default=None)


def _ways(plan: Plan, keys: Collection[str]) -> Iterator[LeadIn]:
    writers: dict[str, str] = {}
    for stage in plan.stages:
        for key in stage.type.metadata.writes:
            writers.setdefault(key.name, stage.name)
    if not set(keys) <= writers.keys():
        return
    ends = {writers[key] for key in keys}
    before = {name for end in ends for name in plan.ancestors(end)}
    taken = [stage for stage in plan.stages if stage.name in ends | before]
    if not any(stage.conditions for stage in taken):
        written = {one["name"]: one for one in _written(plan)}
        last = tuple(stage.name for stage in taken if stage.name in ends - before)
        yield LeadIn(tuple(written[stage.name] for stage in taken), last, plan.name)


def _written(plan: Plan) -> list[dict[str, Any]]:
    from medical_kg.orchestration.pipeline.load import load

    stages: list[dict[str, Any]] = load(plan.path)[1].value["stages"]
    return stages


def pipeline_source(stage_type: str, reference: str, summary: str, way: LeadIn | None, reads: Collection[str]) -> str:
    """Return the text of the pipeline file.

    Args:
        stage_type: the new stage type; the pipeline's name too.
        reference: how the pipeline names it: the type, or ``distribution:type``.
        summary: what it does.
        way: what leads up to it; None where no pipeline has all that it reads.
        reads: what it reads, for the comment that says so.
    """
    before = way or LeadIn()
    name = stage_type.replace("-", "_")
    own: dict[str, Any] = {
        "name": f"new_{name}" if name in {stage["name"] for stage in before.stages} else name,
        "type": reference,
    }
    if before.last:
        own["depends_on"] = list(before.last)
    comment = f"# No pipeline that is installed has {', '.join(reads)}: put the stages that write it first.\n"
    return fill(
        "pipeline.yaml.txt",
        comment="" if way else comment,
        stage_type=stage_type,
        description=json.dumps(summary),
        stages="\n".join(_line(stage) for stage in (*before.stages, own)),
    )


def _line(stage: Mapping[str, Any]) -> str:
    return f"  - {_flow(stage)}"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_flow(one)}' for name, one in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, str) and value.replace("-", "").replace("_", "").isalpha():
        return value
    return json.dumps(value, default=str)
