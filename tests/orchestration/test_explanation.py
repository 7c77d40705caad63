"""Why a name means the plugin it means: every claim, and what decided."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributions import STAGES, distribution, importable, imported, module, stage_plugin

from medical_kg.orchestration.contract.errors import PluginBroken
from medical_kg.orchestration.explanation import Explanation
from medical_kg.orchestration.registry import Installation, PluginSettings

SOURCES = "medical_kg.sources"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on ``sys.path`` to install into."""
    with importable(tmp_path):
        yield tmp_path


def installed(folder: Path, **settings: Any) -> Installation:
    return Installation(PluginSettings(**settings), path=[str(folder)], folder=folder)


def why(folder: Path, name: str, **settings: Any) -> Explanation:
    return installed(folder, **settings).stages.why(name)


def said(one: Explanation) -> tuple[str, str, str]:
    """What was chosen, why, and what to do."""
    return str(one.chosen or ""), one.reason, one.advice


def test_the_only_one(folder: Path) -> None:
    """A name that one distribution provides means that; where it is written is told, and nothing is imported."""
    stage_plugin(folder, "score", version="2.1")
    one = why(folder, "score")
    assert said(one) == ("dist-score 2.1", "only it provides the name", "")
    assert (one.door, one.name, one.distribution, one.preferred) == (STAGES, "score", "", "")
    (found,) = one.found
    place = f"{folder / 'dist_score-2.1.dist-info' / 'entry_points.txt'}:2"
    assert (found.origin, found.status, found.reason, found.place) == (one.chosen, "installed", "", place)
    assert imported(folder) == []


def test_several(folder: Path) -> None:
    """What decides between several is told: nothing, the settings, the written distribution, or that one is left."""
    stage_plugin(folder, "score", name="one")
    stage_plugin(folder, "score", name="two")
    nothing = why(folder, "score")
    assert said(nothing)[:2] == ("", "it is claimed by one 1.0 and two 1.0")
    assert nothing.advice.startswith("choose one with [plugins.prefer]")
    assert [found.status for found in nothing.found] == ["conflict", "conflict"]
    preferred = why(folder, "score", prefer={"score": "Two"})
    assert said(preferred) == ("two 1.0", "[plugins.prefer] chooses two", "")
    assert preferred.preferred == "two"
    assert [(found.status, found.reason) for found in preferred.found] == [
        ("unused", "settings prefer two"),
        ("installed", ""),
    ]
    written = why(folder, "one:score", prefer={"score": "two"})
    assert said(written) == ("one 1.0", "one was asked for", "")
    assert [(found.status, found.reason) for found in written.found] == [
        ("installed", ""),
        ("unused", "one was asked for"),
    ]
    left = why(folder, "score", deny=["one"])
    assert said(left) == ("two 1.0", "the others cannot be used", "")
    assert left.found[0].status == "blocked"


def test_a_preference_that_nothing_fulfils(folder: Path) -> None:
    """The claims are there, but unused, and the setting to change is named."""
    stage_plugin(folder, "score")
    one = why(folder, "score", prefer={"score": "other"})
    reason = "settings prefer distribution 'other', which does not provide it"
    assert said(one) == ("", reason, "change [plugins.prefer] in medical_kg.toml")
    assert [(found.status, found.reason) for found in one.found] == [("unused", reason)]


def test_nothing_usable(folder: Path) -> None:
    """A name that is not installed, blocked, incompatible or broken says so, with what to do."""
    stage_plugin(folder, "score")
    stage_plugin(folder, "future", requires=("medical-kg>=99",))
    distribution(folder, "torn", {"torn": "not an object"})
    assert said(why(folder, "scores")) == ("", "no installed distribution provides it", "did you mean 'score'?")
    blocked = why(folder, "score", deny=["dist-score"])
    assert blocked.reason.startswith("dist-score 1.0 is blocked: ")
    assert blocked.advice == "change [plugins] in medical_kg.toml"
    assert why(folder, "future").reason.startswith("dist-future 1.0 is incompatible: it requires medical-kg>=99")
    broken = why(folder, "torn")
    assert broken.reason.startswith("torn 1.0 is broken: line 2 of its entry_points.txt is 'torn = not an object'")
    assert broken.advice == "run medical-kg plugins doctor"


def test_one_that_was_tried(folder: Path) -> None:
    """After a load that failed the plugin is broken here too; with another claim the conflict stays."""
    module(folder, "bad", "raise ValueError('no')\n")
    distribution(folder, "bad", {"score": "bad:Plugin"})
    stages = installed(folder).stages
    with pytest.raises(PluginBroken):
        stages.get("score")
    assert said(stages.why("score"))[:2] == ("", "bad 1.0 is broken: ValueError: no")
    stage_plugin(folder, "score")
    both = installed(folder)
    with pytest.raises(PluginBroken):
        both.get(STAGES, "bad:score")
    assert [both.stages.standing(claim)[0] for claim in both.stages.claims()] == ["broken", "conflict"]
    preferring = installed(folder, prefer={"score": "bad"})
    with pytest.raises(PluginBroken):
        preferring.get(STAGES, "score")
    bad, good = preferring.stages.claims()
    assert preferring.stages.standing(bad) == ("broken", "ValueError: no")
    assert preferring.stages.standing(good)[0] == "unused"


def test_any_door(folder: Path) -> None:
    """A name is explained for every door that has it; where none has, the nearest of all names are told."""
    module(folder, "things", "thing = 1\n")
    text = f"[{SOURCES}]\ntwin = things:thing\n[medical_kg.formats]\ntwin = things:thing\n"
    distribution(folder, "dist", text)
    installation = installed(folder)
    assert [one.door for one in installation.why("twin")] == ["medical_kg.formats", SOURCES]
    assert [str(one.chosen) for one in installation.why("dist:twin")] == ["dist 1.0", "dist 1.0"]
    (one,) = installation.why("twins")
    assert (one.door, one.found, said(one)) == (
        "any door",
        (),
        ("", "no installed distribution provides it", "did you mean 'twin'?"),
    )


@pytest.mark.parametrize(
    "written", ['own = "own_thing:Thing"', '"own"  =  "own_thing:Thing"', "'own'='own_thing:Thing'"]
)
def test_a_local_module_is_found_in_the_settings(folder: Path, written: str) -> None:
    """Of a local module the place is its line in the settings file."""
    module(folder, "own_thing", "Thing = 1\n")
    (folder / "medical_kg.toml").write_text(
        f'[plugins.local.stages]\nown = "x:y"\n[plugins.local.sources]\n# own\n{written}\n'
    )
    one = installed(folder, local={"sources": {"own": "own_thing:Thing"}}).door(SOURCES).why("own")
    assert [found.place for found in one.found] == [f"{folder / 'medical_kg.toml'}:5"]


def test_a_place_that_cannot_be_told(folder: Path) -> None:
    """Settings written in another form have no line, settings from elsewhere no file, and what is in code no place."""
    module(folder, "own_thing", "Thing = 1\n")
    local = {"sources": {"own": "own_thing:Thing"}}
    (found,) = installed(folder, local=local).door(SOURCES).why("own").found
    assert found.place == ""
    (folder / "medical_kg.toml").write_text('plugins = {local = {sources = {own = "own_thing:Thing"}}}\n')
    installation = installed(folder, local=local)
    (found,) = installation.door(SOURCES).why("own").found
    assert found.place == str(folder / "medical_kg.toml")
    installation.door(SOURCES).add("made", 1)
    (found,) = installation.door(SOURCES).why("made").found
    assert found.place == ""
