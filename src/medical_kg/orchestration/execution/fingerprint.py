"""What decides a stage's output, part by part, and what differs between two such records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from medical_kg.orchestration.ledger.contract import FingerprintParts, Note

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.contract import OutputRef, StageRecord
    from medical_kg.orchestration.pipeline.plan import PlannedStage

SECRETS = (Secret, SecretBytes, SecretStr)
LONGEST = 300
"""Characters of JSON up to which a config value is kept as it is; of a longer one its digest."""

SHORT = 12
"""Hex digits of a digest that stands for a value: enough to see a change, too few to look a secret up."""


def fingerprint(planned: PlannedStage, inputs: Mapping[str, list[str]]) -> str:
    """Return the sha256 over everything that decides a stage's output; see ``fingerprint_of``."""
    return fingerprint_of(planned, inputs)[0]


def fingerprint_of(planned: PlannedStage, inputs: Mapping[str, list[str]]) -> tuple[str, FingerprintParts]:
    """Return the sha256 over everything that decides a stage's output, and its parts as they are kept.

    The parts are its type, distribution, behaviour version, config, the conditions its config names, the content
    digests of its inputs, and for a local module the hash of its source. The distribution's version is left out: an
    upgrade must not void the work of waiting batches.
    """
    origin = planned.type.origin
    config = plain_config(planned.config)
    parts: dict[str, Any] = {
        "type": planned.type.name,
        "distribution": origin.distribution,
        "version": planned.type.metadata.version,
        "config": config,
        "conditions": {name: condition.model_dump(mode="json") for name, condition in planned.conditions.items()},
        "inputs": {name: list(digests) for name, digests in inputs.items()},
    }
    if origin.source:
        parts["source"] = origin.source
    digests = {name: _digest(part) for name, part in parts.items()}
    kept = parts | {"config": fields_of(config)}
    return _digest(parts), FingerprintParts(**kept, digests=digests)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def plain_config(config: BaseModel) -> Any:
    """Return a config as plain JSON values in which a shortened digest stands for each secret."""
    return _masked(config, config.model_dump(mode="json"), "config")


def _masked(value: Any, plain: Any, path: str) -> Any:
    if isinstance(value, SECRETS):
        return f"(secret, sha256 {_digest([path, str(value.get_secret_value())])[:SHORT]})"
    if isinstance(plain, dict) and isinstance(value, (BaseModel, Mapping)):
        inner = vars(value) if isinstance(value, BaseModel) else {str(key): one for key, one in value.items()}
        return {name: _masked(inner.get(name), one, f"{path}.{name}") for name, one in plain.items()}
    if isinstance(plain, list) and isinstance(value, (list, tuple)):
        return [_masked(one, two, f"{path}.{n}") for n, (one, two) in enumerate(zip(value, plain, strict=True))]
    return plain


def fields_of(config: Any) -> dict[str, Any]:
    """Return the fields of a plain config, those of mappings within it by dotted names; long values as digests."""
    return {path: _shortened(value) for path, value in _leaves(config, ())}


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and (value or not path):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name))
    else:
        yield ".".join(path), value


def _shortened(value: Any) -> Any:
    length = len(json.dumps(value))
    return value if length <= LONGEST else f"({length} characters of JSON, sha256 {_digest(value)[:SHORT]})"


ABSENT = "(not there)"
"""Stands for the value of a field that one of two configs does not have."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two fingerprints: the part, its field, key or condition if it has such, both values."""

    part: str
    name: str
    before: Any
    after: Any

    def __str__(self) -> str:
        """Return it in words."""
        if self.part in ONLY_NAMED:
            return ONLY_NAMED[self.part].format(self.name)
        label = WORDS.get(self.part, self.part) + (f".{self.name}:" if self.name else "")
        return f"{label} {_told(self.before)} → {_told(self.after)}"


ONLY_NAMED = {
    "source": "source of local module changed",
    "conditions": "condition {} changed",
    "inputs": "input {} changed",
    "checkpoint": "checkpoint file of {} is gone",
    "fingerprint": "fingerprint changed (an earlier release kept the result, without what its fingerprint was made of)",
}
"""Parts of which a change is told without the values."""

WORDS = {"version": "behaviour version"}


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def changes(before: FingerprintParts, after: FingerprintParts) -> tuple[Change, ...]:
    """Return what differs, in the order of the parts."""
    return tuple(_changes(before, after))


def _changes(before: FingerprintParts, after: FingerprintParts) -> Iterator[Change]:
    for part in FingerprintParts.model_fields:
        old, new = getattr(before, part), getattr(after, part)
        if part == "digests" or before.digests.get(part) == after.digests.get(part):
            continue
        if not isinstance(old, Mapping):
            yield Change(part, "", old, new)
            continue
        for name in dict.fromkeys((*old, *new)):
            if (one := old.get(name, ABSENT)) != (other := new.get(name, ABSENT)):
                yield Change(part, name, one, other)


def why_not_reused(
    former: StageRecord, mark: str, parts: FingerprintParts, *, stream: bool, has: Callable[[OutputRef], bool]
) -> tuple[Change, ...]:
    """Return what keeps a completed result from being used as it stands; nothing when it can be.

    What a stream stage gave a batch is fixed for that batch: its source may have moved on.

    Args:
        former: the result.
        mark: the fingerprint as it is now.
        parts: what that is made of.
        stream: whether the stage is one.
        has: whether a checkpoint is there.
    """
    found: tuple[Change, ...] = ()
    if former.fingerprint != mark and not stream:
        found = changes(former.parts, parts) if former.parts else ()
        found = found or (Change("fingerprint", "", former.fingerprint, mark),)
    gone = (name for name, ref in former.outputs.items() if not has(ref))
    return (*found, *(Change("checkpoint", name, former.outputs[name].digest, None) for name in gone))


RUNS_AGAIN = "stage runs again"
"""The word of the history for a stage whose completed result could not be reused."""


def rerun_note(found: Sequence[Change]) -> Note:
    """Return the line for the history that says why a completed result could not be reused."""
    said = [asdict(change) for change in found]
    return Note(event=RUNS_AGAIN, reason="; ".join(map(str, found)), detail={"changes": said})
