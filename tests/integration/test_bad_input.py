"""Bad input through the real command line: one clear message, the documented exit code, nothing lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Refused = Callable[..., str]

ONE_STAGE = "name: mine\nversion: '1'\nstages:\n  - {name: ingest, type: ingest, config: {adapter: auto}}\n"

BROKEN_FILES: dict[str, tuple[bytes, str]] = {
    "unfinished": (b"name: [mine\n", "MKG004"),
    "tabs": (b"\tname: mine\n", "indent with spaces, never with tabs"),
    "binary": (bytes(range(128, 256)), "MKG003"),
    "empty": (b"", "the file is empty"),
    "list": (b"- mine\n", "it must be a mapping"),
    "unknown type": (ONE_STAGE.replace("type: ingest", "type: ingset").encode(), "did you mean 'ingest'?"),
    "unknown key": (ONE_STAGE.replace("type: ingest", "typ: ingest").encode(), "did you mean 'type'?"),
    "wrong config": (ONE_STAGE.replace("adapter: auto", "adapter: 5").encode(), "MKG"),
    "unknown source": (ONE_STAGE.replace("adapter: auto", "adapter: nosuch").encode(), "known: auto"),
    "doubled key": (ONE_STAGE.encode() + b"name: again\n", "name"),
    "cycle": (ONE_STAGE.replace("type: ingest,", "type: ingest, depends_on: [ingest],").encode(), "ingest"),
    "letters beyond ASCII": (ONE_STAGE.replace("name: ingest", "name: größe").encode(), "größe"),
}


# The check comes before any engine; two cases show that it does before Dagster too.
@pytest.mark.parametrize(
    ("name", "engine"), [*((name, "plain") for name in BROKEN_FILES), ("tabs", "dagster"), ("unknown type", "dagster")]
)
def test_a_broken_pipeline_file_runs_nothing(kg: Any, refused: Refused, name: str, engine: str) -> None:
    """Every problem of a file has a place in it; code 2, and not even a workspace is made."""
    content, said = BROKEN_FILES[name]
    (kg.folder / "mine.yaml").write_bytes(content)
    done = kg.within("run", "mine.yaml", "--input", kg.source, "--engine", engine)
    message = refused(done, 2)
    assert said in message
    assert "mine.yaml:" in message
    assert done.stdout == ""
    assert not kg.root.exists()


@pytest.mark.parametrize("named", ["nosuch", "nosuch.yaml", ".", "no/such/place.yaml", ""])
def test_an_unknown_pipeline_is_named_with_those_there_are(kg: Any, refused: Refused, named: str) -> None:
    """What is no pipeline is code 2 and a list of those there are."""
    message = refused(kg.within("run", named, "--input", kg.source), 2)
    assert "clinical-trials" in message
    assert not kg.root.exists()


def test_a_folder_is_no_pipeline(kg: Any, refused: Refused) -> None:
    """A folder with a pipeline's name is code 2, and said to be one."""
    (kg.folder / "a folder.yaml").mkdir()
    assert "MKG001: cannot read the file: Is a directory" in refused(kg.within("run", "a folder.yaml"), 2)
    assert not kg.root.exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("chunk", "must look like stage.field=value"),
        ("chunk.max_tokens=[1", "is not a YAML value"),
        ("chunk.max_tokens=many", "max_tokens"),
        ("chunk.max_token=5", "did you mean 'max_tokens'?"),
        ("chnuk.max_tokens=5", "did you mean 'chunk'?"),
    ],
)
def test_a_wrong_setting_runs_nothing(kg: Any, refused: Refused, setting: str, said: str) -> None:
    """``--set`` that cannot be understood, or does not fit, is code 2, and nothing is made."""
    assert said in refused(kg.within(*kg.auto, "--set", setting), 2)
    assert not kg.root.exists()


def test_an_input_that_comes_later_is_taken_up_by_the_same_command(
    kg: Any, refused: Refused, goes_on: Any, few: Path
) -> None:
    """A missing input is code 2; once it is there, the same command completes the same submission."""
    kg.source = kg.folder / "later"
    assert "does not exist" in refused(kg(*kg.auto, "--engine", "plain"), 2)
    kg.source.symlink_to(few)
    goes_on(kg, "--engine", "plain")


@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_an_empty_folder_is_no_success(kg: Any, refused: Refused, goes_on: Any, few: Path, engine: str) -> None:
    """A folder without a file is code 2; once it is filled, the same command completes the same submission."""
    kg.source = kg.folder / "empty"
    kg.source.mkdir()
    assert "found no record to read" in refused(kg(*kg.auto, "--engine", engine), 2)
    for path in few.iterdir():
        (kg.source / path.name).write_bytes(path.read_bytes())
    goes_on(kg, "--engine", engine)


def test_a_folder_without_any_known_document_is_no_success(kg: Any, refused: Refused) -> None:
    """Files that no format recognises are named with what was looked for; code 2."""
    kg.source = kg.folder / "odd"
    kg.source.mkdir()
    (kg.source / "numbers.bin").write_bytes(bytes(range(256)))
    (kg.source / "table.csv").write_text("a,b\n1,2\n")
    message = refused(kg(*kg.auto, "--engine", "plain"), 2)
    assert all(word in message for word in ("numbers.bin", "table.csv", "clinicaltrials-json"))


@pytest.mark.parametrize("given", ["", "  "])
def test_an_input_that_was_never_set_is_not_the_current_folder(kg: Any, refused: Refused, given: str) -> None:
    """``--input "$UNSET"`` must not read whatever is in the current folder."""
    kg.source = given
    assert "empty text" in refused(kg(*kg.auto, "--engine", "plain"), 2)


def test_file_names_of_any_kind_are_read(kg: Any, few: Path) -> None:
    """Names with spaces, brackets, line breaks or bytes that are no UTF-8 do not stop a run."""
    kg.source = kg.folder / "grüße an [alle]"
    kg.source.mkdir()
    names = (b"a b.json", b"[red]x.json", b"caf\xe9.json", b"new\nline.xml")
    for path, name in zip(sorted(few.iterdir()), names, strict=True):
        (kg.source / os.fsdecode(name)).write_bytes(path.read_bytes())
    done = kg(*kg.auto, "--engine", "plain", "--strict")
    assert (done.returncode, "4 documents" in done.stdout) == (0, True), done.stderr


def test_a_folder_that_may_not_be_read_is_told(kg: Any, refused: Refused, goes_on: Any, few: Path) -> None:
    """A source without the right to read it is an error, and complete once the right is given."""
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    kg.source = kg.folder / "closed"
    kg.source.mkdir()
    for path in few.iterdir():
        (kg.source / path.name).write_bytes(path.read_bytes())
    kg.source.chmod(0)
    try:
        refused(kg(*kg.auto, "--engine", "plain"), 2)
    finally:
        kg.source.chmod(0o700)
    goes_on(kg, "--engine", "plain")


def test_a_broken_plugin_harms_only_the_pipeline_that_uses_it(kg: Any, refused: Refused, rows_of_few: Any) -> None:
    """A package whose module raises on import is named with its distribution; every other pipeline runs."""
    info = kg.folder / "site" / "broken_kit-2.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-kit\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text("[medical_kg.orchestration.stages]\nshaky = broken_kit:ShakyStage\n")
    (kg.folder / "site" / "broken_kit.py").write_text("raise SystemExit('no licence')\n")
    (kg.folder / "mine.yaml").write_text(ONE_STAGE + "  - {name: last, type: shaky, depends_on: [ingest]}\n")
    environment = {"PYTHONPATH": str(kg.folder / "site")}

    done = kg("run", "mine.yaml", "--input", kg.source, "--engine", "plain", environment=environment)
    message = refused(done, 2)
    assert all(word in message for word in ("mine.yaml:5:", "'shaky'", "broken-kit 2.1", "no licence"))
    assert not kg.root.exists()
    assert kg(*kg.auto, "--engine", "dagster", environment=environment).returncode == 0
    assert kg.rows() == rows_of_few


WRONG_SETTINGS = [
    (b"\xff\xfe", "cannot be read"),
    (b"[workspace\n", "not valid TOML"),
    (b"[workspace]\ncheckpoint = 'x'\n", "did you mean 'checkpoints'?"),
    (b"[workspace]\ndatabase_url = 'nonsense'\n", "not a database URL"),
    (b"[workspace]\ndatabase_url = 'mysql://me:hush@db/x'\n", "me:***@db"),
    (b"[workspace]\ncheckpoints = 'nosuch://x'\n", "nosuch"),
]


def test_wrong_settings_are_told_with_their_file(kg: Any, refused: Refused, goes_on: Any) -> None:
    """Settings that cannot be read or used are code 2, without a password in the message; corrected, the run goes on."""
    kg.root.mkdir()
    settings = kg.root / "medical_kg.toml"
    for content, said in WRONG_SETTINGS:
        settings.write_bytes(content)
        message = refused(kg(*kg.auto, "--engine", "plain"), 2)
        assert said in message
        assert "hush" not in message
    settings.unlink()
    goes_on(kg, "--engine", "plain")


@pytest.mark.parametrize("words", [("submissions", "list"), ("search", "x"), ("graph", "show", "x")], ids=" ".join)
def test_looking_at_what_is_not_there_makes_nothing(kg: Any, refused: Refused, words: tuple[str, ...]) -> None:
    """Commands that only look say that there is no workspace, with code 2, and do not make one."""
    assert "there is no workspace" in refused(kg.within(*words), 2)
    assert not kg.root.exists()


@pytest.mark.parametrize(
    ("in_the_way", "engine"),
    [
        (".", "plain"),
        ("checkpoints", "plain"),
        ("dagster", "dagster"),
        ("medical-kg.db/x", "plain"),
    ],
)
def test_what_is_in_the_way_is_named(kg: Any, refused: Refused, goes_on: Any, in_the_way: str, engine: str) -> None:
    """A file where a folder should be, or the reverse, is code 1 and named; out of the way, the run goes on."""
    place = kg.root / in_the_way
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("in the way")
    message = refused(kg(*kg.auto, "--engine", engine), 1)
    assert str(kg.root / in_the_way.partition("/")[0]).rstrip("/.") in message
    place.rename(kg.folder / "elsewhere")
    if place.parent != kg.root and place.parent.exists() and place.parent != kg.folder:
        place.parent.rmdir()
    goes_on(kg, "--engine", engine)


def test_a_file_that_is_no_database_is_left_alone(kg: Any, refused: Refused) -> None:
    """What is not ours is told and not written over."""
    kg.root.mkdir()
    kg.database.write_text("somebody's letters " * 100)
    assert "not a database" in refused(kg(*kg.auto, "--engine", "plain"), 1)
    assert kg.database.read_text() == "somebody's letters " * 100


def test_a_database_in_a_folder_that_is_missing_is_told(kg: Any, refused: Refused) -> None:
    """A database URL into nowhere is code 1 and named; no folder is invented for it."""
    kg.root.mkdir()
    (kg.root / "medical_kg.toml").write_text("[workspace]\ndatabase_url = 'sqlite:////no/such/folder/kg.db'\n")
    for words in (kg.auto, ("submissions", "list"), ("workspace", "info")):
        assert "/no/such/folder/kg.db" in refused(kg.within(*words), 1)


def test_submissions_that_are_not_there_are_told(kg: Any, refused: Refused) -> None:
    """An unknown id, or too few letters of one, is code 2 for every command that takes one."""
    kg.within("run", "auto", "--input", "nowhere", "--engine", "plain")
    for ident in ("nosuch", "s", ""):
        for words in (("show", ident), ("resume", ident), ("dead-letters", ident), ("signal", ident, "ready")):
            assert "no submission" in refused(kg.within("submissions", *words), 2)


def test_a_finished_submission_takes_no_signal_and_resumes_as_it_is(kg: Any, refused: Refused) -> None:
    """Resuming what is finished is done at once, with nothing repeated; a signal to it is refused."""
    assert kg(*kg.auto, "--engine", "plain").returncode == 0
    (ident,) = (one["id"] for one in kg.json("submissions", "list"))
    before = kg.events()
    assert kg("submissions", "resume", ident, "--engine", "dagster").returncode == 0
    refused(kg.within("submissions", "signal", ident, "ready"), 2)
    refused(kg.within("submissions", "signal", ident, "ready", "[1"), 2)
    refused(kg.within("submissions", "signal", ident, "ready", "--batch", "7"), 2)
    refused(kg.within("submissions", "signal", ident, "ready", "--attach", "nosuch.json"), 2)
    assert kg.events() == before


@pytest.mark.parametrize("words", [("plugins", "list"), ("pipelines", "schema"), ("--help",)], ids=" ".join)
def test_a_reader_that_goes_away_is_no_error_of_ours(kg: Any, words: tuple[str, ...]) -> None:
    """Output that nobody reads, as behind ``| head``, leaves nothing on standard error."""
    with kg.start(*words) as process:
        process.stdout.close()
        assert process.stderr.read() == ""


def test_output_that_cannot_be_written_is_told(kg: Any, refused: Refused) -> None:
    """A full disk behind ``> file`` is one message and code 1."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full, kg.start("plugins", "list", stdout=full) as process:
        message = process.stderr.read()
    assert process.returncode == 1
    assert (message.count("Error: "), "No space left on device" in message, "report" in message) == (1, True, False)


def test_without_standard_streams_a_run_completes(kg: Any, rows_of_few: Any) -> None:
    """Started by a service manager that gives no streams at all, a run does its work."""
    with kg.start(*kg.auto, "--engine", "plain", stdin=None, stdout=None, stderr=None) as process:
        assert process.wait() == 0
    shell = 'exec "$@" <&- >&- 2>&-'
    with kg.start(*kg.auto, "--engine", "plain", through=("sh", "-c", shell, "sh")) as process:
        assert process.wait() == 0
    assert kg.rows() == rows_of_few


@pytest.mark.parametrize(
    ("engine", "locale"),
    [("dagster", {"LC_ALL": "C"}), ("plain", {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"})],
    ids=str,
)
def test_a_locale_without_utf8_is_enough(kg: Any, rows_of_few: Any, engine: str, locale: dict[str, str]) -> None:
    """Under LC_ALL=C everything is read, kept and shown; what cannot be shown is replaced, not fatal."""
    kg.root = kg.folder / "größe δ"
    assert kg(*kg.auto, "--engine", engine, environment=locale).returncode == 0
    assert kg.rows() == rows_of_few
    for words in (("submissions", "list"), ("search", "patients"), ("graph", "neighbors", "COVID-19")):
        done = kg(*words, environment=locale)
        assert (done.returncode, "Traceback" in done.stderr) in ((0, False), (2, False)), done.stderr
        assert "please report" not in done.stderr


def test_a_path_that_python_cannot_read_is_refused(kg: Any, refused: Refused) -> None:
    """Where Python's file names are not UTF-8, a workspace beyond ASCII is refused with the way out; code 2."""
    kg.root = kg.folder / "größe"
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert "PYTHONUTF8=1" in refused(kg(*kg.auto, environment=ascii_only), 2)
    assert list(kg.folder.iterdir()) == []


def test_a_damaged_distribution_that_stops_the_ledger_is_named(kg: Any, refused: Refused) -> None:
    """Alembic cannot be loaded beside a damaged entry_points.txt: the message names the distribution and the file."""
    info = kg.folder / "site" / "bad-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_bytes(b"[\xff\n")
    done = kg(*kg.auto, "--engine", "plain", environment={"PYTHONPATH": str(kg.folder / "site")})
    assert "bad: its entry_points.txt is damaged" in refused(done, 1)
