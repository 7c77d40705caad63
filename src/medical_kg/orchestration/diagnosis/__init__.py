"""What is wrong with the installed plugins, and what to do: every claim judged, every plugin tried in another process."""

from medical_kg.orchestration.diagnosis.findings import Finding, diagnose
from medical_kg.orchestration.diagnosis.naming import explain_plugin

__all__ = ["Finding", "diagnose", "explain_plugin"]
