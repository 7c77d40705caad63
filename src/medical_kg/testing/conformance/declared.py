"""Rules about what a stage type says of itself: metadata, entry point, config."""

from __future__ import annotations

import json
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from medical_kg.orchestration.contract.errors import MetadataError
from medical_kg.orchestration.registry import STAGES, Claim, Origin, accept_stage
from medical_kg.testing.conformance.effects import watched
from medical_kg.testing.conformance.trial import Trial

NO_SUCH_FIELD = "no_such_field_anywhere"


class DeclarationRules:
    """What a stage type says of itself is true."""

    def test_metadata_is_sound(self, trial: Trial) -> None:
        """The metadata passes the checks that the engine makes of an installed plugin."""
        origin = Origin(STAGES, trial.metadata.stage_type, "conformance", "", trial.cls.__qualname__)
        try:
            accept_stage(Claim(origin, lambda: trial.cls), trial.cls)
        except MetadataError as error:
            trial.broke("sound metadata", str(error), "correct the field that is named")

    def test_entry_point_loads_this_stage_type(self, trial: Trial) -> None:
        """The entry point of its name loads this very class."""
        name = trial.metadata.stage_type
        found = [one for one in entry_points(group=STAGES) if _is_near(one, trial)]
        if not found:
            pytest.skip(f"no installed distribution of {trial.cls.__module__} has an entry point in {STAGES}")
        assert name in {one.name for one in found}, trial.says(
            "the entry point",
            f"stage_type is {name!r}, the entry points of its package are {', '.join(one.name for one in found)}",
            f'write {name} = "{trial.cls.__module__}:{trial.cls.__qualname__}" in pyproject.toml, install again',
        )
        entry = next(one for one in found if one.name == name)
        assert entry.load() is trial.cls, trial.says(
            "the entry point", f"{entry.value} is not {trial.cls!r}", "let the entry point name this class"
        )

    def test_constructor_is_cheap_and_takes_the_config_only(self, trial: Trial) -> None:
        """``cls(config)`` is all it takes, and it opens no file, connection, process or thread."""
        config = completed(trial)
        try:
            trial.cls(config)
        except TypeError as error:
            trial.broke("the constructor", f"cls(config) raised {error}", "take the config and nothing else")
        with watched() as seen:
            trial.cls(config)
        assert seen == [], trial.says(
            "the constructor",
            f"cls(config) did more than to keep its config: {'; '.join(seen[:3])}",
            "do it in open(ctx), which runs once per process and config",
        )

    def test_config_survives_a_round_trip(self, trial: Trial) -> None:
        """A config dumped as JSON and validated again is the same config; defaults pass their own validation."""
        model = trial.metadata.config_model
        config = completed(trial)
        dumped = config.model_dump(mode="json")
        try:
            again = model.model_validate(json.loads(json.dumps(dumped)))
        except ValidationError as error:
            trial.broke("the config's round trip", str(error), "let every field accept what it is dumped as")
        assert again.model_dump(mode="json") == dumped, trial.says(
            "the config's round trip",
            f"{dumped} became {again.model_dump(mode='json')}",
            "let validation leave a valid config as it is",
        )

    def test_config_schema_is_valid(self, trial: Trial) -> None:
        """The config has a JSON schema, valid by its meta-schema, that accepts the case's config."""
        try:
            schema = trial.metadata.config_model.model_json_schema()
        except Exception as error:  # noqa: BLE001  # pydantic and a field's own schema may raise anything
            trial.broke("the config's schema", f"{type(error).__name__}: {error}", "use types that JSON can express")
        json.dumps(schema)
        jsonschema = pytest.importorskip("jsonschema", reason="the package jsonschema is not installed")
        try:
            jsonschema.validators.validator_for(schema).check_schema(schema)
            jsonschema.validate(json.loads(json.dumps(dict(trial.case.config), default=str)), schema)
        except (jsonschema.SchemaError, jsonschema.ValidationError) as error:
            trial.broke("the config's schema", error.message, "correct the schema of the field, or the case's config")

    def test_unknown_config_fields_are_refused(self, trial: Trial) -> None:
        """A misspelt field is an error, not silence."""
        try:
            trial.metadata.config_model.model_validate({**trial.case.config, NO_SUCH_FIELD: 1})
        except ValidationError as error:
            if any(one["type"] == "extra_forbidden" for one in error.errors()):
                return
        trial.broke(
            "strict config",
            f"a config with the field {NO_SUCH_FIELD!r} was taken",
            "derive the config from medical_kg.Model and let no validator swallow fields",
        )


def completed(trial: Trial) -> BaseModel:
    """Return the case's config, validated and completed as while a pipeline is checked."""
    metadata, more = trial.metadata, trial.case.more
    config: Any = metadata.config_model.model_validate(dict(trial.case.config))
    name = more.get("stage_name") or metadata.stage_type
    found: BaseModel = trial.cls.configure(config, stage=name, conditions=more.get("conditions", {}))
    return found


def _is_near(entry: EntryPoint, trial: Trial) -> bool:
    """Whether an entry point belongs to the package that the class is in."""
    module = trial.cls.__module__
    package = sys.modules[module].__package__ or module
    return entry.module.partition(".")[0] == package.partition(".")[0]
