"""What a plugin author needs, and nothing else: the contract of a stage and the errors it may raise.

To run pipelines from Python, see ``medical_kg.orchestration``; to test a stage, ``medical_kg.testing``.
"""

from medical_kg.orchestration.contract import (
    REMOVED,
    Attachment,
    Clause,
    Codec,
    Condition,
    ConditionRef,
    JsonLines,
    NamedCondition,
    NoConfig,
    Page,
    PluginName,
    PluginOptions,
    Rejected,
    RemovedRoot,
    Signal,
    Stage,
    StageContext,
    StageMetadata,
    StateKey,
    StoredFile,
    UnfinishedFile,
    VectorLines,
    Waiting,
    adapt,
    optional,
)
from medical_kg.orchestration.contract.decorate import stage
from medical_kg.orchestration.contract.errors import (
    ContractError,
    InputError,
    ItemRejected,
    MedicalKGError,
    MetadataError,
    StageTimeout,
    StorageError,
    TransientError,
)
from medical_kg.orchestration.contract.model import Model
from medical_kg.orchestration.contract.secrets import Secret

__version__ = "0.1.0"

__all__ = [
    "REMOVED",
    "Attachment",
    "Clause",
    "Codec",
    "Condition",
    "ConditionRef",
    "ContractError",
    "InputError",
    "ItemRejected",
    "JsonLines",
    "MedicalKGError",
    "MetadataError",
    "Model",
    "NamedCondition",
    "NoConfig",
    "Page",
    "PluginName",
    "PluginOptions",
    "Rejected",
    "RemovedRoot",
    "Secret",
    "Signal",
    "Stage",
    "StageContext",
    "StageMetadata",
    "StageTimeout",
    "StateKey",
    "StorageError",
    "StoredFile",
    "TransientError",
    "UnfinishedFile",
    "VectorLines",
    "Waiting",
    "adapt",
    "optional",
    "stage",
]
