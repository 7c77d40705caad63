"""A workspace's pipelines as Dagster definitions: every pipeline that passes the check becomes a job."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dagster import Definitions

from medical_kg.orchestration.contract.errors import MedicalKGError, PipelineInvalid
from medical_kg.orchestration.dagster.runtime import build_job
from medical_kg.orchestration.dagster.sensors import Loaded, ready_sensor
from medical_kg.orchestration.pipeline.catalog import Catalog, load_plan
from medical_kg.orchestration.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

logger = logging.getLogger(__name__)


class NoPipelines(MedicalKGError):
    """None of the pipelines can be used, so there is nothing to define."""


def definitions(workspace: Workspace | None = None, *, pipelines: Iterable[str | Path] | None = None) -> Definitions:
    """Return Dagster definitions with a job per pipeline, loading and checking every plugin they use.

    With them comes the sensor that launches a run for each batch of theirs that is ready; it is on unless switched off.

    Args:
        workspace: whose ledger, checkpoints and pipelines; the one ``Workspace.find`` finds unless given.
        pipelines: names or paths; all that can be named unless given. Among all, one that fails its check is reported
            in the log and left out; one that was asked for raises.

    Raises:
        PipelineInvalid: a pipeline that was asked for has problems.
        NoPipelines: none passed the check.
    """
    workspace = workspace or Workspace.find()
    if pipelines is not None:
        loaded = [_load(workspace, str(pipeline)) for pipeline in pipelines]
    else:
        entries = Catalog(workspace.pipeline_folders).entries()
        loaded = _apart(one for entry in entries if (one := _load_if_valid(workspace, str(entry.path))) is not None)
    # Dagster keeps its processes for days; a run that needs a worker starts its own.
    workspace.environments.close()
    if not loaded:
        raise NoPipelines("no pipeline passes its check; run: medical-kg pipelines check")
    return Definitions(jobs=[one.job for one in loaded], sensors=[ready_sensor(workspace, loaded)])


def _load(workspace: Workspace, pipeline: str) -> Loaded:
    plan = load_plan(
        pipeline,
        installation=workspace.installation,
        folders=workspace.pipeline_folders,
        environments=workspace.environments,
    )
    return Loaded(plan, build_job(workspace, plan))


def _load_if_valid(workspace: Workspace, pipeline: str) -> Loaded | None:
    try:
        return _load(workspace, pipeline)
    except PipelineInvalid as error:
        logger.error("left out of Dagster: %s", error)  # noqa: TRY400  # not our bug
        return None


def _apart(found: Iterable[Loaded]) -> list[Loaded]:
    """Leave out those whose job's name Dagster cannot tell from an earlier one's: to it, ``a-b`` and ``a_b`` are one name."""
    named: dict[str, Loaded] = {}
    for one in found:
        if named.setdefault(one.job.name, one) is not one:
            logger.error("left out of Dagster: a second pipeline whose name is %r there; rename one", one.job.name)
    return list(named.values())
