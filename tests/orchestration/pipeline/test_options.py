"""Options that a config gives to plugins are checked as the config itself is: before the run, and in their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import pytest
from distributions import distribution, importable, imported, module
from pydantic import BaseModel, ConfigDict

from medical_kg.orchestration.contract import PluginName, PluginOptions, Stage, StageMetadata, StateKey
from medical_kg.orchestration.contract.secrets import redacted
from medical_kg.orchestration.pipeline.check import CheckResult, check
from medical_kg.orchestration.pipeline.load import parse
from medical_kg.orchestration.pipeline.plan import Plan
from medical_kg.orchestration.pipeline.schema import schema
from medical_kg.orchestration.registry import Installation

Check = Callable[..., CheckResult]
DOOR = "medical_kg.readers"
READERS = """
from typing import Annotated, Any
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from medical_kg import PluginName, PluginOptions


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlainOptions(Options):
    size: int = Field(default=1, ge=1)
    word: str = ""
    key: SecretStr | None = None


class Plain:
    options_model = PlainOptions


class OuterOptions(Options):
    then: Annotated[str, PluginName("medical_kg.readers")]
    inner: Annotated[dict[str, Any], PluginOptions("then")] = Field(default={}, alias="with")


class Outer:
    options_model = OuterOptions


class AngryOptions(Options):
    mood: str

    @field_validator("mood")
    @classmethod
    def _explode(cls, mood: str) -> str:
        raise LookupError(mood)


class Angry:
    options_model = AngryOptions


class Unchecked:
    "Has options, and no model of them."


class Odd:
    options_model = dict
"""


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Choice(Config):
    reader: Annotated[str, PluginName(DOOR)]
    options: Annotated[dict[str, Any], PluginOptions("reader")] = {}


class ReadConfig(Choice):
    reader: Annotated[str, PluginName(DOOR)] = "plain"
    others: list[Annotated[str, PluginName(DOOR)] | Choice] = []
    number: int = 0


class AstrayConfig(Config):
    reader: str = "plain"
    options: Annotated[dict[str, Any], PluginOptions("reader")] = {}


class LostConfig(Config):
    options: Annotated[dict[str, Any], PluginOptions("reader")] = {}


def stage_type(name: str, model: type[BaseModel]) -> type[Stage[Any]]:
    words = StateKey("words", list[str])
    metadata = StageMetadata(
        stage_type=name, version="1.0", description="Reads.", writes=(words,), mode="stream", config_model=model
    )
    return type(name.title(), (Stage,), {"metadata": metadata, "pull": lambda self, *args: None})


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with an installed distribution of readers."""
    module(tmp_path, "acme_readers", READERS)
    module(tmp_path, "acme_sick", "import no_such_module_at_all\n")
    names = ("Plain", "Outer", "Angry", "Unchecked", "Odd")
    readers = {name.lower(): f"acme_readers:{name}" for name in names}
    distribution(tmp_path, "acme", {**readers, "sick": "acme_sick:Sick"}, door=DOOR)
    with importable(tmp_path):
        yield tmp_path


@pytest.fixture
def installation(folder: Path) -> Installation:
    installation = Installation(path=[str(folder)])
    for name, model in {"read": ReadConfig, "astray": AstrayConfig, "lost": LostConfig}.items():
        installation.stages.add(name, stage_type(name, model))
    return installation


def pipeline(config: str, type_: str = "read") -> str:
    return f'name: p\nversion: "1"\nstages:\n  - name: feed\n    type: {type_}\n    config: {config}\n'


@pytest.fixture
def run_check(installation: Installation) -> Check:
    """Checks a pipeline of one stage with this config."""

    def run(config: str, type_: str = "read", **more: Any) -> CheckResult:
        return check(pipeline(config, type_), installation.stages, installation, {}, **more)

    return run


def told(result: CheckResult) -> list[tuple[str, str]]:
    return [(one.code, one.path.removeprefix("stages[0].config.")) for one in result.problems]


def plan_of(result: CheckResult) -> Plan:
    assert result.plan is not None, "\n".join(map(str, result.problems))
    return result.plan


def test_right_options_stay_as_they_were_given(run_check: Check) -> None:
    """The stage hands them to the plugin, whose defaults are its own business; so results are known by what was given."""
    plan = plan_of(run_check("{options: {size: 2}}"))
    assert plan.stage("feed").config.options == {"size": 2}


CASES: list[tuple[str, list[tuple[str, str]]]] = [
    ("{reader: plain, options: {sise: 2}}", [("MKG011", "options.sise")]),
    ("{options: {size: 0, word: 3}}", [("MKG013", "options.size"), ("MKG013", "options.word")]),
    ("{options: {size: true}}", [("MKG013", "options.size")]),
    ("{reader: outer, options: {}}", []),
    ("{reader: outer, options: {with: {}}}", [("MKG012", "options")]),
    ("{reader: outer, options: {then: plain, with: {size: 0}}}", [("MKG013", "options.with.size")]),
    ("{reader: outer, options: {then: plane}}", [("MKG043", "options.then")]),
    ("{reader: outer, options: {then: plane, to: 1}}", [("MKG011", "options.to"), ("MKG043", "options.then")]),
    ("{others: [plain, {reader: plain, options: {size: 0}}]}", [("MKG013", "others[1].options.size")]),
    ("{numbre: 1, options: {size: 0}}", [("MKG011", "numbre"), ("MKG013", "options.size")]),
    ("{number: true, options: {size: 0}}", [("MKG013", "number"), ("MKG013", "options.size")]),
    ("{reader: plane, options: {size: 0}}", [("MKG043", "reader")]),
    ("{reader: 3, options: {size: 0}}", [("MKG013", "reader")]),
    ("{reader: unchecked, options: {anything: 1}}", []),
    ("{reader: odd, options: {anything: 1}}", []),
]


@pytest.mark.parametrize(("config", "wrong"), CASES)
def test_wrong_options_are_told_in_their_places(config: str, wrong: list[tuple[str, str]], run_check: Check) -> None:
    """With the fields of the plugin's own model, whatever else is wrong; those of a plugin without a model are its own."""
    result = run_check(config)
    assert sorted(told(result)) == sorted(wrong)
    assert (result.plan is None) == bool(wrong)


@pytest.mark.parametrize(("config", "wrong"), CASES)
def test_editors_are_told_what_options_there_are(
    config: str, wrong: list[tuple[str, str]], installation: Installation
) -> None:
    """The schema refuses what the check refuses, and nothing else; ``astray`` and ``lost`` do not spoil the others."""
    made = schema(installation.stages, installation)
    jsonschema.Draft202012Validator.check_schema(made)
    found = list(jsonschema.Draft202012Validator(made).iter_errors(parse(pipeline(config), "f").value))
    assert bool(found) == bool(wrong)


def test_an_unknown_option_is_advised_with_the_plugins_own(run_check: Check) -> None:
    """As a field of the config would be."""
    (problem,) = run_check("{options: {sise: 2}}").problems
    assert (problem.message, problem.suggestion) == (
        "unknown key 'sise' in stages[0].config.options",
        "did you mean 'size'?",
    )


def test_a_secret_among_the_options_is_neither_taken_nor_shown(run_check: Check) -> None:
    """The ledger would keep it; from then on it is concealed."""
    (problem,) = run_check("{options: {key: sesame44}}").problems
    assert problem.code == "MKG013"
    assert "a secret is not written out" in problem.message
    assert "sesame44" not in str(problem)
    assert redacted("sesame44") == "***"


def test_a_plugin_without_options_is_not_loaded(run_check: Check, folder: Path) -> None:
    """Only its name is looked up: a check stays quick, and a sick plugin that is asked nothing harms nobody."""
    assert told(run_check("{reader: sick, options: {}, others: [plain]}")) == []
    assert imported(folder) == []


def test_a_plugin_that_cannot_be_loaded_is_told(run_check: Check) -> None:
    """By its name, with what it raised."""
    (problem,) = run_check("{reader: sick, options: {size: 1}}").problems
    assert (problem.code, problem.path) == ("MKG043", "stages[0].config.reader")
    assert "No module named 'no_such_module_at_all'" in problem.message


def test_a_plugin_that_fails_over_its_options_is_told(run_check: Check) -> None:
    """It is the plugin that is named, not the stage type."""
    (problem,) = run_check("{reader: angry, options: {mood: bad}}").problems
    assert (problem.code, problem.path) == ("MKG043", "stages[0].config.reader")
    assert (
        "'angry' (medical_kg.readers) failed while its options were checked: it raised LookupError" in problem.message
    )
    assert problem.suggestion == "report it to the author of the plugin"


@pytest.mark.parametrize("type_", ["astray", "lost"])
def test_options_of_nothing_are_the_authors_mistake(type_: str, run_check: Check) -> None:
    """The marker must lead to a field that names a plugin."""
    (problem,) = run_check("{options: {size: 1}}", type_).problems
    assert problem.code == "MKG041"
    assert f"{type_.title()}Config has no field 'reader' marked with PluginName" in problem.message


def test_options_that_are_set_from_outside_are_checked(run_check: Check) -> None:
    """As they will be used, with the option of the command line in place of a line."""
    wrong = run_check("{options: {size: 2}}", overrides={"feed.options": {"size": 0}}).problems
    assert [(one.code, one.file) for one in wrong] == [("MKG013", '--set feed.options={"size": 0}')]
    plan = plan_of(run_check("{options: {size: 0}}", overrides={"feed.options.size": 3}))
    assert plan.stage("feed").config.options == {"size": 3}
