"""Fresh virtual environments with our wheel, as somebody has who is new to medical-kg.

They find the third-party dependencies in the development environment, so nothing is fetched; our own code they have from
the wheel alone. Other interpreters are used where one has the same dependencies: on the path as ``python3.12`` or named,
with others, in the variable ``MEDICAL_KG_PYTHONS``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"

OFFLINE = ("--no-index", "--no-deps", "--no-build-isolation")
"""What a new user need not say: here everything that can be installed is there already."""

ASK = """
import json, sys, sysconfig
import dagster, hatchling, lxml, numpy, pydantic, pytest, sqlalchemy, typer
print(json.dumps({"version": "%d.%d" % sys.version_info[:2], "site": sysconfig.get_path("purelib")}))
"""


@dataclass(frozen=True)
class Fresh:
    """A fresh virtual environment, and the folder that its user works in."""

    home: Path
    folder: Path

    def run(self, *command: str, cwd: Path | None = None, code: int = 0) -> str:
        """Run one of its programs, insist on the exit code, and return what it printed."""
        done = self.start(*command, cwd=cwd)
        out, errors = done.communicate(timeout=300)
        assert done.returncode == code, f"{command}: {done.returncode}\n{out}\n{errors}"
        return out + errors

    def start(self, *command: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Start one of its programs."""
        mine = ("PYTEST", "COV", "PYTHON", "MEDICAL_KG")
        ours = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
        return subprocess.Popen(
            [str(self.home / "bin" / command[0]), *command[1:]],
            env=ours,
            cwd=cwd or self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def install(self, *what: str, cwd: Path | None = None) -> None:
        """Install with its own pip."""
        self.run("python", "-m", "pip", "--disable-pip-version-check", "install", *OFFLINE, *what, cwd=cwd)

    def json(self, *command: str) -> object:
        """Return what a command of ours prints as JSON."""
        done = self.start("medical-kg", *command, "--json")
        out, errors = done.communicate(timeout=300)
        assert done.returncode == 0, errors
        return json.loads(out)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our wheel."""
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = target.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def make_fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Fresh]:
    """Make a fresh environment of an interpreter (the running one unless told) with our wheel."""

    def make(python: str = sys.executable) -> Fresh:
        asked = ask(python)
        assert isinstance(asked, dict), asked
        home = tmp_path_factory.mktemp("fresh")
        subprocess.run([python, "-m", "venv", str(home)], check=True, timeout=300, capture_output=True)
        fresh = Fresh(home, tmp_path_factory.mktemp("project"))
        purelib = fresh.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        # A folder named in a .pth file is searched last, and the .pth files inside it (our editable one) are not read.
        Path(purelib, "dependencies.pth").write_text(asked["site"] + "\n", encoding="utf-8")
        fresh.install(str(wheel))
        return fresh

    return make


def ask(python: str) -> dict[str, str] | str:
    """Return an interpreter's version and where its packages are, or why it cannot be used."""
    try:
        done = subprocess.run([python, "-c", ASK], capture_output=True, text=True, check=False, timeout=120)
    except OSError as error:
        return f"{python}: {error}"
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it does not run"]
        return f"{python}: {next((line for line in lines if 'Error' in line), lines[0])}"
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture(params=["3.11", "3.12", "3.13"])
def python(request: pytest.FixtureRequest) -> str:
    """An interpreter of each release that has the dependencies; the running one always has."""
    wanted: str = request.param
    if wanted == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable
    named = os.environ.get("MEDICAL_KG_PYTHONS", "").split(os.pathsep)
    candidates = [*filter(None, named), *filter(None, [shutil.which(f"python{wanted}")])]
    asked = {candidate: ask(candidate) for candidate in candidates}
    for candidate, answer in asked.items():
        if isinstance(answer, dict) and answer["version"] == wanted:
            return candidate
    reasons = "; ".join(answer for answer in asked.values() if isinstance(answer, str)) or "none was found"
    pytest.skip(f"no Python {wanted} that has the development requirements: {reasons}")
