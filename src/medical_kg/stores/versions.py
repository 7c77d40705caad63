"""Which roots a write may touch: not those that a newer submission wrote or removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Claim(NamedTuple):
    """What a write may touch: roots it may replace, roots refused as older, and the digests of earlier writes."""

    accepted: tuple[str, ...]
    refused: tuple[str, ...]
    digests: Mapping[str, str]


def claimed(roots: Iterable[str], version: int, known: Mapping[str, tuple[int, str]]) -> Claim:
    """Return what a write of a version may touch, given version and digest of what is known.

    A write of the version that a root already has is accepted.
    """
    wanted = tuple(dict.fromkeys(roots))
    newer = {root for root in wanted if root in known and known[root][0] > version}
    accepted = tuple(root for root in wanted if root not in newer)
    refused = tuple(root for root in wanted if root in newer)
    return Claim(accepted, refused, {root: digest for root, (_, digest) in known.items() if digest})
