"""The conformance suite fails an embedder that breaks its rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from medical_kg.documents.records import EmbedderIdentity
from medical_kg.embedders.conformance import EmbedderCase, EmbedderConformance
from medical_kg.embedders.contract import Embedder


class Careless(Embedder):
    """Keeps no rule: takes any option, remembers calls, forgets sizes and fails with what comes."""

    calls = 0

    def __init__(self, options: Any = None) -> None:
        self.made_of = dict(options or {})

    @property
    def identity(self) -> EmbedderIdentity:
        Careless.calls += 1
        return EmbedderIdentity(
            model=f"careless {self.calls}", sha256="0" * 64, dimension=4, max_tokens=8, pooling="none", normalized=True
        )

    @property
    def max_tokens(self) -> int:
        return 16

    def embed_documents(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        if "fails" in self.made_of:
            raise ValueError
        Careless.calls += 1
        return np.full((len(texts), 4), self.calls, np.float64)

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text) + 1)]


RULES = sorted(name for name in vars(EmbedderConformance) if name.startswith("test_"))


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_can_be_broken(rule: str) -> None:
    """An embedder that keeps no rule fails by each."""
    case = EmbedderCase(Careless, others=[{"a": 1}], same=[{"b": 1}], unusable=[{"fails": True}])
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
        getattr(EmbedderConformance(), rule)(case)


def test_what_was_not_given_is_skipped_with_the_reason() -> None:
    """Rules about other options need them."""
    bare = EmbedderCase(Careless)
    with pytest.raises(pytest.skip.Exception, match="no other options"):
        EmbedderConformance().test_the_identity_changes_with_the_vectors_alone(bare)
    with pytest.raises(pytest.skip.Exception, match="nothing can be embedded"):
        EmbedderConformance().test_what_cannot_be_used_says_why(bare)


def test_without_a_case_the_suite_says_what_is_missing() -> None:
    """Whoever subclasses it learns of the fixture."""
    with pytest.raises(pytest.fail.Exception, match="needs a fixture named case that returns an EmbedderCase"):
        EmbedderConformance.case.__wrapped__(EmbedderConformance())  # type: ignore[attr-defined]  # pytest wraps it
