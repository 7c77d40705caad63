"""Pruning a workspace: taking away what nobody will ask for again, while others work in it.

What a batch needs that is not finished stays, whatever its age. The ledger's own rows stay too: what was asked, what
came of it and its counts. A submission whose stored results go is told so in its history before they go, so that
being killed at any moment leaves nothing unexplained; pruning once more goes on.
"""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from medical_kg.orchestration import content
from medical_kg.orchestration.contract.database import BUSY_TIMEOUT_SECONDS, opened, reading
from medical_kg.orchestration.contract.errors import StorageError
from medical_kg.orchestration.ledger.contract import Note
from medical_kg.orchestration.ledger.history import PRUNED
from medical_kg.orchestration.services import FileArea
from medical_kg.orchestration.submissions import this_actor
from medical_kg.orchestration.tenants import database_urls

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sqlalchemy import ColumnClause, Connection

    from medical_kg.orchestration.content import Kept
    from medical_kg.orchestration.ledger.holdings import Holdings
    from medical_kg.orchestration.workspace import Workspace

MENTION = re.compile(rb"file-area:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Amount:
    """How many files, and their bytes."""

    number: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was pruned, or would be.

    Attributes:
        before: what was finished before this time went (seconds since the epoch).
        dry_run: nothing was removed.
        checkpoints: stored results, of finished batches and such that no ledger mentions.
        files: downloaded files.
        leftovers: unfinished files of processes that were killed.
        runs: Dagster runs with their events.
        submissions: those whose stored results went, in whole or in part.
        item_results: kept results of single items that no stage has used since.
        compacted: bytes that the databases gave back to the disk; None where that was not asked for.
    """

    before: float
    dry_run: bool
    checkpoints: Amount
    files: Amount
    leftovers: Amount
    runs: int
    submissions: tuple[str, ...]
    compacted: int | None = None
    item_results: int = 0


def prune(
    workspace: Workspace, *, older_than: timedelta | None = None, dry_run: bool = False, compact: bool | None = None
) -> Pruned:
    """Take away checkpoints, downloaded files, leftovers and Dagster's history of what was finished long enough ago.

    Nothing goes that a pending, running, waiting or failed batch needs, and nothing that was stored within the last
    hour. A file stays while a checkpoint that stays, a signal or a table of the workspace's database mentions it.

    Args:
        workspace: what to prune; others may work in it.
        older_than: how long ago; ``[prune] older_than`` of the settings unless given.
        dry_run: only tell what would go.
        compact: give the room in SQLite's files back to the disk afterwards; ``[prune] compact`` unless given.

    Raises:
        StorageError: something could not be read or removed; what went before is told in the history.
    """
    settings = workspace.pruning
    before = workspace.clock.now() - (settings.age if older_than is None else older_than).total_seconds()
    work = _Pruning(workspace, workspace.ledger.holdings(before), before)
    checkpoints, files = list(work.checkpoints()), list(work.files())
    leftovers = list(work.leftovers())
    submissions = work.told(checkpoints)
    if not dry_run:
        work.tell(submissions)
        checkpoints = [one for one in checkpoints if work.discard_checkpoint(one)]
        files = [one for one in files if work.discard_file(one)]
        for path, _ in leftovers:
            path.unlink(missing_ok=True)
    item_results = workspace.ledger.drop_unused(before, dry_run=dry_run)
    runs = _prune_history(workspace, before, work.holdings.live, dry_run=dry_run)
    wants_compact = settings.compact if compact is None else compact
    return Pruned(
        before=before,
        dry_run=dry_run,
        checkpoints=_amount(one.size for one in checkpoints),
        files=_amount(one.size for one in files),
        leftovers=_amount(size for _, size in leftovers),
        runs=runs,
        submissions=tuple(submissions),
        compacted=_compact(workspace) if wants_compact and not dry_run else None,
        item_results=item_results,
    )


def _amount(sizes: Iterable[int]) -> Amount:
    found = list(sizes)
    return Amount(len(found), sum(found))


class _Pruning:
    """What one pruning knows: what is needed, and what is old enough."""

    def __init__(self, workspace: Workspace, holdings: Holdings, before: float) -> None:
        self.holdings, self._workspace, self._before = holdings, workspace, before
        self._files = FileArea(workspace.root / "files")
        self._spent = frozenset(one for found in holdings.spent.values() for one in found)
        # Files know the machine's time only.
        self._settled = time.time() - content.FRESH_SECONDS
        self._old = min(before, self._settled)

    def checkpoints(self) -> Iterator[Kept]:
        """Yield checkpoints that only spent batches mention, and old ones that nobody mentions."""
        for one in self._workspace.checkpoints.stored():
            name = (one.digest, one.suffix)
            if name not in self.holdings.needed and one.touched < self._limit(name):
                yield one

    def _limit(self, name: tuple[str, str]) -> float:
        return self._settled if name in self._spent else self._old

    def files(self) -> Iterator[Kept]:
        """Yield old files that nothing mentions which stays."""
        old = [one for one in self._files.stored() if one.touched < self._old]
        mentioned = self._mentioned() if old else frozenset()
        yield from (one for one in old if one.digest not in mentioned)

    def _mentioned(self) -> frozenset[str]:
        store, found = self._workspace.checkpoints, set[bytes]()
        for digest, suffix in self.holdings.needed:
            if store.has(digest, suffix):
                found.update(MENTION.findall(store.get(digest, suffix)))
        texts = (*self.holdings.attachments, *_mentioned_in_tables(self._workspace))
        for text in texts:
            found.update(MENTION.findall(text.encode()))
        return frozenset(digest.decode() for digest in found)

    def leftovers(self) -> Iterator[tuple[Path, int]]:
        """Yield what killed processes left unfinished."""
        for folder in (self._workspace.checkpoints.folder, self._files.folder):
            if folder is not None:
                yield from content.leftovers(folder, touched_before=self._old)

    def told(self, checkpoints: Collection[Kept]) -> dict[str, list[str]]:
        """Return the batches whose checkpoints are among these, by submission."""
        going, found = {(one.digest, one.suffix) for one in checkpoints}, dict[str, list[str]]()
        for batch, names in sorted(self.holdings.spent.items()):
            if not going.isdisjoint(names):
                found.setdefault(self.holdings.submissions[batch], []).append(batch)
        return found

    def tell(self, submissions: dict[str, list[str]]) -> None:
        """Write into the history of each submission that its stored results go."""
        for submission, batches in submissions.items():
            reason = f"finished before {datetime.fromtimestamp(self._before, UTC):%Y-%m-%d %H:%M:%S}Z"
            note = Note(event=PRUNED, reason=reason, detail={"batches": batches})
            self._workspace.ledger.remark(submission, note, this_actor())

    def discard_checkpoint(self, one: Kept) -> bool:
        """Remove a checkpoint unless it was put again meanwhile."""
        limit = self._limit((one.digest, one.suffix))
        return self._workspace.checkpoints.discard(one.digest, one.suffix, touched_before=limit)

    def discard_file(self, one: Kept) -> bool:
        """Remove a file unless it was stored again meanwhile."""
        return self._files.discard(one.digest, one.suffix, touched_before=self._old)


def _mentioned_in_tables(workspace: Workspace) -> Iterator[str]:
    """Yield the texts in which the tables beside the ledger's mention a stored file."""
    from sqlalchemy import column, select, table

    for url in database_urls(workspace):
        with opened(url) as engine, reading(engine) as connection:
            for name, text in _text_columns(connection):
                words: ColumnClause[str] = column(text)
                query = select(words).select_from(table(name)).where(words.contains("file-area:"))
                yield from connection.execute(query).scalars()


def _text_columns(connection: Connection) -> Iterator[tuple[str, str]]:
    from sqlalchemy import String, inspect

    from medical_kg.orchestration.ledger.tables import METADATA

    seen = inspect(connection)
    for name in seen.get_table_names():
        if name not in METADATA.tables:
            yield from ((name, one["name"]) for one in seen.get_columns(name) if isinstance(one["type"], String))


def _prune_history(workspace: Workspace, before: float, live: Collection[str], *, dry_run: bool) -> int:
    if not (workspace.root / "dagster").is_dir():
        return 0
    from medical_kg.orchestration.dagster.pruning import prune_history

    return prune_history(workspace, before=before, live=live, dry_run=dry_run)


def _compact(workspace: Workspace) -> int:
    """Give the free room in SQLite's files back to the disk; a server looks after its own."""
    from sqlalchemy import make_url

    urls = map(make_url, database_urls(workspace))
    own = [Path(url.database or "") for url in urls if url.get_backend_name() == "sqlite"]
    return sum(map(_vacuum, (*own, *sorted((workspace.root / "dagster").rglob("*.db")))))


def _vacuum(path: Path) -> int:
    size = path.stat().st_size
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise StorageError(f"{path} could not be compacted: {error}; try again when nothing runs in it") from error
    return max(size - path.stat().st_size, 0)
