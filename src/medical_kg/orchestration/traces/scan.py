"""Looking for an input record in the stored results of batches."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from medical_kg.orchestration.contract import JsonLines, VectorLines
from medical_kg.orchestration.contract.errors import StorageError
from medical_kg.orchestration.file_area import STORED
from medical_kg.orchestration.traces.keys import Pipelines

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StateKey
    from medical_kg.orchestration.ledger.contract import Batch, OutputRef, StageRecord, Submission
    from medical_kg.orchestration.workspace import Workspace

FILE = re.compile(STORED.pattern.encode())


@dataclass(frozen=True, slots=True)
class Held:
    """What one stored value holds of an input record.

    ``items`` descend from it. ``mixed``: the value is not a list of records with roots, or nobody here can read it, so
    it cannot be told apart what comes from the record. ``gone``: the checkpoint is not there any more, or damaged.
    ``files`` are the stored files that its items speak of.
    """

    items: int = 0
    mixed: bool = False
    gone: bool = False
    files: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Found:
    """A batch in which an input record was met: its results, and what each stored value holds (by stage and key)."""

    submission: Submission
    batch: Batch
    results: Mapping[str, StageRecord]
    values: Mapping[tuple[str, str], Held]

    @property
    def holds(self) -> bool:
        """Whether anything of the record is stored; what cannot be told apart counts once something else was found."""
        return any(held.items for held in self.values.values())


class Scan:
    """Looks for one input record; every stored value is read once, whatever the number of batches that share it.

    Args:
        workspace: where to look.
        tenant: whose submissions.
        root: the record's id.
    """

    def __init__(self, workspace: Workspace, tenant: str, root: str) -> None:
        """Look at nothing yet."""
        self.pipelines = Pipelines(workspace)
        self._workspace, self._tenant, self._root = workspace, tenant, root
        self._literal = to_json(root)
        self._seen: dict[tuple[str, str, str], Held] = {}

    def submissions(self) -> list[Submission]:
        """Return the tenant's submissions, oldest first."""
        return self._workspace.ledger.submissions(tenant=self._tenant, limit=1_000_000)[::-1]

    def batches(self, *, newest_first: bool = False) -> Iterator[Found]:
        """Give every batch of the tenant with what it holds, oldest first unless told otherwise."""
        step = -1 if newest_first else 1
        for submission in self.submissions()[::step]:
            for batch in self._workspace.ledger.batches(submission.id)[::step]:
                results = self._workspace.ledger.results(batch.id)
                yield Found(submission, batch, results, self._values(submission, results))

    def _values(self, submission: Submission, results: Mapping[str, StageRecord]) -> dict[tuple[str, str], Held]:
        values = {}
        for stage, record in results.items():
            keys = self.pipelines.keys(submission, record)
            for name, ref in record.outputs.items():
                values[stage, name] = self._held(keys.get(name), ref)
        return values

    def _held(self, key: StateKey[Any] | None, ref: OutputRef) -> Held:
        place = ("" if key is None else key.name, ref.digest, ref.suffix)
        if place not in self._seen:
            self._seen[place] = self._look(key, ref)
        return self._seen[place]

    def _look(self, key: StateKey[Any] | None, ref: OutputRef) -> Held:
        try:
            data = self._workspace.checkpoints.get(ref.digest, ref.suffix)
        except StorageError:
            return Held(gone=True)
        if key is None:
            # Records of an input record name it, whoever can read them.
            return Held(items=int(self.may_hold(data)), mixed=True, files=stored_files(b"\n".join(self._lines(data))))
        if not key.is_list or key.root_of is None:
            return Held(mixed=True)
        if names_roots(key) and not self.may_hold(data):
            return Held()
        assert key.codec is not None  # noqa: S101  # a state key always has one once it is made
        mine = [item for item in key.codec.decode(data) if key.root_of(item) == self._root]
        return Held(items=len(mine), files=stored_files(key.codec.encode(mine)) if mine else frozenset())

    def _lines(self, data: bytes) -> Iterator[bytes]:
        """Give the lines that are records of the record, as far as their usual fields say so."""
        for line in data.split(b"\n"):
            if self._literal in line:
                with suppress(ValueError):
                    record = json.loads(line)
                    if isinstance(record, dict) and self._root in (record.get("root"), record.get("id")):
                        yield line

    def may_hold(self, data: bytes) -> bool:
        """Whether the record's id stands in some bytes, as it stands in JSON."""
        return self._literal in data


def names_roots(key: StateKey[Any]) -> bool:
    """Whether the stored form of a key holds each item's root as it is: a field of a record that is kept as JSON."""
    return isinstance(key.root, str) and isinstance(key.codec, (JsonLines, VectorLines))


def stored_files(data: bytes) -> frozenset[str]:
    """Return the uris of the workspace's files that some bytes speak of."""
    return frozenset(match.group().decode() for match in FILE.finditer(data))
