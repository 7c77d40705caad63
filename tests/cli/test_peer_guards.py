"""Each test of ``test_peer_faults.py`` fails against a copy of the source in which its guard is taken out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import medical_kg

pytestmark = pytest.mark.slow

FAULTS = Path(__file__).with_name("test_peer_faults.py")
REPOSITORY = FAULTS.parents[2]


class Guard(NamedTuple):
    """The lines that keep a fault out, and what stands there in a version that has the fault."""

    file: str
    guard: str
    without: str


REGISTRY, DISCOVERY = "orchestration/registry.py", "orchestration/discovery.py"
DATAFLOW = "orchestration/pipeline/dataflow.py"

GUARDS = {
    "01": Guard(REGISTRY, "except BaseException as error:", "except ZeroDivisionError as error:"),
    "02": Guard(
        REGISTRY,
        "{claim.origin.name for claim in self.claims() if claim.usable}",
        "{claim.origin.name for claim in self.claims() if claim.usable and claim.load()}",
    ),
    "03": Guard("sources/files.py", "if name in self._wanted():\n                    raise\n", "raise\n"),
    "04": Guard("cli/plugged.py", "return _unusable(name, error)", "raise"),
    "05": Guard(DISCOVERY, "if blocked := settings.blocks(about.name):", 'if blocked := "":'),
    "06": Guard(DISCOVERY, "except UnicodeDecodeError as error:", "except ZeroDivisionError as error:"),
    "07": Guard(
        "orchestration/isolation/taking.py",
        "taken = model.model_validate(given)",
        "taken = model.model_construct(**given)",
    ),
    "08": Guard(
        DISCOVERY,
        "content = _content(distribution, file)",
        'content = vars(_read).setdefault(f"{distribution._path}/{file}", _content(distribution, file))',
    ),
    "09": Guard(REGISTRY, "if len(contenders) > 1:", "if False:"),
    "10": Guard(
        REGISTRY,
        'plain = name.rpartition(":")\n        claims = [claim for claim in self.claims() if claim.origin.name == plain]',
        'plain = name.rpartition(":")\n        claims = [claim for claim in self.claims() if claim == claim]',
    ),
    "11": Guard(DISCOVERY, "about.name, about.version, entry.object)", '"unknown", "", entry.object)'),
    "12": Guard(
        REGISTRY,
        "return claim.origin.name, canonicalize_name(claim.origin.distribution)",
        'return claim.origin.name, ""',
    ),
    "13": Guard("orchestration/execution/calling.py", "FATAL = (PluginError,", "FATAL = (Exception, PluginError,"),
    "14": Guard("orchestration/pipeline/spec.py", "class StageSpec(Model):", 'class StageSpec(Model, extra="ignore"):'),
    "15": Guard(DATAFLOW, "if not key.accepts(given):", "if False:"),
    "16": Guard(DATAFLOW, "if clashing:", "if False:"),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package's source."""
    source = Path(medical_kg.__file__).parent
    return Path(shutil.copytree(source, tmp_path / "src" / "medical_kg", ignore=shutil.ignore_patterns("__pycache__")))


def fault_tests(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of faults against the copy."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV", "MEDICAL_KG"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FAULTS), *words],
        cwd=REPOSITORY,
        env={**ours, "PYTHONPATH": str(copy.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_there_is_a_guard_for_every_fault() -> None:
    """The sixteen faults and the guards against them belong to each other."""
    lines = FAULTS.read_text(encoding="utf-8").splitlines()
    assert [line[9:11] for line in lines if line.startswith("def test_")] == sorted(GUARDS)
    assert len(GUARDS) == 16


def test_an_unchanged_copy_passes(copy: Path) -> None:
    """That the source was copied is not why a test fails."""
    done = fault_tests(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("number", GUARDS)
def test_a_version_without_its_guard_is_found_out(copy: Path, number: str) -> None:
    """The test of a fault fails where the lines that keep the fault out are replaced."""
    file, guard, without = GUARDS[number]
    path = copy / file
    text = path.read_text(encoding="utf-8")
    assert text.count(guard) == 1, (
        f"{file} no longer has the guard against fault {number}: name the lines that are it now"
    )
    path.write_text(text.replace(guard, without), encoding="utf-8")
    done = fault_tests(copy, "-k", f"test_{number}_")
    assert (done.returncode, " failed" in done.stdout, " error" in done.stdout) == (1, True, False), done.stdout
