"""The check of a pipeline with environments: everything is found before the run, in its place, as without them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from medical_kg.orchestration.contract.errors import SettingsError
from medical_kg.orchestration.isolation import Environments, RemoteStageType
from medical_kg.orchestration.isolation.environments import LIMITED_MB, Environment
from medical_kg.orchestration.isolation.judging import judge
from medical_kg.orchestration.pipeline.catalog import Catalog
from medical_kg.orchestration.workspace import Workspace


def problems(place: Any, text: str) -> list[tuple[str, int, str, str]]:
    """Code, line, message and advice of every problem of a pipeline."""
    path = place.write(text)
    workspace = place.workspace
    result = Catalog(workspace.pipeline_folders).check(
        path, workspace.installation, environments=workspace.environments
    )
    return [(one.code, one.line, one.message, one.suggestion) for one in result.problems]


def both(place: Any, stages: str) -> list[tuple[str, int, str, str]]:
    """The problems of stages in a process, which must be those they have without."""
    known = set(sys.modules)
    isolated = problems(place, stages.replace("ENV", "environment: process,"))
    assert "odd_stages" not in set(sys.modules) - known
    here = problems(place, stages.replace("ENV", ""))
    assert isolated == here
    return isolated


def test_config_errors_stand_on_their_lines(place: Any) -> None:
    """An unknown field is advised with the names the stage type has, which only its process knows."""
    found = both(
        place,
        "stages:\n  - {name: feed, type: odd-feed, ENV config: {nummber: 3,\n      number: -1,\n"
        "      doing: {w1: [loop]}}}\n",
    )
    assert [(code, line) for code, line, _, _ in found] == [("MKG011", 4), ("MKG013", 5), ("MKG013", 6)]
    assert found[0][3] == "did you mean 'number'?"


def test_what_configure_says_and_what_names_lead_nowhere(place: Any) -> None:
    """A config that cannot be completed, an unknown condition and an unknown plugin are told as here."""
    feed = "stages:\n  - {name: feed, type: odd-feed, ENV}\n"
    refused = both(
        place, feed + "  - {name: gate, type: odd-gate, ENV depends_on: [feed], config: {limits: {refuse: 1}}}\n"
    )
    assert [(code, message) for code, _, message, _ in refused] == [("MKG040", "stage 'gate': it cannot be completed")]
    lost = both(
        place,
        feed + "  - {name: gate, type: odd-gate, ENV depends_on: [feed], config: {gate: opn,\n      format: jatz}}\n"
        "gates:\n  - {name: opened, condition: {field: open}}\n",
    )
    assert [(code, line) for code, line, _, _ in lost] == [("MKG042", 5), ("MKG043", 6)]
    assert "did you mean 'jats'?" in lost[1][3]


def test_options_of_plugins_are_checked_where_the_plugins_are(place: Any) -> None:
    """In the process that has them, as here; a secret among them is shown on neither side."""
    found = both(
        place,
        "stages:\n  - {name: feed, type: odd-feed, ENV}\n"
        "  - {name: read, type: odd-reading, ENV depends_on: [feed], config: {options: {\n"
        "      sise: 1,\n      size: many,\n      key: sesame}}}\n",
    )
    assert [(code, line) for code, line, _, _ in found] == [("MKG011", 6), ("MKG013", 7)]
    (written,) = both(
        place,
        "stages:\n  - {name: feed, type: odd-feed, ENV}\n"
        "  - {name: read, type: odd-reading, ENV depends_on: [feed], config: {options: {key: sesame}}}\n",
    )
    assert "a secret is not written out" in written[2]
    assert "sesame" not in " ".join(map(str, written))
    installation = place.workspace.installation
    host, here = place.workspace.environments.host("process"), installation.stages.get("odd-reading")
    for given in ({"size": 2}, {"sise": 2}):
        config: dict[str, Any] = {"options": given}
        there = host.judge(host.describe("odd-reading"), config, stage="read", conditions={})
        judged = judge(here, config, stage="read", conditions={}, installation=installation)
        assert (there.config is None, judged.config is None) == ("sise" in given, "sise" in given)


def test_a_plan_shows_the_completed_config(place: Any) -> None:
    """What configure() made of the config is what the plan holds, and what results are known by."""
    environments = place.workspace.environments
    type_ = environments.host("process").describe("odd-gate")
    verdict = environments.host("process").judge(type_, {"limits": {"a": 1}}, stage="gate", conditions={})
    assert verdict.config.model_dump(mode="json") == {"gate": None, "format": None, "limits": {"a": 1, "gate": 0}}
    assert verdict.config.model_dump_json() == '{"gate":null,"format":null,"limits":{"a":1,"gate":0}}'


def test_a_secret_of_pydantic_is_not_written_out_either(place: Any) -> None:
    """It would stand in the ledger, which keeps the pipeline: it is refused in its place, and not repeated."""
    (found,) = both(place, "stages:\n  - {name: feed, type: odd-feed, ENV config: {number: 1,\n      key: sesame}}\n")
    assert found[:2] == ("MKG013", 5)
    assert "a secret is not written out; say where it stands: {env: NAME} or {file: /path}" in found[2]
    assert "needs a field of the type Secret" in found[2]
    assert "sesame" not in " ".join(map(str, found))


def test_a_stage_type_is_described_without_being_imported(place: Any) -> None:
    """Reads, writes, mode, origin and types come from the worker; the engine has no module of the plugin."""
    host = place.workspace.environments.host("process")
    type_ = host.describe("odd-chorus")
    metadata = type_.metadata
    assert isinstance(type_, RemoteStageType)
    assert (type_.environment, metadata.mode, metadata.items_per_call, type_.name) == (
        "process",
        "item",
        4,
        "odd-chorus",
    )
    assert [str(key) for key in (*metadata.read_keys, *metadata.writes)] == ["words: list[Word]", "upper: list[Word]"]
    assert (type_.origin.distribution, type_.origin.object) == ("odd", "odd_stages:Chorus")
    assert host.describe("odd-chorus") is type_
    assert host.describe("odd-tally").metadata.optional_keys == {host.describe("odd-split").metadata.writes[0]}
    key = metadata.writes[0]
    for refused in (lambda: key.codec.encode([]), lambda: key.codec.decode(b"")):
        with pytest.raises(TypeError, match="another process"):
            refused()
    assert "odd_stages" not in sys.modules


def test_types_fit_by_name_across_processes(place: Any) -> None:
    """A reader here takes what a writer there gives when the record is the same type by name, and not otherwise."""
    text = (
        "stages:\n  - {name: feed, type: odd-feed, ENV1}\n  - {name: shout, type: odd-shout, ENV2 depends_on: [feed]}\n"
    )
    for first, second in (("environment: process", ""), ("", "environment: process,")):
        assert problems(place, text.replace("ENV1", first).replace("ENV2", second)) == []
    wrong = "stages:\n  - {name: feed, type: odd-feed, environment: process}\n  - {name: v, type: odd-other, depends_on: [feed]}\n"
    from medical_kg import Stage, StageMetadata, StateKey

    class Other(Stage[Any]):
        metadata = StageMetadata(
            stage_type="odd-other",
            version="1.0",
            description="Reads.",
            reads=(StateKey("words", list[dict[str, int]]),),
        )

        def run(self, ctx: Any, **reads: Any) -> None:
            return None

    place.workspace.installation.stages.add("odd-other", Other)
    ((code, line, message, _),) = problems(place, wrong)
    assert (code, line) == ("MKG052", 5)
    assert "writes 'words: list[Word]'" in message


def test_an_unknown_environment_and_an_unknown_type(place: Any) -> None:
    """The nearest environment is offered; a type the environment lacks is told with its nearest."""
    ((code, line, message, advice),) = problems(
        place, "stages:\n  - {name: feed, type: odd-feed, environment: proces}\n"
    )
    assert (code, line, advice) == ("MKG026", 4, "did you mean 'process'?")
    assert "'feed': no environment is named 'proces'" in message
    ((code, line, message, advice),) = problems(
        place, "stages:\n  - {name: feed, type: od-feed, environment: process}\n"
    )
    assert (code, line, advice) == ("MKG027", 4, "did you mean 'odd-feed'?")
    assert "environment 'process' has no stage type 'od-feed': no installed distribution provides it" in message


def test_a_type_that_is_broken_or_claimed_twice_there(place: Any, tmp_path: Path) -> None:
    """Quarantine and conflicts are those of the environment, under the codes they have here."""
    from distributions import distribution

    site = tmp_path / "site"
    (site / "breaking.py").write_text("raise RuntimeError('no licence')\n", encoding="utf-8")
    (site / "killing.py").write_text("import os\nos._exit(9)\n", encoding="utf-8")
    distribution(site, "breaking", {"broken": "breaking:X", "odd-feed": "breaking:X", "killing": "killing:X"})
    found = problems(
        place,
        "stages:\n  - {name: a, type: broken, environment: process}\n  - {name: b, type: odd-feed, environment: process}\n"
        "  - {name: c, type: killing, environment: process}\n",
    )
    assert [(code, line) for code, line, _, _ in found] == [("MKG022", 4), ("MKG021", 5), ("MKG027", 6)]
    assert "RuntimeError: no licence" in found[0][2]
    assert "breaking 1.0 and odd 1.0" in found[1][2]
    assert "did not survive loading stage type 'killing': it ended with exit code 9" in found[2][2]


def test_a_crash_while_a_config_is_checked_is_a_problem_of_the_file(place: Any) -> None:
    """Code that ends its process while checking harms the check no more than one that raises."""
    found = problems(
        place, "stages:\n  - {name: gate, type: odd-gate, environment: process, config: {limits: {crash: 1}}}\n"
    )
    assert ("MKG027", 4) in [(code, line) for code, line, _, _ in found]
    assert any(
        "did not survive checking the config of stage 'gate': it ended with exit code 5" in one[2] for one in found
    )


def fake(folder: Path, text: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (None, "there is no interpreter"),
        (
            "echo lib is missing >&2; exit 1",
            "asked to print a sum, it ended with exit code 1; its last words: lib is missing",
        ),
        ("exec sleep 600", "asked to print a sum, it did not answer within 0 s"),
        ("[ $1 = -c ] || sleep 600; echo 42", "its worker did not start: it did not answer within 0 s"),
        (
            "[ $1 = -c ] || { echo its Python is 3.9; exit 1; }; echo 42",
            "did not start: it ended with exit code 1; its last words: its Python is 3.9",
        ),
        (
            'exec /bin/sh "$@"',
            "is no Python that works: asked to print a sum, it ended with exit code 2; its last words:",
        ),
    ],
)
def test_an_environment_that_cannot_be_used_says_why(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, says: str
) -> None:
    """No interpreter, one that refuses, one that says nothing: each is told with what is known of it."""
    from medical_kg.orchestration.isolation import process

    python = fake(tmp_path, script) if script else str(tmp_path / "nowhere")
    place = settings(f"[environments.bad]\npython = {python!r}\n")
    if "600" in (script or ""):
        monkeypatch.setattr(process, "START_SECONDS", 0.2)
    ((code, line, message, _),) = problems(place, "stages:\n  - {name: feed, type: odd-feed, environment: bad}\n")
    assert (code, line) == ("MKG027", 4)
    assert says in message


def test_an_interpreter_that_cannot_be_run(settings: Any, tmp_path: Path) -> None:
    """A file that is no program is told as such."""
    (tmp_path / "python").write_text("", encoding="utf-8")
    place = settings(f"[environments.bad]\npython = {str(tmp_path / 'python')!r}\n")
    ((_, _, message, _),) = problems(place, "stages:\n  - {name: feed, type: odd-feed, environment: bad}\n")
    assert "cannot be run: Permission denied" in message


def test_a_worker_of_another_time_is_refused(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that speaks another protocol is not used; the message names both releases."""
    from medical_kg.orchestration.isolation import process

    monkeypatch.setattr(process, "PROTOCOL", 99)
    ((code, _, message, _),) = problems(place, "stages:\n  - {name: feed, type: odd-feed, environment: process}\n")
    assert code == "MKG027"
    assert "it has medical-kg 0.1.0, whose workers this one, 0.1.0, cannot use" in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[environments.x]\npyton = 'a'", "[environments] x.pyton: there is no such setting; did you mean 'python'?"),
        ("[environments.x]\nmemory_mb = 3", "[environments] x.memory_mb: Input should be greater than or equal to 64"),
        ("[environments.x]\ntimeout_seconds = 0", "[environments] x.timeout_seconds: Input should be greater than 0"),
    ],
)
def test_wrong_settings_of_an_environment_are_refused(tmp_path: Path, text: str, says: str) -> None:
    """A setting that is no such setting, or out of bounds, is named when the workspace is opened."""
    (tmp_path / "medical_kg.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as raised:
        Workspace(tmp_path)
    assert says in str(raised.value)


def test_interpreters_are_found_from_the_settings_file(tmp_path: Path) -> None:
    """A relative path counts from the settings file; of a folder, its bin/python is meant; links are not followed."""
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").symlink_to(sys.executable)
    environments = Environments(
        {"a": Environment(python=Path("venv")), "b": Environment(python=Path(sys.executable))}, folder=tmp_path
    )
    assert environments.names() == ("a", "b", "limited", "process")
    assert (environments.host("a").python, environments.host("a").own) == (tmp_path / "venv" / "bin" / "python", False)
    assert (environments.host("b").own, environments.host("process").python) == (True, Path(sys.executable))
    with pytest.raises(KeyError):
        environments.host("c")


def test_the_process_environment_may_have_limits(settings: Any) -> None:
    """A table [environments.process] limits the environment that is always there."""
    place = settings("[environments.process]\nmemory_mb = 512\n")
    assert place.workspace.environments.host("process").environment.memory_mb == 512
    assert place.workspace.settings("environments")["process"]["memory_mb"] == 512


def test_the_limited_environment_is_always_there(settings: Any) -> None:
    """It has a memory limit of its own, which the settings may change."""
    assert Environments().host("limited").environment.memory_mb == LIMITED_MB
    for text, memory_mb in (("memory_mb = 99", 99), ("timeout_seconds = 5.0", LIMITED_MB)):
        place = settings(f"[environments.limited]\n{text}\n")
        assert place.workspace.environments.host("limited").environment.memory_mb == memory_mb
