"""The default store: index and graph in the workspace's own database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medical_kg.stores.contract import Store

if TYPE_CHECKING:
    from medical_kg.stores.contract import GraphStore, IndexStore


class DatabaseStore(Store):
    """Index and graph beside the ledger, reached by its URL."""

    def index(self) -> IndexStore:
        """Open the index; its tables are made where there are none."""
        from medical_kg.stores.sql_index import SqlIndex

        return SqlIndex(self.database_url)

    def graph(self) -> GraphStore:
        """Open the graph; its tables are made where there are none."""
        from medical_kg.stores.sql_graph import SqlGraph

        return SqlGraph(self.database_url)
