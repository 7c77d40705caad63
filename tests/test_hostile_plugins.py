"""No plugin can hurt the others: every cell of the table in docs/explanation/hostile-plugins.md is tried.

The hostile packages stand in tests/hostile_plugin; here they are put on the path as an installer would leave them.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from distributions import importable
from harness import HERE, PACKAGES, Seen, copies, install, program, run_row, seen, workspace_folder, write_row

from medical_kg.orchestration import api
from medical_kg.orchestration.diagnosis import Finding, diagnose
from medical_kg.orchestration.registry import STAGES, Installation
from medical_kg.orchestration.workspace import Workspace

PAGE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "hostile-plugins.md"
UNTOUCHED = "w1 no, w2 no, w3 no"
"""What the good stage gives when nobody has changed its input."""
LIMIT = 2 * 1024**3


@dataclass(frozen=True)
class Cell:
    """What the table says: how it ends, and what is seen."""

    verdict: str
    spans: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A row of the table."""

    name: str
    here: Cell
    apart: Cell
    doctor: tuple[str, ...]


def cell(text: str) -> Cell:
    found = re.search(r"\*\*(\w+)\*\*", text)
    assert found, text
    return Cell(found[1], tuple(re.findall(r"`([^`]+)`", text)))


def table() -> dict[str, Line]:
    lines = {}
    for row in PAGE.read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"\| `([a-z0-9-]+)` \|(.*)\|(.*)\|(.*)\|(.*)\|", row):
            name, _, here, apart, doctor = found.groups()
            lines[name] = Line(name, cell(here), cell(apart), tuple(re.findall(r"`([^`]+)`", doctor)))
    return lines


TABLE = table()
LETHAL = [line.name for line in TABLE.values() if line.here.verdict in ("run", "waits")]
IN_PROCESS = [name for name in TABLE if name not in (*LETHAL, "memory-hog")]
SOME = ("interrupts-in-item", "interrupts-in-run", "unsayable-in-run", "odd-text", "mutates-input", "ledger-in-run")
"""Rows that are also run as Dagster runs, where stages run in the main thread, one after the other."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The packages, installed."""
    with importable(install(tmp_path_factory.mktemp("site"))) as folder:
        yield folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return workspace_folder(tmp_path / "workspace")


@pytest.fixture
def surroundings() -> Iterator[None]:
    """What a test of misbehaviour may leave behind, should the guard fail, and must not."""
    where, variables, disabled = Path.cwd(), dict(os.environ), logging.root.manager.disable
    yield
    now = (Path.cwd(), {name: os.environ.get(name) for name in variables}, logging.root.manager.disable)
    os.chdir(where)
    os.environ.update(variables)
    logging.disable(disabled)
    assert now[0] == where
    assert {name for name in variables if now[1][name] != variables[name]} <= {"PYTEST_CURRENT_TEST"}
    assert now[2] == disabled


def innocent_runs(folder: Path) -> None:
    """The other pipeline gives what it always gives."""
    with closing(Workspace(folder)) as workspace:
        report = api.submit(workspace, "innocent", engine="plain")
        (batch,) = report.batches
        assert copies(workspace, workspace.ledger.results(batch.id)["beside"]) == UNTOUCHED


def check(cell: Cell, found: Seen, log: str) -> None:
    """The cell of the table says what came of it, and the good stage was not touched."""
    assert found.verdict == cell.verdict, found.words
    for span in cell.spans:
        assert span in found.words + log
    assert found.beside == ("" if cell.verdict == "refused" else UNTOUCHED)
    assert len(found.words) < 5_000


def test_the_table_has_a_row_for_every_hostile_plugin() -> None:
    """Nothing hostile is left out of the table, and nothing in it is made up."""
    claimed = set()
    for package in PACKAGES:
        if package != "bystander":
            project = tomllib.loads((HERE / package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
            claimed |= set(project["entry-points"][STAGES])
    assert claimed == set(TABLE)
    assert len(TABLE) >= 50


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("name", IN_PROCESS)
def test_in_the_engines_process_it_is_contained_as_the_table_says(
    name: str, site: Path, folder: Path, caplog: pytest.LogCaptureFixture, surroundings: None
) -> None:
    """What a plugin does ends as its row says, beside it all goes well, and so does another pipeline afterwards."""
    write_row(folder, name)
    check(TABLE[name].here, run_row(folder), caplog.text)
    innocent_runs(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_dagster_contains_it_too(name: str, site: Path, folder: Path, surroundings: None) -> None:
    """As a Dagster run it ends the same way."""
    write_row(folder, name)
    check(TABLE[name].here, run_row(folder, engine="dagster"), "")


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_in_a_worker_process_it_is_contained_as_the_table_says(
    name: str, site: Path, folder: Path, caplog: pytest.LogCaptureFixture, surroundings: None
) -> None:
    """With an environment of its own even a crash hits no more than an item."""
    environment = "small" if name == "memory-hog" else "process"
    policy = ", policy: hasty" if name == "endless" else ""
    write_row(folder, name, f", environment: {environment}{policy}")
    check(TABLE[name].apart, run_row(folder), caplog.text)
    innocent_runs(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", LETHAL)
def test_what_ends_the_process_loses_nothing_and_goes_on_with_an_environment(
    name: str, site: Path, folder: Path
) -> None:
    """A run that dies of a plugin leaves other pipelines be, and once the stage has an environment it goes on."""
    line = TABLE[name]
    write_row(folder, name)
    waits = line.here.verdict == "waits"
    code, _, err = program(site, folder, "run", "row", "--engine", "plain", wait=8 if waits else 120)
    assert line.here.spans == (() if waits else (f"exit code {code}",)), err
    assert code is None or not waits
    innocent_runs(folder)
    write_row(folder, name, f", environment: process{', policy: hasty' if waits else ''}")
    if line.apart.verdict == "refused":
        assert run_row(folder).verdict == "refused"
        return
    with closing(Workspace(folder)) as workspace:
        report = api.submit(workspace, "row", engine="plain")
        check(line.apart, seen(workspace, report), "")
        events = [(entry.stage, entry.event) for entry in workspace.ledger.history(report.submission.id)]
        assert events.count(("feed", "stage completed")) == 1
        assert len(workspace.ledger.submissions()) == 2


@pytest.mark.slow
def test_a_stage_that_wants_all_memory_fails_where_the_system_refuses_it(site: Path, folder: Path) -> None:
    """A MemoryError is the stage's, and the run ends in order."""
    write_row(folder, "memory-hog")
    code, _, err = program(site, folder, "run", "row", "--engine", "plain", limit=LIMIT)
    line = TABLE["memory-hog"].here
    assert (code, line.verdict) == (1, "stage"), err
    assert f"failed in batch {json_of(site, folder)['batches'][0]['id']}: {line.spans[0]}" in err
    innocent_runs(folder)


def json_of(site: Path, folder: Path) -> Mapping[str, list[Mapping[str, str]]]:
    _, out, _ = program(site, folder, "submissions", "list", "--json")
    _, out, _ = program(site, folder, "submissions", "show", json.loads(out)[0]["id"], "--json")
    return json.loads(out)  # type: ignore[no-any-return]  # an object


@pytest.fixture(scope="module")
def findings(site: Path) -> dict[str, Finding]:
    """What the doctor says of each plugin of the hostile packages."""
    found = diagnose(Installation())
    return {one.name: one for one in found if one.distribution.startswith("medical-kg-hostile")}


@pytest.mark.parametrize("name", TABLE)
def test_the_doctor_says_what_the_table_says(name: str, findings: Mapping[str, Finding]) -> None:
    """Each plugin's status and what is wrong with it is as its row has it."""
    status, *said = TABLE[name].doctor
    found = findings[name]
    assert found.status == status
    for span in said:
        assert span in "\n".join((found.reason, *found.notes))


def test_the_doctor_names_every_one_and_ends_with_an_error(site: Path, folder: Path) -> None:
    """The command survives them all, its JSON is whole, and its exit code tells that something is wrong."""
    code, out, err = program(site, folder, "plugins", "doctor", "--json")
    assert code == 1, err
    assert {one["name"] for one in json.loads(out)} >= set(TABLE)


@pytest.mark.parametrize("name", ["prints", "changes-on-import", "takes-streams"])
@pytest.mark.parametrize("more", ["", ", environment: process"])
def test_what_a_plugin_prints_is_not_in_the_results(name: str, more: str, site: Path, folder: Path) -> None:
    """With --json standard output is one JSON value, whatever plugins print there, on import too."""
    write_row(folder, name, more)
    code, out, err = program(site, folder, "run", "row", "--engine", "plain", "--json")
    assert (code, json.loads(out)["exit_code"]) == (0, 0), err
    if name == "prints" and not more:
        assert [word for word in ('{"printed": true}', "by Python", "by the system") if word not in err] == []


def test_ctrl_c_is_heard_after_a_plugin_that_ignores_it(site: Path, folder: Path) -> None:
    """The handlers of signals stand as they stood, after a stage that replaced them."""
    import signal

    before = signal.getsignal(signal.SIGINT)
    write_row(folder, "takes-signals")
    assert run_row(folder, engine="dagster").verdict == "none"
    assert signal.getsignal(signal.SIGINT) is before


def test_an_incompatible_distribution_is_never_imported(site: Path, folder: Path) -> None:
    """What requires another release of medical-kg is judged by its metadata alone."""
    write_row(folder, "old-requirement")
    assert run_row(folder).verdict == "refused"
    assert "medical_kg_hostile_old" not in sys.modules


def test_a_claimed_name_is_had_by_saying_whose_it_is(site: Path, folder: Path) -> None:
    """A name that two claim can be used by writing the distribution before it."""
    write_row(folder, "medical-kg-hostile:twice")
    assert run_row(folder).verdict == "none"


@pytest.mark.slow
def test_packages_built_and_installed_for_real_are_listed_the_same(site: Path, tmp_path: Path) -> None:
    """What an installer leaves of the four packages is what these tests put on the path."""
    import subprocess

    target = tmp_path / "installed"
    for package in PACKAGES:
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "wheels")]
        subprocess.run([*command, str(HERE / package)], check=True, capture_output=True, timeout=300)
    wheels = sorted(map(str, (tmp_path / "wheels").iterdir()))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", str(target), *wheels], check=True, capture_output=True, timeout=300)
    listed = [
        {(claim.origin, claim.status, claim.reason) for claim in Installation(path=[str(place)]).stages.claims()}
        for place in (site, target)
    ]
    assert listed[0] == listed[1]
