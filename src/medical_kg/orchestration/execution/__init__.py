"""Running one stage of one batch, whoever drives it."""

from medical_kg.orchestration.execution.batch import BatchRun, Outcome
from medical_kg.orchestration.execution.fingerprint import fingerprint
from medical_kg.orchestration.execution.instances import Instances
from medical_kg.orchestration.execution.stage import execute_stage

__all__ = ["BatchRun", "Instances", "Outcome", "execute_stage", "fingerprint"]
