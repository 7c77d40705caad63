"""The rules a stage type must keep, as a class to subclass with one fixture.

::

    class TestReadability(StageConformance):
        @pytest.fixture
        def case(self) -> StageCase:
            return StageCase(ReadabilityStage, reads={"documents": [good, other]}, bad_item=bad)

Each rule is a test; one that does not apply to the stage type is skipped with the reason.
"""

from __future__ import annotations

from pathlib import Path

import pytest

# Before they are imported: so that a broken rule shows the values it compared, with or without the plugin.
pytest.register_assert_rewrite(
    *(f"{__name__}.{module}" for module in ("declared", "honesty", "items", "modes", "processes", "values"))
)

from medical_kg.testing.case import StageCase  # noqa: E402  # see above
from medical_kg.testing.conformance.declared import DeclarationRules  # noqa: E402
from medical_kg.testing.conformance.honesty import HonestyRules  # noqa: E402
from medical_kg.testing.conformance.items import ItemRules  # noqa: E402
from medical_kg.testing.conformance.modes import StreamRules, WaitingRules  # noqa: E402
from medical_kg.testing.conformance.processes import ProcessRules  # noqa: E402
from medical_kg.testing.conformance.trial import Trial  # noqa: E402
from medical_kg.testing.conformance.values import ValueRules  # noqa: E402

__all__ = ["StageCase", "StageConformance", "Trial"]


class StageConformance(DeclarationRules, HonestyRules, ItemRules, ValueRules, StreamRules, WaitingRules, ProcessRules):
    """The conformance suite: subclass it, and give the fixture ``case``."""

    @pytest.fixture
    def case(self) -> StageCase:
        """Return the stage type with a config and input it can work on; each subclass gives its own."""
        pytest.fail(
            f"{type(self).__name__} needs a fixture named case that returns a StageCase "
            "(from medical_kg.testing import StageCase)",
            pytrace=False,
        )

    @pytest.fixture
    def trial(self, case: StageCase, tmp_path: Path) -> Trial:
        """Return the case in a form that can be run; the rules use it."""
        return Trial(case, tmp_path)
