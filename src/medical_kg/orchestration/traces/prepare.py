"""What forgetting a record would change in the stored results of batches: prepared, and not yet valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.execution.fingerprint import fingerprint_of
from medical_kg.orchestration.execution.inputs import digests, outputs_of
from medical_kg.orchestration.ledger.contract import OutputRef
from medical_kg.orchestration.ledger.forgetting import Removal, Rewrite, state_of
from medical_kg.orchestration.runner import is_dead
from medical_kg.orchestration.traces.scan import stored_files

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StateKey
    from medical_kg.orchestration.ledger.contract import StageRecord
    from medical_kg.orchestration.traces.scan import Found, Held, Scan
    from medical_kg.orchestration.workspace import Workspace

GONE = "0" * 64
"""The digest of a value that was dropped: no content has it, so the stage runs again if the value is ever needed."""


@dataclass(slots=True)
class Prepared:
    """New values for results, and what they take the place of; ``items`` counts the records left out.

    Of ``files`` the ``spared`` ones belong to other records as well.
    """

    rewrites: list[Rewrite] = field(default_factory=list)
    scanned: dict[str, str] = field(default_factory=dict)
    met: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    checkpoints: set[tuple[str, str]] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    spared: set[str] = field(default_factory=set)
    items: int = 0

    def removal(self, tenant: str, root: str, actor: str, former: Mapping[str, Any]) -> Removal:
        """Return it for the ledger; ``former`` is what remains of an earlier attempt."""
        ours: dict[str, list[Any]] = {
            "checkpoints": [list(one) for one in self.checkpoints],
            "files": list(self.files - self.spared),
            "batches": self.met,
        }
        remains = {name: _merged(former.get(name, []), values) for name, values in ours.items()}
        return Removal(
            tenant=tenant,
            root=root,
            actor=actor,
            rewrites=tuple(self.rewrites),
            scanned=self.scanned,
            met=tuple(self.met),
            aside=tuple(self.aside),
            dead=tuple(self.dead),
            remains=remains,
        )


def _merged(former: list[Any], new: list[Any]) -> list[Any]:
    return sorted([*former, *(one for one in new if one not in former)])


def prepare(workspace: Workspace, scan: Scan, root: str, lettered: set[str], *, write: bool) -> Prepared:
    """Look through every batch, and store what its results are without the record.

    Args:
        workspace: where.
        scan: looks for the record.
        root: its id.
        lettered: batches that have a dead letter of it.
        write: whether to store the new values; otherwise they are only counted.
    """
    prepared = Prepared()
    for found in scan.batches():
        batch = found.batch
        prepared.scanned[batch.id] = state_of(found.results)
        if batch.lease_owner and is_dead(batch.lease_owner):
            prepared.dead.append(batch.lease_owner)
        if found.holds or batch.id in lettered:
            prepared.met.append(batch.id)
        if found.holds:
            _Batch(workspace, scan, found, root, prepared, write=write).rewrite()
        elif batch.status == "running" and batch.id not in lettered and _has_read(scan, found):
            prepared.aside.append(batch.id)
    return prepared


def _has_read(scan: Scan, found: Found) -> bool:
    """Whether a batch has its input already, so that what it lacks now it will not get."""
    plan = scan.pipelines.plan(found.submission)
    stream = plan.stream if plan else None
    record = found.results.get(stream.name) if stream else None
    return record is not None and record.status == "completed"


class _Batch:
    """One batch that holds the record."""

    def __init__(
        self, workspace: Workspace, scan: Scan, found: Found, root: str, prepared: Prepared, *, write: bool
    ) -> None:
        self._workspace, self._scan, self._found, self._root = workspace, scan, found, root
        self._prepared, self._write = prepared, write
        self._plan = scan.pipelines.plan(found.submission)
        self._new: dict[str, dict[str, OutputRef]] = {}

    def rewrite(self) -> None:
        """Give every result that holds the record, or may, new values; those after it new fingerprints."""
        results = self._found.results
        for stage, record in results.items():
            keys = self._scan.pipelines.keys(self._found.submission, record)
            self._new[stage] = {
                name: self._without(keys.get(name), ref, self._found.values[stage, name])
                for name, ref in record.outputs.items()
            }
        for stage, record in results.items():
            mark = self._mark(record)
            if self._new[stage] != dict(record.outputs) or mark is not None:
                fingerprint, parts = mark or (record.fingerprint, record.parts)
                outputs = self._new[stage]
                self._prepared.rewrites.append(
                    Rewrite(
                        batch_id=self._found.batch.id,
                        stage=stage,
                        outputs=outputs,
                        fingerprint=fingerprint,
                        parts=parts,
                    )
                )

    def _without(self, key: StateKey[Any] | None, ref: OutputRef, held: Held) -> OutputRef:
        if held.gone or not (held.items or held.mixed) or ref.digest == GONE:
            return ref
        self._prepared.checkpoints.add((ref.digest, ref.suffix))
        self._prepared.files |= held.files
        self._prepared.items += held.items
        if held.mixed or key is None:
            return ref.model_copy(update={"digest": GONE})
        assert key.codec is not None  # noqa: S101  # a state key always has one once it is made
        assert key.root_of is not None  # noqa: S101  # otherwise it would be mixed
        checkpoints, of = self._workspace.checkpoints, key.root_of
        others = [item for item in key.codec.decode(checkpoints.get(ref.digest, ref.suffix)) if of(item) != self._root]
        data = key.codec.encode(others)
        self._prepared.spared |= stored_files(data)
        digest = checkpoints.put(data, key.codec.suffix) if self._write else GONE
        return OutputRef(digest=digest, suffix=key.codec.suffix, items=len(others))

    def _mark(self, record: StageRecord) -> tuple[str, Any] | None:
        """Return the fingerprint over the new inputs, where the old one fits the old ones: the result stays usable."""
        plan = self._plan
        planned = next((one for one in plan.stages if one.name == record.stage), None) if plan else None
        if plan is None or planned is None or not self._new.keys() >= set(planned.writers):
            return None
        before = outputs_of(self._found.results)
        if fingerprint_of(planned, digests(plan, planned, before))[0] != record.fingerprint:
            return None
        after = fingerprint_of(planned, digests(plan, planned, self._new))
        return None if after[0] == record.fingerprint else after
