"""Each index keeps every rule of the suite: on SQLite, PostgreSQL and LanceDB."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medical_kg.documents.records import Chunk
from medical_kg.stores.conformance import IndexStoreConformance
from medical_kg.stores.conformance.samples import BATCH
from medical_kg.stores.contract import Hit, Removed, Store, Written
from medical_kg.stores.database import DatabaseStore
from medical_kg.stores.lance import LanceStore


class TestDatabaseStore(IndexStoreConformance):
    """The store ``database`` on both databases."""

    @pytest.fixture
    def new_store(self, new_url: Callable[[], str]) -> Callable[[], Store]:
        return lambda: DatabaseStore(new_url())


class TestLanceStore(IndexStoreConformance):
    """The store ``lancedb``."""

    @pytest.fixture
    def new_store(self, tmp_path: Path) -> Callable[[], Store]:
        pytest.importorskip("lancedb", reason="LanceDB (the extra lancedb) is not installed")
        numbers = itertools.count()
        return lambda: LanceStore(f"sqlite:///{tmp_path / f'kg{next(numbers)}.db'}")


class CarelessIndex:
    """An index that keeps no rule: it finds, counts and remembers what it likes, and refuses nothing."""

    def replace(self, *_: Any, **__: Any) -> Written:
        return Written({"documents": 9}, 9, ("nobody",))

    def remove(self, *_: Any, **__: Any) -> Removed:
        return Removed(9, ())

    def search(self, *_: Any, **__: Any) -> list[Hit]:
        hit = Hit(chunk="c", document="d", root="r", title="", section="", text="x", start=0, end=1, score=2, ranks={})
        return [hit, hit]

    def document(self, _: str) -> None:
        return None

    def chunks(self, _: str) -> list[Chunk]:
        return [BATCH[1][0]]

    def embedder(self) -> None:
        return None

    def same_work(self, _: Any) -> dict[str, tuple[str, ...]]:
        return {"a": ()}

    def counts(self) -> dict[str, int]:
        return {"documents": 7, "chunks": self.made}

    def kept(self, _: str) -> dict[str, int]:
        return {"documents": 7}

    erase = kept
    made = 0

    def close(self) -> None:
        """Keep nothing open."""


class CarelessStore(Store):
    """Its indexes differ in how much they say they hold."""

    def index(self) -> Any:
        found = CarelessIndex()
        CarelessIndex.made += 1
        found.made = CarelessIndex.made
        return found


RULES = sorted(name for name in dir(IndexStoreConformance) if name.startswith("test_"))


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_can_be_broken(rule: str) -> None:
    """An index that keeps no rule fails by each."""
    check = getattr(IndexStoreConformance(), rule)
    store = CarelessStore("")
    given = {"store": store, "index": store.index(), "new_store": lambda: store, "kind": "text"}
    with pytest.raises((AssertionError, pytest.fail.Exception, ValueError)):
        check(**{name: given[name] for name in inspect.signature(check).parameters})
