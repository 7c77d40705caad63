"""Names that Dagster allows, for names that pipelines use."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medical_kg.orchestration.pipeline.plan import Plan

BATCH_TAG = "medical_kg/batch"
GENERATION_TAG = "medical_kg/generation"
SUBMISSION_TAG = "medical_kg/submission"
PIPELINE_TAG = "medical_kg/pipeline"
PLUGIN_TAG = "medical_kg/plugin."
WIRING_TAG = "medical_kg/wiring"

OPEN, CLOSE = "open_batch", "close_batch"


def dagster_name(name: str) -> str:
    """Return the name with every character Dagster refuses replaced by an underscore."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def wiring_of(plan: Plan) -> str:
    """Return a digest of a plan's stages and what they depend on: Dagster knows a job as it was when it was loaded."""
    shape = [[stage.name, stage.type.name, sorted(stage.depends_on)] for stage in plan.stages]
    return hashlib.sha256(json.dumps(sorted(shape)).encode()).hexdigest()[:12]


def op_names(stages: list[str]) -> dict[str, str]:
    """Return an op name for each stage, unique among themselves and the head and tail ops."""
    taken = {OPEN, CLOSE}
    names: dict[str, str] = {}
    for stage in stages:
        name = dagster_name(stage)
        while name in taken:
            name += "_"
        taken.add(name)
        names[stage] = name
    return names
