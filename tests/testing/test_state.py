"""``StateView``: a mapping that knows which keys were declared."""

from __future__ import annotations

import pytest
from support import LOWER, UPPER, WORDS

from medical_kg import ContractError
from medical_kg.testing import StateView


def view() -> StateView:
    return StateView("stage type 'x'", [WORDS, UPPER], {WORDS: [1], "upper": [2]})


def test_values_are_found_by_key_and_by_name() -> None:
    """It is a mapping by name; the key itself will do."""
    assert (view()[WORDS], view()["upper"], dict(view())) == ([1], [2], {"words": [1], "upper": [2]})
    assert (WORDS in view(), "upper" in view(), "chunks" in view(), len(view())) == (True, True, False, 2)
    assert repr(view()) == "StateView({'words': [1], 'upper': [2]})"
    assert view().declared == (WORDS, UPPER)


def test_keys_that_are_not_declared_are_refused() -> None:
    """Reading and writing them is an error that names owner, key and what is declared."""
    said = "stage type 'x' broke its contract: 'lower' was read, which is not declared; declared: upper, words"
    with pytest.raises(ContractError, match=said) as caught:
        view().get("lower")
    assert caught.value.key == "lower"
    with pytest.raises(ContractError, match="'lower' was written, which is not declared; declared: none"):
        StateView("stage type 'x'", [], {LOWER: []})


def test_a_declared_key_that_holds_nothing() -> None:
    """It is an ordinary KeyError, as in any mapping."""
    empty = StateView("stage type 'x'", [WORDS], {})
    assert empty.get("words") is None
    with pytest.raises(KeyError, match="'words' holds nothing"):
        empty["words"]
