"""Which state key a stored value belongs to: by the pipeline's file as it is now, else by the stage's type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract import REMOVED
from medical_kg.orchestration.contract.errors import MedicalKGError
from medical_kg.orchestration.execution.inputs import HANDED
from medical_kg.orchestration.execution.narrowing import here
from medical_kg.orchestration.isolation.remote import RemoteCodec
from medical_kg.orchestration.planning import plan_of

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StageMetadata, StateKey
    from medical_kg.orchestration.ledger.contract import StageRecord, Submission
    from medical_kg.orchestration.pipeline.plan import Plan
    from medical_kg.orchestration.workspace import Workspace


class Pipelines:
    """The plans of submissions, each loaded once; None where the file no longer passes the check."""

    def __init__(self, workspace: Workspace) -> None:
        """Start with none."""
        self._workspace = workspace
        self._plans: dict[str, Plan | None] = {}

    def plan(self, submission: Submission) -> Plan | None:
        """Return the plan of a submission's pipeline."""
        place = json.dumps([submission.pipeline_path, dict(submission.overrides)], sort_keys=True)
        if place not in self._plans:
            try:
                self._plans[place] = plan_of(self._workspace, submission.id)
            except MedicalKGError:
                self._plans[place] = None
        return self._plans[place]

    def metadata(self, submission: Submission, record: StageRecord) -> StageMetadata | None:
        """Return the metadata of the type that made a result; None where it is not installed any more."""
        plan = self.plan(submission)
        for stage in plan.stages if plan else ():
            if stage.name == record.stage and stage.type.name == record.stage_type:
                return stage.type.metadata
        try:
            return self._workspace.installation.stages.get(record.stage_type).metadata
        except MedicalKGError:
            return None

    def keys(self, submission: Submission, record: StageRecord) -> dict[str, StateKey[Any]]:
        """Return the keys of a result's values by name, as far as they can be decoded in this process."""
        metadata, plan = self.metadata(submission, record), self.plan(submission)
        found = {key.name: here(plan, key) if plan else key for key in (metadata.writes if metadata else ())}
        readable = {name: key for name, key in found.items() if not isinstance(key.codec, RemoteCodec)}
        return readable | {HANDED: REMOVED}
