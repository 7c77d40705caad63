"""Pipeline files: found, read with positions, checked as a whole, and turned into a plan the runners follow."""

from medical_kg.orchestration.pipeline.catalog import Catalog, Entry, load_plan
from medical_kg.orchestration.pipeline.check import CheckResult, check
from medical_kg.orchestration.pipeline.plan import Binding, Plan, PlannedStage
from medical_kg.orchestration.pipeline.policies import Policies, load_policies
from medical_kg.orchestration.pipeline.problems import KINDS, Problem

__all__ = [
    "KINDS",
    "Binding",
    "Catalog",
    "CheckResult",
    "Entry",
    "Plan",
    "PlannedStage",
    "Policies",
    "Problem",
    "check",
    "load_plan",
    "load_policies",
]
