"""A workspace's pipelines as Dagster definitions: every pipeline that passes the check becomes a job."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import Definitions

from medical_kg.orchestration.contract.errors import MedicalKGError, PipelineInvalid
from medical_kg.orchestration.dagster.runtime import build_job
from medical_kg.orchestration.dagster.schedules import schedule_of
from medical_kg.orchestration.dagster.sensors import Loaded, ready_sensor
from medical_kg.orchestration.pipeline.catalog import Catalog
from medical_kg.orchestration.planning import last_good, load_in
from medical_kg.orchestration.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)


class NoPipelines(MedicalKGError):
    """None of the pipelines can be used, so there is nothing to define."""


def definitions(workspace: Workspace | None = None, *, pipelines: Iterable[str | Path] | None = None) -> Definitions:
    """Return Dagster definitions with a job per pipeline, loading and checking every plugin they use.

    With them come the schedules of those that have one, and the sensor that launches a run for each batch of theirs that
    is ready; all are on unless switched off.

    Args:
        workspace: whose ledger, checkpoints and pipelines; the one ``Workspace.find`` finds unless given.
        pipelines: names or paths; all that can be named unless given. Among all, one that fails its check is reported
            in the log, and its last version that passed takes its place, if a submission went on with one; one that was
            asked for raises.

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
    schedules = [one_schedule for one in loaded if (one_schedule := schedule_of(workspace, one)) is not None]
    return Definitions(jobs=[one.job for one in loaded], schedules=schedules, sensors=[ready_sensor(workspace, loaded)])


def _load(workspace: Workspace, pipeline: str) -> Loaded:
    plan = load_in(workspace, pipeline)
    return Loaded(plan, build_job(workspace, plan))


def _load_if_valid(workspace: Workspace, pipeline: str) -> Loaded | None:
    try:
        return _load(workspace, pipeline)
    except PipelineInvalid as error:
        if kept := last_good(workspace, Path(pipeline)):
            logger.warning("Dagster goes on with the last version that passed the check: %s", error)
            return Loaded(kept[0], build_job(workspace, kept[0]))
        logger.error("left out of Dagster: %s", error)  # noqa: TRY400  # not our bug
        return None


def _apart(found: Iterable[Loaded]) -> list[Loaded]:
    """Leave out those whose job's name Dagster cannot tell from an earlier one's: to it, ``a-b`` and ``a_b`` are one name."""
    named: dict[str, Loaded] = {}
    for one in found:
        if named.setdefault(one.job.name, one) is not one:
            logger.error("left out of Dagster: a second pipeline whose name is %r there; rename one", one.job.name)
    return list(named.values())
