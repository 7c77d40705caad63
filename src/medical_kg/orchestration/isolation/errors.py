"""Errors on their way between a worker and the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from medical_kg.orchestration.contract import errors
from medical_kg.orchestration.contract.foreign import message_of, named, trace_of


def told(error: BaseException) -> dict[str, str]:
    """Return what the other side is told of an error: the name of its class, its message and where it was raised."""
    return {"kind": named(error), "message": message_of(error), "traceback": trace_of(error)}


def rebuilt(said: Mapping[str, str]) -> Exception:
    """Return an error of the other side under the name of its class: one of ours where it is, else one made for it."""
    found = getattr(errors, said["kind"], None)
    ours = isinstance(found, type) and issubclass(found, errors.MedicalKGError)
    made = found if ours else type(said["kind"], (errors.StageError,), {"__module__": __name__})
    kind = cast("type[Exception]", made)
    # The message is finished; constructors of ours would make another.
    error = kind.__new__(kind)
    error.args = (said["message"],)
    error.add_note(f"In the other process:\n{said['traceback']}")
    return error
