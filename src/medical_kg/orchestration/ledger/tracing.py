"""The part of the ledger's contract about single input records: finding their traces, and forgetting them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from medical_kg.orchestration.ledger.keeping import Keeping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from medical_kg.orchestration.ledger.forgetting import Forgotten, Removal
    from medical_kg.orchestration.ledger.traces import LedgerTraces


class Tracing(Keeping, Protocol):
    """See ``Ledger``."""

    def traces(self, tenant: str, root: str) -> LedgerTraces:
        """Return a tenant's dead letters, attachments and ``seen`` entries of an input record."""

    def forget(self, removal: Removal) -> Mapping[str, int]:
        """Forget an input record here, and put it on the list; returns what was removed, by name.

        Raises:
            BatchHeld: a batch is running that has the record, or may be reading it at this moment.
            Moved: something was stored since the record was looked for.
        """

    def finish_forgetting(self, tenant: str, root: str) -> None:
        """Note that nothing of a forgotten record remains anywhere."""

    def remember(self, tenant: str, root: str) -> bool:
        """Take an input record from the list of the forgotten; returns whether it was there."""

    def forgotten(self, tenant: str, root: str | None = None) -> list[Forgotten]:
        """Return a tenant's forgotten records, or this one, oldest first."""

    def forgotten_roots(self, tenant: str) -> frozenset[str]:
        """Return the ids of a tenant's forgotten records."""

    def mentioned(self) -> tuple[set[tuple[str, str]], set[str]]:
        """Return every checkpoint (digest, suffix) and every attachment's uri that is mentioned, of all tenants."""

    def tenants_at_work(self) -> frozenset[str]:
        """Return the tenants that have a running batch."""
