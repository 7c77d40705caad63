"""The stage type ``chunk`` for medical-kg, in place of the built-in one: it cuts by paragraph."""

from medical_kg_paragraph_chunks.stage import ParagraphChunkConfig, ParagraphChunkStage

__all__ = ["ParagraphChunkConfig", "ParagraphChunkStage"]
