"""The shipped pipelines and the old files, checked with what is really installed."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import jsonschema
import pytest

from medical_kg.orchestration.pipeline.catalog import Catalog, load_plan, shipped_folder
from medical_kg.orchestration.pipeline.graph import tree
from medical_kg.orchestration.pipeline.load import load
from medical_kg.orchestration.pipeline.policies import load_policies
from medical_kg.orchestration.pipeline.schema import schema
from medical_kg.orchestration.registry import Installation

NAMES = ["auto", "clinical-trials", "pdf-convert", "pdf-two-phase", "pmc-fulltext", "pubmed"]
ADAPTERS = {
    "auto": "auto",
    "clinical-trials": "clinicaltrials",
    "pdf-two-phase": "openalex",
    "pmc-fulltext": "pmc",
    "pubmed": "pubmed",
}
OLD = Path(__file__).parents[1] / "orchestration" / "pipeline" / "data"


@pytest.fixture(scope="module")
def installed() -> Installation:
    return Installation()


def test_these_pipelines_are_shipped() -> None:
    """Each is found by its name without any folder, and says what it is for."""
    entries = Catalog().entries()
    assert [entry.name for entry in entries] == NAMES
    assert all(entry.shipped and entry.description() for entry in entries)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_pipeline_has_no_problem(name: str, installed: Installation) -> None:
    """Nothing is wrong, nor named as not enforced; the name is the file's, the version a date, the source its own."""
    result = Catalog().check(name, installed)
    assert result.problems == ()
    assert result.plan is not None
    assert result.plan.name == name
    assert date.fromisoformat(result.plan.version)
    if name in ADAPTERS:
        assert result.plan.stage("ingest").config.adapter == ADAPTERS[name]
        assert result.plan.stream is result.plan.stage("ingest")


def test_every_shipped_pipeline_gives_index_and_graph(installed: Installation) -> None:
    """Both branches read the validated documents, and no stage's output is forgotten but the receipts."""
    for name in ADAPTERS:
        plan = load_plan(name, installation=installed)
        reads = {(stage.name, one.key.name): one.writers for stage in plan.stages for one in stage.bindings}
        assert reads["chunk", "documents"] == reads["extract", "documents"] == ("ir_validation",)
        assert {"index", "kg"} <= plan.descendants("ir_validation")


def test_the_converter_answers_what_started_it(installed: Installation) -> None:
    """It reads foreign files where they do no harm, and its word goes back with the documents."""
    plan = load_plan("pdf-convert", installation=installed)
    assert (plan.stream, plan.stage("convert").type.environment) == (plan.stage("files"), "limited")
    config = plan.stage("tell").config
    assert (config.signal, config.attach, config.reply) == ("pdf_ir_ready", "documents", True)
    (trigger,) = load(shipped_folder() / "pdf-convert.yaml")[1].value["triggers"]
    assert trigger["signal"] == load_plan("pdf-two-phase", installation=installed).stage("tell").config.signal


def test_the_two_phase_pipeline_waits_between_download_and_parse(installed: Installation) -> None:
    """The gate stands behind the download and before whatever needs documents."""
    plan = load_plan("pdf-two-phase", installation=installed)
    assert list(plan.stage("gate_pdf_ir_ready").conditions) == ["pdf_ir_ready"]
    assert plan.ancestors("gate_pdf_ir_ready") == {"ingest", "download", "tell"}
    assert "gate_pdf_ir_ready" in plan.ancestors("parse")
    condition = plan.conditions["pdf_ir_ready"]
    assert (str(condition.condition), condition.timeout_seconds) == ("pdf_ir_ready equals True", 900)
    assert "gate_pdf_ir_ready (gate): order ← tell" in tree(plan)


def test_the_shipped_policies_have_no_problem() -> None:
    """The three names that the pipelines use."""
    policies = load_policies(shipped_folder() / "resilience.yaml")
    assert policies.problems == ()
    assert set(policies.by_name) == {"default", "gpu-bound", "polite-api"}


def test_the_schema_accepts_what_is_shipped(installed: Installation) -> None:
    """The schema made from the installed plugins fits the shipped files, configs included."""
    made = schema(installed.stages, installed)
    jsonschema.Draft202012Validator.check_schema(made)
    validator = jsonschema.Draft202012Validator(made)
    for name in NAMES:
        value = load(shipped_folder() / f"{name}.yaml")[1].value
        assert list(validator.iter_errors(value)) == []
        value["stages"][0].setdefault("config", {})["adaptor"] = "x"
        assert len(list(validator.iter_errors(value))) == 1


def verdicts(folder: Path, installed: Installation) -> None:
    for name in ("auto", "clinical-trials", "pmc-fulltext"):
        result = Catalog().check(folder / f"{name}.yaml", installed)
        assert result.plan is not None, "\n".join(map(str, result.problems))
        assert result.errors == ()
    result = Catalog().check(folder / "pdf-two-phase.yaml", installed)
    assert result.plan is None
    assert {problem.code for problem in result.errors} == {"MKG050"}
    for name in ("chunk", "extract"):
        (problem,) = [one for one in result.errors if one.message.startswith(f"stage {name!r} reads 'documents'")]
        assert name in problem.text
        assert "add a stage of type 'convert' or 'parse' after 'gate_pdf_ir_ready'" in problem.suggestion


def test_the_old_files_get_their_verdicts(installed: Installation) -> None:
    """Three pass with the real stage types; the two-phase file is refused with the way out."""
    verdicts(OLD, installed)


def test_the_real_old_files_get_their_verdicts(shared_data: Path, installed: Installation) -> None:
    """The same for the files beside the checkout."""
    verdicts(shared_data / "pipelines", installed)
