"""The rules that every index and every graph must keep, each as a class to subclass with one fixture; needs pytest.

::

    class TestMyStore(IndexStoreConformance):
        @pytest.fixture
        def new_store(self, tmp_path) -> Callable[[], Store]:
            numbers = itertools.count()
            return lambda: MyStore(f"sqlite:///{tmp_path}/{next(numbers)}.db")

Each rule is a test that sees the store by its contract alone (``stores.contract``).
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from medical_kg.stores.conformance.graph_finding import GraphFindingRules
from medical_kg.stores.conformance.graph_works import GraphWorksRules
from medical_kg.stores.conformance.graph_writing import GraphWritingRules
from medical_kg.stores.conformance.searching import SearchingRules
from medical_kg.stores.conformance.writing import WritingRules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from medical_kg.stores.contract import GraphStore, IndexStore, Store


class StoreRules:
    """What both halves need: ``new_store``, which a subclass gives."""

    @pytest.fixture
    def new_store(self) -> Callable[[], Store]:
        """Give a function that makes an empty store, another at each call."""
        pytest.fail(
            f"{type(self).__name__} needs a fixture named new_store that returns a function, which makes empty stores"
        )

    @pytest.fixture
    def store(self, new_store: Callable[[], Store]) -> Store:
        """An empty store."""
        return new_store()


class IndexStoreConformance(StoreRules, WritingRules, SearchingRules):
    """The rules of ``IndexStore``; a subclass gives ``new_store``."""

    @pytest.fixture
    def index(self, store: Store) -> Iterator[IndexStore]:
        """An empty index."""
        with closing(store.index()) as opened:
            yield opened


class GraphStoreConformance(StoreRules, GraphWritingRules, GraphWorksRules, GraphFindingRules):
    """The rules of ``GraphStore``; a subclass gives ``new_store``."""

    @pytest.fixture
    def graph(self, store: Store) -> Iterator[GraphStore]:
        """An empty graph."""
        with closing(store.graph()) as opened:
            yield opened
