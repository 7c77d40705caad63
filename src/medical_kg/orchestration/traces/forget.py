"""Forgetting a document: everywhere it left a trace, for good, and going on where an earlier attempt was killed.

In this order: the values without it are stored; one transaction of the ledger makes them valid, puts the document on the
list of the forgotten and notes what remains; the stages that keep things are told; files are removed; databases are rewritten;
the note is taken off. Whatever is killed in between, the same command again does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import MedicalKGError, RecordNotFound, TransientError
from medical_kg.orchestration.ledger.forgetting import Moved
from medical_kg.orchestration.ledger.traces import LedgerTraces
from medical_kg.orchestration.submissions import this_actor
from medical_kg.orchestration.traces.keepers import Keepers
from medical_kg.orchestration.traces.prepare import prepare
from medical_kg.orchestration.traces.scan import Scan
from medical_kg.orchestration.traces.story import trace
from medical_kg.orchestration.traces.sweep import sweep

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.forgetting import Forgotten
    from medical_kg.orchestration.traces.prepare import Prepared
    from medical_kg.orchestration.workspace import Workspace

ATTEMPTS = 5
"""How often results are looked through again because others have stored something meanwhile."""


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What was removed of a document, or would be (``dry_run``).

    ``removed`` maps each place to what was there, by name: ``ledger``, ``checkpoints``, ``files``, ``dagster``, and every stage
    that keeps things. ``left`` says what could not be removed and why; forget again once that is mended.
    """

    root: str
    tenant: str
    dry_run: bool
    removed: Mapping[str, Mapping[str, int]]
    left: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """How many things, over all places."""
        return sum(number for counts in self.removed.values() for number in counts.values())


def forget(
    workspace: Workspace, ident: str, *, tenant: str = "default", dry_run: bool = False, actor: str | None = None
) -> Forgetting:
    """Remove a document everywhere it left a trace, and leave it out whenever an input is read again.

    Args:
        workspace: where.
        ident: the id of the input record, or another identifier of the document that a store knows.
        tenant: whose document.
        dry_run: only say what would be removed.
        actor: who asks, for the history.

    Raises:
        RecordNotFound: there is no trace of it, and it is not forgotten already.
        BatchHeld: a batch is running that has it, or may be reading it at this moment; nothing was removed.
    """
    listed = workspace.ledger.forgotten(tenant, ident)
    root = ident if listed else trace(workspace, ident, tenant=tenant).root
    former = (listed[0].remains or {}) if listed else {}
    task = _Task(workspace, tenant, root, change=not dry_run)
    if dry_run:
        task.count(former)
    else:
        task.begin(actor or this_actor(), former)
        task.go_on()
    return Forgetting(root, tenant, dry_run, task.removed, tuple(task.left))


def remember(workspace: Workspace, root: str, *, tenant: str = "default") -> None:
    """Take a document from the list of the forgotten, so that the next run of its input takes it up again.

    Raises:
        RecordNotFound: it is not on the list.
    """
    if not workspace.ledger.remember(tenant, root):
        known = [one.root for one in workspace.ledger.forgotten(tenant)]
        raise RecordNotFound(f"forgotten document of tenant {tenant}", root, known)


def forgotten(workspace: Workspace, *, tenant: str = "default") -> list[Forgotten]:
    """Return the list of the forgotten, oldest first."""
    return workspace.ledger.forgotten(tenant)


@dataclass(slots=True)
class _Task:
    """Forgetting one record."""

    workspace: Workspace
    tenant: str
    root: str
    change: bool
    removed: dict[str, Mapping[str, int]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def count(self, former: Mapping[str, Any]) -> None:
        """Say what would be removed."""
        prepared = self._prepare()
        traces = self.workspace.ledger.traces(self.tenant, self.root)
        self.removed["ledger"] = {
            "dead letters": len(traces.dead_letters),
            "seen": len(traces.seen),
            "attachments": len(traces.attached),
            "kept results": sum(traces.kept_results.values()),
        }
        self.removed["records"] = {"in stored results": prepared.items}
        self._keepers("kept")
        remains = prepared.removal(self.tenant, self.root, "", former).remains
        self._elsewhere(remains)

    def begin(self, actor: str, former: Mapping[str, Any]) -> None:
        """Make it valid in the ledger that the record is forgotten."""
        for attempt in range(1, ATTEMPTS + 1):
            prepared = self._prepare()
            removal = prepared.removal(self.tenant, self.root, actor, former)
            try:
                self.removed["ledger"] = self.workspace.ledger.forget(removal)
            except Moved:
                if attempt == ATTEMPTS:
                    raise
            else:
                self.removed["records"] = {"in stored results": prepared.items}
                return

    def go_on(self) -> None:
        """Remove what remains, and say so once nothing does."""
        from medical_kg.orchestration.contract.database import opened, shred

        (listed,) = self.workspace.ledger.forgotten(self.tenant, self.root)
        self._keepers("forget")
        self._elsewhere(listed.remains or {})
        for url in dict.fromkeys((self.workspace.database_url, self.workspace.of_tenant(self.tenant).database_url)):
            with opened(url) as engine:
                self._try("the database", partial(shred, engine))
        if not self.left:
            self.workspace.ledger.finish_forgetting(self.tenant, self.root)

    def _prepare(self) -> Prepared:
        traces: LedgerTraces = self.workspace.ledger.traces(self.tenant, self.root)
        scan = Scan(self.workspace, self.tenant, self.root)
        prepared = prepare(
            self.workspace, scan, self.root, {one.batch_id for one in traces.dead_letters}, write=self.change
        )
        prepared.files |= {one.attachment.uri for one in traces.attached}
        return prepared

    def _keepers(self, method: str) -> None:
        keepers = Keepers(self.workspace, Scan(self.workspace, self.tenant, self.root))
        for keeper in keepers:
            counts = self._try(keeper.name, partial(keepers.ask, keeper, method, self.root))
            if counts is not None:
                self.removed[keeper.name] = counts
        self.left.extend(map(str, keepers.unreachable))

    def _elsewhere(self, remains: Mapping[str, Any]) -> None:
        swept = self._try(
            "the workspace's files", lambda: sweep(self.workspace, self.tenant, self.root, remains, change=self.change)
        )
        if swept is not None:
            self.removed |= swept.removed
            self.left.extend(swept.left)
        events = self._try("Dagster's history", lambda: self._events(remains.get("batches", ())))
        if events is not None:
            self.removed["dagster"] = {"events": events}

    def _events(self, batches: Any) -> int:
        if not (self.workspace.root / "dagster").is_dir():
            return 0
        from medical_kg.orchestration.dagster.erasing import erase_events

        return erase_events(self.workspace, self.root, batches, change=self.change)

    def _try(self, place: str, action: Callable[[], Any]) -> Any:
        """Do one part; one that fails is told, and the others are done all the same."""
        try:
            return action()
        except TransientError as error:
            self.left.append(f"{place}: {error}")
        except MedicalKGError as error:
            self.left.append(f"{place}: {error}; mend that, and forget again")
        return None
