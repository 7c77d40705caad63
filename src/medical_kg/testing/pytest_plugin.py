"""What pytest gets from medical-kg: fixtures for tests of plugins, and full detail where a rule is broken.

pytest loads this module in every project that has medical-kg installed, so it imports nothing it can do without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from medical_kg.orchestration.workspace import Workspace
    from medical_kg.testing.fakes import FakeClock

pytest.register_assert_rewrite("medical_kg.testing.conformance")


@pytest.fixture
def fake_clock() -> FakeClock:
    """Time that stands still until somebody sleeps or calls ``advance(seconds)``."""
    from medical_kg.testing.fakes import FakeClock

    return FakeClock()


@pytest.fixture
def medical_kg_workspace(tmp_path: Path) -> Iterator[Workspace]:
    """Give a new workspace in a folder of the test's own, with every installed plugin and no settings."""
    from medical_kg.orchestration.workspace import Workspace

    # A folder deeper than tmp_path, so that the settings beside it are nobody's.
    workspace = Workspace(tmp_path / "medical-kg" / "workspace")
    yield workspace
    workspace.close()
