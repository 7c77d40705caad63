"""Pulling what is new or changed: pages of a stream stage, without the input records that were processed before.

Pages that leave little go on with the next one, so that an unchanged input is one small batch however long it is. The
engine and its worker processes both come through here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from medical_kg.orchestration.contract import JsonLines
from medical_kg.orchestration.contract.foreign import IDENT, identified
from medical_kg.orchestration.execution.calling import Called
from medical_kg.orchestration.execution.leaving_out import leave_out
from medical_kg.orchestration.ledger.records import input_record

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StageMetadata, StateKey

Roots = Mapping["StateKey[Any]", Sequence[str | None]]
"""The root of each item of an output, by key."""

MOST_PAGES = 100
"""After so many pages a batch is closed, however little is in it: a run that dies sweeps them again."""


class Meet(Protocol):
    """Tells the ledger which roots a page has, with their digests, and which records it rejects; returns what to skip."""

    def __call__(self, digests: Mapping[str, str], rejected: Sequence[str], *, process_all: bool) -> Collection[str]:
        """``process_all`` is what the page says of itself."""


@dataclass(slots=True)
class Swept:
    """What was found: the roots that are new or changed with their digests, how many are not, and whether that is all.

    ``complete`` and ``total`` are what the stage says of the last page; ``left_out`` counts forgotten roots.
    """

    digests: dict[str, str] = field(default_factory=dict)
    unchanged: int = 0
    complete: bool = False
    left_out: int = 0
    pages: int = 1
    total: int | None = None

    def add(self, page: Swept) -> None:
        """Put what a later page found to it."""
        self.digests |= page.digests
        self.unchanged += page.unchanged
        self.pages += 1
        self.complete, self.total = page.complete, page.total


def sweep(
    metadata: StageMetadata,
    pull: Callable[[str | None, int], Called],
    cursor: str | None,
    limit: int,
    meet: Meet,
    forgotten: Collection[str] = (),
    most_pages: int = MOST_PAGES,
) -> tuple[Called, Swept]:
    """Pull pages until there is enough for a batch, or the input ends; returns them as one, and what was found.

    Args:
        metadata: the stream stage's.
        pull: gives the page at a cursor, of about so many records.
        cursor: where to begin.
        limit: about how many records a batch has.
        meet: see ``Meet``.
        forgotten: roots that are left out.
        most_pages: how many pages a batch has at most.
    """
    keys = rooted(metadata)
    called = pull(cursor, limit)
    left_out = leave_out(called, forgotten)
    swept = _look(metadata, keys, called, meet, ())
    # What has no roots belongs to its page as a whole.
    for _ in range(most_pages - 1 if len(keys) == len(metadata.writes) else 0):
        room = limit - max(len(called.output[key]) for key in keys)
        if called.cursor is None or room < (limit + 1) // 2 or len(called.failures) >= limit:
            break
        page = pull(called.cursor, room)
        left_out += leave_out(page, forgotten)
        found = _look(metadata, keys, page, meet, swept.digests)
        _append(called, page, keys, swept.digests.keys() & found.digests.keys())
        swept.add(found)
    swept.left_out = left_out
    return called, swept


def rooted(metadata: StageMetadata) -> list[StateKey[Any]]:
    """Return the keys a stage writes whose items name the input record they descend from."""
    return [key for key in metadata.writes if key.is_list and key.root_of is not None]


def _look(
    metadata: StageMetadata, keys: list[StateKey[Any]], page: Called, meet: Meet, changed: Collection[str]
) -> Swept:
    """Take out of a page what may be skipped, and return what was found in it.

    A root that an earlier page of the batch ``changed`` is not skipped where it comes again as it was seen.
    """
    roots = {key: [_root(key, item) for item in page.output[key]] for key in keys}
    digests = digests_of(metadata, roots, page.output)
    rejected = [input_record(one) for one in page.failures]
    skipped = set[str]()
    if digests or rejected:
        skipped = set(meet(digests, rejected, process_all=page.process_all)).difference(changed)
    _drop(page, roots, skipped)
    left = {root: digest for root, digest in digests.items() if root not in skipped} if skipped else digests
    return Swept(left, len(skipped), page.complete, total=page.total)


def _drop(page: Called, roots: Roots, unwanted: Collection[str]) -> None:
    if unwanted:
        for key, names in roots.items():
            items = zip(page.output[key], names, strict=True)
            page.output[key] = [item for item, root in items if root not in unwanted]


def _append(called: Called, page: Called, keys: list[StateKey[Any]], again: Collection[str]) -> None:
    """Put a page after those before it; of roots that are there ``again`` the later ones count."""
    if again:
        _drop(called, {key: [_root(key, item) for item in called.output[key]] for key in keys}, again)
    for key in keys:
        called.output[key] = [*called.output[key], *page.output[key]]
    called.failures = [*called.failures, *page.failures]
    called.cursor = page.cursor


def digests_of(metadata: StageMetadata, roots: Roots, output: Mapping[StateKey[Any], Any]) -> dict[str, str]:
    """Return the sha256 (hex) of what an output holds of each root, by root.

    It is taken over the encoded items of the root, key by key in their order, and over the encoded values without
    roots. Of what cannot be encoded it is empty, which equals no other.
    """
    common = hashlib.sha256()
    for key in metadata.writes:
        if key not in roots and not _update(common, key, _encoded(key, output[key])):
            return {}
    found: dict[str, Any] = {}
    broken: set[str] = set()
    for key, names in roots.items():
        for root, data in zip(names, _one_by_one(key, output[key]), strict=True):
            if root is None:
                continue
            digest = found.get(root)
            if digest is None:
                digest = found[root] = common.copy()
            if not _update(digest, key, data):
                broken.add(root)
    return {root: "" if root in broken else digest.hexdigest() for root, digest in found.items()}


def _one_by_one(key: StateKey[Any], items: list[Any]) -> list[bytes | None]:
    """Return each item of a list in bytes; None of one that cannot be encoded."""
    if isinstance(key.codec, JsonLines):
        with suppress(Exception):  # whichever item it is, it alone is then held to differ
            return [*key.codec.unchecked(items)]
    return [_encoded(key, [item]) for item in items]


def _encoded(key: StateKey[Any], value: Any) -> bytes | None:
    assert key.codec is not None  # noqa: S101  # a state key always has one once it is made
    try:
        return key.codec.encode(value)
    except Exception:  # noqa: BLE001  # whatever the codec says: it will say so again when the value is stored
        return None


def _update(digest: Any, key: StateKey[Any], data: bytes | None) -> bool:
    if data is None:
        return False
    digest.update(b"%s %d %s" % (key.name.encode(), len(data), data))
    return True


def _root(key: StateKey[Any], item: Any) -> str | None:
    """Return an item's root; None of one that the ledger could not name as it is, which is then never skipped."""
    assert key.root_of is not None  # noqa: S101  # only such keys are asked
    try:
        root = key.root_of(item)
    except Exception:  # noqa: BLE001  # a plugin's function; its item is processed, and fails where it must
        return None
    usual = isinstance(root, str) and len(root) <= IDENT and root.isascii() and root.isprintable()
    return root if usual or (isinstance(root, str) and identified(root) == root) else None
