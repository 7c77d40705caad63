"""Taking the results of single items from earlier batches and submissions, for stages with ``cache: true``.

A result is known by what decides it: the stage's fingerprint without inputs, and the item's stored form. Only the results of
items that went through are kept.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.contract.foreign import identified
from medical_kg.orchestration.execution.failing import Failure, Recorded
from medical_kg.orchestration.execution.fingerprint import fingerprint
from medical_kg.orchestration.execution.noting import Results
from medical_kg.orchestration.execution.whole import one_each
from medical_kg.orchestration.file_area import STORED
from medical_kg.orchestration.ledger.keeping import ItemResult, Remembered

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StageContext, StageMetadata
    from medical_kg.orchestration.execution.calling import Called
    from medical_kg.orchestration.pipeline.plan import PlannedStage
    from medical_kg.orchestration.resilience import Guard, Policy

Find = Callable[[Sequence[str]], Mapping[str, ItemResult]]


def mark_of(planned: PlannedStage) -> str:
    """Return the part of an item's key that its stage decides; empty where results are not kept."""
    return fingerprint(planned, {}) if planned.cache else ""


def mark_till_done(metadata: StageMetadata, policy: Policy, mark: str) -> str:
    """Return such a part for what is kept only until its stage is done in this batch; empty where nothing is.

    It is kept of stages that may be put off half-way, so that nothing is asked of anybody twice: of those that work item by
    item under a policy with a circuit breaker or rate limit, unless they have an output handler.
    """
    keeps = metadata.mode == "item" and metadata.output_handler is None and metadata.read_keys[0].root_of is not None
    return mark if policy.takes_turns and keeps else ""


class Remembering:
    """Stands before a guard and answers for items whose results are known.

    Args:
        guard: calls the stage for the others.
        metadata: the stage's.
        mark: see ``mark_of``.
        items: what the stage is about to be called with.
        find: looks results up by key.

    Raises:
        UsageError: the stage has an output handler.
    """

    def __init__(self, guard: Guard, metadata: StageMetadata, mark: str, items: Sequence[Any], find: Find) -> None:
        """Look up what is known."""
        if metadata.output_handler is not None:
            what = f"stage type {metadata.stage_type!r} has an output handler, so its results cannot be kept per item"
            raise UsageError(f"{what}; remove `cache` from the stage")
        self._guard, self._metadata, self._mark = guard, metadata, mark
        self._results = Results(metadata, singly=True)
        self._items = items
        self._keys = {id(item): self._key(item) for item in items}
        self._known = find(list(self._keys.values()))
        self._used: list[str] = []
        self._made: dict[str, tuple[dict[str, Any], bytes]] = {}

    @property
    def overran(self) -> int:
        """Calls that took longer than their policy's timeout."""
        return self._guard.overran

    def _key(self, item: Any) -> str:
        codec = self._metadata.read_keys[0].codec
        assert codec is not None  # noqa: S101  # a state key always has one once it is made
        return hashlib.sha256(self._mark.encode() + codec.encode([item])).hexdigest()

    def __call__(self, function: Callable[..., Any], ctx: StageContext, /, subject: Any, **reads: Any) -> Any:
        """Return what the stage gives for an item, or one result for each of a group."""
        if self._metadata.items_per_call is None:
            known = self._known.get(self._keys[id(subject)])
            return (
                self._noted(subject, self._guard(function, ctx, subject, **reads))
                if known is None
                else self._old(known)
            )
        for item in subject:
            self._check(self._known.get(self._keys[id(item)]))
        unknown = [item for item in subject if self._keys[id(item)] not in self._known]
        made = one_each(self._metadata, unknown, self._guard(function, ctx, unknown, **reads)) if unknown else []
        fresh = iter(made)
        found = ((item, self._known.get(self._keys[id(item)])) for item in subject)
        return [self._noted(item, next(fresh)) if known is None else self._old(known) for item, known in found]

    def _check(self, known: ItemResult | None) -> None:
        """Raise anew what is known of an item that has failed; of a group, it is found by halving."""
        if known is not None and "failure" in known.head:
            raise Recorded(Failure(**known.head["failure"]))

    def _old(self, known: ItemResult) -> Any:
        self._check(known)
        self._used.append(known.key)
        return self._results.load(known.head, known.body)

    def _noted(self, item: Any, result: Any) -> Any:
        # Nothing comes of one that cannot be stored: the engine's checks refuse it.
        if (noted := self._results.dump(result)) is not None:
            self._made[self._keys[id(item)]] = noted
        return result

    def remembered(self, called: Called, *, failures: bool = False) -> Remembered:
        """Return what was used, and what is to be kept: not of items that failed after all.

        With ``failures`` it is noted of those that they failed: for a stage that is put off.
        """
        key = self._metadata.read_keys[0]
        failed = {one.item_id: one.plain() for one in called.failures}
        made = []
        for item in self._items:
            if key.id_of is None or key.root_of is None:
                break
            name, root = self._keys[id(item)], identified(key.root_of(item))
            failure = failed.get(identified(key.id_of(item)))
            if failure is not None and failures:
                made.append(ItemResult(key=name, root=root, head={"failure": failure}, body=b""))
            elif failure is None and name in self._made:
                head, body = self._made[name]
                made.append(ItemResult(key=name, root=root, head=head, body=body, files=_files(body)))
        used = tuple(dict.fromkeys(self._used))
        return Remembered(stage_type=self._metadata.stage_type, made=tuple(made), used=used)


def _files(body: bytes) -> tuple[str, ...]:
    return tuple(sorted({found.group() for found in STORED.finditer(body.decode("utf-8", "replace"))}))


def counted(counts: Mapping[str, float], remembered: Remembered | None) -> dict[str, float]:
    """Return a stage's counts with how many results it had already, where any are kept."""
    return {**counts} if remembered is None else {**counts, "cached": float(len(remembered.used))}


def sent(one: ItemResult) -> dict[str, Any]:
    """Return a result as a message between processes can hold it."""
    return {**one.model_dump(exclude={"body"}), "body": base64.b64encode(one.body).decode()}


def received(said: Mapping[str, Any]) -> ItemResult:
    """Return the result that such a part of a message stands for."""
    return ItemResult.model_validate({**said, "body": base64.b64decode(said["body"])})


def arrived(said: Mapping[str, Any] | None) -> Remembered | None:
    """Return what a worker has remembered, from its answer."""
    return (
        None if said is None else Remembered.model_validate({**said, "made": [received(one) for one in said["made"]]})
    )


def plain(remembered: Remembered) -> dict[str, Any]:
    """Return what is remembered as a message between processes can hold it."""
    return {**remembered.model_dump(exclude={"made"}), "made": [sent(one) for one in remembered.made]}
