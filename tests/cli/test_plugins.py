"""``medical-kg plugins``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Cli = Callable[..., Result]
Package = Callable[..., Path]
STAGES, COMMANDS = "medical_kg.orchestration.stages", "medical_kg.commands"

STAGE = """
from pydantic import BaseModel, ConfigDict, Field
from medical_kg import Stage, StageMetadata, StateKey

class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")
    depth: int = Field(default=3, description="how deep [levels]")
    label: str

class ColourStage(Stage[Config]):
    metadata = StageMetadata(stage_type="NAME", version="2.1.0", description="Colours things.",
                             reads=(StateKey("things", list[str]),), writes=(StateKey("colours", list[str]),),
                             config_model=Config, needs=("files",), default_policy="polite-api")

    def run(self, ctx, things):
        return things
"""


def rows_of(cli: Cli, *words: str) -> list[dict[str, str]]:
    return json.loads(cli("plugins", "list", "--json", *words).stdout)


def test_listing_shows_origin_and_imports_nothing(cli: Cli, package: Package, tmp_path: Path) -> None:
    """Every door, name, distribution, version, status and object are listed; no plugin is imported."""
    witness = tmp_path / "imported"
    package("colour-kit", {STAGES: {"colour": "colour_kit:ColourStage"}}, f"open({str(witness)!r}, 'w')")
    assert {
        "door": STAGES,
        "name": "colour",
        "distribution": "colour-kit",
        "version": "1.5",
        "status": "installed",
        "reason": "",
        "object": "colour_kit:ColourStage",
    } in rows_of(cli)
    assert "colour_kit" not in sys.modules
    assert not witness.exists()


def test_a_door_is_chosen_by_its_last_word_or_name(cli: Cli) -> None:
    """``--door`` takes the short and the full name and shows that door only."""
    short, full = rows_of(cli, "--door", "stages"), rows_of(cli, "--door", STAGES)
    assert short == full
    assert {row["door"] for row in short} == {STAGES}


def test_the_table_has_a_row_per_plugin(cli: Cli) -> None:
    """Without ``--json`` the same rows are a table on standard output, never cut off."""
    result = cli("plugins", "list")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["door", "name", "distribution", "version", "status", "object"]
    assert len(lines) - 1 == len(rows_of(cli))
    assert any("medical_kg.stages.knowledge_graph:KnowledgeGraphStage" in line for line in lines)


def test_what_cannot_be_used_is_listed_with_its_reason(cli: Cli, package: Package, here: Path) -> None:
    """Blocked, incompatible, shadowed and doubly claimed plugins are listed as such, and why."""
    (here / "medical_kg.toml").write_text('[plugins]\ndeny = ["denied-kit"]\n[plugins.prefer]\nliked = "kit-a"\n')
    package("denied-kit", {STAGES: {"denied": "denied_kit:X"}})
    package("future-kit", {STAGES: {"future": "future_kit:X"}}, requires="medical-kg>=99")
    package("shadow-kit", {COMMANDS: {"run": "shadow_kit:app"}})
    package("kit-a", {STAGES: {"claimed": "kit_a:X", "liked": "kit_a:X"}})
    package("kit-b", {STAGES: {"claimed": "kit_b:X", "liked": "kit_b:X"}})
    found = {(row["distribution"], row["name"]): (row["status"], row["reason"]) for row in rows_of(cli)}
    assert found["denied-kit", "denied"] == ("blocked", "its distribution is on the deny list of [plugins]")
    assert found["future-kit", "future"][0] == "incompatible"
    assert found["shadow-kit", "run"] == ("shadowed", "a built-in command has this name")
    assert found["kit-a", "claimed"][0] == found["kit-b", "claimed"][0] == "conflict"
    assert (found["kit-a", "liked"][0], found["kit-b", "liked"]) == ("installed", ("unused", "settings prefer kit-a"))
    assert "denied (medical_kg.orchestration.stages) is blocked: its distribution" in cli("plugins", "list").stderr


def test_a_preference_nothing_fulfils_leaves_the_claims_unused(cli: Cli, package: Package, here: Path) -> None:
    """Where settings prefer a distribution that has no such plugin, the others' claims are shown as unused."""
    (here / "medical_kg.toml").write_text('[plugins.prefer]\nlonely = "nobody"\n')
    package("kit-c", {STAGES: {"lonely": "kit_c:X"}})
    row = next(row for row in rows_of(cli) if row["name"] == "lonely")
    assert (row["status"], "nobody" in row["reason"]) == ("unused", True)


def test_showing_a_stage_type_loads_it(cli: Cli, package: Package) -> None:
    """``plugins show`` gives reads, writes, mode, config with types and defaults, policy, needs, and file:line."""
    folder = package("tint-kit", {STAGES: {"tint": "tint_kit:ColourStage"}}, STAGE.replace("NAME", "tint"))
    shown = json.loads(cli("plugins", "show", "tint", "--json").stdout)
    assert shown == {
        "name": "tint",
        "door": STAGES,
        "description": "Colours things.",
        "version": "2.1.0",
        "mode": "batch",
        "reads": ["things: list[str]"],
        "writes": ["colours: list[str]"],
        "policy": "polite-api",
        "needs": ["files"],
        "items_per_call": None,
        "flat": None,
        "cacheable": None,
        "keeps": None,
        "counts": ["colours"],
        "config": [
            {"field": "depth", "type": "int", "default": "3", "constraints": "", "description": "how deep [levels]"},
            {"field": "label", "type": "str", "default": "(required)", "constraints": "", "description": ""},
        ],
        "distribution": "tint-kit 1.5",
        "object": "tint_kit:ColourStage",
        "file": f"{folder / 'tint_kit.py'}:10",
    }
    text = cli("plugins", "show", "tint-kit:tint").stdout
    assert [
        word for word in ("how deep [levels]", "(required)", "colours: list[str]", "tint_kit.py:10") if word not in text
    ] == []


def test_showing_a_plugin_with_options(cli: Cli) -> None:
    """The options are shown as the fields of a config are; a plugin without a model of them shows none."""
    shown = json.loads(cli("plugins", "show", "pubmed", "--json").stdout)
    options = {one.pop("field"): one for one in shown["options"]}
    assert options["api_key"] == {
        "type": "Secret | None",
        "default": "None",
        "constraints": "",
        "description": "where a key of NCBI's stands; without it none is sent",
    }
    assert options["formats"]["constraints"] == "the name of a plugin of medical_kg.formats"
    text = cli("plugins", "show", "pubmed").stdout
    assert "options:" in text
    assert all(name in text for name in options)
    assert "config:" not in text
    assert "options" not in json.loads(cli("plugins", "show", "jats", "--json").stdout)


@pytest.mark.parametrize("name", ["hashing", "database", "jats", "search", "gate", "ingest"])
def test_showing_any_door(cli: Cli, name: str) -> None:
    """Whatever stands behind a door can be shown, by name alone."""
    result = cli("plugins", "show", name)
    assert result.exit_code == 0
    assert "medical-kg" in result.stdout


def test_a_name_behind_several_doors_is_shown_for_each(cli: Cli) -> None:
    """``files`` and the like may stand behind more than one door; ``--door`` chooses."""
    package_door = json.loads(cli("plugins", "show", "auto", "--door", "sources", "--json").stdout)
    assert package_door["door"] == "medical_kg.sources"


def test_several_doors_give_a_list(cli: Cli, package: Package) -> None:
    """A name behind two doors is shown twice."""
    package(
        "twin-kit",
        {"medical_kg.sources": {"twin": "twin_kit:a"}, "medical_kg.formats": {"twin": "twin_kit:b"}},
        "a = b = 1\n",
    )
    shown = json.loads(cli("plugins", "show", "twin", "--json").stdout)
    assert [one["door"] for one in shown] == ["medical_kg.formats", "medical_kg.sources"]
    assert shown[0]["file"].endswith("twin_kit.py")
    assert cli("plugins", "show", "twin", "--docs").stdout.count("# `twin`") == 2
    assert len(json.loads(cli("plugins", "show", "twin", "--docs", "--json").stdout)) == 2


def test_anyone_s_page_of_reference_is_printed(cli: Cli, package: Package) -> None:
    """``--docs`` gives Markdown: metadata, reads, writes, counts, config and where it comes from."""
    folder = package("hue-kit", {STAGES: {"hue": "hue_kit:ColourStage"}}, STAGE.replace("NAME", "hue"))
    page = cli("plugins", "show", "hue", "--docs").stdout
    assert page.startswith("# `hue`\n\nColours things.\n")
    assert "| `depth` | `int` | `3` |  | how deep [levels] |" in page
    assert f"| defined at | `{folder / 'hue_kit.py'}:10` |" in page
    assert "| distribution | hue-kit 1.5 |" in page


def test_a_broken_plugin_is_a_failure_that_names_it(cli: Cli, package: Package) -> None:
    """Showing a plugin that cannot be loaded says why, with code 1."""
    package("sick-kit", {STAGES: {"sick": "sick_kit:X"}}, "raise RuntimeError('no power')")
    result = cli("plugins", "show", "sick")
    assert result.exit_code == 1
    assert (
        "'sick' (medical_kg.orchestration.stages) from sick-kit 1.5 is quarantined: RuntimeError: no power"
        in result.stderr
    )
    assert result.stderr.count("no power") == 1
