"""The stage type ``readability`` for medical-kg."""

from medical_kg_readability.stage import READABILITY, Readability, ReadabilityConfig, ReadabilityStage

__all__ = ["READABILITY", "Readability", "ReadabilityConfig", "ReadabilityStage"]
