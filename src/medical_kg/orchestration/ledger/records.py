"""From the ledger's records to rows of its tables and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from medical_kg.orchestration.contract import Signal
from medical_kg.orchestration.contract.errors import InputError
from medical_kg.orchestration.ledger.contract import (
    Batch,
    DeadLetter,
    HistoryEntry,
    NewSubmission,
    Row,
    StageRecord,
    Submission,
    Wait,
)

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

R = TypeVar("R", bound=Row)


class Held(NamedTuple):
    """A batch with what the ledger knows about it besides: its tenant, and who claimed it last."""

    tenant: str
    claimed_by: str
    batch: Batch


def canonical(value: Any) -> str:
    """Return a JSON value as text that is the same for equal values, whatever the order of their keys.

    Raises:
        InputError: the value is not JSON.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        msg = f"input and overrides must be plain JSON values: {error}"
        raise InputError(msg) from error


def key_of(value: Any) -> str:
    """Return the sha256 (hex) of the canonical JSON of a value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def ident_of(facts: Any) -> str:
    """Return the id of the one submission that follows from some facts, so that asking again finds it."""
    return f"s{key_of(facts)[:12]}"


OPTIONS = frozenset({"limit", "full_refresh", "max_removed", "since", "updated_since"})
"""What an input may say besides what it is: how much of it is wanted, and how."""


def source_key(given: Mapping[str, Any]) -> str:
    """Return what two inputs share that are the same but for how much of them is wanted."""
    return key_of({name: value for name, value in given.items() if name not in OPTIONS})


def unfinished_key(new: NewSubmission) -> str:
    """Return what no two unfinished submissions share: a key over tenant, pipeline, input and overrides."""
    # When the last reading was differs from time to time, what is asked for does not.
    asked = {name: value for name, value in new.input.items() if name != "updated_since"}
    return key_of([new.tenant, new.pipeline, asked, dict(new.overrides)])


def storable(text: str) -> str:
    r"""Return text as any database takes it: half a surrogate pair, e.g. of a file's odd name, becomes ``\udcff``.

    A NUL, which Postgres refuses, becomes ``\x00``.
    """
    whole = text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
    return whole.replace("\x00", "\\x00")


class Failed(Protocol):
    """An item that failed: a dead letter, or what becomes one."""

    @property
    def item_id(self) -> str:
        """Its id."""

    @property
    def root(self) -> str | None:
        """The input record that it descends from, as far as it says so."""


def input_record(one: Failed) -> str:
    """Return the input record that an item descends from; one that names none counts as a record itself."""
    return one.root or one.item_id


NOT_COLUMNS = ("id", "pipeline_text", "told")
"""Fields of a new submission that are no columns of its row as they stand."""


def submission_row(new: NewSubmission, ident: str, now: float) -> dict[str, Any]:
    """Return the row of a new submission."""
    kept = {name: getattr(new, name) for name in NewSubmission.model_fields if name not in NOT_COLUMNS}
    return kept | {
        "id": ident,
        "input": dict(new.input),
        "input_key": key_of(dict(new.input)),
        "overrides": dict(new.overrides),
        "unfinished_key": unfinished_key(new),
        "status": "pending",
        "created_at": now,
        "updated_at": now,
    }


def _read(model: type[R], row: RowMapping) -> R:
    return model.model_validate({name: row[name] for name in model.model_fields})


def submission_of(row: RowMapping) -> Submission:
    """Return a submission from its row."""
    return _read(Submission, row)


def held_of(row: RowMapping) -> Held:
    """Return a batch, its tenant and its last claimer from its row."""
    return Held(row["tenant"], row["claimed_by"], _read(Batch, row))


def dead_letter_of(row: RowMapping) -> DeadLetter:
    """Return a dead letter from its row."""
    return _read(DeadLetter, row)


def history_of(row: RowMapping) -> HistoryEntry:
    """Return a line of the history from its row."""
    return _read(HistoryEntry, row)


def record_of(row: RowMapping) -> StageRecord:
    """Return a stage's result from its row."""
    return _read(StageRecord, row)


def record_row(tenant: str, record: StageRecord) -> dict[str, Any]:
    """Return the row of a stage's result."""
    error = None if record.error is None else storable(record.error)
    return {"tenant": tenant, **record.model_dump(), "error": error}


def dead_letter_row(held: Held, stage: str, letter: DeadLetter) -> dict[str, Any]:
    """Return the row of a dead letter of a batch's stage."""
    kept = {name: storable(value) if isinstance(value, str) else value for name, value in letter.model_dump().items()}
    place = {"tenant": held.tenant, "submission_id": held.batch.submission_id, "batch_id": held.batch.id}
    return kept | place | {"stage": stage}


def wait_of(row: RowMapping) -> Wait:
    """Return a wait from its row."""
    return _read(Wait, row)


def wait_row(tenant: str, wait: Wait) -> dict[str, Any]:
    """Return the row of a wait."""
    return {"tenant": tenant, **wait.model_dump(mode="json")}


def signal_of(row: RowMapping) -> Signal:
    """Return a signal from its row; without the column its attachments are left out."""
    return Signal.model_validate({name: row[name] for name in Signal.model_fields if name in row})


def values_of(signals: Mapping[str, Signal]) -> dict[str, Any]:
    """Return the values that conditions are tried on."""
    return {name: signal.value for name, signal in signals.items()}
