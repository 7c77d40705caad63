"""Dead letters again, with the real stores: what is kept then is what an uninterrupted run keeps."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def test_rows_appear_once_after_a_replay(kg: Any, rows_of_few: Any, replay_mends: Any) -> None:
    """A document whose chunks failed in part stands in the index once, with all of them."""
    replay_mends(kg, kg.rows, rows_of_few)


def test_a_mended_file_is_kept_as_if_it_had_never_been_broken(kg: Any, few: Path, tmp_path: Path) -> None:
    """A file that was no document of any format is read again from the input; the other documents stay as they are."""
    kg.source = tmp_path / "documents"
    shutil.copytree(few, kg.source)
    broken = min(kg.source.iterdir())
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    assert kg(*kg.auto, "--engine", "plain").returncode == 0
    (submission,) = kg.json("submissions", "list")
    (letter,) = kg.json("submissions", "dead-letters", submission["id"])
    broken.write_bytes(whole)
    done = kg("submissions", "replay", submission["id"], "--item", letter["item_id"], "--from-input")
    assert done.returncode == 0, done.stderr
    rows, kg.root = kg.rows(), kg.folder / "afresh"
    assert kg(*kg.auto, "--engine", "plain").returncode == 0
    assert rows == kg.rows()
