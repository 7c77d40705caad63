"""The rules that every index must keep, as a class to subclass with one fixture; needs pytest.

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

from medical_kg.stores.conformance.searching import SearchingRules
from medical_kg.stores.conformance.writing import WritingRules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from medical_kg.stores.contract import IndexStore, Store


class IndexStoreConformance(WritingRules, SearchingRules):
    """The rules of ``IndexStore``; a subclass gives ``new_store``, which makes empty stores."""

    @pytest.fixture
    def new_store(self) -> Callable[[], Store]:
        """Give a function that makes an empty store, another at each call."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, new_store: Callable[[], Store]) -> Store:
        """An empty store."""
        return new_store()

    @pytest.fixture
    def index(self, store: Store) -> Iterator[IndexStore]:
        """An empty index."""
        with closing(store.index()) as opened:
            yield opened
