"""A JSON schema of pipeline files, made from the installed plugins, so that editors complete types and configs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import PluginError
from medical_kg.orchestration.pipeline.spec import PipelineSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from medical_kg.orchestration.registry import Registry, StageType

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(stages: Registry[StageType], policies: Iterable[str] = ()) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a pipeline file.

    Every stage type is loaded; one that is broken is left out. ``policies`` are offered as names of policies; others
    stay allowed, since a pipeline may bring its own.
    """
    made = PipelineSpec.model_json_schema()
    made = {"$schema": DIALECT, **made, "title": "medical-kg pipeline"}
    stage = made["$defs"]["StageSpec"]
    types = list(_loaded(stages))
    stage["properties"]["type"] = {
        "description": "The stage type; `distribution:type` where two distributions claim the name.",
        "anyOf": [
            *({"const": one.name, "description": one.metadata.description} for one in types),
            {"type": "string", "pattern": "^.+:.+$"},
        ],
    }
    stage["properties"]["policy"]["examples"] = sorted(policies)
    stage["allOf"] = [_when(one, made["$defs"]) for one in types]
    return made


def _loaded(stages: Registry[StageType]) -> Iterable[StageType]:
    for name in stages.names():
        try:
            yield stages.get(name)
        except PluginError:
            # `plugins list` reports it; a schema without one type is better than none.
            continue


def _when(type_: StageType, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the rule for the config of one stage type; its own definitions move beside the pipeline's."""
    prefix = f"{type_.name}."
    config = _config(type_, f"#/$defs/{prefix}{{model}}")
    definitions.update({prefix + name: one for name, one in config.pop("$defs", {}).items()})
    return {
        "if": {"properties": {"type": {"const": type_.name}}, "required": ["type"]},
        "then": {"properties": {"config": config}, "required": ["config"] if config.get("required") else []},
    }


def _config(type_: StageType, ref_template: str) -> dict[str, Any]:
    try:
        return type_.metadata.config_model.model_json_schema(ref_template=ref_template)
    except (Exception, SystemExit):  # noqa: BLE001  # a plugin's code may raise anything, or have no JSON form
        return {"type": "object"}
