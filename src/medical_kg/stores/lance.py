"""The store ``lancedb``: an index in a LanceDB table beside the workspace's database; no graph."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.stores.contract import Store

if TYPE_CHECKING:
    from medical_kg.stores.contract import IndexStore


class LanceStore(Store):
    """An index in a folder ``NAME.lance`` beside the SQLite database ``NAME.db``; for collections that SQLite is slow with."""

    def index(self) -> IndexStore:
        """Open the index; its table is made by the first write.

        Raises:
            UsageError: the package lancedb is not installed, or the database is no file that the folder could stand beside.
        """
        if importlib.util.find_spec("lancedb") is None:
            raise UsageError(
                "the store lancedb needs lancedb, which is not installed; pip install 'medical-kg[lancedb]'"
            )
        from medical_kg.stores.lance_index import LanceIndex

        return LanceIndex(folder_beside(self.database_url))


def folder_beside(database_url: str) -> Path:
    """Return the folder of the table.

    Raises:
        UsageError: the URL names no file.
    """
    from sqlalchemy import make_url

    url = make_url(database_url)
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        raise UsageError(
            "the store lancedb keeps its table in a folder beside an SQLite database, and this workspace's is kept by a "
            "server; use the store database there, which is made for it"
        )
    return Path(url.database).with_suffix(".lance")
