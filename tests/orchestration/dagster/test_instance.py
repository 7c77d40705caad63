"""Where Dagster's history is: in the workspace's folder, or in the Postgres database of its ledger."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url
from yaml import safe_load

from medical_kg.orchestration.contract.errors import SettingsError
from medical_kg.orchestration.dagster import instance as instance_module
from medical_kg.orchestration.dagster.dev import environment
from medical_kg.orchestration.dagster.instance import ADDRESS, dagster_home, history_of, open_instance
from medical_kg.orchestration.workspace import Workspace


def named(folder: Path, url: str) -> Workspace:
    (folder / "medical_kg.toml").write_text(f'[workspace]\ndatabase_url = "{url}"\n')
    return Workspace(folder / "workspace")


def test_beside_sqlite_it_is_in_the_folder(tmp_path: Path) -> None:
    """Its settings name the workspace's folder, and nobody else may read them."""
    workspace = Workspace(tmp_path / "workspace")
    settings = dagster_home(workspace) / "dagster.yaml"
    assert str(workspace.root) in safe_load(settings.read_text())["event_log_storage"]["config"]["base_dir"]
    assert settings.stat().st_mode & 0o777 == 0o600
    assert history_of(workspace) == str(workspace.root / "dagster")


def test_beside_postgres_it_is_in_a_schema_of_its_own(tmp_path: Path, postgres: Any) -> None:
    """The ledger's database has the history too; options of its URL are kept, and messages hide the password."""
    url = postgres.emptied("dagster_history")
    workspace = named(tmp_path, f"{url}?options=-clock_timeout%3D7s&application_name=mine")
    with open_instance(workspace) as instance:
        instance.add_dynamic_partitions("mine", ["one"])
    with open_instance(workspace) as instance:
        assert instance.get_dynamic_partitions("mine") == ["one"]
    assert postgres.query("SELECT partition FROM dagster.dynamic_partitions", "dagster_history") == [("one",)]
    assert postgres.query("SELECT 1 FROM pg_tables WHERE schemaname = 'public'", "dagster_history") == []
    settings = dagster_home(workspace) / "dagster.yaml"
    assert safe_load(settings.read_text())["storage"]["postgres"]["postgres_url"] == {"env": ADDRESS}
    assert make_url(url).password not in settings.read_text()
    del os.environ[ADDRESS]
    assert environment(workspace)[ADDRESS] == os.environ[ADDRESS]
    assert make_url(os.environ[ADDRESS]).query == {
        "options": "-c search_path=dagster -clock_timeout=7s",
        "application_name": "mine",
    }
    assert make_url(url).password not in history_of(workspace)
    assert list(workspace.root.rglob("*.db")) == []


def test_without_its_package_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is in the message, before anything is written or any server is asked."""
    monkeypatch.setitem(sys.modules, "dagster_postgres", None)
    workspace = named(tmp_path, "postgresql://someone:secret@127.0.0.1:1/none")
    with pytest.raises(SettingsError, match=r"pip install 'medical-kg\[postgres\]'") as caught:
        dagster_home(workspace)
    assert "secret" not in str(caught.value)
    assert not workspace.root.exists()


DIES = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from medical_kg.orchestration.dagster.dev import environment
from medical_kg.orchestration.dagster.instance import dagster_home
from medical_kg.orchestration.workspace import Workspace
def given(connection, cursor, statement, *more):
    if "CREATE TABLE event_logs" in statement:
        os.kill(os.getpid(), signal.SIGKILL)
event.listen(Engine, "after_cursor_execute", given)
dagster_home(Workspace(Path(sys.argv[1])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_kill_while_it_is_made_leaves_nothing_half_made(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """Dagster's tables are made one by one, and opened only once they all are there: the next process makes them anew."""
    url = request.getfixturevalue("postgres").emptied("dagster_killed") if kind == "postgres" else "sqlite:///kg.db"
    workspace = named(tmp_path, url)
    killed = subprocess.run([sys.executable, "-c", DIES, workspace.root], check=False)
    assert killed.returncode == -signal.SIGKILL
    for _ in range(2):
        with open_instance(workspace) as instance:
            assert instance.get_runs() == []
            assert instance.all_asset_keys() == []


def test_two_processes_may_make_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quicker one's is kept."""
    workspace = Workspace(tmp_path / "workspace")
    make_tables = instance_module._make_tables

    def slowly(folder: Path, settings: str) -> None:
        monkeypatch.setattr(instance_module, "_make_tables", make_tables)
        with open_instance(workspace) as instance:
            instance.add_dynamic_partitions("mine", ["one"])
        make_tables(folder, settings)

    monkeypatch.setattr(instance_module, "_make_tables", slowly)
    with open_instance(workspace) as instance:
        assert instance.get_dynamic_partitions("mine") == ["one"]
    assert [path.name for path in workspace.root.iterdir()] == ["dagster"]
