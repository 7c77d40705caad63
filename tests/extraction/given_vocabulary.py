"""A vocabulary of terms in code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from medical_kg.vocabularies.contract import Term, Vocabulary


class Given(Vocabulary):
    """Gives the terms it was made with, and counts how often."""

    name = "given"

    def __init__(self, terms: Sequence[Term], **options: Any) -> None:
        super().__init__(options)
        self._terms = terms
        self.reads = 0

    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self._terms).encode()).hexdigest()

    def terms(self) -> Iterator[Term]:
        self.reads += 1
        return iter(self._terms)
