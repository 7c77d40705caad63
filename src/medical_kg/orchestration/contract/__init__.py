"""The ground floor: what a stage is, what it may be given and give back, and every error."""

from medical_kg.orchestration.contract.adapt import LegacyContext, LegacyDefinition, LegacyStage, adapt
from medical_kg.orchestration.contract.codecs import Codec, JsonLines, VectorLines
from medical_kg.orchestration.contract.conditions import Clause, Condition, ConditionRef, NamedCondition, OnTimeout
from medical_kg.orchestration.contract.context import (
    SERVICES,
    Attachment,
    Clock,
    Fetched,
    Files,
    Http,
    Plugins,
    Signal,
    Signals,
    StageContext,
    StoredFile,
    SystemClock,
    UnfinishedFile,
    WorkspaceView,
)
from medical_kg.orchestration.contract.metadata import Mode, NoConfig, Output, StageMetadata
from medical_kg.orchestration.contract.outcomes import Page, Rejected, Waiting
from medical_kg.orchestration.contract.refs import PluginName, PluginOptions
from medical_kg.orchestration.contract.removed import REMOVED, RemovedRoot
from medical_kg.orchestration.contract.stage import Stage, method_of
from medical_kg.orchestration.contract.state import OptionalRead, StateKey, optional

__all__ = [
    "REMOVED",
    "SERVICES",
    "Attachment",
    "Clause",
    "Clock",
    "Codec",
    "Condition",
    "ConditionRef",
    "Fetched",
    "Files",
    "Http",
    "JsonLines",
    "LegacyContext",
    "LegacyDefinition",
    "LegacyStage",
    "Mode",
    "NamedCondition",
    "NoConfig",
    "OnTimeout",
    "OptionalRead",
    "Output",
    "Page",
    "PluginName",
    "PluginOptions",
    "Plugins",
    "Rejected",
    "RemovedRoot",
    "Signal",
    "Signals",
    "Stage",
    "StageContext",
    "StageMetadata",
    "StateKey",
    "StoredFile",
    "SystemClock",
    "UnfinishedFile",
    "VectorLines",
    "Waiting",
    "WorkspaceView",
    "adapt",
    "method_of",
    "optional",
]
