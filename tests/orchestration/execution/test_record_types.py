"""Record types that no instance can be asked about: a TypedDict, a protocol, a generic, a union."""

from __future__ import annotations

from typing import Any, Protocol

import pytest
from typing_extensions import TypedDict

from medical_kg import stage
from medical_kg.orchestration.contract import Stage, StageMetadata, StateKey
from medical_kg.orchestration.execution.calling import misfit
from medical_kg.testing import run_pipeline, run_stage


class Row(TypedDict):
    id: str


class Named(Protocol):
    id: str


@pytest.mark.parametrize("type_", [Row, Named, dict[str, str], Row | None, Any])
@pytest.mark.parametrize("many", [1, 0])
def test_records_of_types_that_no_instance_can_be_asked_about(type_: Any, many: int) -> None:
    """A TypedDict, a protocol, a generic or a union as record type harms neither a call nor its check."""
    rows: StateKey[Any] = StateKey("rows", list[type_], id=lambda row: row["id"])
    out: StateKey[Any] = StateKey("out", list[type_], id=lambda row: row["id"])

    class Copies(Stage[Any]):
        metadata = StageMetadata(
            stage_type="copies",
            version="1",
            description="Copies.",
            reads=(rows,),
            writes=(out,),
            mode="item",
            flat=bool(many),
        )

        def process(self, ctx: Any, item: Any, **reads: Any) -> Any:
            return [dict(item)] if many else dict(item)

    result = run_stage(Copies, rows=[{"id": "a"}, {"id": "b"}])
    assert result.output["out"] == [{"id": "a"}, {"id": "b"}]
    assert misfit(out, [{"id": "a"}]) is None
    assert out.accepts(rows)


def test_a_record_that_is_no_dict_does_not_fit_a_typed_dict() -> None:
    """As far as a class can tell: a TypedDict is a dict."""
    out: StateKey[Any] = StateKey("out", list[Row])
    assert misfit(out, ["a"]) == "holds a str where Row is declared"


class Wider(TypedDict):
    id: str
    text: str


def test_typed_dicts_go_through_a_whole_pipeline() -> None:
    """They are checked, stored and loaded like any other record; another TypedDict does not fit."""
    rows: StateKey[Any] = StateKey("rows", list[Row], id=lambda row: row["id"])
    out: StateKey[Any] = StateKey("out", list[Row], id=lambda row: row["id"])
    other: StateKey[Any] = StateKey("rows", list[Wider])
    assert not rows.accepts(other)

    @stage(
        StageMetadata(stage_type="row", version="1", description="Copies.", reads=(rows,), writes=(out,), mode="item")
    )
    def row(ctx: Any, item: Row) -> Row:
        return {"id": item["id"] * 2}

    pipeline = {"name": "rows", "version": "1", "stages": [{"name": "row", "type": "row"}]}
    run = run_pipeline(pipeline, stages=[row], state={"rows": [{"id": "a"}]})
    assert run.state["out"] == [{"id": "aa"}]
