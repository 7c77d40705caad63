"""Removing the files of a forgotten record: checkpoints, also those that nobody mentions, and stored files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.content import remove, unfinished
from medical_kg.orchestration.contract.errors import StorageError
from medical_kg.orchestration.services import FileArea
from medical_kg.orchestration.traces.scan import Scan, stored_files

if TYPE_CHECKING:
    from medical_kg.orchestration.workspace import Workspace


@dataclass(slots=True)
class Swept:
    """What was removed, by place and name, and what could not be."""

    removed: dict[str, Mapping[str, int]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def sweep(workspace: Workspace, tenant: str, root: str, remains: Mapping[str, Any], *, change: bool) -> Swept:
    """Remove checkpoints and files that only this record needs.

    A checkpoint goes that is noted in ``remains``, or that nobody mentions and that names the record: a stage was killed
    before its commit, or has run again since. A file of the workspace goes when no other stored value and no signal speaks
    of it.

    Args:
        workspace: where.
        tenant: whose record.
        root: its id.
        remains: what the ledger has noted.
        change: whether to do it, or only to count.
    """
    return _Sweep(workspace, tenant, root, remains, change=change).do()


class _Sweep:
    def __init__(
        self, workspace: Workspace, tenant: str, root: str, remains: Mapping[str, Any], *, change: bool
    ) -> None:
        self._workspace, self._change = workspace, change
        self._tenant, self._root = tenant, root
        self._noted = {(digest, suffix) for digest, suffix in remains.get("checkpoints", ())}
        self._files = set(remains.get("files", ()))
        self._scan = Scan(workspace, tenant, root)
        at_work = workspace.ledger.tenants_at_work()
        self._others_run, self._any_runs = bool(at_work - {tenant}), bool(at_work)
        self._swept = Swept()

    def do(self) -> Swept:
        """Remove, and say what."""
        self._swept.removed["checkpoints"] = {"files": self._checkpoints()}
        self._swept.removed["files"] = {"files": self._stored_files()}
        return self._swept

    def _checkpoints(self) -> int:
        checkpoints = self._workspace.checkpoints
        mentioned, used = self._workspace.ledger.mentioned()
        if not self._change:
            # As it will be.
            own = self._workspace.ledger.traces(self._tenant, self._root).attached
            mentioned, used = mentioned - self._noted, used - {one.attachment.uri for one in own}
        gone = 0
        for place in [(one.digest, one.suffix) for one in checkpoints.stored()]:
            noted = place in self._noted and place not in mentioned
            data = b"" if noted else self._read(*place)
            if noted or (place not in mentioned and self._scan.may_hold(data)):
                gone += self._remove(*place)
            else:
                used |= stored_files(data)
        self._files -= used
        return gone + self._unfinished()

    def _read(self, digest: str, suffix: str) -> bytes:
        try:
            return self._workspace.checkpoints.get(digest, suffix)
        except StorageError:
            return b""  # taken away meanwhile, or damaged: whoever needs it is told then

    def _remove(self, digest: str, suffix: str) -> int:
        if self._others_run:
            self._swept.left.append(
                f"checkpoint {digest}{suffix}, which no result mentions, may be of another tenant's running batch; forget "
                "again when that is done"
            )
            return 0
        return int(self._workspace.checkpoints.remove(digest, suffix)) if self._change else 1

    def _unfinished(self) -> int:
        """Remove what killed processes have not written to its end; nobody can tell what it holds."""
        folders = (self._workspace.checkpoints.folder, self._workspace.root / "files")
        found = [path for folder in folders if folder is not None for path in unfinished(folder)]
        if found and self._any_runs:
            what = "unfinished files may be at work in a running batch; forget again when no batch is running"
            self._swept.left.append(what)
            return 0
        return sum(remove(path) if self._change else 1 for path in found)

    def _stored_files(self) -> int:
        area, gone = FileArea(self._workspace.root / "files"), 0
        for uri in sorted(self._files):
            path = area.path(uri)
            if path is None:
                self._swept.left.extend(_outside(uri))
            elif path.exists():
                gone += 1
                if self._change:
                    remove(path)
        return gone


def _outside(uri: str) -> list[str]:
    """Return what to say of an attachment that lies outside the workspace: it is not ours to remove."""
    path = Path(uri.removeprefix("file://"))
    return [f"{path} came with a signal and lies outside the workspace; remove it yourself"] if path.exists() else []
