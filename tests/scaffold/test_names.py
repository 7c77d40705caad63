"""What may be asked of the scaffold, and what it says to the rest."""

from __future__ import annotations

import ast
import keyword
from pathlib import Path
from typing import Any

import pytest

from medical_kg.orchestration.contract.errors import StorageError, UsageError
from medical_kg.orchestration.contract.state import RESERVED
from medical_kg.orchestration.registry import Installation
from medical_kg.scaffold import new_stage
from medical_kg.scaffold.naming import camel, record_class, singular

NOTHING = Installation(path=[])


def refused(into: Path, name: str = "tally", **asked: Any) -> str:
    with pytest.raises(UsageError) as caught:
        new_stage(name, into=into, installation=NOTHING, **asked)
    assert list(into.iterdir()) == []
    return str(caught.value)


@pytest.mark.parametrize("name", ["Tally", "tally_up", "-tally", "tally-", "1st", "", "tal ly", "../x", "tälly"])
def test_a_wrong_stage_type_is_refused(name: str, tmp_path: Path) -> None:
    """The rule of ``StageMetadata.stage_type`` holds, and the message has it."""
    assert "lower-case words joined by hyphens" in refused(tmp_path, name, reads=["notes"])


def test_a_stage_type_that_pytest_would_collect_is_refused(tmp_path: Path) -> None:
    """A class TestSomethingStage would be taken for a test by every test module that imports it."""
    assert "choose a name that does not begin with 'test'" in refused(tmp_path, "test-something", reads=["notes"])


@pytest.mark.parametrize(
    "key", [*sorted(RESERVED)[:3], *keyword.kwlist[:2], "a-b", "_x", "ä", "", "a b", "1a", "match"]
)
@pytest.mark.parametrize("option", ["reads", "writes"])
def test_a_wrong_state_key_is_refused(option: str, key: str, tmp_path: Path) -> None:
    """The rule of ``StateKey.name`` holds, and the message names the option."""
    message = refused(tmp_path, **{"reads": ["notes"], option: ["notes", key]})
    assert message.startswith(f"--{option}: {key!r} cannot name a state key")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"mode": "item"}, "name it with --reads"),
        ({"mode": "stream"}, "name what it gives with --writes"),
        ({"mode": "stream", "reads": ["notes"], "writes": ["lines"]}, "leave --reads out"),
        ({"mode": "lazy", "reads": ["notes"]}, "--mode must be item, batch, stream, not 'lazy'"),
        ({"reads": ["notes", "notes"]}, "'notes' is named twice"),
        ({"reads": ["notes"], "writes": ["tops", "Tops"]}, "differs from 'tops' in capitals only"),
        ({"reads": ["notes"], "writes": ["NOTES"]}, "both be called NOTES"),
    ],
)
def test_what_does_not_fit_together_is_refused(asked: dict[str, Any], words: str, tmp_path: Path) -> None:
    """A mode without what it needs, and names that would clash, are refused before anything is written."""
    assert words in refused(tmp_path, **asked)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """What is there is left as it is, and the message says so."""
    made = new_stage("tally", reads=["notes"], into=tmp_path, installation=NOTHING)
    (made.folder / "README.md").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="medical-kg-tally is there already and was left alone"):
        new_stage("tally", reads=["notes"], into=tmp_path, installation=NOTHING)
    assert (made.folder / "README.md").read_text(encoding="utf-8") == "mine"
    local = new_stage("tally", reads=["notes"], into=tmp_path, local=True, installation=NOTHING)
    (tmp_path / local.files[0]).write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=r"tally_stage\.py is there already and was left alone"):
        new_stage("tally", reads=["notes"], into=tmp_path, local=True, installation=NOTHING)
    assert (tmp_path / local.files[0]).read_text(encoding="utf-8") == "mine"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Where the folder cannot be made, the message names it."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="file"):
        new_stage("tally", reads=["notes"], into=tmp_path / "file", installation=NOTHING)


@pytest.mark.parametrize(
    ("key", "record"),
    [
        ("readability", "Readability"),
        ("notes", "Note"),
        ("entities", "Entity"),
        ("ties", "Tie"),
        ("word_counts", "WordCount"),
        ("analysis", "Analysis"),
        ("class_", "Class"),
        ("none", "NoneRecord"),
        ("exception", "ExceptionRecord"),
        ("stages", "StageRecord"),
        ("models", "ModelRecord"),
    ],
)
def test_records_are_named_after_their_key(key: str, record: str) -> None:
    """One of what the key holds many of; never a name that is built in or used otherwise."""
    assert record_class(key, ()) == record


def test_names_that_are_taken_are_avoided() -> None:
    """A record has a name that nothing else in the module has."""
    assert record_class("notes", ["Note"]) == "NoteRecord"
    assert record_class("notes", ["Note", "NoteRecord"]) == "NoteRecord_"
    assert (camel("ir-validation"), singular("mass")) == ("IrValidation", "mass")


@pytest.mark.parametrize("keys", [["z"], ["a_b", "ab"], ["ab", "a_b"]])
def test_a_record_s_class_and_a_key_s_constant_have_two_names(keys: list[str], tmp_path: Path) -> None:
    """The module of a key whose class would be in capitals defines each name once."""
    made = new_stage("tally", mode="batch", writes=keys, into=tmp_path, local=True, installation=NOTHING)
    tree = ast.parse((tmp_path / made.files[0]).read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    names += [
        node.target.id for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    assert {key.upper() for key in keys} <= set(names)
    assert len(names) == len(set(names))


def test_a_local_module_is_told_nothing_of_a_pipeline_it_does_not_get(tmp_path: Path) -> None:
    """Only a package gets a pipeline, so only there it is noted what the pipeline lacks."""
    asked: dict[str, Any] = {"reads": ["notes"], "into": tmp_path, "installation": NOTHING}
    assert any("own pipeline lacks" in note for note in new_stage("tally", **asked).notes)
    assert not any("own pipeline lacks" in note for note in new_stage("tally", local=True, **asked).notes)
