"""What a stage that keeps things may answer."""

from __future__ import annotations

from typing import Any

import pytest
from shelves import Shelf
from support import planned

from medical_kg.orchestration.contract.errors import ContractError
from medical_kg.orchestration.execution.keeping import checked, plain


@pytest.mark.parametrize("answer", [None, 3, {"rows": -1}, {"rows": 1.5}, {"rows": True}, ["rows"]])
def test_counts_are_named_whole_numbers(answer: Any) -> None:
    """Anything else breaks the contract, which names the stage type and its method."""
    with pytest.raises(ContractError, match=r"stage type 'shelf'.*its kept\(\) must return named whole numbers"):
        checked(planned(Shelf), "kept", plain("kept", answer))


def test_a_fitting_answer_is_taken() -> None:
    """Counts by name, and names as a list, whatever they came in."""
    assert checked(planned(Shelf), "forget", plain("forget", {"rows": 2})) == {"rows": 2}
    assert checked(planned(Shelf), "roots_named", plain("roots_named", iter(("a", "b")))) == ["a", "b"]
