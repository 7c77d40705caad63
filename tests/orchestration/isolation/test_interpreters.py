"""Stages in other interpreters and virtual environments, whose packages could not live beside the engine's."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

SERVED = ("3.11", "3.12", "3.13", "3.14")
MINE = f"{sys.version_info.major}.{sys.version_info.minor}"

OLD = """
import sys
from pathlib import Path
from typing import Any

import fsspec
import legacy_words

from medical_kg import Stage, StageMetadata, StateKey, TransientError

assert "sqlalchemy" not in sys.modules and "dagster" not in sys.modules
NOTES = StateKey("notes", list[dict[str, str]], id=lambda note: note["id"])


class Feed(Stage):
    metadata = StageMetadata(stage_type="old-feed", version="1.0", description="Feeds.", writes=(NOTES,), mode="stream")

    def pull(self, ctx, cursor, limit):
        from medical_kg import Page

        return Page([{"id": "a"}, {"id": "b"}, {"id": "c"}])


class Note(Stage):
    metadata = StageMetadata(
        stage_type="old-note", version="1.0", description="Tells where it is.", reads=(NOTES,), writes=(NOTES,),
        mode="item",
    )
    tried = False

    def process(self, ctx, note, **reads: Any):
        if note["id"] == "b":
            import ctypes

            ctypes.string_at(0)
        if note["id"] == "c" and not self.tried:
            self.tried = True
            raise TransientError("busy")
        found = {"python": "%s.%s" % sys.version_info[:2], "fsspec": fsspec.__version__, "prefix": sys.prefix}
        return {**note, **found, "legacy": legacy_words.WORD}
"""


def version_of(python: Path) -> str:
    """The interpreter's version, or an empty text where it is none, e.g. a manager's stand-in for one not chosen."""
    said = subprocess.run(
        [str(python), "-c", "import sys, venv; print('%s.%s' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip()


def another() -> Path | None:
    """An interpreter of another version that medical-kg serves: 3.12 where that is another."""
    wanted = sorted((version for version in SERVED if version != MINE), key=lambda version: version != "3.12")
    for version in wanted:
        managed = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
        named = shutil.which(f"python{version}")
        for python in [*([Path(named)] if named else []), *managed]:
            if version_of(python) == version:
                return python
    return None


def wheel(folder: Path, name: str, version: str, files: dict[str, str], metadata: str = "", entries: str = "") -> Path:
    """Write a wheel: a zip of modules with three files that say what it is."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    contents = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **({f"{info}/entry_points.txt": entries} if entries else {}),
    }
    record = "".join(f"{file},,\n" for file in [*contents, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**contents, f"{info}/RECORD": record}.items():
            archive.writestr(file, text)
    return path


def plugin_wheels(folder: Path) -> list[str]:
    """A plugin whose requirement cannot be met beside the engine's, and a package it brings along."""
    entries = "[medical_kg.orchestration.stages]\nold-note = old_plugin:Note\nold-feed = old_plugin:Feed\n"
    requires = "Requires-Dist: fsspec<2024\nRequires-Dist: legacy-words==0.1\n"
    made = [
        wheel(folder, "old_plugin", "1.0", {"old_plugin.py": OLD}, requires, entries),
        wheel(folder, "legacy_words", "0.1", {"legacy_words.py": "WORD = 'old'\n"}),
    ]
    return [str(path) for path in made]


def pip(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV", "PYTHON"))}
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clean)


@pytest.fixture(scope="module")
def old_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment of another Python, without medical-kg, with a plugin and its conflicting dependency."""
    python = another()
    if python is None:
        pytest.skip(f"no other Python than {MINE} that medical-kg serves ({', '.join(SERVED)}) is on this machine")
    home = tmp_path_factory.mktemp("old") / "environment"
    subprocess.run([str(python), "-m", "venv", str(home)], check=True)
    done = pip(home / "bin" / "python", "pydantic>=2.11", *plugin_wheels(home.parent))
    if done.returncode != 0:
        pytest.skip(f"pydantic and an old fsspec cannot be fetched for {python}: {done.stderr.strip()[-300:]}")
    return home


OLD_PIPELINE = """
stages:
  - {name: feed, type: old-feed, environment: old}
  - {name: note, type: old-note, environment: old, policy: again, depends_on: [feed]}
"""


def write_policies(place: Any) -> None:
    folder = place.root / "pipelines"
    folder.mkdir()
    text = "policies:\n  default: {}\n  again: {max_attempts: 2, backoff: {strategy: none}}\n"
    (folder / "resilience.yaml").write_text(text, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_a_stage_runs_in_another_python_with_a_conflicting_dependency(
    settings: Any, old_environment: Path, engine: str
) -> None:
    """The worker is another Python with a release of a package that the engine's requirements rule out.

    It has no medical-kg of its own, and the engine none of its plugin; crashes, retries and counts are as anywhere.
    """
    place = settings(f"[environments.old]\npython = {json.dumps(str(old_environment))}\n")
    write_policies(place)
    report = place.run(OLD_PIPELINE, engine=engine)
    assert report.errors == ()
    notes = [json.loads(line) for line in place.values(report, "note")["notes"].splitlines()]
    assert [note["id"] for note in notes] == ["a", "c"]
    assert {note["prefix"] for note in notes} == {str(old_environment)}
    assert {note["legacy"] for note in notes} == {"old"}
    assert (report.stages[1].retries, place.letters(report)["b"][0]) == (1, "WorkerDied")
    (python,) = {note["python"] for note in notes}
    (theirs,) = {note["fsspec"] for note in notes}
    assert python != MINE
    required = [Requirement(line) for line in importlib.metadata.requires("medical-kg") or ()]
    (ours,) = (one.specifier for one in required if one.name == "fsspec")
    assert theirs not in ours
    assert importlib.metadata.version("fsspec") in ours
    assert importlib.util.find_spec("old_plugin") is None


@pytest.mark.slow
def test_a_virtual_environment_of_the_same_python_has_its_own_plugins(settings: Any, tmp_path: Path) -> None:
    """What is installed in the environment counts, not what the engine has: other plugins, other conflicts."""
    home = tmp_path / "own"
    venv.create(home, with_pip=False)
    packages = next((home / "lib").glob("python3.*")) / "site-packages"
    for name in ("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"):
        lend(name, packages)
    for path in plugin_wheels(tmp_path):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(packages)
    (packages / "fsspec.py").write_text("__version__ = '2023.1'\n", encoding="utf-8")
    place = settings('[environments.own]\npython = "../own/bin/python"\n')
    write_policies(place)
    report = place.run(OLD_PIPELINE.replace("environment: old", "environment: own"))
    assert json.loads(place.values(report, "note")["notes"].splitlines()[0])["fsspec"] == "2023.1"
    assert set(place.letters(report)) == {"b"}


def lend(name: str, packages: Path) -> None:
    """Make a package of this environment importable in another one of the same Python."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    origin = Path(spec.origin)
    source = origin.parent if origin.name == "__init__.py" else origin
    (packages / source.name).symlink_to(source)
