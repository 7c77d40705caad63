"""What ``new_stage`` writes: clean code for every mode and kind of key, and notes on what is worth knowing."""

from __future__ import annotations

import ast
import enum
import importlib
import os
import runpy
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from medical_kg import Model, Stage, StageMetadata, StateKey
from medical_kg.documents import keys
from medical_kg.orchestration.contract import Mode
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.pipeline import Catalog
from medical_kg.orchestration.registry import Installation
from medical_kg.scaffold import new_stage
from medical_kg.scaffold.known import KnownKeys
from medical_kg.scaffold.samples import CannotMake, sample

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Shape:
    """What is asked for."""

    name: str
    mode: Mode
    reads: str = ""
    writes: str = ""

    def keys(self) -> dict[str, list[str]]:
        return {"reads": self.reads.split(), "writes": self.writes.split()}

    def __str__(self) -> str:
        return f"{self.mode}:{self.reads.replace(' ', ',')}:{self.writes.replace(' ', ',')}"


SHAPES = (
    Shape("readability", "item", "documents", "readability"),
    Shape("many-things", "item", "chunks documents index_receipt", "claims embeddings new_things"),
    Shape("sink", "item", "payloads"),
    Shape("from-notes", "item", "notes", "notes note_words"),
    Shape("removes", "item", "removed claims embeddings files graph_receipt", "removed documents entities"),
    Shape("batchy", "batch", "documents embeddings", "graph_receipt files tops"),
    Shape("batch-sink", "batch", "entities"),
    Shape("receipts", "batch", "index_receipt", "graph_receipt words"),
    Shape("nothing", "batch"),
    Shape("maker", "batch", "", "words"),
    Shape("liner", "stream", "", "payloads"),
    Shape("liner-two", "stream", "", "lines chunks"),
    Shape("chunk", "item", "documents", "chunks"),
    Shape(
        "a-stage-with-quite-a-long-name-as-names-go",
        "batch",
        "documents embeddings chunks entities claims payloads",
        "some_key_with_a_long_name another_key_with_a_long_name third_key_with_a_long_name",
    ),
)


@pytest.fixture(scope="module")
def installation() -> Installation:
    """What is installed."""
    return Installation()


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, installation: Installation) -> Path:
    """A folder with a package of every shape."""
    folder = tmp_path_factory.mktemp("scaffold")
    for shape in SHAPES:
        new_stage(shape.name, mode=shape.mode, into=folder, installation=installation, **shape.keys())
    return folder


def run(*command: str, cwd: Path) -> str:
    program = [sys.executable, "-m", *command]
    done = subprocess.run(program, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    return f"{done.stdout}{done.stderr}" if done.returncode else ""


@pytest.mark.parametrize("command", [("ruff", "check"), ("ruff", "format", "--check")], ids=" ".join)
def test_every_shape_is_clean_by_its_own_rules(everything: Path, command: tuple[str, ...]) -> None:
    """Linter and formatter, with the settings of each package, find nothing."""
    assert run(*command, "--no-cache", ".", cwd=everything) == ""


def test_every_shape_is_clean_by_our_rules(everything: Path) -> None:
    """The rules of this repository hold too; only whose imports stand in which block differs."""
    relaxed = "I001,INP001,S101,PLR2004,D1"  # as for examples/
    config = ("--config", str(ROOT / "pyproject.toml"), "--ignore", relaxed)
    assert run("ruff", "check", "--no-cache", *config, ".", cwd=everything) == ""


@pytest.mark.slow
@pytest.mark.parametrize("shape", [SHAPES[number] for number in (1, 3, 5, 7, 10)], ids=str)
def test_a_suite_passes_as_it_was_written(everything: Path, shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conformance suite and the written-out test pass before anything was changed."""
    package = everything / f"medical-kg-{shape.name}"
    monkeypatch.setenv("PYTHONPATH", str(package / "src"))
    assert run("pytest", "-q", "-p", "no:cacheprovider", cwd=package) == ""


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_written_out_test_passes(
    everything: Path, shape: Shape, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The test that shows what the stage does holds for every shape."""
    package = everything / f"medical-kg-{shape.name}"
    monkeypatch.syspath_prepend(str(package / "src"))
    names = runpy.run_path(str(next((package / "tests").glob("test_*.py"))))
    (test,) = [value for name, value in names.items() if name.startswith("test_")]
    test(*[tmp_path] * (shape.mode == "stream"))


@pytest.mark.slow
def test_types_are_strictly_right(everything: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mypy, as strict as the packages set it, finds nothing in any."""
    packages = [everything / f"medical-kg-{shape.name}" for shape in SHAPES]
    monkeypatch.setenv(
        "MYPYPATH", os.pathsep.join(str(path) for path in (*(one / "src" for one in packages), ROOT / "src"))
    )
    files = [
        str(path) for package in packages for path in (*package.glob("src/*/stage.py"), *package.glob("tests/*.py"))
    ]
    assert run("mypy", "--strict", "--no-error-summary", "--explicit-package-bases", *files, cwd=everything) == ""


def test_every_pipeline_whose_keys_are_written_passes_the_check(everything: Path) -> None:
    """A generated pipeline is valid once its stage type is installed, wherever installed pipelines lead up to it."""
    checked = 0
    for shape in SHAPES:
        installation = Installation()
        package = everything / f"medical-kg-{shape.name}"
        module: dict[str, object] = {"__name__": f"generated_{shape.name.replace('-', '_')}"}
        exec(compile(next(package.glob("src/*/stage.py")).read_text(encoding="utf-8"), shape.name, "exec"), module)
        stage = next(one for name, one in module.items() if name.endswith("Stage") and name != "Stage")
        installation.stages.add(shape.name, stage, distribution=package.name)
        path = package / "pipelines" / f"{shape.name}.yaml"
        found = [str(one) for one in Catalog().check(path, installation).problems if one.severity == "error"]
        comment = path.read_text(encoding="utf-8").startswith("# No pipeline")
        assert (found != []) == comment, (shape.name, found)
        checked += not comment
    assert checked == len(SHAPES) - 2


def test_known_keys_are_imported_and_new_ones_defined(everything: Path) -> None:
    """A key that installed stage types use comes from its package, any other is made with its record."""
    tree = ast.parse((everything / "medical-kg-many-things/src/medical_kg_many_things/stage.py").read_text())
    imported = {
        alias.name: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert {name: imported[name] for name in ("CHUNKS", "DOCUMENTS", "CLAIMS", "Chunk")} == {
        "CHUNKS": "medical_kg.documents.keys",
        "DOCUMENTS": "medical_kg.documents.keys",
        "CLAIMS": "medical_kg.documents.keys",
        "Chunk": "medical_kg.documents.records",
    }
    defined = [
        node.target.id for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    assert defined == ["NEW_THINGS"]


def test_the_project_file_has_the_entry_point_and_the_release_it_fits(everything: Path) -> None:
    """The entry point names the class, the requirement the releases of medical-kg with this contract."""
    project = tomllib.loads((everything / "medical-kg-readability" / "pyproject.toml").read_text())["project"]
    assert project["name"] == "medical-kg-readability"
    assert project["dependencies"] == ["medical-kg>=0.1,<0.2"]
    assert project["entry-points"] == {
        "medical_kg.orchestration.stages": {"readability": "medical_kg_readability:ReadabilityStage"}
    }


@pytest.mark.parametrize(
    "key", [value for value in vars(keys).values() if isinstance(value, StateKey)], ids=lambda k: k.name
)
def test_samples_of_the_pack_s_records_are_valid(key: StateKey[object]) -> None:
    """The sample of every record of the pack can be made, and survives storing and loading."""
    made = sample(
        key.item_type, *(part if isinstance(part := getattr(key, which), str) else None for which in ("id", "root"))
    )
    names: dict[str, object] = {}
    exec("\n".join(f"from {module} import {name}" for module, name in made.imports), names)
    values = {"id": '"a"', "root": '"r"', "text": '"Some text."', "number": "1"}
    record = eval(f"{made.call}({', '.join(made.parts(**values))})", names)
    value = [record] if key.is_list else record
    assert key.codec is not None
    data = key.codec.encode(value)
    assert key.codec.encode(key.codec.decode(data)) == data
    if key.is_list and key.id_of is not None:
        assert key.id_of(record) == "a"


def test_a_clash_with_an_installed_type_is_noted(tmp_path: Path, installation: Installation) -> None:
    """The pipeline names the distribution, and a note says how to choose."""
    made = new_stage("chunk", reads=["documents"], writes=["chunks"], into=tmp_path, installation=installation)
    assert any("'chunk' is also a stage type of medical-kg" in note and "plugins.prefer" in note for note in made.notes)
    stages = yaml.safe_load((made.folder / "pipelines" / "chunk.yaml").read_text())["stages"]
    assert stages[-1]["type"] == "medical-kg-chunk:chunk"
    assert "medical-kg plugins show medical-kg-chunk:chunk" in made.commands


def test_a_key_that_nothing_uses_is_noted(tmp_path: Path, installation: Installation) -> None:
    """A misspelt key would be a new one; the note and the pipeline's comment tell."""
    made = new_stage("tally", reads=["documets"], into=tmp_path, installation=installation)
    assert any("no installed stage type uses documets" in note for note in made.notes)
    assert not any("pipelines check" in command for command in made.commands)
    assert (
        (made.folder / "pipelines" / "tally.yaml")
        .read_text()
        .startswith("# No pipeline that is installed has documets")
    )


@pytest.mark.parametrize(
    ("mode", "reads", "writes", "words"),
    [
        ("item", "index_receipt", "", "'index_receipt' is no list whose records have an id"),
        ("item", "documents", "index_receipt", "'index_receipt' is a single value of a whole batch"),
        ("stream", "", "graph_receipt", "'graph_receipt' is a single value of a whole batch"),
    ],
)
def test_keys_that_do_not_fit_the_mode_are_refused(
    mode: str, reads: str, writes: str, words: str, tmp_path: Path, installation: Installation
) -> None:
    """What metadata would refuse later is refused now, with a way out."""
    with pytest.raises(UsageError, match=words):
        new_stage("x", mode=mode, reads=reads.split(), writes=writes.split(), into=tmp_path, installation=installation)  # type: ignore[arg-type]  # a mode by name
    assert list(tmp_path.iterdir()) == []


class Odd(Model):
    """A record of a stranger's package."""

    id: str
    when: object


ODD: StateKey[list[Odd]] = StateKey("odd", list[Odd], id="id")
PLAIN: StateKey[list[str]] = StateKey("plain", list[str], id=str)


class Colour(enum.Enum):
    """A choice of a stranger's package."""

    RED = "red"


@dataclass(frozen=True)
class Spot:
    """A record that is no pydantic model."""

    id: str
    colour: Colour
    side: Literal["left", "right"]
    size: float | int
    note: str | None
    tags: list[str]
    number: int = 3


SPOTS: StateKey[list[Spot]] = StateKey("spots", list[Spot], id="id")
TABLE: StateKey[dict[str, Any]] = StateKey("table", dict[str, Any])


def stage_with(*reads: StateKey[object]) -> type[Stage]:
    class Uses(Stage):
        metadata = StageMetadata(stage_type="uses", version="1", description="Uses keys.", reads=reads)

        def run(self, ctx: object, **reads: object) -> None: ...

    return Uses


def strangers(*reads: StateKey[object]) -> Installation:
    installation = Installation(path=[])
    installation.stages.add("uses", stage_with(*reads), distribution="stranger", version="2")
    return installation


def test_a_record_that_cannot_be_made_up_is_refused(tmp_path: Path) -> None:
    """Where a type says too little to make a sample, the message names the key and the type."""
    with pytest.raises(UsageError, match=r"'odd' of .*test_scaffold holds .*object.*, for which no sample"):
        new_stage("tally", reads=["odd"], into=tmp_path, installation=strangers(ODD))


def test_a_key_without_a_name_cannot_be_imported(tmp_path: Path) -> None:
    """A key that no module holds is refused, naming who uses it."""
    nameless: StateKey[object] = StateKey("nameless", list[str])
    with pytest.raises(UsageError, match="'nameless' is used by stranger 2, but no module holds it"):
        new_stage("tally", reads=["nameless"], mode="batch", into=tmp_path, installation=strangers(nameless))


def test_a_key_of_plain_values_is_taken(tmp_path: Path) -> None:
    """Records need not be models: a list of text serves as well."""
    made = new_stage("tally", reads=["plain"], writes=["tallies"], into=tmp_path, installation=strangers(PLAIN))
    text = (made.folder / "src" / "medical_kg_tally" / "stage.py").read_text()
    assert "def process(self, ctx: StageContext, item: str) -> Tally:" in text
    assert "Tally(id=str(item), root=str(item), words=words)" in text


def test_a_record_of_any_usual_type_is_made_up(tmp_path: Path) -> None:
    """Dataclasses, choices, unions and collections have samples; what has a default is left to it."""
    made = new_stage(
        "tally", reads=["spots", "table"], mode="batch", into=tmp_path, installation=strangers(SPOTS, TABLE)
    )
    text = (made.folder / "tests" / "test_tally.py").read_text()
    assert 'Spot(id=ident, colour=Colour.RED, side="left", size=float(1), note=None, tags=[])' in text
    assert "def make_table() -> dict[str, Any]:" in text
    assert "return {}" in text


def test_a_type_inside_a_class_cannot_be_imported() -> None:
    """Only what has a name of its own at the top of a module can be made up."""

    class Inner(Model):
        id: str

    with pytest.raises(CannotMake, match="Inner"):
        sample(Inner)


def test_a_broken_plugin_is_no_obstacle_and_is_named(tmp_path: Path) -> None:
    """What cannot be loaded is passed over; where a key was not found, the note names it."""
    site = tmp_path / "site" / "sick-1.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: sick\nVersion: 1.0\n")
    (site / "entry_points.txt").write_text("[medical_kg.orchestration.stages]\nsick = no_such_module_anywhere:Sick\n")
    installation = Installation(path=[str(site.parent)])
    assert KnownKeys(installation).unread == ["sick from sick 1.0"]
    made = new_stage("tally", reads=["notes"], into=tmp_path, installation=installation)
    assert any(
        "not looked at for state keys, as they cannot be loaded: sick from sick 1.0" in one for one in made.notes
    )


def test_two_declarations_of_a_key_are_no_obstacle(installation: Installation) -> None:
    """A stranger's declaration of a key of its own does not take the place of the one that most stage types use."""
    found = KnownKeys(installation).find("documents")
    assert found is not None
    assert (found.module, found.attribute, found.distribution) == (
        "medical_kg.documents.keys",
        "DOCUMENTS",
        "medical-kg",
    )


@pytest.mark.parametrize(("exported", "home"), [("__all__ = ['SHADES']", "zz_shades"), ("", "zz_shades.keys")])
def test_a_key_comes_from_where_it_is_defined_or_exported(
    exported: str, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a module that only uses it is the address, but the one that defines it, or its package where it exports it."""
    package = tmp_path / "zz_shades"
    package.mkdir()
    (package / "__init__.py").write_text(f"from zz_shades.keys import SHADES\n{exported}\n")
    (package / "keys.py").write_text(
        "from medical_kg import StateKey\nSHADES = StateKey('shades', list[str], id=str)\n"
    )
    (tmp_path / "aa_user.py").write_text("from zz_shades.keys import SHADES\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("zz_shades", "zz_shades.keys", "aa_user"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    user = importlib.import_module("aa_user")
    found = KnownKeys(strangers(user.SHADES)).find("shades")
    assert found is not None
    assert (found.module, found.attribute) == (home, "SHADES")


def test_a_local_module_is_one_file_and_some_lines_of_settings(tmp_path: Path, installation: Installation) -> None:
    """With ``local``, one module is written, and the lines name it as an entry point would."""
    made = new_stage("word-count", reads=["documents"], local=True, into=tmp_path, installation=installation)
    assert [str(path) for path in made.files] == ["word_count_stage.py"]
    assert tomllib.loads(made.settings) == {
        "plugins": {"local": {"stages": {"word-count": "word_count_stage:WordCountStage"}}}
    }
    (tmp_path / "medical_kg.toml").write_text(made.settings, encoding="utf-8")
