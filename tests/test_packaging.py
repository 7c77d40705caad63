"""The wheels, in a fresh environment: what is in ours, and a stage type that comes and goes with a package (scenario 1).

The fresh environment finds the third-party dependencies in the development environment, so nothing is fetched; our own
code it has from the wheels alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "medical-kg-readability"
PIPELINE = EXAMPLE / "pipelines" / "readability.yaml"
DOCUMENT = "Readers of this study will find short words and short sentences. " * 8

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Environment:
    """A fresh virtual environment."""

    home: Path
    workspace: Path

    def run(self, *command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run one of its programs and insist on the exit code."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV", "PYTHON"))}
        done = subprocess.run(
            [str(self.home / "bin" / command[0]), *command[1:]],
            env={**ours, "MEDICAL_KG_WORKSPACE": str(self.workspace)},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def pip(self, *arguments: str) -> None:
        """Run its pip, which may fetch nothing."""
        self.run("python", "-m", "pip", "--disable-pip-version-check", *arguments)

    def digests(self) -> dict[str, str]:
        """The content of every file of our package, as installed."""
        script = "import medical_kg; print(medical_kg.__file__)"
        package = Path(self.run("python", "-c", script).stdout.strip()).parent
        assert self.home in package.parents
        files = sorted(package.rglob("*.py")) + sorted(package.rglob("*.yaml"))
        return {str(path.relative_to(package)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def build(source: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = target.glob(f"{source_name(source)}-*.whl")
    return wheel


def source_name(source: Path) -> str:
    return "medical_kg_readability" if source == EXAMPLE else "medical_kg"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Our wheel and the example package's."""
    target = tmp_path_factory.mktemp("wheels")
    return build(ROOT, target), build(EXAMPLE, target)


@pytest.fixture(scope="module")
def environment(wheels: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment with our wheel installed."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, with_pip=True)
    fresh = Environment(home, tmp_path_factory.mktemp("workspace") / "ws")
    # A folder named in a .pth file is searched last, and the .pth files inside it (our editable one) are not read.
    purelib = fresh.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    Path(purelib, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    fresh.pip("install", "--no-index", "--no-deps", str(wheels[0]))
    return fresh


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one text to score."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "study.txt").write_text(DOCUMENT, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "pattern",
    [
        "medical_kg/py.typed",
        "medical_kg/orchestration/ledger/migrations/versions/*.py",
        "medical_kg/pipelines/auto.yaml",
        "medical_kg/pipelines/resilience.yaml",
        "medical_kg/embedders/data/tokenizer.json",
        "medical_kg/samples/*/*.json",
        "medical_kg/checks/MKG011.md",
        "*.dist-info/licenses/LICENSE",
    ],
)
def test_the_wheel_holds_what_the_code_reads(wheels: tuple[Path, Path], pattern: str) -> None:
    """Migrations, pipelines, tokenizer and samples travel with the code."""
    names = zipfile.ZipFile(wheels[0]).namelist()
    assert [name for name in names if Path(name).match(pattern)] != []


def test_the_wheel_holds_nothing_else(wheels: tuple[Path, Path]) -> None:
    """No test, no cache and no stray folder gets in."""
    names = zipfile.ZipFile(wheels[0]).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"medical_kg"}
    assert [name for name in names if "__pycache__" in name or "/tests/" in name] == []


def test_an_outside_stage_type_comes_and_goes_with_its_package(
    environment: Environment, wheels: tuple[Path, Path], documents: Path
) -> None:
    """Installed, it is listed with its provenance and runs; removed, the check names what is missing."""
    before = environment.digests()
    missing = environment.run("medical-kg", "pipelines", "check", str(PIPELINE), code=2)
    assert "readability" in missing.stdout + missing.stderr

    environment.pip("install", "--no-index", "--no-deps", str(wheels[1]))
    listed = json.loads(environment.run("medical-kg", "plugins", "list", "--json").stdout)
    (row,) = [row for row in listed if row["name"] == "readability"]
    assert (row["distribution"], row["version"]) == ("medical-kg-readability", "0.1.0")
    environment.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests"))
    environment.run("medical-kg", "pipelines", "check", str(PIPELINE))
    environment.run("medical-kg", "run", str(PIPELINE), "--input", str(documents), "--engine", "plain")
    (submission,) = json.loads(environment.run("medical-kg", "submissions", "list", "--json").stdout)
    shown = json.loads(environment.run("medical-kg", "submissions", "show", submission["id"], "--json").stdout)
    assert {stage["stage"]: stage["counts"] for stage in shown["stages"]}["readability"] == {"scored": 1}
    assert environment.digests() == before

    environment.pip("uninstall", "--yes", "medical-kg-readability")
    gone = environment.run("medical-kg", "pipelines", "check", str(PIPELINE), code=2)
    message = " ".join((gone.stdout + gone.stderr).split())
    assert "readability" in message
    assert "no installed distribution provides it" in message
