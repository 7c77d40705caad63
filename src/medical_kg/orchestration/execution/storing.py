"""Values between checkpoints and stages: what a stage reads is decoded, what it gave is encoded, stored and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import ContractError
from medical_kg.orchestration.contract.foreign import said
from medical_kg.orchestration.execution.calling import Called, count
from medical_kg.orchestration.execution.failing import Failure, PutOff
from medical_kg.orchestration.ledger.contract import OutputRef

if TYPE_CHECKING:
    from collections.abc import Mapping

    from medical_kg.orchestration.contract import StageMetadata, StateKey, Waiting
    from medical_kg.orchestration.execution.sweeping import Swept
    from medical_kg.orchestration.ledger.keeping import Remembered


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a stage, stored.

    ``overran`` counts calls that took longer than their policy's timeout; ``swept`` is what a stream stage found,
    ``remembered`` what is kept for later. With items that are ``put_off`` nothing else counts but what is remembered.
    """

    outputs: Mapping[str, OutputRef] = field(default_factory=dict)
    counts: Mapping[str, float] = field(default_factory=dict)
    failures: Sequence[Failure] = ()
    waiting: Waiting | None = None
    cursor: str | None = None
    overran: int = 0
    swept: Swept | None = None
    remembered: Remembered | None = None
    put_off: Sequence[PutOff] = ()


def load(key: StateKey[Any], refs: Iterable[OutputRef], get: Callable[[str, str], bytes]) -> Any:
    """Return what a stage reads under a key, from the stored values of its writers."""
    assert key.codec is not None  # noqa: S101  # a state key always has one once it is made
    return joined(key, [key.codec.decode(get(ref.digest, ref.suffix)) for ref in refs])


def joined(key: StateKey[Any], values: Sequence[Any]) -> Any:
    """Return the values of a key's writers as one; None where there is none."""
    if not values:
        return None
    # A list of its own for each reader: what one does to it stays with it.
    return [item for value in values for item in value] if key.is_list else values[0]


def store(
    metadata: StageMetadata, called: Called, put: Callable[[bytes, str], str]
) -> tuple[dict[str, OutputRef], dict[str, float]]:
    """Store a stage's output and count it. In item mode, records that cannot be encoded become failures.

    Raises:
        ContractError: a value cannot be encoded, or the counter failed.
    """
    outputs = {}
    for key in metadata.writes:
        assert key.codec is not None  # noqa: S101  # as above
        digest = put(_encode(metadata, key, called), key.codec.suffix)
        items = len(called.output[key]) if key.is_list else None
        outputs[key.name] = OutputRef(digest=digest, suffix=key.codec.suffix, items=items)
    return outputs, count(metadata, called.output)


def _encode(metadata: StageMetadata, key: StateKey[Any], called: Called) -> bytes:
    assert key.codec is not None  # noqa: S101  # as above
    try:
        return key.codec.encode(called.output[key])
    except Exception as error:
        if metadata.mode != "item":
            what = f"{key.name!r} cannot be stored: {said(error)}"
            raise ContractError(f"stage type {metadata.stage_type!r}", what, key=key.name) from error
    kept = []
    for record in called.output[key]:
        try:
            key.codec.encode([record])
        except Exception as error:  # noqa: BLE001  # whatever the codec says, it is this record's
            called.failures.append(Failure.of(key, record, error))
        else:
            kept.append(record)
    called.output[key] = kept
    return key.codec.encode(kept)
