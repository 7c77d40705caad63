"""The workspace: its settings and their refusals, where things are kept, and when they are made."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import Gate, planned

from medical_kg import StageMetadata, StorageError
from medical_kg.orchestration.contract import SERVICES, SystemClock
from medical_kg.orchestration.contract.errors import SettingsError
from medical_kg.orchestration.registry import Installation
from medical_kg.orchestration.workspace import ENVIRONMENT, FOLDER, SETTINGS_FILE, Settings, Workspace, read_settings
from medical_kg.testing import FakeClock


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "kg"


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETTINGS_FILE
    path.write_text(text, encoding="utf-8")
    return path


def refusal(root: Path, text: str | bytes) -> str:
    """What opening a workspace with these settings says, after the file's name."""
    path = write(root, "")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError) as caught:
        Workspace(root)
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path))


# Where


def test_nothing_is_made_on_construction(root: Path) -> None:
    """Opening a workspace, asking where things are and closing it leaves no trace on the disk."""
    workspace = Workspace(root)
    assert workspace.database_url == f"sqlite:///{root / 'medical-kg.db'}"
    assert workspace.pipeline_folders == (root / "pipelines",)
    http = workspace.settings("http")
    assert (http["allow_hosts"], http["allow_roots"], http["allow_public"]) == ([], [], True)
    assert isinstance(workspace.installation, Installation)
    assert isinstance(workspace.clock, SystemClock)
    assert workspace.checkpoints is workspace.checkpoints
    assert workspace.files is workspace.files
    assert workspace.http is workspace.http
    workspace.close()
    assert not root.exists()


def test_finding_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder given counts before the environment's, that before the default; always as an absolute path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    assert Workspace.find().root == tmp_path / FOLDER
    monkeypatch.setenv(ENVIRONMENT, "")
    assert Workspace.find().root == tmp_path / FOLDER
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "from-environment"))
    assert Workspace.find().root == tmp_path / "from-environment"
    clock = FakeClock()
    given = Workspace.find(Path("given"), clock=clock)
    assert (given.root, given.clock) == (tmp_path / "given", clock)


def test_the_ledger_is_opened_at_first_use(root: Path) -> None:
    """The first look at the ledger makes folder and database; closing lets go, and it can be opened again."""
    workspace = Workspace(root, clock=FakeClock())
    first = workspace.ledger
    assert workspace.ledger is first
    assert (root / "medical-kg.db").is_file()
    workspace.close()
    workspace.close()
    assert workspace.ledger is not first
    workspace.close()


@pytest.mark.parametrize("place", ["kg", "kg/inner"])
def test_a_folder_that_cannot_be_made(tmp_path: Path, place: str) -> None:
    """A file in the way is told with the folder's name, when something is to be kept there."""
    (tmp_path / "kg").write_text("a file")
    workspace = Workspace(tmp_path / place)
    with pytest.raises(StorageError, match=rf"the workspace {tmp_path / place} cannot be made: "):
        _ = workspace.ledger


# Settings


def test_settings_in_the_folder_or_beside_it(root: Path) -> None:
    """Settings stand in the folder or beside it; the folder's own count first; without any there are defaults."""
    assert read_settings(root) == (None, Settings())
    beside = write(root.parent, '[http]\nallow_hosts = ["beside"]\n')
    assert Workspace(root).settings_path == beside
    inside = write(root, '[http]\nallow_hosts = ["inside"]\n')
    workspace = Workspace(root)
    assert workspace.settings_path == inside
    assert workspace.settings("http")["allow_hosts"] == ["inside"]


def test_relative_places_are_taken_from_the_settings_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a program is started, the settings mean the same places."""
    text = (
        '[workspace]\npipelines = ["mine", "/other/pipelines"]\ncheckpoints = "store"\ndatabase_url = "sqlite:///kg.db"\n'
        '[http]\nallow_roots = ["data", "/abs"]\n'
    )
    home = write(root.parent, text).parent
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    workspace = Workspace(root)
    assert workspace.pipeline_folders == (root / "pipelines", home / "mine", Path("/other/pipelines"))
    assert workspace.database_url == f"sqlite:///{home / 'kg.db'}"
    workspace.checkpoints.put(b"data")
    assert (home / "store").is_dir()
    file = home / "data" / "page.txt"
    file.parent.mkdir()
    file.write_bytes(b"a page")
    with workspace.http.get(file.as_uri()) as response:
        assert b"".join(response.chunks()) == b"a page"
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("settings", ["", '[workspace]\ndatabase_url = "sqlite:///kg.db"\n'])
def test_a_folder_with_signs_of_urls_in_its_name(tmp_path: Path, settings: str) -> None:
    """The database lies in the folder, whatever its name means in a URL."""
    root = tmp_path / "a%20b?c#d" / "work"
    root.mkdir(parents=True)
    (root / "medical_kg.toml").write_text(settings, encoding="utf-8")
    workspace = Workspace(root)
    workspace.ledger.submissions()
    workspace.close()
    assert [path.suffix for path in root.glob("*.db")] == [".db"]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////abs/kg.db",
        "sqlite:///:memory:",
        "sqlite:///file:kg?mode=memory&uri=true",
        "sqlite://",
        "sqlite:///",
        "postgresql+psycopg://user@host/kg",
    ],
)
def test_other_database_urls_are_taken_as_they_are(root: Path, url: str) -> None:
    """Only the relative path of an SQLite file depends on a place."""
    write(root, f'[workspace]\ndatabase_url = "{url}"\n')
    assert Workspace(root).database_url == url


@pytest.mark.parametrize("place", ["memory://store-of-test", "file:///{folder}/store"])
def test_checkpoints_may_be_at_a_url(root: Path, place: str) -> None:
    """A URL is left to the checkpoint store, and nothing is made beside the settings."""
    write(root, f'[workspace]\ncheckpoints = "{place.format(folder=root.parent)}"\n')
    checkpoints = Workspace(root).checkpoints
    assert checkpoints.get(checkpoints.put(b"data")) == b"data"
    assert [path.name for path in root.iterdir()] == [SETTINGS_FILE]


def test_plugins_settings_reach_the_installation(root: Path) -> None:
    """What the settings deny is denied in this workspace."""
    write(root, '[plugins]\ndeny = ["medical-kg"]\n')
    assert Workspace(root).installation.stages.names() == ()


def test_other_tables_are_the_plugins_own(root: Path) -> None:
    """Tables that we do not know are handed out as written, whatever they are called."""
    write(root, '[my-store]\nurl = "x"\n[my-store.deep]\nn = 1\n[copy]\na = 1\n[model_extra]\nb = 2\n')
    workspace = Workspace(root)
    assert workspace.settings("my-store") == {"url": "x", "deep": {"n": 1}}
    assert (workspace.settings("copy"), workspace.settings("model_extra")) == ({"a": 1}, {"b": 2})
    for absent in ("absent", "json", "model_dump", "model_config"):
        assert workspace.settings(absent) == {}


def test_a_table_is_a_table(root: Path) -> None:
    """A plain value where a plugin's table is asked for is a mistake in the file."""
    path = write(root, "store = 3\n")
    with pytest.raises(SettingsError) as caught:
        Workspace(root).settings("store")
    assert str(caught.value) == f"{path}: store must be a table, [store], not 3"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[workspace]\ndatabse_url = "x"\n',
            ": [workspace] databse_url: there is no such setting; did you mean 'database_url'?",
        ),
        (
            "[plugins]\nzzz = 1\n",
            ": [plugins] zzz: there is no such setting; known: allow, deny, local, on_lock_mismatch, prefer",
        ),
        ('[http]\nallow_hosts = "x"\n', ": [http] allow_hosts: Input should be a valid tuple"),
        ("[http]\nallow_hosts = [1]\n", ": [http] allow_hosts.0: Input should be a valid string"),
        ('[plugins]\ndeny = ["a", 2]\n', ": [plugins] deny.1: Input should be a valid string"),
        ("workspace = 3\n", ": [workspace]: Input should be a valid dictionary or instance of StorageSettings"),
        (
            "[plugins]\nx = 1\n[http]\ny = 1\n",
            "; [http] y: there is no such setting; known: allow_hosts, allow_public, ",
        ),
    ],
)
def test_wrong_settings(root: Path, text: str, said: str) -> None:
    """A wrong setting is refused with file, table and field; an unknown one with the nearest there is; all at once."""
    assert said in refusal(root, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[plugins\n", " is not valid TOML: "),
        ("a = 1\na = 2\n", " is not valid TOML: "),
        (b"\xff\xfe", " cannot be read: "),
    ],
)
def test_files_that_are_not_toml(root: Path, text: str | bytes, said: str) -> None:
    """A file that cannot be parsed is told with its name and the reason."""
    assert refusal(root, text).startswith(said)


def test_a_file_that_cannot_be_read(root: Path) -> None:
    """A folder in the file's place is told, not passed over."""
    (root / SETTINGS_FILE).mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"medical_kg\.toml cannot be read: "):
        Workspace(root)


# Services


def test_services_that_a_stage_asks_for(root: Path) -> None:
    """A stage gets the services its metadata names, all of those there are, and no other."""
    workspace = Workspace(root, installation=Installation(path=[]))
    run: Any = SimpleNamespace(ledger=None, submission=SimpleNamespace(tenant="default"), batch=None, on_told=None)

    class Greedy(Gate):
        metadata = StageMetadata(stage_type="greedy", version="1.0", description="All.", needs=tuple(SERVICES))

    class Modest(Gate):
        metadata = StageMetadata(stage_type="modest", version="1.0", description="None.")

    given = workspace.services(run, planned(Greedy, config={}))
    assert set(given) == set(SERVICES)
    assert (given["workspace"], given["plugins"]) == (workspace, workspace.installation)
    assert (given["files"], given["http"]) == (workspace.files, workspace.http)
    assert workspace.services(run, planned(Modest, config={})) == {}
