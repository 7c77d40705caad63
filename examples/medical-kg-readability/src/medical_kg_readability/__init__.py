"""The stage type ``readability``: how hard each document is to read."""

from medical_kg_readability.stage import READABILITY, Readability, ReadabilityConfig, ReadabilityStage

__all__ = ["READABILITY", "Readability", "ReadabilityConfig", "ReadabilityStage"]
