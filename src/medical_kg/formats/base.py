"""What the built-in formats share: facts, provenance and the payload's name on every refusal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from medical_kg import ItemRejected
from medical_kg.documents.ir import Concept, Fact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from medical_kg.documents.records import Payload


@contextmanager
def refusals_name(payload: Payload) -> Iterator[None]:
    """Put the payload's id and file in front of whatever refuses it."""
    try:
        yield
    except ItemRejected as error:
        raise ItemRejected(f"{payload.id} ({payload.provenance.uri}): {error}") from error


def fact(  # one argument per field
    predicate: str, kind: str, name: str, *, pointer: str, evidence: str = "", identifiers: Iterable[str] = ()
) -> Fact:
    """Return a fact; its evidence is the object's name unless given, and empty identifiers are dropped."""
    known = tuple(dict.fromkeys(identifier for identifier in identifiers if identifier))
    concept = Concept(kind=kind, name=name, identifiers=known)
    return Fact(predicate=predicate, object=concept, pointer=pointer, evidence=evidence or name)
