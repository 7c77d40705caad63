"""A JSON schema of pipeline files, made from the installed plugins, so that editors complete types and configs.

It says what the check says of shapes: keys, kinds and bounds of values, names, stage types, their configs, and the
plugins and environments that exist. It cannot see what joins several places of a file (dependencies, dataflow,
conditions, names given twice), which policies a pipeline brings, or what a config model judges by code.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from medical_kg.orchestration.contract.errors import PluginError
from medical_kg.orchestration.contract.refs import DOOR_KEY, OPTIONS_KEY
from medical_kg.orchestration.isolation.environments import ALWAYS
from medical_kg.orchestration.isolation.naming import options_model_of
from medical_kg.orchestration.pipeline.spec import PERCENT, PipelineSpec
from medical_kg.orchestration.pipeline.stages import MAX_NAME, NAME, RESERVED, STAGE_NAME

if TYPE_CHECKING:
    from medical_kg.orchestration.registry import Installation, Registry, StageType

T = TypeVar("T")

DIALECT = "https://json-schema.org/draft/2020-12/schema"
END = r"(?![\s\S])"  # the end of the text in every dialect; `$` may stand before a last line break
NULL = {"type": "null"}
HERE = {"properties": {"environment": {"enum": [*ALWAYS, None]}}}
"""A stage of which this installation can tell the type: it is not run by another interpreter."""


def schema(
    stages: Registry[StageType],
    installation: Installation,
    policies: Iterable[str] = (),
    environments: Iterable[str] = ALWAYS,
) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a pipeline file.

    Args:
        stages: the stage types; every one is loaded, and one that is broken is left out.
        installation: every door; a config field marked with ``PluginName`` may name only what is behind its door, and one
            marked with ``PluginOptions`` may hold only what that plugin takes.
        policies: offered as names of policies; others stay allowed, since a pipeline may bring its own.
        environments: those that a stage may name.
    """
    made = {"$schema": DIALECT, **PipelineSpec.model_json_schema(), "title": "medical-kg pipeline"}
    definitions, fields = made["$defs"], made["properties"]
    _name(fields["name"], NAME.pattern)
    _name(definitions["GateSpec"]["properties"]["name"], NAME.pattern)
    _or_null(fields, "gates")
    fields["max_failed_items"]["anyOf"] = [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": f"^{PERCENT.pattern}{END}"},
        NULL,
    ]
    fields["max_removed_items"]["anyOf"] = fields["max_failed_items"]["anyOf"][:-1]
    fields["schedule"]["anyOf"] = [{"type": "string", "minLength": 1}, *fields["schedule"]["anyOf"]]
    definitions["ConditionSpec"]["anyOf"] = _condition_forms()
    definitions["Clause"]["allOf"] = list(_operators())
    _stage(definitions, list(_loadable(stages)), policies, environments)
    _options(made, installation)
    for node in [*_nodes(made)]:
        if DOOR_KEY in node:
            node["enum"] = _names(installation.door(node[DOOR_KEY]))
    return made


def _name(field: dict[str, Any], pattern: str) -> None:
    field.update({"pattern": f"^({pattern}){END}", "maxLength": MAX_NAME})


def _or_null(fields: dict[str, Any], name: str) -> None:
    """Allow a field to be empty, as the check does."""
    about = {key: fields[name].pop(key) for key in ("description", "title") if key in fields[name]}
    fields[name] = {**about, "anyOf": [fields[name], NULL]}


def _condition_forms() -> list[dict[str, Any]]:
    return [
        {"required": ["field"], "properties": {"field": {"type": "string"}, "clauses": NULL, "mode": False}},
        {"required": ["clauses"], "properties": {"clauses": {"type": "array"}, "field": NULL, "equals": False}},
    ]


def _operators() -> Iterator[dict[str, Any]]:
    """Give a rule for each operator of a clause that takes only some values."""
    yield _rule({"operator": {"const": "in"}}, {"value": {"type": "array"}}, ["value"])
    yield _rule({"operator": {"enum": ["gte", "lte"]}}, {"value": {"type": ["number", "string"]}}, ["value"])
    yield _rule({"operator": {"const": "exists"}}, {"value": {"type": ["boolean", "null"]}}, [])


def _rule(when: dict[str, Any], then: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"if": {"properties": when, "required": [*when]}, "then": {"properties": then, "required": required}}


def _stage(
    definitions: dict[str, Any],
    types: list[tuple[list[str], StageType]],
    policies: Iterable[str],
    environments: Iterable[str],
) -> None:
    stage = definitions["StageSpec"]
    fields = stage["properties"]
    _name(fields["name"], STAGE_NAME.pattern)
    fields["name"]["not"] = {"enum": sorted(RESERVED.union(keyword.kwlist))}
    fields["policy"]["examples"] = sorted(policies)
    fields["environment"]["anyOf"] = [{"enum": sorted(environments)}, NULL]
    _or_null(fields, "depends_on")
    _or_null(fields, "config")
    offered = [{"const": name, "description": one.metadata.description} for names, one in types for name in names]
    # Elsewhere there may be other types; here an editor offers those that are.
    fields["type"]["anyOf"] = [*offered, {"type": "string"}]
    known = {"type": {"enum": [name for names, _ in types for name in names]}}
    stage["allOf"] = [{"if": HERE, "then": {"properties": known}}]
    stage["allOf"] += [_config_rule(names, one, definitions) for names, one in types]


def _loadable(registry: Registry[T]) -> Iterator[tuple[list[str], T]]:
    """Give each plugin that can be loaded, with the names a pipeline may call it by."""
    for claim in registry.claims():
        full = f"{claim.origin.distribution}:{claim.origin.name}"
        try:
            one = registry.get(full)
        except PluginError:
            # `plugins list` reports it; a schema without one plugin is better than none.
            continue
        yield ([claim.origin.name] if _means(registry, claim.origin.name, full) else []) + [full], one


def _means(registry: Registry[Any], name: str, full: str) -> bool:
    try:
        return registry.claim(name) is registry.claim(full)
    except PluginError:
        return False


def _options(made: dict[str, Any], installation: Installation) -> None:
    """Add to each mapping of options what the plugin takes that is named beside it; options may hold further ones."""
    said: set[int] = set()
    offered: dict[str, list[tuple[list[str], str]]] = {}
    while fresh := [one for one in _optioned(made) if id(one[-1]) not in said]:
        for node, name, field in fresh:
            said.add(id(field))
            of = field[OPTIONS_KEY]
            named = node["properties"].get(of, {})
            door = next((one[DOOR_KEY] for one in _nodes(named) if DOOR_KEY in one), "")  # "": its author's mistake
            if door not in offered:
                offered[door] = [*_offered(installation.door(door), door, made["$defs"])]
            if rules := [_options_rule(name, of, named.get("default"), *one) for one in offered[door]]:
                node["allOf"] = [*node.get("allOf", ()), *rules]


def _optioned(value: Any) -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
    """Give each object that has options, with their name and field."""
    for node in _nodes(value):
        for name, field in node.get("properties", {}).items():
            if isinstance(field, dict) and OPTIONS_KEY in field:
                yield node, name, field


def _offered(registry: Registry[Any], door: str, definitions: dict[str, Any]) -> Iterator[tuple[list[str], str]]:
    """Define the options of each plugin of a door that has a model of them; give the plugin's names and the place."""
    for names, plugin in _loadable(registry):
        if model := options_model_of(plugin):
            prefix = f"{door}:{names[-1]}."
            definitions[f"{prefix}options"] = _form(model, prefix, definitions)
            yield names, f"#/$defs/{prefix}options"


def _options_rule(name: str, of: str, default: Any, names: list[str], place: str) -> dict[str, Any]:
    # Options that are not given are not checked, whatever the plugin needs.
    then = {"properties": {name: {"anyOf": [{"maxProperties": 0}, {"$ref": place}]}}}
    return {"if": {"properties": {of: {"enum": names}}, "required": [] if default in names else [of]}, "then": then}


def _names(registry: Registry[Any]) -> list[str]:
    """Return what a config may call the plugins of a door; none is loaded."""
    found = set()
    for origin in (claim.origin for claim in registry.claims() if claim.usable):
        full = f"{origin.distribution}:{origin.name}"
        found |= {full, origin.name} if _means(registry, origin.name, full) else {full}
    return sorted(found)


def _config_rule(names: list[str], type_: StageType, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the rule for the config of one stage type."""
    config = _form(type_.metadata.config_model, f"{names[-1]}.", definitions)
    needed = bool(config.get("required"))
    return {
        "if": {"allOf": [HERE, {"properties": {"type": {"enum": names}}, "required": ["type"]}]},
        "then": {
            "properties": {"config": config if needed else {"anyOf": [config, NULL]}},
            "required": ["config"] if needed else [],
        },
    }


def _form(model: type[BaseModel], prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON form of a plugin's model; its own definitions move beside the pipeline's, under a prefix."""
    try:
        made = model.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
    except (Exception, SystemExit):  # noqa: BLE001  # a plugin's code may raise anything, or have no JSON form
        return {"type": "object"}
    definitions.update({prefix + name: one for name, one in made.pop("$defs", {}).items()})
    return made


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(inner)
