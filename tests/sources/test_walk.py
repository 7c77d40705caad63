"""Finding files: the same order every time, nothing outside the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_kg.sources.walk import Found, find_files


def names(top: Path, pattern: str | None = None, start: str = "") -> list[str]:
    return [found.name for found in find_files(top, pattern, start)]


def lay(top: Path, *paths: str) -> Path:
    for path in paths:
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text("x")
    return top


def test_files_come_sorted_by_path(tmp_path: Path) -> None:
    """Files come sorted, folders among them; hidden ones and those about the data are passed over."""
    lay(
        tmp_path,
        "b.json",
        "a/2",
        "a/10",
        "a.json",
        "c/d/e",
        ".hidden",
        ".git/x",
        "README.md",
        "a/LICENSE",
        "NOTICE.txt",
    )
    assert names(tmp_path) == ["a/10", "a/2", "a.json", "b.json", "c/d/e"]


@given(st.sets(st.from_regex(r"([ab.]{1,2}/){0,2}[abz]{1,2}", fullmatch=True), max_size=8), st.data())
def test_a_start_gives_the_rest(tmp_path_factory: pytest.TempPathFactory, paths: set[str], data: st.DataObject) -> None:
    """Starting at any file gives exactly that file and those behind it."""
    top = tmp_path_factory.mktemp("tree")
    for path in sorted(paths, key=len, reverse=True):
        if not any(part in (".", "..") for part in path.split("/")) and not (top / path).is_dir():
            try:
                lay(top, path)
            except (FileExistsError, NotADirectoryError):
                continue
    everything = names(top)
    if everything:
        at = data.draw(st.integers(0, len(everything) - 1))
        assert names(top, start=everything[at]) == everything[at:]


def test_a_pattern_chooses(tmp_path: Path) -> None:
    """A pattern is matched with the path relative to the input, from its end."""
    lay(tmp_path, "a.json", "b/c.json", "b/d.xml")
    assert names(tmp_path, "*.json") == ["a.json", "b/c.json"]
    assert names(tmp_path, "b/*") == ["b/c.json", "b/d.xml"]


def test_links_and_special_files_are_passed_over(tmp_path: Path) -> None:
    """Links may leave the folder or run in circles, and a pipe would be waited for: none is followed."""
    outside = lay(tmp_path / "outside", "secret")
    inside = lay(tmp_path / "inside", "good", "sub/good")
    (inside / "link-file").symlink_to(outside / "secret")
    (inside / "link-out").symlink_to(outside)
    (inside / "sub" / "loop").symlink_to(inside)
    os.mkfifo(inside / "pipe")
    assert names(inside) == ["good", "sub/good"]


def test_a_file_is_given_as_itself(tmp_path: Path) -> None:
    """A file named outright is taken whatever its name."""
    lay(tmp_path, ".README")
    assert list(find_files(tmp_path / ".README")) == [Found(tmp_path / ".README", ".README")]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    """What cannot be listed is given with its problem, so that it is not missing in silence."""
    lay(tmp_path, "closed/x", "open")
    (tmp_path / "closed").chmod(0)
    if os.access(tmp_path / "closed", os.R_OK):
        (tmp_path / "closed").chmod(0o700)
        pytest.skip("this user may read everything")
    found = list(find_files(tmp_path))
    (tmp_path / "closed").chmod(0o700)
    assert [(one.name, bool(one.problem)) for one in found] == [("closed", True), ("open", False)]


def test_a_file_that_is_gone_counts_as_changed(tmp_path: Path) -> None:
    """So that whoever opens it says what is wrong with it."""
    (found,) = find_files(lay(tmp_path, "a"))
    assert [found.changed_since(when) for when in (0.0, 9e9)] == [True, False]
    found.path.unlink()
    assert found.changed_since(9e9)


def test_a_name_that_is_no_text_is_made_printable(tmp_path: Path) -> None:
    """A name with bytes that are no UTF-8 can be stored and shown, and its file read."""
    (tmp_path / os.fsdecode(b"caf\xe9.json")).write_text("x")
    (found,) = find_files(tmp_path)
    assert found.name == "caf\\xe9.json"
    assert found.path.read_text() == "x"
