"""The stage type ``approval`` for medical-kg."""

from medical_kg_approval.stage import APPROVAL, Approval, ApprovalConfig, ApprovalStage, NotApproved

__all__ = ["APPROVAL", "Approval", "ApprovalConfig", "ApprovalStage", "NotApproved"]
