"""The plan drawn as text, and the JSON schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from medical_kg.orchestration.pipeline.check import CheckResult
from medical_kg.orchestration.pipeline.graph import dot, edges, mermaid, tree
from medical_kg.orchestration.pipeline.load import load, parse
from medical_kg.orchestration.pipeline.plan import Plan
from medical_kg.orchestration.pipeline.schema import schema
from medical_kg.orchestration.registry import Installation, Registry, StageType
from medical_kg.orchestration.resilience import Policy

DATA = Path(__file__).parent / "data"
HEAD = 'name: p\nversion: "1"\n'


@pytest.fixture
def plan(run_check: Callable[..., CheckResult], old_policies: Mapping[str, Policy]) -> Plan:
    result = run_check(DATA / "auto.yaml", policies=old_policies)
    assert result.plan is not None
    return result.plan


def test_edges_carry_the_keys_that_flow(plan: Plan) -> None:
    """Data from whoever wrote it, also past the stages between; a dependency without data has no key."""
    found = edges(plan)
    assert ("extract", "kg", ("entities", "claims")) in found
    assert ("index", "kg", ()) in found
    assert ("chunk", "index", ("chunks",)) in found


def test_mermaid_and_dot_have_every_stage_and_edge(plan: Plan) -> None:
    """Solid edges with the keys, dotted ones for order only."""
    drawn = mermaid(plan)
    assert drawn.startswith("flowchart TD\n")
    assert '    s_ir_validation["ir_validation (ir-validation)"]\n' in drawn
    assert "    s_extract -- entities, claims --> s_kg\n" in drawn
    assert "    s_index -.-> s_kg\n" in drawn
    assert drawn.endswith("\n")
    drawn = dot(plan)
    assert drawn.startswith('digraph "auto" {\n    rankdir=LR;\n    node [shape=box];\n')
    assert drawn.endswith("];\n}\n")
    assert '    "chunk" [label="chunk"];\n' in drawn
    assert '    "extract" -> "kg" [label="entities, claims"];\n' in drawn
    assert '    "index" -> "kg" [style=dotted];\n' in drawn


def test_the_tree_has_each_stage_once_below_what_it_waits_for(plan: Plan) -> None:
    """Two branches side by side, each stage with what it gets from whom."""
    assert tree(plan) == (
        "auto 2025-01-01\n"
        "└─ ingest\n"
        "   └─ parse: payloads ← ingest\n"
        "      └─ ir_validation (ir-validation): documents ← parse\n"
        "         ├─ chunk: documents ← ir_validation\n"
        "         │  └─ embed: chunks ← chunk\n"
        "         │     └─ index: embeddings ← embed; chunks ← chunk\n"
        "         └─ extract: documents ← ir_validation\n"
        "            └─ kg (knowledge-graph): entities + claims ← extract; order ← index\n"
    )


@pytest.fixture
def validator(registry: Registry[StageType], installation: Installation) -> Any:
    made = schema(registry, installation, ["default", "polite"], ["process", "py312"])
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


@pytest.mark.parametrize("path", sorted(DATA.glob("[!r]*.yaml")), ids=lambda path: path.stem)
def test_the_schema_accepts_right_files(path: Path, validator: Any) -> None:
    """The shape of the files is right (also of the one whose wiring is wrong)."""
    assert list(validator.iter_errors(load(path)[1].value)) == []


@pytest.mark.parametrize(
    "text",
    [
        "name: p",
        HEAD + "stages: []",
        HEAD + "stages: [{name: a}]",
        HEAD + "stages: [{name: a, type: unknown}]",
        HEAD + "stages: [{name: a, type: poll, config: {x: 1}}]",
        HEAD + "stages: [{name: a, type: ingest, config: {adaptor: x}}]",
        HEAD + "stages: [{name: a, type: chunk, config: {max_tokens: 0}}]",
        HEAD + "stages: [{name: a, type: chunk, config: {window: {size: none}}}]",
        HEAD + "stages: [{name: a, type: required}]",
        HEAD + "stages: [{name: a, type: required, config: {}}]",
        HEAD + "stages: [{name: a, type: poll}]\ngates: [{name: g}]",
        HEAD + "stages: [{name: a, type: poll}]\nbatch_size: 0",
    ],
)
def test_the_schema_refuses_wrong_files(text: str, validator: Any) -> None:
    """Unknown types and keys, missing fields and wrong configs show in an editor."""
    assert list(validator.iter_errors(parse(text, "f").value))


def test_the_schema_leaves_room_for_what_it_cannot_know(validator: Any) -> None:
    """Policies of one's own, and the types of an environment with another interpreter, are allowed."""
    text = HEAD + "stages: [{name: a, type: 'fakes:poll', policy: mine}]"
    assert list(validator.iter_errors(parse(text, "f").value)) == []
    stage = HEAD + "stages: [{name: a, type: 'dist:own', config: {x: 1}, environment: %s}]"
    errors = {name: bool(list(validator.iter_errors(parse(stage % name, "f").value))) for name in ("py312", "process")}
    assert errors == {"py312": False, "process": True}


def test_the_schema_describes_types_and_policies(registry: Registry[StageType], installation: Installation) -> None:
    """An editor shows what each type is; broken types are left out."""
    made = schema(registry, installation, ["polite", "default"])
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert made["title"] == "medical-kg pipeline"
    stage = made["$defs"]["StageSpec"]["properties"]
    offered = {one["const"]: one["description"] for one in stage["type"]["anyOf"] if "const" in one}
    assert offered["chunk"] == "The type chunk."
    assert not {"broken", "quits", "twice"} & set(offered)
    assert stage["policy"]["examples"] == ["default", "polite"]


def test_a_config_without_json_form_is_left_open(registry: Registry[StageType], installation: Installation) -> None:
    """A type whose config has no JSON schema does not spoil the others."""
    from pydantic import BaseModel, ConfigDict

    from medical_kg.orchestration.contract import Stage, StageMetadata

    class Odd:
        pass

    class OddConfig(BaseModel):
        model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
        odd: Odd | None = None

    class OddStage(Stage[OddConfig]):
        metadata = StageMetadata(stage_type="odd", version="1", description="Odd.", config_model=OddConfig)

        def run(self, ctx: Any, **reads: Any) -> None:
            return None

    registry.add("odd", OddStage)
    rules = schema(registry, installation)["$defs"]["StageSpec"]["allOf"]
    (rule,) = [one for one in rules if "in-code:odd" in str(one["if"]) and "config" in str(one["then"])]
    assert rule["then"]["properties"]["config"] == {"anyOf": [{"type": "object"}, {"type": "null"}]}
