"""Finding pipelines and their policies, and loading them as plans."""

from __future__ import annotations

from pathlib import Path

import pytest

from medical_kg.orchestration.contract.errors import PipelineInvalid, PipelineNotFound
from medical_kg.orchestration.pipeline import catalog
from medical_kg.orchestration.pipeline.catalog import Catalog, Entry, load_plan
from medical_kg.orchestration.pipeline.problems import Problem
from medical_kg.orchestration.registry import STAGES, Installation

TEXT = 'name: {name}\nversion: "1"\nmetadata: {{description: about {name}}}\nstages:\n  - {{name: i, type: feed}}\n'


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the shipped one."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    write(folder, "base")
    (folder / "resilience.yaml").write_text("policies: {default: {max_attempts: 4}}", encoding="utf-8")
    monkeypatch.setattr(catalog, "shipped_folder", lambda: folder)
    return folder


@pytest.fixture
def doors() -> Installation:
    from medical_kg.orchestration.contract import Page, Stage, StageMetadata, StateKey

    class Feed(Stage):  # type: ignore[type-arg]  # it takes no config
        metadata = StageMetadata(
            stage_type="feed", version="1", description="Feeds.", mode="stream", writes=(StateKey("rows", list[int]),)
        )

        def pull(self, ctx: object, cursor: str | None, limit: int) -> Page:
            return Page([])

    installation = Installation(path=[])
    installation.door(STAGES).add("feed", Feed)
    return installation


def write(folder: Path, name: str, suffix: str = ".yaml", **more: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}{suffix}"
    path.write_text(TEXT.format(name=more.get("title", name)), encoding="utf-8")
    return path


def test_a_name_is_looked_for_folder_by_folder_then_among_the_shipped(tmp_path: Path, shipped: Path) -> None:
    """The first folder counts; policy files are no pipelines."""
    mine = write(tmp_path / "mine", "base")
    other = write(tmp_path / "other", "extra", ".yml")
    (tmp_path / "other" / "notes.txt").touch()
    found = Catalog([tmp_path / "mine", tmp_path / "other", tmp_path / "absent"])
    assert found.entries() == (Entry("base", mine), Entry("extra", other))
    assert found.find("base") == mine
    assert Catalog().entries() == (Entry("base", shipped / "base.yaml", shipped=True),)


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    """A suffix or a folder in it makes it a path."""
    path = write(tmp_path / "mine", "x")
    assert Catalog().find(str(path)) == path
    assert Catalog().find(path) == path
    missing = tmp_path / "mine" / "nothing.yaml"
    with pytest.raises(PipelineNotFound) as caught:
        Catalog().find(missing)
    assert str(caught.value) == f"no pipeline is named {str(missing)!r} (looked in {tmp_path / 'mine'}); known: base"


def test_an_unknown_name_gives_the_nearest_and_where_was_looked(tmp_path: Path) -> None:
    """The message says what exists instead."""
    with pytest.raises(PipelineNotFound) as caught:
        Catalog([tmp_path]).find("bass")
    looked = f"{tmp_path}, the shipped pipelines"
    assert str(caught.value) == f"no pipeline is named 'bass' (looked in {looked}); did you mean 'base'?"


def test_the_policies_are_those_beside_the_file_else_the_workspaces_else_the_shipped(
    tmp_path: Path, shipped: Path
) -> None:
    """The nearest policy file counts, whole."""
    folder = tmp_path / "pipelines"
    path = write(folder, "x")
    found = Catalog([folder])
    assert found.policies(path).by_name["default"].max_attempts == 4
    (tmp_path / "resilience.yaml").write_text("policies: {default: {max_attempts: 5}}", encoding="utf-8")
    assert found.policies(path).by_name["default"].max_attempts == 5
    assert found.policies(shipped / "base.yaml").by_name["default"].max_attempts == 4
    (folder / "resilience.yaml").write_text("policies: {default: {max_attempts: 6}}", encoding="utf-8")
    assert found.policies(path).by_name["default"].max_attempts == 6
    (shipped / "resilience.yaml").unlink()
    assert Catalog().policies(tmp_path / "elsewhere" / "y.yaml").by_name == {}


def test_a_plan_is_loaded_by_name(doors: Installation, tmp_path: Path, shipped: Path) -> None:
    """Shipped pipelines need no folder."""
    plan = load_plan("base", installation=doors)
    assert (plan.name, plan.path, plan.stage("i").policy.max_attempts) == ("base", shipped / "base.yaml", 4)


def test_an_invalid_pipeline_is_raised_with_all_its_problems(doors: Installation, tmp_path: Path) -> None:
    """Problems of the file, of the overrides and of the policies come together."""
    folder = tmp_path / "mine"
    write(folder, "x").write_text("name: x\nstages:\n  - {name: i, type: fed}\n", encoding="utf-8")
    (folder / "resilience.yaml").write_text("policies: {a: {max_attempts: 0}}", encoding="utf-8")
    with pytest.raises(PipelineInvalid) as caught:
        load_plan("x", installation=doors, folders=[folder], overrides={"j.k": 1})
    assert "x: 4 problems" in str(caught.value)
    for code in ("MKG012", "MKG020", "MKG080", "MKG013"):
        assert code in str(caught.value)


def test_a_wrong_policy_file_alone_makes_the_pipeline_invalid(doors: Installation, tmp_path: Path) -> None:
    """A pipeline does not run with policies that cannot be read."""
    write(tmp_path / "mine", "x")
    (tmp_path / "mine" / "resilience.yaml").write_text("policies: {default: {max_attempts: 0}}", encoding="utf-8")
    with pytest.raises(PipelineInvalid, match="max_attempts"):
        load_plan("x", installation=doors, folders=[tmp_path / "mine"])


def test_names_that_may_confuse_are_warned_of(doors: Installation, tmp_path: Path) -> None:
    """A file whose name is not the pipeline's, and two files of one name; both still load."""
    folder = tmp_path / "mine"
    write(folder, "x", title="y")
    write(folder, "x", ".yml", title="x")
    found = Catalog([folder])
    result = found.check("x", doors)
    assert found.find("x").name == "x.yaml"
    assert result.ok
    twin = "x.yml beside it has the same name; by name, x.yaml is found"
    other = "the pipeline is found as 'x', but its runs are recorded as 'y'"
    path = str(folder / "x.yaml")
    assert result.problems == (
        Problem("MKG082", twin, path, suggestion="remove or rename one of them"),
        Problem("MKG081", other, path, path="name", suggestion="give both one name"),
    )
    (problem,) = found.check(folder / "x.yml", doors).problems
    assert (problem.code, problem.message.split()[0]) == ("MKG082", "x.yaml")


def test_an_entry_tells_its_description_without_a_check(tmp_path: Path) -> None:
    """Listing reads the text only; a file that cannot be read has no description."""
    assert Catalog().entries()[0].description() == "about base"
    for text in ("[", "[]", "metadata: 5", "metadata: {description: }", ""):
        path = tmp_path / "p.yaml"
        path.write_text(text, encoding="utf-8")
        assert Entry("p", path).description() == ""
