"""Dagster's UI on the workspace: pipelines as jobs, history, and runs launched by hand, through its GraphQL."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
Running = Callable[..., Any]

ENDED = ("SUCCESS", "FAILURE", "CANCELED")
PIPELINES = Path(__file__).resolve().parents[2] / "src" / "medical_kg" / "pipelines"

JOBS = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
    name location { name } jobs { name } } } } }"""

LAUNCH = """mutation($of: JobOrPipelineSelector!, $config: RunConfigData) {
  launchRun(executionParams: {selector: $of, runConfigData: $config}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } } } }"""

RUN = """query($id: ID!) { runOrError(runId: $id) { ... on Run {
    status tags { key value }
    assetMaterializations { stepKey metadataEntries { label ... on FloatMetadataEntry { floatValue } } } } } }"""

RUNS = "{ runsOrError { ... on Runs { results { runId status jobName } } } }"
NUX = "{ shouldShowNux instance { id } }"


class Ui:
    """Dagster's GraphQL of a running ``medical-kg dev``."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.jobs: dict[str, dict[str, str]] = {}

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.address}/graphql", body, headers)  # on this machine
        with urllib.request.urlopen(request, timeout=60) as answer:  # as above
            return json.loads(answer.read())["data"]

    def wait(self, process: Any) -> None:
        """Return once the pipelines are loaded."""
        until = time.monotonic() + 180
        while not self.jobs:
            assert process.poll() is None, "the UI ended"
            assert time.monotonic() < until
            time.sleep(0.5)
            try:
                found = self.ask(JOBS)["repositoriesOrError"].get("nodes", [])
            except (urllib.error.URLError, ConnectionError):
                continue
            self.jobs = {
                job["name"]: {
                    "repositoryName": repository["name"],
                    "repositoryLocationName": repository["location"]["name"],
                    "jobName": job["name"],
                }
                for repository in found
                for job in repository["jobs"]
            }

    def launch(self, job: str, **config: Any) -> dict[str, Any]:
        """Launch a job as the launchpad does, and return its run once it has ended."""
        given = {"ops": {"open_batch": {"config": config}}}
        launched = self.ask(LAUNCH, of=self.jobs[job], config=given)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        until = time.monotonic() + 180
        while (run := self.ask(RUN, id=launched["run"]["runId"])["runOrError"])["status"] not in ENDED:
            assert time.monotonic() < until, run
            time.sleep(0.5)
        return {**run, "id": launched["run"]["runId"]}


def figures(run: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The numbers that Dagster shows with what each stage materialized."""
    return {
        made["stepKey"]: {
            entry["label"]: entry["floatValue"] for entry in made["metadataEntries"] if "floatValue" in entry
        }
        for made in run["assetMaterializations"]
    }


@pytest.fixture
def ui(kg: Any, running: Running) -> Iterator[Ui]:
    """``medical-kg dev`` on a workspace in which something has been run, ended with all its processes."""
    pytest.importorskip("dagster_webserver", reason="Dagster's UI (the extra ui) is not installed")
    folder = kg.add_gated().parent
    auto = (PIPELINES / "auto.yaml").read_text().replace("type: chunk,", "type: chunk, config: {embedder: hashing},")
    (folder / "auto.yaml").write_text(auto.replace("type: embed,", "type: embed, config: {embedder: hashing},"))
    assert kg("run", "auto", "--input", kg.source).returncode == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with running(kg.start("dev", "--port", port, stdout=-3, stderr=-3)) as process:
        try:
            served = Ui(port)
            served.wait(process)
            yield served
        finally:
            process.terminate()  # it passes this on to the processes of its own group
            process.wait(timeout=60)


def test_the_ui_shows_and_runs_what_the_command_line_does(kg: Any, ui: Ui) -> None:
    """Jobs and history are there; a launched run is a submission with equal figures; a gate waits, and goes on when told."""
    assert {"auto", "gated", "pubmed", "clinical_trials", "pmc_fulltext", "pdf_two_phase"} <= ui.jobs.keys()
    history = ui.ask(RUNS)["runsOrError"]["results"]
    assert [(run["jobName"], run["status"]) for run in history] == [("auto", "SUCCESS")]
    assert ui.ask(NUX)["shouldShowNux"] is False

    (first,) = kg.json("submissions", "list")
    shown = kg.json("submissions", "show", first["id"])
    earlier = ui.ask(RUN, id=history[0]["runId"])["runOrError"]
    assert figures(earlier) == stage_figures(shown)

    launched = ui.launch("auto", input=str(kg.source), limit=3, full_refresh=True)
    assert launched["status"] == "SUCCESS"
    newest = kg.json("submissions", "list")[0]
    shown = kg.json("submissions", "show", newest["id"])
    assert (newest["status"], newest["input"]) == (
        "completed",
        {"input": str(kg.source), "limit": 3, "full_refresh": True},
    )
    assert shown["batches"][0]["run_id"] == launched["id"]
    assert figures(launched) == stage_figures(shown)
    assert stage_figures(shown)["parse"]["documents"] == 3

    waiting = ui.launch("gated", input=str(kg.source))
    assert waiting["status"] == "SUCCESS"
    assert set(figures(waiting)) == {"ingest"}
    newest = kg.json("submissions", "list")[0]
    assert (newest["pipeline"], newest["status"]) == ("gated", "waiting")
    assert kg("submissions", "signal", newest["id"], "converted", "yes").returncode == 0
    settled(kg, newest["id"])  # the daemon beside the UI goes on with it

    missing = ui.launch("auto", input=str(kg.folder / "nowhere"))
    assert missing["status"] == "FAILURE"
    assert kg.json("submissions", "list")[0]["status"] == "failed"


def settled(kg: Any, submission: str, status: str = "completed") -> None:
    """Return once a submission has come to a status."""
    until = time.monotonic() + 300
    while kg.ask(f"select status from submissions where id = '{submission}'") != [(status,)]:
        assert time.monotonic() < until
        time.sleep(0.5)


def stage_figures(shown: dict[str, Any]) -> dict[str, dict[str, float]]:
    """What ``submissions show --json`` says of each stage, in the form of ``figures``."""
    return {
        stage["stage"]: {**stage["counts"], "dead_letters": stage["dead_letters"], "retries": stage["retries"]}
        for stage in shown["stages"]
    }
