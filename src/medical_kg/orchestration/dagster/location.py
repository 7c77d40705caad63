"""The code location that Dagster's own processes load: the workspace named by MEDICAL_KG_WORKSPACE."""

from medical_kg.orchestration.dagster.definitions import definitions

defs = definitions()
