"""What a stage type need not define."""

from __future__ import annotations

from typing import Any

import pytest
from support import Config, Shout


@pytest.mark.parametrize("method", ["kept", "forget"])
def test_a_stage_that_keeps_nothing_cannot_be_asked(method: str) -> None:
    """The engine asks those only whose metadata say so."""
    ctx: Any = None
    with pytest.raises(NotImplementedError):
        getattr(Shout(Config()), method)(ctx, "w0")


def test_a_stage_knows_no_other_names_unless_it_says_so() -> None:
    """The method is optional."""
    ctx: Any = None
    assert Shout(Config()).roots_named(ctx, "w0") == ()
