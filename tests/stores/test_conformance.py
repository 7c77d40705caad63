"""Each index keeps every rule of the suite: on SQLite, PostgreSQL and LanceDB."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medical_kg.documents.records import Chunk
from medical_kg.stores.conformance import GraphStoreConformance, IndexStoreConformance
from medical_kg.stores.conformance.samples import BATCH
from medical_kg.stores.contract import Edge, Hit, Node, Removed, Store, Written
from medical_kg.stores.database import DatabaseStore
from medical_kg.stores.lance import LanceStore


class TestDatabaseStore(IndexStoreConformance):
    """The store ``database`` on both databases."""

    @pytest.fixture
    def new_store(self, new_url: Callable[[], str]) -> Callable[[], Store]:
        return lambda: DatabaseStore(new_url())


class TestDatabaseGraph(GraphStoreConformance):
    """Its graph on both databases."""

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
        return {"documents": 7, "chunks": self.made, "nodes": 99}

    def kept(self, _: str) -> dict[str, int]:
        return {"documents": 7}

    erase = kept
    made = 0

    def close(self) -> None:
        """Keep nothing open."""


class CarelessGraph(CarelessIndex):
    """A graph that keeps no rule."""

    def node(self, _: str) -> Node:
        return Node(id="?", kind="?", name="?")

    def roots(self, _: str) -> frozenset[str]:
        return frozenset("?")

    def find(self, _: str, **__: Any) -> list[Node]:
        return [self.node("")]

    def edges(self, _: str, **__: Any) -> list[Edge]:
        return []

    def neighbors(self, _: str, **__: Any) -> tuple[list[Node], list[Edge]]:
        return [self.node("")], []

    def everything(self) -> list[Node]:
        self.made += 1
        return [self.node("")] * self.made


class CarelessStore(Store):
    """Its halves differ in how much they say they hold."""

    def index(self) -> Any:
        found = CarelessIndex()
        CarelessIndex.made += 1
        found.made = CarelessIndex.made
        return found

    def graph(self) -> Any:
        return CarelessGraph()


SUITES = (IndexStoreConformance, GraphStoreConformance)
RULES = [(suite, name) for suite in SUITES for name in sorted(dir(suite)) if name.startswith("test_")]


@pytest.mark.parametrize(("suite", "rule"), RULES)
def test_each_rule_can_be_broken(suite: type, rule: str) -> None:
    """An index or graph that keeps no rule fails by each."""
    check = getattr(suite(), rule)
    store = CarelessStore("")
    given = {"store": store, "index": store.index(), "graph": store.graph(), "new_store": lambda: store, "kind": "text"}
    more = {"seed": 1, "order": ("r1", "r2"), "text": "x", "name": "x"}
    with pytest.raises((AssertionError, pytest.fail.Exception, ValueError)):
        check(**{name: (given | more)[name] for name in inspect.signature(check).parameters})


def test_without_stores_the_suite_says_what_is_missing() -> None:
    """Whoever subclasses it learns of the fixture."""
    with pytest.raises(pytest.fail.Exception, match="needs a fixture named new_store"):
        IndexStoreConformance.new_store.__wrapped__(IndexStoreConformance())  # type: ignore[attr-defined]  # pytest wraps it
