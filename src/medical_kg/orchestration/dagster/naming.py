"""Names that Dagster allows, for names that pipelines use."""

from __future__ import annotations

import re

BATCH_TAG = "medical_kg/batch"
GENERATION_TAG = "medical_kg/generation"
SUBMISSION_TAG = "medical_kg/submission"
PIPELINE_TAG = "medical_kg/pipeline"
PLUGIN_TAG = "medical_kg/plugin."

OPEN, CLOSE = "open_batch", "close_batch"


def dagster_name(name: str) -> str:
    """Return the name with every character Dagster refuses replaced by an underscore."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


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
