"""Where each tenant's data lies."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from postgres_server import PostgresServer
from support import DIAMOND, make_workspace

from medical_kg.orchestration import Workspace, submit
from medical_kg.orchestration.contract.database import open_engine, writing
from medical_kg.orchestration.contract.errors import InputError, StorageError
from medical_kg.orchestration.tenants import database_urls, provide, tenants


@pytest.mark.parametrize("name", ["", "../up", "Two", "a b", 'x"; DROP', "-one", "é", "a" * 41])
def test_a_name_that_is_no_folder_s_is_refused(tmp_path: Path, name: str) -> None:
    """Before anything is kept under it."""
    workspace = make_workspace(tmp_path, DIAMOND)
    with pytest.raises(InputError, match="a tenant cannot be called"):
        submit(workspace, "diamond", tenant=name)
    assert workspace.ledger.submissions() == []
    assert tenants(workspace) == []


def test_a_tenant_is_there_once_it_has_run_something(tmp_path: Path) -> None:
    """Then its folder is; the default tenant's is the workspace itself."""
    workspace = make_workspace(tmp_path, DIAMOND)
    submit(workspace, "diamond", tenant="lab-2", engine="plain")
    assert tenants(workspace) == ["lab-2"]
    assert workspace.of_tenant("default") is workspace
    own = workspace.of_tenant("lab-2", known=True)
    assert own.root == tmp_path / "tenants" / "lab-2"
    assert own.database_url == f"sqlite:///{own.root}/medical-kg.db"
    assert own.settings("workspace") == workspace.settings("workspace")
    with pytest.raises(InputError, match="there is no tenant 'lab-1'; did you mean 'lab-2'"):
        workspace.of_tenant("lab-1", known=True)


def test_a_place_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """With its path."""
    (tmp_path / "tenants").write_text("in the way")
    with pytest.raises(StorageError, match=r"tenants/lab of a tenant cannot be made"):
        provide(make_workspace(tmp_path), "lab")


def test_on_postgres_each_has_a_schema(tmp_path: Path, postgres: PostgresServer) -> None:
    """What is made through a tenant's URL is only there, whatever options the URL had; two may make it at once."""
    url = f"{postgres.url(postgres.database())}?options=-c%20search_path%3Dpublic"
    (tmp_path / "medical_kg.toml").write_text(f'[workspace]\ndatabase_url = "{url}"\n')
    workspace = Workspace(tmp_path)
    assert tenants(workspace) == []
    at_once = [threading.Thread(target=provide, args=(workspace, "lab-2")) for _ in range(4)]
    for thread in at_once:
        thread.start()
    for thread in at_once:
        thread.join()
    provide(workspace, "other")
    assert tenants(workspace) == ["lab-2", "other"]
    for one in database_urls(workspace):
        engine = open_engine(one)
        with writing(engine) as connection:
            connection.exec_driver_sql("CREATE TABLE mine (x int)")
        engine.dispose()
    found = "SELECT table_schema FROM information_schema.tables WHERE table_name = 'mine' ORDER BY 1"
    database = url.rpartition("/")[2].partition("?")[0]
    assert postgres.query(found, database) == [("public",), ("tenant_lab-2",), ("tenant_other",)]
