"""The part of the ledger's contract about results of single items that are kept for later batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from medical_kg.orchestration.ledger.requests import Row

if TYPE_CHECKING:
    from collections.abc import Collection


class ItemResult(Row):
    """What a stage gave for one item: ``head`` and ``body`` as ``execution.noting`` has them; ``files`` it speaks of."""

    key: str
    root: str
    head: Mapping[str, Any]
    body: bytes
    files: tuple[str, ...] = ()


class Remembered(Row):
    """What a call of a stage adds to the kept results of its type, and the keys of those it used."""

    stage_type: str
    made: tuple[ItemResult, ...] = ()
    used: tuple[str, ...] = ()


class Keeping(Protocol):
    """The part of the ledger's contract about kept results of single items."""

    def recall(self, tenant: str, keys: Collection[str]) -> dict[str, ItemResult]:
        """Return a tenant's kept results that have one of these keys."""

    def drop_unused(self, used_before: float, *, dry_run: bool = False) -> int:
        """Drop the results, of all tenants, that were last used before a time; returns how many there were."""
