"""The root of the command line: global options, errors, exit codes and streams."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import medical_kg
from medical_kg.cli.errors import code_of_stage_error, tell
from medical_kg.cli.state import State
from medical_kg.orchestration.contract.errors import IllegalTransition, PluginBroken, RecordNotFound

Cli = Callable[..., Result]

NOUNS = ("demo", "run", "dev", "pipelines", "submissions", "plugins", "workspace")


def test_help_lists_every_noun_and_the_packs_commands(cli: Cli) -> None:
    """``--help`` lists built-in nouns and what packages bring, on standard output, with exit code 0."""
    result = cli("--help")
    assert result.exit_code == 0
    assert [name for name in (*NOUNS, "documents", "search", "graph") if f"\n  {name} " not in result.stdout] == []


def test_the_version_is_the_packages(cli: Cli) -> None:
    """``--version`` prints the version and does nothing else."""
    assert cli("--version").stdout == f"medical-kg {medical_kg.__version__}\n"


@pytest.mark.parametrize("words", [[], ["plugins"], ["submissions"]], ids=" ".join)
def test_a_noun_alone_shows_its_help(cli: Cli, words: list[str]) -> None:
    """A request without a verb is incomplete: its help, and exit code 2."""
    result = cli(*words)
    assert result.exit_code == 2
    assert "Usage:" in result.output
    assert "Error" not in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runn"], "Did you mean 'run'?"),
        (["run"], "PIPELINE"),
        (["run", "auto", "--limit", "none"], "--limit"),
        (["run", "auot"], "did you mean 'auto'?"),
        (["run", "nowhere/x.yaml"], "nowhere"),
        (["run", "auto", "--set", "chunk"], "stage.field=value"),
        (["plugins", "show", "chnuk"], "did you mean 'chunk'"),
        (["plugins", "list", "--door", "stage"], "did you mean 'stages'?"),
        (["submissions", "list"], "there is no workspace at"),
        (["submissions", "show", "s123456"], "there is no workspace at"),
        (["search", "x"], "there is no workspace at"),
        (["search", "x", "--kind", "weird"], "'weird' is not one of 'hybrid', 'text', 'vector'"),
    ],
    ids=" ".join,
)
def test_a_wrong_request_is_one_message_and_code_2(cli: Cli, here: Path, words: list[str], said: str) -> None:
    """What the caller must change is said once on standard error, with a way out, no traceback, and exit code 2."""
    result = cli(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "Value error" not in result.stderr
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [["--json", "runn"], ["--json", "run", "nope"], ["run", "--json"], ["--log-format=json", "run", "nope"]],
    ids=" ".join,
)
def test_json_errors_are_objects(cli: Cli, words: list[str]) -> None:
    """With ``--json``, or a log in JSON, an error is one JSON object, even when the arguments cannot be parsed."""
    result = cli(*words)
    error = json.loads(result.stderr)["error"]
    assert result.exit_code == error["exit_code"] == 2
    assert error["message"]
    assert "traceback" not in error
    assert result.stdout == ""


def test_verbose_shows_the_traceback(cli: Cli) -> None:
    """``-v`` adds where an error comes from."""
    result = cli("-v", "run", "nope")
    assert result.stderr.startswith("Error: no pipeline is named 'nope'")
    assert "Traceback" in result.stderr
    assert "Traceback" in json.loads(cli("-v", "--json", "run", "nope").stderr)["error"]["traceback"]


def test_wrong_settings_are_named(cli: Cli, here: Path) -> None:
    """A settings file with a mistake stops every command with code 2, but not the help, which says what it left out."""
    (here / "medical_kg.toml").write_text("[plugins]\ndenny = []\n")
    result = cli("plugins", "list")
    assert (result.exit_code, "denny" in result.stderr) == (2, True)
    shown = cli("--help")
    assert shown.exit_code == 0
    assert "commands of packages cannot be listed" in shown.stderr


def test_an_unexpected_error_is_one_line_with_advice(capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake of ours is told in one line with what to do, the traceback only with ``-v``, and code 1."""
    assert tell(ValueError("odd"), State()) == 1
    said = capsys.readouterr().err
    assert said.startswith("Error: ValueError: odd\n")
    assert "please report it" in said
    assert "Traceback" not in said


def test_a_broken_plugins_own_traceback_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """For a quarantined plugin ``-v`` shows the traceback of the plugin, not ours."""
    assert tell(PluginBroken("door", "name", "dist 1", "reason", "the plugin's own trace"), State(verbose=True)) == 1
    assert capsys.readouterr().err.endswith("the plugin's own trace\n")


@pytest.mark.parametrize(
    ("recorded", "code"),
    [("InputError: x", 2), ("SettingsError: x: y", 2), ("ValueError: x", 1), ("StageError: x", 1), ("odd", 1)],
)
def test_recorded_errors_keep_their_exit_code(recorded: str, code: int) -> None:
    """A stage's error in the ledger gives the exit code of its class; one we do not know is a failure."""
    assert code_of_stage_error(recorded) == code


def test_the_workspace_comes_from_option_or_environment(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--workspace`` counts before MEDICAL_KG_WORKSPACE, that before the folder ``.medical-kg`` here."""
    assert json.loads(cli("--json", "workspace", "info").stdout)["workspace"] == str(Path.cwd() / ".medical-kg")
    monkeypatch.setenv("MEDICAL_KG_WORKSPACE", str(tmp_path / "one"))
    assert json.loads(cli("--json", "workspace", "info").stdout)["workspace"] == str(tmp_path / "one")
    chosen = cli("--workspace", tmp_path / "two", "workspace", "info", "--json")
    assert json.loads(chosen.stdout)["workspace"] == str(tmp_path / "two")


def test_as_a_program_it_has_the_same_streams_and_codes(program: Any) -> None:
    """Run as a program: results on standard output, errors on standard error, the exit code for the shell."""
    good, bad = program("pipelines", "list"), program("run", "nope")
    assert (good.returncode, good.stderr, "auto" in good.stdout) == (0, "", True)
    assert (bad.returncode, bad.stdout, bad.stderr.count("Error")) == (2, "", 1)


def test_a_closed_pipe_is_no_traceback(program: Any, here: Path) -> None:
    """A reader that goes away, as ``head`` does, leaves no traceback behind."""
    command = f"{sys.executable} -c 'from medical_kg.cli import main; main()' pipelines schema | head -c 1"
    done = subprocess.run(["bash", "-c", command], cwd=here, capture_output=True, text=True, check=False)
    assert (done.stdout, "Traceback" in done.stderr) == ("{", False)


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], ["plugins", "list"], ["pipelines", "list"], ["pipelines", "check", "auto"]],
    ids=" ".join,
)
def test_what_only_looks_imports_nothing_heavy(program: Any, words: list[str]) -> None:
    """Help, listing and checking start quickly: no Dagster, database, numpy or model is imported."""
    script = (
        "import sys\nfrom medical_kg.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'dagster', 'sqlalchemy', 'alembic', 'numpy', 'onnxruntime', 'lxml', 'httpx2'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=program.folder, env=program.environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "heavy: []"


@pytest.mark.parametrize(
    ("error", "command"),
    [
        (RecordNotFound("submission", "s000"), "medical-kg --workspace w submissions list"),
        (RecordNotFound("document of tenant default", "nope"), "medical-kg --workspace w submissions list"),
        (RecordNotFound("open dead letter of submission s1", "(any)"), "medical-kg --workspace w submissions show ID"),
        (
            IllegalTransition("submission s1", "completed", "retried", ()),
            "medical-kg --workspace w submissions show ID",
        ),
    ],
    ids=lambda value: str(value).partition(" '")[0],
)
def test_an_error_of_the_ledger_names_the_next_command(
    error: Exception, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It shows what there is, in the same workspace, on the same line."""
    assert tell(error, State(root=Path("w"))) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"Error: {error}; see ")
    assert said.endswith(f" with: {command}\n")
