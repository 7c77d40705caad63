"""Texts of stages in Dagster's events: which are taken out, and which stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, AssetMaterialization, MetadataValue
from support import make_workspace

from medical_kg.orchestration.contract.errors import StorageError
from medical_kg.orchestration.dagster import erasing
from medical_kg.orchestration.dagster.erasing import REMOVED, erase_events, without_words
from medical_kg.orchestration.dagster.instance import open_instance

ERROR = {
    "__class__": "SerializableErrorInfo",
    "message": "w0 text",
    "stack": ["a"],
    "cause": None,
    "context": {"x": "y"},
}


@pytest.mark.parametrize(
    ("event", "log_line", "left"),
    [
        (
            {"message": "about w1", "user_message": "about w1", "level": 30},
            True,
            {"message": REMOVED, "user_message": REMOVED, "level": 30},
        ),
        ({"message": "Started run", "step": "w1"}, False, {"message": "Started run", "step": "w1"}),
        ({"message": "of w0", "counts": [1, "w0", None]}, False, {"message": REMOVED, "counts": [1, REMOVED, None]}),
        (
            {"data": {"error": ERROR}},
            False,
            {"data": {"error": {**ERROR, "message": REMOVED, "stack": [], "context": None}}},
        ),
        (
            {"__class__": "UserFailureData", "description": "text", "label": "l"},
            False,
            {"__class__": "UserFailureData", "description": REMOVED, "label": "l"},
        ),
    ],
)
def test_words_of_stages_are_taken_out(event: Any, log_line: bool, left: Any) -> None:  # noqa: FBT001  # a parameter
    """Log lines, errors with their causes and reasons, and whatever names the record; nothing else."""
    assert without_words(event, "w0", log_line=log_line) == left


def test_what_an_asset_says_of_a_record_is_taken_out(tmp_path: Path) -> None:
    """Also of its newest materialization, which Dagster keeps apart; counting changes nothing."""
    workspace = make_workspace(tmp_path)
    assert erase_events(workspace, "w0", [], change=True) == 0
    with open_instance(workspace) as instance:
        said = {"record": MetadataValue.text("all of w0"), "number": MetadataValue.int(3)}
        instance.report_runless_asset_event(AssetMaterialization(AssetKey("words"), metadata=said))
    assert erase_events(workspace, "w0", [], change=False) == 2
    assert erase_events(workspace, "w0", [], change=True) == 2
    assert erase_events(workspace, "w0", [], change=True) == 0
    with open_instance(workspace) as instance:
        event = instance.get_latest_materialization_event(AssetKey("words"))
        assert event is not None
        assert event.asset_materialization is not None
        assert {name: one.value for name, one in event.asset_materialization.metadata.items()} == {
            "record": REMOVED,
            "number": 3,
        }
    assert not any(b"all of w0" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_history_that_cannot_be_searched_is_an_error() -> None:
    """Nothing is passed over in silence."""

    class Elsewhere:
        event_log_storage = object()

    instance: Any = Elsewhere()
    with pytest.raises(StorageError, match="kept by a object, which cannot be searched"):
        erasing._erase(instance, "w0", [], change=True)  # no instance of another kind is at hand
