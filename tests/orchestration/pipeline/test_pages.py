"""Finding the page of a code."""

from __future__ import annotations

from pathlib import Path

import pytest

from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.pipeline.pages import page


def test_the_first_folder_with_the_page_counts(tmp_path: Path) -> None:
    """A code is found in any case, with spaces around it."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "MKG011.md").write_text(f"of {name} é", encoding="utf-8")
    folders = [tmp_path / "none", tmp_path / "b", tmp_path / "a"]
    assert page(" mkg011 ", folders) == "of b é"


def test_what_has_no_page_is_told(tmp_path: Path) -> None:
    """An unknown code is told its nearest, a known one its meaning."""
    with pytest.raises(UsageError, match=r"^there is no code 'MKG0111'; did you mean 'MKG011'"):
        page("MKG0111", [tmp_path])
    advice = "its page is not in this installation; install it again"
    with pytest.raises(UsageError, match=rf"^MKG011 means: unknown key; {advice}$"):
        page("mkg011", [tmp_path])
